import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ContextStore } from '../../src/cli/lattice/context-store.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { type ProgramEnd, runProgram } from '../support/program.ts';

let server: TestServer;
let home: string;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'trellis-test-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const cli = (args: string[], env: Record<string, string> = {}): Promise<ProgramEnd> =>
  runProgram('cli', args, { env: { HOME: home, XDG_CONFIG_HOME: join(home, 'config'), ...env }, cwd: home });
const json = (end: ProgramEnd): Record<string, unknown> => JSON.parse(end.stdout) as Record<string, unknown>;
const error = (end: ProgramEnd): { code: string; message: string } =>
  (JSON.parse(end.stdout) as { error: { code: string; message: string } }).error;
const contextFile = (name: string): string => join(home, 'config', 'trellis', 'contexts', `${name}.json`);
const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);
/** Nobody listens there. */
const NOWHERE = 'nats://127.0.0.1:1';

function natsContext(name: string, fields: object): void {
  const dir = join(home, 'config', 'nats', 'context');
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, `${name}.json`), JSON.stringify(fields));
}

describe('trellis ctx', () => {
  it('keeps paths under a name, readable by this user alone, and uses them until told otherwise', async () => {
    writeFileSync(join(home, 'lab.creds'), 'x');
    const made = await cli([
      'ctx',
      'new',
      'lab',
      '--lattice',
      'lab',
      '--ctl-servers',
      server.url,
      '--use',
      '--description',
      'our lab',
    ]);
    expect(made.code, made.stderr).toBe(0);
    expect([
      modeOf(contextFile('lab')),
      modeOf(join(home, 'config', 'trellis')),
      modeOf(join(home, 'config', 'trellis', 'context')),
    ]).toEqual(['600', '700', '600']);
    const answers = await cli(['get', 'hosts']);
    expect([answers.code, answers.stdout]).toEqual([0, 'No host of lattice lab answers.\n']);
    // One that is named by a flag may be anything; one in use that is gone is said to be gone.
    rmSync(contextFile('lab'));
    const gone = await cli(['get', 'hosts']);
    expect([gone.code, gone.stderr]).toEqual([3, expect.stringContaining('trellis ctx use --none')]);
    await cli(['ctx', 'new', 'lab', '--lattice', 'lab', '--ctl-servers', server.url, '--description', 'our lab']);
    const list = await cli(['ctx', 'list']);
    expect(list.stdout).toMatch(/^\* +lab +trellis +lab +nats:\/\/127\.0\.0\.1:\d+ +none +our lab$/m);
    expect((await cli(['ctx', 'use', '--none'])).code).toBe(0);
    expect(json(await cli(['ctx', 'show', '--output', 'json']))).toEqual({ context: null });
  });

  it('stands over the environment when it is named, and below it when it is only in use; flags stand over both', async () => {
    await cli(['ctx', 'new', 'lab', '--lattice', 'of-context', '--ctl-servers', server.url, '--use']);
    const elsewhere = { TRELLIS_CTL_SERVERS: NOWHERE, TRELLIS_LATTICE: 'of-environment' };
    const [used, named, byVariable, flag] = await Promise.all([
      cli(['get', 'hosts'], { TRELLIS_LATTICE: 'of-environment' }),
      cli(['get', 'hosts', '--context', 'lab'], elsewhere),
      cli(['get', 'hosts'], { ...elsewhere, TRELLIS_CONTEXT: 'lab' }),
      cli(['get', 'hosts', '--context', 'lab', '--ctl-servers', NOWHERE, '--output', 'json']),
    ]);
    expect(used.stdout).toContain('lattice of-environment');
    expect(named.stdout).toContain('lattice of-context');
    expect(byVariable.stdout).toContain('lattice of-context');
    expect([flag.code, error(flag).code]).toEqual([5, 'TRELLIS_NATS_UNREACHABLE']);
    // A file that is named says all there is to say.
    writeFileSync(join(home, 'host.yaml'), `lattice: of-file\nctl: { servers: ['${server.url}'] }\n`);
    expect((await cli(['get', 'hosts', '--config-file', 'host.yaml'])).stdout).toContain('lattice of-file');
  });

  it('takes whole paths from where it is called, and says which are not there', async () => {
    writeFileSync(join(home, 'a.creds'), 'x');
    const made = await cli([
      'ctx',
      'new',
      'lab',
      '--ctl-creds',
      'a.creds',
      '--rpc-creds',
      '~/b.creds',
      '--sign-seed-file',
      './op.seed',
    ]);
    expect(made.stderr.match(/^note: .*$/gm)).toHaveLength(2);
    expect(JSON.parse(readFileSync(contextFile('lab'), 'utf8'))).toEqual({
      ctl: { credsFile: join(home, 'a.creds') },
      rpc: { credsFile: join(home, 'b.creds') },
      sign: { seedFile: join(home, 'op.seed') },
    });
    const { stdout } = await cli(['ctx', 'show', 'lab']);
    expect(stdout).toMatch(/^ctl\.credsFile +\S+a\.creds$/m);
    expect(stdout).toMatch(/^rpc\.credsFile +\S+b\.creds \(not there\)$/m);
    expect(stdout).toMatch(/^sign\.seedFile +\S+op\.seed \(not there\)$/m);
  });

  it('holds no secret, no stranger and no half of a path, whoever wrote it', async () => {
    await cli(['ctx', 'new', 'lab', '--lattice', 'lab']);
    const SEED = 'SUACHXNQFMCGQ3BBHLGFRQEMQKBSOHHKCCAQ6UZGNDSUVDX5BKG3EHHZGQ';
    const store = new ContextStore(join(home, 'config'));
    for (const [content, why] of [
      [{ ctl: { seed: SEED } }, /ctl\.seed is a secret/],
      [{ trust: { clusterSeed: SEED } }, /trust\.clusterSeed is a secret/],
      [{ components: [] }, /"components" does not say/],
      [{ ctl: { credsFile: 'a.creds' } }, /whole path/],
      [{ sign: { seedFile: '/x', seed: SEED } }, /sign must hold/],
      [{ ctl: { servers: [`nats://ada:${SEED}@h`] } }, /ctl\.servers: .* holds a user, password or token/],
      [{ lattice: 'a.b' }, /lattice must be/],
      [[], /must hold settings/],
      [{ ctl: { server: 'x' } }, /no setting/],
    ] as const) {
      writeFileSync(contextFile('lab'), JSON.stringify(content));
      expect(() => store.get('lab')).toThrow(why);
      expect(() => store.get('lab')).not.toThrow(SEED);
    }
    const end = await cli(['get', 'hosts', '--context', 'lab', '--output', 'json']);
    expect([end.code, error(end).code]).toEqual([78, 'TRELLIS_CONTEXT_INVALID']);
    // The others can still be listed, and this one said to be no good.
    expect((await cli(['ctx', 'list'])).stdout).toMatch(/lab +trellis +unusable: context lab: There is no setting/);
  });

  it('reads contexts of the nats command, and tells two of one name apart', async () => {
    natsContext('ops', { url: server.url.replace('nats://', ''), description: 'by nats' });
    natsContext('old', { url: server.url, user: 'ada', password: 'hunter2-hunter2' });
    natsContext('lab', { url: NOWHERE });
    await cli(['ctx', 'new', 'lab', '--from', 'ops', '--lattice', 'lab']);
    const [ops, own, other, old, list] = await Promise.all([
      cli(['get', 'hosts', '--context', 'ops']),
      cli(['get', 'hosts', '--context', 'lab']),
      cli(['get', 'hosts', '--context', 'nats:lab', '--output', 'json']),
      cli(['get', 'hosts', '--context', 'old', '--output', 'json']),
      cli(['ctx', 'list', '--output', 'json']),
    ]);
    expect(ops.stdout).toContain('lattice default');
    expect(own.stdout).toContain('lattice lab');
    expect(error(other).code).toBe('TRELLIS_NATS_UNREACHABLE');
    expect(error(old)).toMatchObject({ code: 'TRELLIS_CONTEXT_INVALID', message: expect.stringContaining('user') });
    expect((json(list)['contexts'] as { name: string }[]).map(({ name }) => name)).toEqual(['lab', 'nats:lab', 'old', 'ops']);
    expect(old.stdout + list.stdout).not.toContain('hunter2');
    expect((await cli(['ctx', 'del', 'ops'])).code).toBe(3);
    expect(existsSync(join(home, 'config', 'nats', 'context', 'ops.json'))).toBe(true);
  });

  it('is edited as a copy, and kept only if it is right', async () => {
    await cli(['ctx', 'new', 'lab', '--lattice', 'lab', '--use']);
    const editor = (script: string): Record<string, string> => {
      writeFileSync(join(home, 'editor'), `#!/bin/sh\n${script}\n`);
      chmodSync(join(home, 'editor'), 0o755);
      return { EDITOR: `${join(home, 'editor')} --wait` };
    };
    const replaced = await cli(['ctx', 'edit'], editor(`sed -i 's/"lab"/"lab2"/' "$2"`));
    expect([replaced.code, replaced.stdout]).toEqual([0, 'lab is changed.\n']);
    expect((await cli(['ctx', 'edit', 'lab', '-o', 'json'], editor(`echo '{"lattice":"*"}' > "$2"`))).code).toBe(78);
    expect((await cli(['ctx', 'edit', 'lab'], editor('exit 3'))).code).toBe(2);
    expect((await cli(['ctx', 'edit', 'lab'])).code).toBe(2);
    expect(JSON.parse(readFileSync(contextFile('lab'), 'utf8'))).toEqual({ lattice: 'lab2' });
    // One that is broken is what most needs it.
    writeFileSync(contextFile('lab'), '{');
    expect((await cli(['ctx', 'edit', 'lab'], editor(`echo '{"lattice":"lab3"}' > "$2"`))).stdout).toBe('lab is changed.\n');
  });

  it('refuses names that are none, or taken, or unknown, and forgets what it is told to', async () => {
    const store = new ContextStore(join(home, 'config'));
    expect((await cli(['ctx', 'new', 'lab', '--use'])).code).toBe(0);
    expect((await cli(['ctx', 'new', 'lab'])).code).toBe(2);
    for (const name of ['../x', 'a/b', 'a b', '', '..']) {
      expect(() => store.put(name, { description: '', settings: {} })).toThrow(/cannot be called/);
      expect(() => store.get(name)).toThrow(/there is no context/);
      expect(() => store.select(name)).toThrow(/there is no context/);
    }
    expect((await cli(['ctx', 'del', 'lab'])).code).toBe(0);
    expect(existsSync(contextFile('lab'))).toBe(false);
    expect(store.selected()).toBeUndefined();
  });

  it('says by name what it cannot write', async () => {
    writeFileSync(join(home, 'config'), 'a file in the way');
    const end = await cli(['ctx', 'new', 'lab', '--output', 'json']);
    expect([end.code, error(end).code]).toEqual([3, 'TRELLIS_CLI_FILE']);
  });
});
