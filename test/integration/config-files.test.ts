import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { LoadedConfig } from '../../src/config/load.ts';
import { checkStart } from '../../src/config/start-checks.ts';
import { keyFacts } from '../../src/daemon/key-facts.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { TestOperator } from '../support/accounts.ts';
import { createCertificateAuthority } from '../support/certificates.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'trellis-config-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function write(name: string, text: string, mode = 0o600): string {
  const file = join(dir, name);
  writeFileSync(file, text, { mode });
  chmodSync(file, mode);
  return file;
}
const load = (yaml: string, env = {}): LoadedConfig => loadConfig({ file: write('host.yaml', yaml), env });

function check(loaded: LoadedConfig, facts: { uid?: number; nowMs?: number } = {}) {
  expect(loaded.problems).toEqual([]);
  return checkStart({
    config: loaded.config!,
    sourceOf: (setting) => loaded.sourceOf(setting),
    keys: keyFacts,
    process: {
      uid: facts.uid ?? process.geteuid?.(),
      inspectorOpen: false,
      dumpsCore: false,
      unconfined: undefined,
      nowMs: facts.nowMs ?? Date.now(),
    },
  });
}
const codes = (found: readonly { code: string }[]): string[] => found.map(({ code }) => code);

describe('a configuration file', () => {
  it('takes every path of a list from its own folder', () => {
    const { config, problems } = load('artifacts:\n  tlsCaFiles: [ca.pem, /etc/other.pem]\n');
    expect(problems).toEqual([]);
    expect(config?.artifacts.tlsCaFiles).toEqual([join(dir, 'ca.pem'), '/etc/other.pem']);
  });

  it('START-05, START-06 and START-12 look at the files of registries', () => {
    const open = write('password', 'x\n', 0o644);
    const empty = write('empty', '');
    const docker = write('docker.json', '{}', 0o644);
    const found = (yaml: string): string[] => codes(check(load(`dev: true\n${yaml}`)));
    const ofRegistry = (file: string) => `artifacts:\n  registry: ghcr.io\n  username: robot\n  passwordFile: ${file}\n`;
    expect(found(ofRegistry(open))).toEqual(['START-05']);
    expect(found(ofRegistry(empty))).toEqual(['START-06']);
    expect(found(ofRegistry(join(dir, 'none')))).toEqual(['START-06']);
    expect(found(`artifacts: {dockerConfigFile: ${docker}}`)).toEqual(['START-05']);
    expect(found(`artifacts: {dockerConfigFile: ${join(dir, 'none')}}`)).toEqual(['START-06']);
    expect(found(`artifacts: {tlsCaFiles: [${empty}]}`)).toEqual(['START-12']);
    expect(found(`artifacts: {credentials: [{registry: a.b, username: u, passwordFile: ${open}}]}`)).toEqual(['START-05']);
  });

  it('START-14 keeps the password of a registry out of itself', () => {
    const { problems } = load('artifacts: {registry: ghcr.io, username: robot, password: hunter22hunter22}');
    expect(problems).toMatchObject([{ code: 'START-14', setting: 'artifacts.password' }]);
    expect(JSON.stringify(problems)).not.toContain('hunter22');
  });

  it('gives values with their lines, and paths from its own folder', () => {
    const { config, sourceOf, problems } = load(
      [
        'lattice: prod',
        'rpc:',
        '  servers: [nats://127.0.0.1:4333]',
        'components:',
        '  - id: hello',
        '    file: ./hello.wasm',
      ].join('\n'),
    );
    expect(problems).toEqual([]);
    expect(config).toMatchObject({ lattice: 'prod', components: [{ id: 'hello', file: join(dir, 'hello.wasm') }] });
    const file = join(dir, 'host.yaml');
    expect([
      sourceOf('lattice'),
      sourceOf('rpc.servers[0]'),
      sourceOf('components[0].file'),
      sourceOf('components[0].policy'),
    ]).toEqual([`${file}:1`, `${file}:3`, `${file}:6`, `${file}:5`]);
  });

  it('may be JSON', () => {
    expect(load('{"lattice": "json", "admin": {"listen": false}}').config).toMatchObject({
      lattice: 'json',
      admin: { listen: false },
    });
  });

  it('is found through TRELLIS_CONFIG and yields to the environment', () => {
    const env = { TRELLIS_CONFIG: write('own.yaml', 'lattice: file\nlog: {level: debug}'), WASMCLOUD_LATTICE: 'env' };
    expect(loadConfig({ env }).config).toMatchObject({ lattice: 'env', log: { level: 'debug' } });
  });

  it('START-14 suggests for every misspelt setting at once, with line', () => {
    const { problems } = load('latice: x\nrpc:\n  server: [a]\nlimits:\n  maxInFligth: 3\nlinks:\n  - sorce: a\n');
    const fixes = problems.map(({ setting, fix, source }) => `${setting} ${source.split(':').at(-1)} ${fix}`);
    expect(fixes).toEqual(
      expect.arrayContaining([
        'latice 1 Did you mean lattice?',
        'rpc.server 3 Did you mean rpc.servers?',
        'limits.maxInFligth 5 Did you mean limits.maxInFlight?',
        'links[0].sorce 7 Did you mean links[0].source?',
      ]),
    );
  });

  it('START-14 refuses what is no YAML, no group, too large, absent or a bomb, and quotes nothing of it', () => {
    const secret = `SCA${'B'.repeat(55)}`;
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghij'
      .split('')
      .map((c, i) => `${c}: &${c} [${`*${'abcdefghij'[i]},`.repeat(9)}]`)
      .join('\n')}`;
    for (const text of [
      `a: [${secret}`,
      `${secret}: {`,
      `- ${secret}`,
      secret,
      '\u0000',
      bomb,
      `lattice: a\nlattice: b`,
      `x: ${'y'.repeat(1024 * 1024)}`,
    ]) {
      const { problems } = load(text);
      expect(problems.length, text.slice(0, 30)).toBeGreaterThan(0);
      expect(codes(problems).every((code) => code === 'START-14')).toBe(true);
      expect(JSON.stringify(problems)).not.toContain('BBBBBBBB');
    }
    expect(codes(loadConfig({ file: join(dir, 'absent.yaml') }).problems)).toEqual(['START-14']);
    expect(codes(loadConfig({ file: dir }).problems)).toEqual(['START-14']);
  });

  it('START-14 refuses a seed in the file', () => {
    const { problems } = load(`trust:\n  clusterSeed: ${SigningKey.generate('cluster').exportSeed().reveal()}\n`);
    expect(problems).toMatchObject([{ code: 'START-14', setting: 'trust.clusterSeed' }]);
    expect(problems[0]).not.toHaveProperty('value');
  });

  it('cannot reach the prototype of anything', () => {
    load('__proto__: {polluted: 1}\nrpc: {__proto__: {polluted: 1}}\nconstructor: {prototype: {polluted: 1}}');
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('of the repository is without problems', () => {
    // Its comment says how to make the seed that development.yaml names.
    const seed = write('development.seed', SigningKey.generate('cluster').exportSeed().reveal());
    for (const name of ['host.yaml', 'development.yaml']) {
      const env = name === 'development.yaml' ? { TRELLIS_TRUST_CLUSTER_SEED_FILE: seed } : {};
      const loaded = loadConfig({ file: fileURLToPath(new URL(`../../config/${name}`, import.meta.url)), env });
      expect(codes(check(loaded, { uid: 1000 }))).toEqual([]);
    }
  });
});

describe('files that settings name', () => {
  const operator = (name: string) => {
    const folder = join(dir, name);
    mkdirSync(folder, { recursive: true });
    return new TestOperator(folder);
  };
  const cluster = SigningKey.generate('cluster');
  const seed = `${cluster.exportSeed().reveal()}\n`;

  it('START-05 refuses seeds and creds that others can read, or that another user owns', () => {
    const loaded = load(`dev: true\ntrust:\n  clusterSeedFile: ${write('cluster.seed', seed, 0o644)}\n`);
    const [problem, ...more] = check(loaded);
    expect(more).toEqual([]);
    expect(problem).toMatchObject({
      code: 'START-05',
      setting: 'trust.clusterSeedFile',
      value: expect.stringContaining('(mode 0644, expected 0600)') as string,
      fix: `chmod 600 ${join(dir, 'cluster.seed')}`,
    });
    chmodSync(join(dir, 'cluster.seed'), 0o600);
    expect(check(loaded)).toEqual([]);
    // The file belongs to us; seen from another user's process it belongs to somebody else, unless that is root.
    const stranger = codes(check(loaded, { uid: 54_321 }));
    expect(stranger).toEqual(process.geteuid?.() === 0 ? [] : ['START-05']);
  });

  it('START-06 refuses seeds of the wrong kind, malformed, swapped or absent, and never shows them', () => {
    const user = SigningKey.generate('user').exportSeed().reveal();
    const wrong = [
      user,
      seed.slice(0, 30),
      seed.trim().replace(/(?<=^.{20})./, (c) => (c === 'A' ? 'B' : 'A')),
      cluster.publicKey,
      '',
    ];
    for (const text of wrong) {
      const found = check(load(`dev: true\ntrust:\n  clusterSeedFile: ${write('wrong.seed', text)}\n`));
      expect(codes(found)).toEqual(['START-06']);
      if (text !== '') expect(JSON.stringify(found)).not.toContain(text.slice(0, 25));
    }
    const absent = check(load(`dev: true\nhostSeedFile: ./absent.seed\n`));
    expect(absent).toMatchObject([{ code: 'START-06', setting: 'hostSeedFile' }]);
  });

  it('START-06 refuses creds that are expired, malformed or of two users; good ones pass', () => {
    const account = operator('op').addAccount('rpc');
    const [good, other] = [account.addUser('good'), account.addUser('other')];
    const creds = (jwt: string, key: string): string =>
      `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${key}\n------END USER NKEY SEED------\n`;
    const ask = (text: string, nowMs?: number) =>
      check(load(`dev: true\nrpc:\n  credsFile: ${write('rpc.creds', text)}\n`), nowMs === undefined ? {} : { nowMs });
    expect(ask(creds(good.jwt, good.seed))).toEqual([]);
    const bad = [creds(good.jwt, other.seed), creds('x.y.z', good.seed), good.jwt, good.seed, creds(good.jwt, seed.trim())];
    for (const text of bad) {
      const found = ask(text);
      expect(codes(found)).toEqual(['START-06']);
      expect(JSON.stringify(found)).not.toContain(good.seed.slice(5, 40));
      expect(JSON.stringify(found)).not.toContain(good.jwt.slice(0, 60));
    }
  });

  it('START-01 refuses a login by password in a creds file, and a JWT that asks for no proof', () => {
    for (const text of [
      'user: ada\npassword: hunter22\n',
      '{"url":"nats://x","token":"hunter22"}',
      'nats://ada:hunter22@127.0.0.1:4222\n',
    ]) {
      const found = check(load(`dev: true\nrpc:\n  credsFile: ${write('plain.creds', text)}\n`));
      expect(found).toMatchObject([
        { code: 'START-06', summary: expect.stringContaining('user and password, or by token') as string },
      ]);
      expect(JSON.stringify(found)).not.toContain('hunter22');
    }
    const user = operator('op3').addAccount('rpc').addUser('bearer');
    const claims = JSON.parse(Buffer.from(user.jwt.split('.')[1]!, 'base64url').toString()) as { nats: Record<string, unknown> };
    claims.nats['bearer_token'] = true;
    const jwt = ['e30', Buffer.from(JSON.stringify(claims)).toString('base64url'), 'sig'].join('.');
    const files = `jwtFile: ${write('bearer.jwt', jwt)}, seedFile: ${write('bearer.nk', user.seed)}`;
    const found = check(load(`dev: true\nrpc: {${files}}\n`));
    expect(found).toMatchObject([{ code: 'START-01', summary: expect.stringContaining('bearer') as string }]);
  });

  it('START-20 refuses a component file that others may replace, unless it has a digest', () => {
    const folder = join(dir, 'components');
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'a.wasm');
    writeFileSync(file, 'x', { mode: 0o644 });
    const ask = (more = '', facts = {}) =>
      codes(check(load(`components: [{id: a, file: ${file}${more}}]\n`), { uid: process.geteuid?.() ?? 0, ...facts })).filter(
        (code) => code !== 'START-18',
      );
    expect(ask()).toEqual([]);
    chmodSync(file, 0o666);
    expect(ask()).toEqual(['START-20']);
    expect(ask(`, digest: "sha256:${'0'.repeat(64)}"`)).toEqual([]);
    chmodSync(file, 0o644);
    chmodSync(folder, 0o777);
    expect(ask()).toEqual(['START-20']);
    // As in /tmp: others may write there, and only the owner may replace what is there.
    chmodSync(folder, 0o1777);
    expect(ask()).toEqual([]);
    chmodSync(folder, 0o755);
    const link = join(dir, 'link.wasm');
    rmSync(link, { force: true });
    chmodSync(file, 0o666);
    symlinkSync(file, link);
    expect(codes(check(load(`components: [{id: a, file: ${link}}]\n`), { uid: 0 }))).toEqual(['START-20', 'START-18']);
    chmodSync(file, 0o644);
    if (process.geteuid?.() === 0) return;
    expect(ask('', { uid: 54_321 })).toEqual(['START-20']);
  });

  it('START-04 refuses one identity for both connections outside development, by path, link or copy', () => {
    const user = operator('op2').addAccount('both').addUser('u');
    const link = join(dir, 'link.creds');
    symlinkSync(user.credsFile, link);
    chmodSync(user.credsFile, 0o600);
    const copy = write('copy.creds', `# the same user\n${readFileSync(user.credsFile, 'utf8')}`);
    for (const second of [user.credsFile, link, copy]) {
      const yaml = (dev: boolean): string => `dev: ${dev}\nctl: {credsFile: ${user.credsFile}}\nrpc: {credsFile: ${second}}\n`;
      expect(codes(check(load(yaml(false)))).filter((code) => code !== 'START-18')).toEqual(['START-04']);
      expect(codes(check(load(yaml(true))))).toEqual([]);
    }
  });

  it('START-12 refuses certificates that are absent, expired, not yet valid or no certificates', () => {
    const ca = createCertificateAuthority();
    const ask = (text: string, nowMs?: number) =>
      codes(
        check(
          load(`dev: true\nrpc:\n  tls:\n    caFile: ${write('ca.pem', text, 0o644)}\n`),
          nowMs === undefined ? {} : { nowMs },
        ),
      );
    expect(ask(ca.certPem)).toEqual([]);
    const expired = ca.issue('old', { notAfter: new Date(Date.now() - 1_000) }).certPem;
    // A bundle may hold old authorities beside those in use.
    expect(ask(`${expired}\n${ca.certPem}`)).toEqual([]);
    expect(ask(expired)).toEqual(['START-12']);
    expect(ask(ca.certPem, Date.parse('1999-01-01'))).toEqual(['START-12']);
    expect(ask('no certificate')).toEqual(['START-12']);
    expect(ask('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----')).toEqual(['START-12']);
  });
});
