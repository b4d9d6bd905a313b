import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { importSetup } from '../support/setup-modules.ts';

const { natsServer } = await importSetup('nats-server.mjs');
const { fetchServer } = await importSetup('nats-server-sources.mjs');
const { runProgram } = await importSetup('run-program.mjs');
const { ROOT, alone, digestOf, filesBelow } = await importSetup('tree.mjs');

const dir = mkdtempSync(join(tmpdir(), 'trellis-setup-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const script = (name: string, text: string): string => {
  const path = join(dir, name);
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
};

describe('finding a nats-server', () => {
  it('refuses a NATS_SERVER that is too old or does not run, and looks for no other', async () => {
    const old = script('old-server', '#!/bin/sh\necho nats-server: v2.8.4\n');
    for (const [path, why] of [
      [old, /2\.8\.4, older than/],
      [join(dir, 'none'), /does not run/],
    ] as const) {
      const tried: string[] = [];
      await expect(natsServer.find(tried, { NATS_SERVER: path, PATH: process.env['PATH'] })).rejects.toThrow('NATS_SERVER');
      expect(tried.join()).toMatch(why);
    }
  });

  it('passes an old one in PATH by and says so', async () => {
    script('nats-server', '#!/bin/sh\necho nats-server: v2.8.4\n');
    const tried: string[] = [];
    const found = await natsServer.find(tried, { PATH: dir });
    expect(found?.path).not.toBe(join(dir, 'nats-server'));
    expect(tried[0]).toContain('2.8.4');
  });

  it('asks each source in turn and keeps every reason', async () => {
    const tried: string[] = [];
    const said: string[] = [];
    const refuse = (name: string) => ({ name, get: () => Promise.reject(new Error(`${name} is away`)) });
    const give = { name: 'third', get: async (folder: string) => ({ program: { file: scriptIn(folder) }, from: 'the third' }) };
    const working = (text: string): void => void said.push(text);
    const got = await fetchServer({ working, tried, sources: [refuse('first'), refuse('second'), give, refuse('never asked')] });
    expect(got?.from).toBe('the third');
    expect(got?.program.toString()).toBe('binary');
    expect(tried).toEqual(['first: first is away', 'second: second is away']);
    expect(said).toHaveLength(3);
    expect(await fetchServer({ working, tried, sources: [refuse('only')] })).toBeUndefined();
  });
});

function scriptIn(folder: string): string {
  const path = join(folder, 'program');
  writeFileSync(path, 'binary');
  return path;
}

describe('tools', () => {
  it('see no settings or secrets of the host', async () => {
    const env = { ...process.env, WASMCLOUD_CLUSTER_SEED: 'SC-canary', TRELLIS_TRUST_VERIFY: 'off', NATS_CREDS: 'canary' };
    const result = await runProgram(process.execPath, ['-p', 'JSON.stringify(process.env)'], { env });
    expect(result.code).toBe(0);
    expect(result.stdout).not.toMatch(/canary|TRELLIS_|WASMCLOUD_/);
  });

  it('end with a reason when they do not answer, or are not there', async () => {
    const slow = await runProgram(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { timeoutMs: 200 });
    expect(slow.failure).toMatch(/no answer within 0\.2 s/);
    expect((await runProgram('trellis-no-such-program', [])).failure).toMatch(/not installed/);
  });

  it('work one at a time', async () => {
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      most = Math.max(most, ++inside);
      await sleep(50);
      inside--;
    };
    await Promise.all([alone(() => {}, work), alone(() => {}, work), alone(() => {}, work)]);
    expect(most).toBe(1);
  });

  it('notice any change in what a result is made from', () => {
    const tree = mkdtempSync(join(dir, 'tree-'));
    writeFileSync(join(tree, 'a'), '1');
    writeFileSync(join(tree, 'b'), '2');
    const before = digestOf(tree, filesBelow(tree));
    expect(digestOf(tree, filesBelow(tree))).toBe(before);
    writeFileSync(join(tree, 'b'), '3');
    const changed = digestOf(tree, filesBelow(tree));
    writeFileSync(join(tree, 'c'), '');
    expect(new Set([before, changed, digestOf(tree, filesBelow(tree))]).size).toBe(3);
  });
});

describe('handing over', () => {
  const program = script(
    'program.mjs',
    `let count = 0;
     for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => {
       process.stdout.write(' ' + name);
       if (++count === 2) process.exit(42);
       if (process.argv[2] === 'once') setTimeout(() => process.exit(7), 50);
     });
     // Only now: who is told "ready" sends signals at once.
     process.stdout.write('ready ' + (process.env.TRELLIS_PARENT_PID ?? 'unset') + ' ' + process.pid + ' ' + process.argv.slice(2).join());
     if (process.argv[2] === 'killed') process.kill(process.pid, 'SIGKILL');
     setInterval(() => {}, 1000);`,
  );
  const wrapper = script(
    'wrapper.mjs',
    `import { handOver } from ${JSON.stringify(pathToFileURL(join(ROOT, 'setup/hand-over.mjs')).href)};
     await handOver(process.execPath, process.argv.slice(2));`,
  );

  function start(...args: string[]): {
    child: ReturnType<typeof spawn>;
    ended: Promise<(number | string | null)[]>;
    text: () => string;
    until(pattern: RegExp): Promise<RegExpExecArray>;
  } {
    const child = spawn(process.execPath, [wrapper, program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
    const until = async (pattern: RegExp): Promise<RegExpExecArray> => {
      for (;;) {
        const found = pattern.exec(text);
        if (found !== null) return found;
        await sleep(10);
      }
    };
    return { child, ended: once(child, 'exit') as Promise<(number | string | null)[]>, text: () => text, until };
  }

  it('passes arguments, one signal for a double Ctrl-C, and the exit code', async () => {
    const { child, ended, until, text } = start('once', 'x');
    await until(/ready unset \d+ once,x/);
    child.kill('SIGINT');
    child.kill('SIGINT'); // npm passes on what the terminal has sent as well
    expect(await ended).toEqual([7, null]);
    expect(text().match(/SIGINT/g)).toHaveLength(1);
  });

  it('passes a second signal on, later', async () => {
    const { child, ended, until } = start('twice');
    await until(/ready/);
    child.kill('SIGTERM');
    await until(/SIGTERM/);
    await sleep(400);
    child.kill('SIGTERM');
    expect(await ended).toEqual([42, null]);
  });

  it('ends by the signal that ended the program', async () => {
    expect(await start('killed').ended).toEqual([null, 'SIGKILL']);
  });

  it('leaves no program behind when it is killed', async () => {
    const { child, ended, until } = start('once');
    const pid = Number((await until(/ready unset (\d+) /))[1]);
    child.kill('SIGKILL');
    await ended;
    await until(/SIGTERM/);
    await expect.poll(() => isAlive(pid)).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch {
    return false;
  }
}

/** A dead process that nobody waits for, as in a container whose first process does not. */
function isZombie(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
