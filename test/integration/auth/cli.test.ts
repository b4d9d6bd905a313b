import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, credsAuthenticator } from 'nats';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AuthStore } from '../../../src/auth/store.ts';
import { findNatsServer } from '../../../src/nats/server.ts';
import { runAuth as auth } from '../../support/auth-command.ts';
import { writeCertificates } from '../../support/certificates.ts';
import { startServer } from '../../support/nats-server.ts';
import { runProgram } from '../../support/program.ts';

const dir = mkdtempSync(join(tmpdir(), 'trellis-test-'));
const store = join(dir, 'store');
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What the results of commands hold, as far as tests read it. */
interface Facts {
  readonly operator: unknown;
  readonly accounts: { name: string; users: { name: string; expiresMs?: number; role: string; state: string }[] }[];
  readonly serverConfig: string;
  readonly creds: string[];
}
async function json(...args: string[]): Promise<Facts> {
  const end = await auth(...args, '--output', 'json');
  expect([end.code, end.stderr]).toEqual([0, '']);
  return JSON.parse(end.stdout) as Facts;
}
/** What a refusal says. */
async function refusal(...args: string[]): Promise<{ code: string; message: string; hint: string; exit: number | undefined }> {
  const end = await auth(...args, '--output', 'json');
  const { error } = JSON.parse(end.stdout) as { error: { code: string; message: string; hint: string } };
  return { ...error, exit: end.code };
}
const seedsIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.nk'))
    .map((name) => readFileSync(join(folder, name), 'utf8'));

const said: string[] = [];
beforeAll(async () => {
  vi.stubEnv('TRELLIS_AUTH_STORE', store);
  for (const args of [
    ['init', '--name', 'example'],
    ['tenant', 'add', 'acme', '--lattice', 'lab'],
    ['host', 'add', 'web-1', '--tenant', 'acme'],
    ['host', 'add', 'till-3', '--tenant', 'acme', '--components', 'till,cash', '--calls', 'stock', '--expires', '12h'],
    ['provider', 'add', 'http', '--tenant', 'acme', '--calls', 'web'],
    ['user', 'add', 'ada', '--kind', 'operator', '--tenant', 'acme', '--expires', 'never'],
    ['component', 'grant', 'safe', '--tenant', 'acme', '--to', 'till-3'],
    ['show'],
  ]) {
    const end = await auth(...args);
    expect([args.join(' '), end.code, end.stderr]).toEqual([args.join(' '), 0, '']);
    said.push(end.stdout);
  }
});

describe('trellis auth', () => {
  it('is a command of the program', async () => {
    const end = await runProgram('cli', ['auth', 'show'], { env: { TRELLIS_AUTH_STORE: store } });
    expect(end).toMatchObject({ code: 0, stderr: '', stdout: said.at(-1)! });
  });

  it('says what it made, what to keep offline, and what comes next', () => {
    const opened = AuthStore.open(store);
    const [init, tenant, host, narrowed, , , grant] = said;
    expect(init).toContain(`Keep offline`);
    expect(init).toContain(opened.keys.path(opened.operator().sub));
    expect(init).toContain('Next: trellis auth tenant add');
    expect(tenant).toContain(opened.keys.path(opened.account('acme-rpc').sub));
    expect(host).toMatch(/host web-1 of tenant acme, lattice lab; its credentials end 20/);
    expect(host).not.toContain('auth push');
    expect(narrowed).toContain('host-rpc@till-3');
    expect(narrowed).toContain('Changed: account acme-rpc. A running server has to be told: trellis auth push');
    expect(grant).toContain('till-3 may serve safe.');
  });

  it('never prints a seed', () => {
    const seeds = seedsIn(join(store, 'keys'));
    expect(seeds.length).toBeGreaterThan(20);
    for (const seed of seeds) expect(said.join('')).not.toContain(seed);
  });

  it('shows operator, accounts, users, roles and when they end', async () => {
    const { operator, accounts } = await json('show');
    expect(operator).toMatchObject({ name: 'example', strictSigningKeys: true, identity: { inStore: true } });
    expect(accounts.map(({ name }) => name)).toEqual(['SYS', 'acme-ctl', 'acme-rpc']);
    const [, ctl, rpc] = accounts;
    expect(ctl).toMatchObject({
      tenant: 'acme',
      lattice: 'lab',
      partitions: ['ctl'],
      jetstream: true,
      extensions: ['make-buckets'],
    });
    expect(rpc).toMatchObject({ tenant: 'acme', lattice: 'lab', partitions: ['rpc'], jetstream: false });
    expect(rpc!.users.map(({ name, role, state }) => [name, role, state])).toEqual([
      ['ada-rpc', 'caller-rpc', 'valid'],
      ['http', 'provider@http', 'valid'],
      ['till-3-rpc', 'host-rpc@till-3', 'valid'],
      ['web-1-rpc', 'host-rpc', 'valid'],
    ]);
    const days = (name: string): number | undefined => {
      const ms = rpc!.users.find((user) => user.name === name)!.expiresMs;
      return ms === undefined ? undefined : Math.round((ms - Date.now()) / 43_200_000) / 2;
    };
    expect([days('web-1-rpc'), days('till-3-rpc'), days('ada-rpc')]).toEqual([30, 0.5, undefined]);
    expect(said.at(-1)).toMatch(/acme-ctl +ctl of acme, lattice lab, JetStream +A/);
    expect(said.at(-1)).toMatch(/ {2}till-3-rpc +host-rpc@till-3 +U\S+ +20\S+Z +valid/);
  });

  it('has help with examples for every verb', async () => {
    const verbs = [
      'init',
      'tenant add',
      'host add',
      'provider add',
      'user add',
      'component grant',
      'show',
      'export',
      'provision',
    ];
    for (const verb of verbs) {
      const help = await auth(...verb.split(' '), '--help');
      expect(help.code).toBe(0);
      expect(help.stdout).toContain(`$ trellis auth ${verb}`);
    }
  });

  it('leaves what exists as it is', async () => {
    const before = readFileSync(join(store, 'example/accounts/acme-rpc/acme-rpc.jwt'), 'utf8');
    expect(await refusal('init')).toMatchObject({
      code: 'TRELLIS_AUTH_EXISTS',
      exit: 2,
      message: expect.stringContaining('"example"'),
    });
    expect(await refusal('tenant', 'add', 'acme', '--lattice', 'lab')).toMatchObject({ code: 'TRELLIS_AUTH_EXISTS' });
    expect(await refusal('host', 'add', 'web-1', '--tenant', 'acme')).toMatchObject({
      code: 'TRELLIS_AUTH_EXISTS',
      hint: expect.stringContaining('trellis auth rotate web-1'),
    });
    expect(readFileSync(join(store, 'example/accounts/acme-rpc/acme-rpc.jwt'), 'utf8')).toBe(before);
  });

  it.each<[string, string[], string]>([
    ['no store', ['show', '--store', join(dir, 'none')], 'TRELLIS_AUTH_STORE'],
    ['an unknown operator', ['show', '--operator', 'nobody'], 'TRELLIS_AUTH_STORE'],
    ['an unknown tenant', ['host', 'add', 'x', '--tenant', 'nobody'], 'TRELLIS_AUTH_UNKNOWN'],
    ['a name with a dot', ['host', 'add', 'a.b', '--tenant', 'acme'], 'TRELLIS_ID_INVALID'],
    ['a lattice that is a wildcard', ['tenant', 'add', 'x', '--lattice', '*'], 'TRELLIS_ID_INVALID'],
    ['a component that is a wildcard', ['host', 'add', 'x', '--tenant', 'acme', '--components', '>'], 'TRELLIS_ID_INVALID'],
    ['an empty component', ['host', 'add', 'x', '--tenant', 'acme', '--components', 'a,'], 'TRELLIS_ID_INVALID'],
    ['a lifetime of nothing', ['host', 'add', 'x', '--tenant', 'acme', '--expires', '0d'], 'TRELLIS_USAGE'],
    ['a lifetime without a unit', ['host', 'add', 'x', '--tenant', 'acme', '--expires', '30'], 'TRELLIS_USAGE'],
    ['an unknown extension', ['tenant', 'add', 'x', '--lattice', 'x', '--with', 'everything'], 'TRELLIS_PERMISSION_VALUE'],
    ['a value that is no pair', ['tenant', 'add', 'x', '--lattice', 'x', '--value', 'domain'], 'TRELLIS_USAGE'],
    ['a value that nothing takes', ['tenant', 'add', 'x', '--lattice', 'x', '--value', 'domian=hub'], 'TRELLIS_PERMISSION_VALUE'],
    ['calls of an issuer', ['user', 'add', 'x', '--kind', 'issuer', '--tenant', 'acme', '--calls', 'a'], 'TRELLIS_USAGE'],
    ['a seed for a public key', ['provider', 'add', 'x', '--tenant', 'acme', '--xkey', 'SXAB'], 'TRELLIS_KEY_INVALID'],
    ['a host without a tenant', ['host', 'add', 'x'], 'TRELLIS_USAGE'],
  ])('refuses %s, and makes nothing', async (_, args, code) => {
    const before = readdirSync(store, { recursive: true }).length;
    expect(await refusal(...args)).toMatchObject({ code });
    expect(readdirSync(store, { recursive: true })).toHaveLength(before);
  });

  it('prints the weakness of the one-account layout', async () => {
    const end = await auth('tenant', 'add', 'single', '--lattice', 'single', '--layout', 'one-account');
    expect(end.stdout).toMatch(/Weakness: One account holds control and calls/);
    expect((await refusal('host', 'add', 'x', '--tenant', 'single', '--leaf')).code).toBe('TRELLIS_USAGE');
  });
});

describe('trellis auth export', () => {
  const program = findNatsServer();
  const check = (file: string): string =>
    execFileSync(program.path, ['-t', '-c', file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const login = async (url: string, creds: string, more: object = {}): Promise<void> => {
    const nc = await connect({ servers: url, authenticator: credsAuthenticator(readFileSync(creds)), reconnect: false, ...more });
    await nc.close();
  };
  /** The exported configuration with an address of the test's own. */
  const configText = (file: string): string => readFileSync(file, 'utf8').replace(/^listen:.*$/m, '');

  it.each(['memory', 'full'])('writes what a server accepts and users log in to, with the resolver %s', async (resolver) => {
    const out = join(dir, `out-${resolver}`);
    const { serverConfig, creds } = await json('export', '--out', out, '--resolver', resolver);
    check(serverConfig);
    await using server = await startServer({ configText: configText(serverConfig) });
    for (const file of creds) {
      expect(statSync(file).mode & 0o777).toBe(0o600);
      await login(server.url, file);
    }
    expect(creds.map((file) => file.slice(out.length))).toContain('/creds/acme-rpc/web-1-rpc.creds');
    // The system account's user stays in the store, and works.
    expect(creds.filter((file) => file.includes('SYS'))).toEqual([]);
    await login(server.url, AuthStore.open(store).credsFile('SYS', 'sys'));
    expect(existsSync(join(out, 'jetstream'))).toBe(true);
  });

  it('writes accounts that a web server gives to a server with the URL resolver', async () => {
    const out = join(dir, 'out-url');
    const web = createServer((request, response) => {
      const file = join(out, 'accounts', request.url!.slice('/accounts/'.length));
      if (request.url === '/accounts/') response.end();
      else if (existsSync(file)) response.end(readFileSync(file));
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}/accounts/`;
    const { serverConfig, creds } = await json('export', '--out', out, '--resolver', 'url', '--url', url);
    check(serverConfig);
    await using server = await startServer({ configText: configText(serverConfig) });
    await login(server.url, creds[0]!);
    web.close();
  });

  it('writes TLS for clients and leaf nodes, a domain, and a name', async () => {
    const files = writeCertificates(dir);
    const tls = ['--tls-cert', files.serverCertFile, '--tls-key', files.serverKeyFile, '--tls-ca', files.caFile];
    const out = join(dir, 'out-tls');
    const more = ['--listen', '0.0.0.0:4222', '--leaf-listen', '0.0.0.0:7422', '--domain', 'hub', '--server-name', 'hub-1'];
    const { serverConfig, creds } = await json('export', '--out', out, '--resolver', 'memory', ...tls, ...more);
    check(serverConfig);
    const text = readFileSync(serverConfig, 'utf8');
    expect(text).toContain('domain: "hub"');
    expect(text).toContain('server_name: "hub-1"');
    const own = configText(serverConfig).replace('0.0.0.0:7422', '127.0.0.1:-1');
    await using server = await startServer({ configText: own });
    const url = `tls://localhost:${server.port}`;
    await login(url, creds[0]!, { tls: { caFile: files.caFile } });
    await expect(login(url, creds[0]!, { tls: {} })).rejects.toThrow();
  });

  it('replaces nothing unless told to, and then all of it', async () => {
    const out = join(dir, 'out-again');
    await json('export', '--out', out);
    writeFileSync(join(out, 'nats-server.conf'), 'mine');
    expect(await refusal('export', '--out', out)).toMatchObject({ code: 'TRELLIS_AUTH_EXISTS' });
    expect(readFileSync(join(out, 'nats-server.conf'), 'utf8')).toBe('mine');
    await json('export', '--out', out, '--force');
    expect(readFileSync(join(out, 'nats-server.conf'), 'utf8')).toContain('resolver_preload');
  });

  it.each<[string, string[]]>([
    ['an address beyond loopback in the clear', ['--listen', '0.0.0.0:4222']],
    ['leaf nodes beyond loopback in the clear', ['--leaf-listen', '10.0.0.1:7422']],
    ['an address without a port', ['--listen', 'localhost']],
    ['a certificate without its key', ['--tls-cert', 'a.pem']],
    ['an authority without a certificate', ['--tls-ca', 'a.pem']],
    ['a URL for another resolver', ['--url', 'https://x.example/']],
    ['the URL resolver without one', ['--resolver', 'url']],
    ['a URL without a slash at its end', ['--resolver', 'url', '--url', 'https://x.example/jwt']],
    ['a path that would end the value', ['--jetstream-dir', '/a"\nlisten: 0.0.0.0:1 "']],
    ['a folder in the store', ['--out', join(store, 'out')]],
  ])('refuses %s', async (_, args) => {
    const out = join(dir, 'out-refused');
    expect(await refusal('export', '--out', out, ...args)).toMatchObject({ code: 'TRELLIS_USAGE' });
    expect(existsSync(out)).toBe(false);
  });

  it('takes an address beyond loopback in the clear when told that something else encrypts', async () => {
    const { serverConfig } = await json(
      'export',
      '--out',
      join(dir, 'out-plain'),
      '--listen',
      '0.0.0.0:4222',
      '--plaintext',
      '--no-creds',
    );
    expect(readFileSync(serverConfig, 'utf8')).toContain('listen: "0.0.0.0:4222"');
    expect(existsSync(join(dir, 'out-plain/creds'))).toBe(false);
  });
});

describe('a host of wasmCloud', () => {
  it('is told how to start, and what its tenant lacks for it', async () => {
    await auth('tenant', 'add', 'mixed', '--lattice', 'mixed');
    const first = await auth('host', 'add', 'old-1', '--tenant', 'mixed', '--wasmcloud');
    const creds = (partition: string): string => join(store, 'creds/example', `mixed-${partition}`, `old-1-${partition}.creds`);
    expect(first.stdout).toContain(`Start it with --lattice mixed --ctl-creds ${creds('ctl')} --rpc-creds ${creds('rpc')}\n`);
    const remedy = /trellis (auth tenant update mixed --with make-buckets,rust-peers)\n/.exec(first.stdout);
    expect((await auth(...remedy![1]!.split(' ').slice(1))).code).toBe(0);
    const second = await auth('host', 'add', 'old-2', '--tenant', 'mixed', '--wasmcloud');
    expect(second.stdout).not.toContain('cannot answer');
  });
});
