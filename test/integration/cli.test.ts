import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readVersions } from '../../src/config/version.ts';
import { openDelegation } from '../../src/trust/delegation.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { builtFile } from '../support/built-program.ts';
import { echoComponent } from '../support/components.ts';
import { runProgram } from '../support/program.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'trellis-cli-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const cli = (...args: string[]) => runProgram('cli', args, { cwd: dir });
const daemon = (...args: string[]) => runProgram('daemon', args, { cwd: dir });
const json = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;

describe('trellis', () => {
  it('prints help with examples for itself and each command', async () => {
    const root = await cli('--help');
    expect(root.code).toBe(0);
    for (const name of ['up', 'host', 'demo', 'call', 'explain', 'inspect', 'wire', 'keys', 'bench'])
      expect(root.stdout).toContain(`  ${name} `);
    for (const name of ['inspect', 'keys', 'wire']) {
      const help = await cli('help', name);
      expect(help.code).toBe(0);
      expect(help.stdout).toContain(`trellis ${name}`);
    }
    expect((await cli('wire', 'encode', '--help')).stdout).toContain('Examples:');
    expect((await cli('help', 'wire', 'encode')).stdout).toContain('Usage: trellis wire encode');
  });

  it('ends with 2, a suggestion and a code on a mistyped command or flag, also as JSON', async () => {
    const text = await cli('inspct');
    expect([text.code, text.stdout]).toEqual([2, '']);
    expect(text.stderr).toContain('Did you mean inspect?');
    expect(text.stderr).toContain('TRELLIS_USAGE');
    const structured = await cli('inspect', '--nope', '--output', 'json');
    expect(structured.code).toBe(2);
    expect(json(structured.stdout)).toMatchObject({
      error: { code: 'TRELLIS_USAGE', hint: 'trellis inspect --help shows how it is written.' },
    });
    const half = await cli('wire', '--output', 'json');
    expect([half.code, json(half.stdout)]).toMatchObject([2, { error: { code: 'TRELLIS_USAGE' } }]);
    expect(json((await cli('--version', '--output', 'json')).stdout)).toMatchObject({ node: expect.any(String) as string });
  });

  it('makes keys: seed in a file of mode 0600, never printed unless asked, never overwritten', async () => {
    const made = await cli('keys', 'gen', 'cluster', '--out', 'a.seed', '--output', 'json');
    expect(made.code).toBe(0);
    const seed = readFileSync(join(dir, 'a.seed'), 'utf8').trim();
    expect(statSync(join(dir, 'a.seed')).mode & 0o777).toBe(0o600);
    expect(made.stdout + made.stderr).not.toContain(seed);
    const { publicKey } = SigningKey.fromSeed(seed, 'cluster');
    expect(json(made.stdout)).toEqual({ kind: 'cluster', publicKey, seedFile: 'a.seed' });

    expect((await cli('keys', 'gen', '--out', 'a.seed')).code).toBe(3);
    expect(readFileSync(join(dir, 'a.seed'), 'utf8').trim()).toBe(seed);
    expect((await cli('keys', 'gen', 'server')).code).toBe(2);
    const revealed = json((await cli('keys', 'gen', 'user', '--reveal', '-o', 'json')).stdout);
    expect(SigningKey.fromSeed(String(revealed['seed']), 'user').publicKey).toBe(revealed['publicKey']);

    expect(json((await cli('keys', 'show', 'a.seed', '-o', 'json')).stdout)).toMatchObject({ kind: 'cluster', publicKey });
    writeFileSync(join(dir, 'bad.seed'), seed.slice(0, -3));
    const bad = await cli('keys', 'show', 'bad.seed');
    expect(bad.code).not.toBe(0);
    expect(bad.stderr).not.toContain(seed.slice(3, 40));
    const shown = await cli('keys', 'show', 'a.seed');
    expect(shown.stdout).not.toContain(seed);
    expect((await cli('keys', 'show', 'a.seed', '--reveal')).stdout).toContain(seed);
  });

  it('delegates commands to an operator, and nothing else to it and to nobody else', async () => {
    const [issuer, operator] = [SigningKey.generate('cluster'), SigningKey.generate('user')];
    writeFileSync(join(dir, 'issuer.seed'), issuer.exportSeed().reveal(), { mode: 0o600 });
    const delegate = (key: string, out: string, ...args: string[]) =>
      cli('keys', 'delegate', key, '--seed-file', 'issuer.seed', '--out', out, ...args);
    const made = await delegate(operator.publicKey, 'ops.dlg', '--commands', 'link,component', '-o', 'json');
    expect(json(made.stdout)).toMatchObject({
      issuer: issuer.publicKey,
      subject: operator.publicKey,
      commands: 'component,link',
    });
    const claims = openDelegation(readFileSync(join(dir, 'ops.dlg'), 'utf8').trim());
    expect(claims).toMatchObject({ iss: issuer.publicKey, sub: operator.publicKey, org: '', tgt: '', ctl: 'component,link' });
    expect((await delegate(operator.publicKey, 'all.dlg', '--commands', '*')).stdout).toMatch(
      /^lattice +default\n(?:.*\n)*commands +\*$/m,
    );

    const host = SigningKey.generate('server').publicKey;
    for (const [key, ...args] of [
      [operator.publicKey],
      [operator.publicKey, '--commands', ''],
      [operator.publicKey, '--commands', 'links'],
      [operator.publicKey, '--commands', '*', '--targets', '*'],
      [operator.publicKey, '--commands', '*', '--origins', 'echo'],
      [host, '--commands', '*'],
    ] as const) {
      const refused = await delegate(key, 'none.dlg', ...args);
      expect([refused.code, existsSync(join(dir, 'none.dlg'))], args.join(' ')).toEqual([2, false]);
      expect(refused.stderr).toContain('--commands');
    }
  });

  it('lists keys by kind, public key, file and mode, warns of those that others may read, and shows no seed', async () => {
    const folder = join(dir, 'keys');
    mkdirSync(folder);
    const [first, second] = [SigningKey.generate('cluster'), SigningKey.generate('server')];
    const seeds = [first, second].map((key) => key.exportSeed().reveal());
    writeFileSync(join(folder, 'a.seed'), `${seeds[0]}\n`, { mode: 0o600 });
    writeFileSync(join(folder, 'b.seed'), seeds[1]!, { mode: 0o644 });
    chmodSync(join(folder, 'b.seed'), 0o644);
    writeFileSync(join(folder, 'notes.txt'), 'no seed');
    mkdirSync(join(folder, 'c.seed'));
    const listed = await cli('keys', 'list', folder, '--output', 'json');
    expect(json(listed.stdout)).toEqual({
      folder,
      keys: [
        { file: join(folder, 'a.seed'), kind: 'cluster', publicKey: first.publicKey, mode: '0600', readableByOthers: false },
        { file: join(folder, 'b.seed'), kind: 'server', publicKey: second.publicKey, mode: '0644', readableByOthers: true },
      ],
    });
    const table = await cli('keys', 'list', folder);
    expect(table.stdout).toMatch(/b\.seed +0644 +OTHERS MAY READ IT/);
    for (const seed of seeds) expect(table.stdout + listed.stdout).not.toContain(seed);
    expect((await cli('keys', 'list', join(folder, 'nowhere'))).code).toBe(3);
  });

  it('encodes, decodes and checks values', async () => {
    expect((await cli('wire', 'encode', 'result<string, u8>', '{"ok": "hello"}')).stdout).toBe('000568656c6c6f\n');
    expect((await cli('wire', 'decode', 'option<u32>', '01 ac 02')).stdout).toBe('{"some":300}\n');
    const extra = await cli('wire', 'decode', 'bool', '01ff', '--output', 'json');
    expect(json(extra.stdout)).toEqual({ type: 'bool', value: true, consumed: 1, extra: 1 });

    const short = await cli('wire', 'decode', 'string', '0568');
    expect([short.code, short.stdout]).toEqual([2, '']);
    expect(short.stderr).toContain('TRELLIS_WIT_BYTES');
    expect((await cli('wire', 'decode', 'bool', 'zz')).stderr).toContain('TRELLIS_USAGE');
    expect((await cli('wire', 'encode', 'list<', '[]')).stderr).toContain('TRELLIS_WIT_TYPE_TEXT');
    expect((await cli('wire', 'encode', 'u8', '300')).stderr).toContain('TRELLIS_WIT_VALUE');

    const vectors = await cli('wire', 'check', fileURLToPath(new URL('../fixtures/wrpc-vectors.json', import.meta.url)));
    expect(vectors.stdout).toMatch(/^\d{2,} passed, 0 failed\n$/);
    expect(vectors.code).toBe(0);
    writeFileSync(
      join(dir, 'wrong.json'),
      JSON.stringify({ vectors: [{ id: 'x', wit: 'u8', type: { kind: 'u8' }, value: 1, hex: '02' }] }),
    );
    const wrong = await cli('wire', 'check', 'wrong.json');
    expect(wrong.code).toBe(1);
    expect(wrong.stdout).toMatch(/^x: .*\n0 passed, 1 failed\n$/);
  });

  it('inspects a component without running it', async () => {
    const { file, digest } = echoComponent();
    const structured = json((await cli('inspect', file, '--output', 'json')).stdout);
    expect(structured).toMatchObject({ file, digest, grantsNeeded: [], coreModules: expect.any(Number) as number });
    const text = await cli('inspect', file);
    expect(text.code).toBe(0);
    expect(text.stdout).toContain(digest);
    expect(text.stdout).toContain('echo-bytes: func(value: list<u8>) -> list<u8>');
    const missing = await cli('inspect', 'nowhere.wasm');
    expect(missing.code).toBeGreaterThan(0);
    expect(missing.stderr).toContain('TRELLIS_COMPONENT_');
    writeFileSync(join(dir, 'no.wasm'), 'not wasm');
    expect((await cli('inspect', 'no.wasm')).stderr).toMatch(/TRELLIS_(COMPONENT|WIT)_/);
  });

  it('ends quietly when its reader has seen enough', async () => {
    const program = builtFile('cli/main.ts');
    const run = promisify(execFile);
    const { stdout, stderr } = await run('/bin/sh', [
      '-c',
      '"$0" "$1" inspect "$2" | head -1',
      process.execPath,
      program,
      echoComponent().file,
    ]);
    expect([stdout.split('\n').length, stderr]).toEqual([2, '']);
  });

  it('says that a call has no key to sign with, instead of signing with one that nobody believes', async () => {
    const config = join(dir, 'no-key.yaml');
    writeFileSync(config, 'lattice: default\n');
    const end = await cli('call', 'echo', 'echo-u8', '--json', '[1]', '--config', config);
    expect([end.code, end.stderr]).toEqual([78, expect.stringContaining('TRELLIS_CALL_KEY')]);
  });

  it('hands trellis host over to the daemon with its flags and exit code', async () => {
    expect(json((await cli('host', '--version', '--output', 'json')).stdout)).toEqual(readVersions());
    expect((await cli('host', '--check-config', '--lattice', 'a.b')).code).toBe(78);
  });
});

describe('host.js', () => {
  it('prints help with examples and versions', async () => {
    const help = await daemon('--help');
    expect([help.code, help.stderr]).toEqual([0, '']);
    for (const part of ['Examples:', '--check-config', '--rpc-servers', '--trust-cluster-seed-file'])
      expect(help.stdout).toContain(part);
    const version = await daemon('--version');
    expect(version.stdout).toContain(`node     ${process.versions.node}`);
    expect(version.stdout).toMatch(/jco {6}\d/);
  });

  it('lists all problems at once and ends with 78', async () => {
    writeFileSync(join(dir, 'bad.yaml'), 'latice: x\nrpc:\n  servers: [nats://user:hunter22@nats.example]\n');
    const text = await daemon('--config', 'bad.yaml', '--check-config');
    expect(text.code).toBe(78);
    expect(text.stdout).toContain('There is no setting latice.');
    const other = await runProgram('daemon', ['--check-config', '--output', 'json'], {
      env: { TRELLIS_RPC_SERVERS: 'nats://user:hunter22@nats.example', TRELLIS_CTL_SERVERS: 'nats://10.0.0.1' },
    });
    const report = json(other.stdout) as {
      ok: boolean;
      problems: { code: string; setting: string; source: string; why: string; fix: string }[];
    };
    expect(report.ok).toBe(false);
    const found = report.problems.map(({ code, setting }) => `${code} ${setting}`);
    expect(found).toEqual(
      expect.arrayContaining([
        'START-01 rpc.servers[0]',
        'START-02 rpc.servers[0]',
        'START-03 rpc.servers[0]',
        'START-02 ctl.servers[0]',
        'START-03 ctl.servers[0]',
        'START-10 trust.clusterSeedFile',
      ]),
    );
    for (const { source, why, fix } of report.problems) expect([source, why, fix]).not.toContain('');
    expect(other.stdout).not.toContain('hunter22');
  });

  it('starts nothing with problems, and says them on standard error', async () => {
    const end = await daemon('--dev', '--lattice', '*');
    expect([end.code, end.stdout]).toEqual([78, '']);
    expect(end.stderr).toContain('Not started: 1 problem');
  });

  it('accepts a good configuration', async () => {
    const end = await daemon('--check-config', '--dev');
    expect([end.code, end.stdout]).toEqual([0, 'The configuration can be started.\n']);
  });

  it('LEK-08 takes no secret as a flag and does not repeat it', async () => {
    const seed = SigningKey.generate('cluster').exportSeed().reveal();
    for (const args of [
      ['--cluster-seed', seed],
      [`--cluster-seed=${seed}`],
      [`--unknown=${seed}`],
      [seed],
      ['--host-seed', seed],
      ['--rpc-seed', seed],
    ]) {
      const end = await daemon(...args);
      expect(end.code, args[0]).toBe(2);
      expect(end.stdout + end.stderr).not.toContain(seed.slice(0, 30));
    }
  });
});
