import { spawn, type ChildProcess } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectCaller } from '../../src/caller.ts';
import { START_CODES } from '../../src/config/problems.ts';
import { parseConfig } from '../../src/config/schema.ts';
import { CATALOGUE } from '../../src/errors.ts';
import { startHost } from '../../src/host.ts';
import { findNatsServer } from '../../src/nats/server.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { echoComponent } from '../support/components.ts';
import { startServer } from '../support/nats-server.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const documents = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'docs/architecture.md', 'docs/verification.md'];
const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** A block of commands, and the output that the document shows for it. */
interface Block {
  readonly commands: string;
  readonly fails: boolean;
  readonly output: readonly string[];
}

/** The `sh` blocks of a document, each with the `text` block that follows it. ```` ```sh fails ```` ends with another code than 0. */
function blocksIn(markdown: string): Block[] {
  const fences = [...markdown.matchAll(/^```(\S+)(?: (\S+))?\n([\s\S]*?)^```$/gm)];
  return fences.flatMap(([, language, mark, commands], at) => {
    if (language !== 'sh') return [];
    const next = fences[at + 1];
    const output = next?.[1] === 'text' ? next[3]!.split('\n').filter((line) => line.trim() !== '') : [];
    return [{ commands: commands!, fails: mark === 'fails', output }];
  });
}

/** What differs from machine to machine and from run to run is the same after this. */
const steady = (text: string): string =>
  text
    .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replace(/version \d+\.\d+\.\d+/g, 'version N')
    .replace(/runner \d+/g, 'runner PID')
    .replace(/sha256:[0-9a-f]+/g, 'sha256:DIGEST')
    .replace(/[ \t]+/g, ' ')
    .trim();

/** Checks that every line shown was printed; `…` stands for anything. */
function expectShown(block: Block, printed: string): void {
  const lines = printed.split('\n').map(steady);
  for (const line of block.output) {
    const parts = steady(line).split('…');
    const pattern = new RegExp(`^${parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`);
    expect(
      lines.some((printedLine) => pattern.test(printedLine)),
      `not printed: ${line}\nby: ${block.commands}\n${printed}`,
    ).toBe(true);
  }
}

/** Commands that run until they are stopped: how the test runs them, and what they print when they are ready. */
const SERVERS: readonly { starts: string; as: string; ready: RegExp; stop: NodeJS.Signals }[] = [
  // The port that the document shows may be taken.
  { starts: 'npm start', as: 'npm start -- --port 0', ready: /Ctrl-C drains/, stop: 'SIGINT' },
  { starts: 'node host.js --config', as: '', ready: /"msg":"ready"/, stop: 'SIGTERM' },
];

describe('README.md', () => {
  // A copy with a state of its own: the tour must not meet the development lattice of whoever runs the tests.
  let home: string;
  let copy: string;
  let env: NodeJS.ProcessEnv;
  const running: { child: ChildProcess; stop: NodeJS.Signals; text: () => string; ended: Promise<number | null> }[] = [];

  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), 'trellis-readme-'));
    copy = join(home, 'trellis');
    mkdirSync(copy);
    for (const part of ['bin', 'components', 'config', 'dist', 'setup', 'src', 'test/fixtures']) {
      if (existsSync(join(ROOT, part))) cpSync(join(ROOT, part), join(copy, part), { recursive: true });
    }
    for (const file of ['host.js', 'package.json', 'package-lock.json', 'tsconfig.json', '.npmrc'])
      cpSync(join(ROOT, file), join(copy, file));
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const inherited = Object.entries(process.env).filter(
      ([name]) => !/^(?:TRELLIS_|WASMCLOUD_|NATS_|XDG_|npm_package_|INIT_CWD|VITEST|NODE_ENV)/.test(name),
    );
    env = { ...Object.fromEntries(inherited), HOME: home, NATS_SERVER: findNatsServer().path, NO_COLOR: '1' };
  });

  afterAll(async () => {
    for (const { child } of running)
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL');
    await Promise.all(running.map(({ ended }) => ended));
    rmSync(home, { recursive: true, force: true });
  });

  function run(commands: string): { child: ChildProcess; text: () => string; ended: Promise<number | null> } {
    let text = '';
    // A process group of its own, so that a signal reaches all of it, as Ctrl-C in a terminal does.
    const child = spawn('/bin/sh', ['-e', '-c', commands], { cwd: copy, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
    return { child, text: () => text, ended: new Promise((resolve) => child.once('close', resolve)) };
  }

  async function start(block: Block, server: (typeof SERVERS)[number]): Promise<void> {
    const started = run(server.as || block.commands);
    running.push({ ...started, stop: server.stop });
    let over = false;
    void started.ended.then(() => (over = true));
    while (!server.ready.test(started.text())) {
      if (over) throw new Error(`${block.commands} ended:\n${started.text()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expectShown(block, started.text());
    const url = /nats:\/\/127\.0\.0\.1:\d+/.exec(started.text())?.[0];
    if (url !== undefined) env = { ...env, TRELLIS_CTL_SERVERS: url, TRELLIS_RPC_SERVERS: url };
  }

  const blocks = blocksIn(textOf('README.md'));
  for (const block of blocks) {
    it(block.commands.trim().split('\n').join('; ').slice(0, 120), { timeout: 180_000 }, async () => {
      const server = SERVERS.find(({ starts }) => block.commands.startsWith(starts));
      if (server !== undefined) return start(block, server);
      const { text, ended } = run(block.commands);
      const code = await ended;
      if (block.fails) expect(code, text()).not.toBe(0);
      else expect(code, text()).toBe(0);
      expectShown(block, text());
    });
  }

  for (const name of ['hello', 'greeter-chain', 'echo']) {
    it.each(blocksIn(textOf(`components/${name}/README.md`)))(`components/${name}/README.md`, async (block) => {
      const { text, ended } = run(block.commands);
      expect(await ended, text()).toBe(0);
    });
  }

  it('Ctrl-C and SIGTERM stop what was started', async () => {
    expect(running).toHaveLength(SERVERS.length);
    for (const { child, stop, text, ended } of running.toReversed()) {
      process.kill(-child.pid!, stop);
      await ended;
      expect(text()).toMatch(stop === 'SIGINT' ? /^Stopped\.$/m : /"exitCode":0,"msg":"stopped"/);
    }
  });
});

describe('config/nats-server.conf', () => {
  it.each([
    ['without JetStream', false],
    ['with JetStream, where the trust bucket is required', true],
  ] as const)('lets a host serve and a caller call, each user within its least subjects: %s', async (_which, jetstream) => {
    const [ctl, rpc, cluster] = [SigningKey.generate('user'), SigningKey.generate('user'), SigningKey.generate('cluster')];
    const configText = textOf('config/nats-server.conf')
      .replaceAll('<ctl>', ctl.publicKey)
      .replaceAll('<rpc>', rpc.publicKey)
      .replace(/^listen: .*$/m, '');
    await using server = await startServer({ configText, jetstream });
    const seedFile = (name: string, key: SigningKey): string => {
      const file = join(server.dir, `${name}.seed`);
      writeFileSync(file, key.exportSeed().reveal(), { mode: 0o600 });
      return file;
    };
    const config = parseConfig({
      lattice: 'lab',
      ctl: { servers: [server.url], seedFile: seedFile('ctl', ctl) },
      rpc: { servers: [server.url], seedFile: seedFile('rpc', rpc) },
      trust: {
        clusterSeedFile: seedFile('cluster', cluster),
        unlinkedOrigins: ['trellis-cli'],
        store: jetstream ? 'required' : 'auto',
      },
      components: [{ id: 'echo', file: echoComponent().file }],
      cacheDir: join(server.dir, 'cache'),
      stateDir: server.dir,
    });
    const log = createLogger({ level: 'error' });
    const metrics = createMetrics({ eventLoop: false });
    await using host = await startHost({ config, log, metrics });
    expect(host.status().ready).toBe(true);
    await using caller = await connectCaller({ config, log, metrics, origin: 'trellis-cli' });
    const { types } = await caller.describe('echo', 5_000);
    const instance = types.exports.find(({ name }) => name.includes('/values@'))!.name;
    const result = await caller.call({ target: 'echo', instance, func: 'answer', params: new Uint8Array(0), timeoutMs: 5_000 });
    expect(result.length).toBeGreaterThan(0);
    expect(server.log()).not.toMatch(/violation/i);
  });
});

describe('documents', () => {
  it.each(documents)('%s links to what exists', (path) => {
    const text = textOf(path).replace(/^```[\s\S]*?^```$/gm, '');
    const missing = [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)]
      .filter(([, file, anchor]) => {
        const target = file === '' ? path : join(dirname(path), file!);
        if (!existsSync(join(ROOT, target))) return true;
        return anchor !== undefined && !anchorsOf(textOf(target)).has(anchor);
      })
      .map(([link]) => link);
    expect(missing).toEqual([]);
  });

  it.each(documents)('%s names files, codes and scripts that exist', (path) => {
    const text = textOf(path);
    const files = [...text.matchAll(/`((?:src|test|setup|components|config|docs|bin)\/[\w./-]*[\w/])`/g)].map(
      ([, file]) => file!,
    );
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
    const codes = [...text.matchAll(/\bTRELLIS_(?:VERIFY|PATH|INVOKE|NATS|COMPONENT|TRUST|LINK|CALL)_[A-Z_]*[A-Z]\b/g)].map(
      ([code]) => code,
    );
    expect(codes.filter((code) => !(code in CATALOGUE))).toEqual([]);
    const starts = [...text.matchAll(/\bSTART-\d\d\b/g)].map(([code]) => code);
    expect(starts.filter((code) => !(code in START_CODES))).toEqual([]);
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    const used = [...text.matchAll(/\bnpm run (?:-s )?([a-z]+)/g)].map(([, script]) => script!);
    expect(used.filter((script) => !(script in scripts))).toEqual([]);
  });

  it('docs/architecture.md names every part of src', () => {
    const floors = /^## Floors$([\s\S]*?)^## /m.exec(textOf('docs/architecture.md'))![1]!;
    const parts = readdirSync(join(ROOT, 'src'));
    expect(
      parts.filter((part) => !new RegExp(`(?:^|[\\s\`])${part.replace('.', '\\.')}(?:$|[\\s\`/])`, 'm').test(floors)),
    ).toEqual([]);
  });

  it('CONTRIBUTING.md gives a reason for every dependency', () => {
    const text = textOf('CONTRIBUTING.md');
    const manifest = JSON.parse(textOf('package.json')) as Record<'dependencies' | 'devDependencies', Record<string, string>>;
    const names = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)];
    // Packages that are there for one reason share a row.
    const listed = new Set([...text.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, cell]) => cell!.match(/[^`, ]+/g) ?? []));
    expect(names.filter((name) => !listed.has(name))).toEqual([]);
  });
});

/** The anchors that the headings of a document have on GitHub. */
function anchorsOf(markdown: string): Set<string> {
  const headings = [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}
