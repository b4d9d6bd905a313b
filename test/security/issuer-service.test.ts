import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestDelegation } from '../../src/control/delegate.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { latticeName } from '../../src/ids.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { openDelegation } from '../../src/trust/delegation.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import type { NatsUser } from '../support/accounts.ts';
import { type JwtTestServer, startJwtServer } from '../support/nats-server.ts';
import { Program, runProgram } from '../support/program.ts';
import { callTiny, memberConfig, seedFile, startTrustCaller, startTrustHost, TINY, until } from '../support/trust-lattice.ts';

const LATTICE = latticeName('default');
const issuer = SigningKey.generate('cluster');
let server: JwtTestServer;
let service: Program;
/** Users of the ctl account: one on the allow-list, one not. */
let [listed, unlisted, operator]: NatsUser[] = [];
let rpc: NatsUser;
let seed: string;

beforeAll(async () => {
  server = await startJwtServer();
  [listed, unlisted, operator] = ['listed', 'unlisted', 'operator'].map((name) => server.ctl.addUser(name));
  rpc = server.rpc.addUser('host');
  seed = seedFile(server.server.dir, 'cluster', issuer);
  service = await startService([{ user: listed!.publicKey, origins: ['tiny', 'caller'], targets: ['tiny'], lifetimeMs: 60_000 }]);
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const allowFile = (): string => join(server.server.dir, 'allow.yaml');

/** The configuration of operators: it has ctl credentials and the public key, no seed. */
function opsFile(): string {
  const file = join(server.server.dir, 'ops.yaml');
  const ctl = { servers: [server.url], credsFile: operator!.credsFile };
  const more = { rpc: { servers: [server.url], credsFile: rpc.credsFile }, trust: { clusterIssuers: [issuer.publicKey] } };
  writeFileSync(file, JSON.stringify({ dev: true, lattice: LATTICE, ctl, ...more }));
  return file;
}

/** A lattice beside it, with a service of its own. */
const OTHER = latticeName('other');

async function startOther(allow: readonly object[]): Promise<Program> {
  const [list, config] = [join(server.server.dir, 'other.yaml'), join(server.server.dir, 'other-ops.yaml')];
  writeFileSync(config, JSON.stringify({ ...(JSON.parse(readFileSync(opsFile(), 'utf8')) as object), lattice: OTHER }));
  return await startService(allow, list, config);
}

async function startService(allow: readonly object[], list = allowFile(), config = opsFile()): Promise<Program> {
  writeFileSync(list, JSON.stringify({ allow }));
  const program = new Program('cli', ['issuer', '--seed-file', seed, '--allow', list, '--config', config]);
  await program.logLine((line) => line['msg'] === 'issuer service ready');
  return program;
}

function memberOf(user: NatsUser, name: string, more: HostConfigInput = {}) {
  return memberConfig(server.url, {
    lattice: LATTICE,
    stateDir: join(server.server.dir, name),
    ...more,
    ctl: { servers: [server.url], credsFile: user.credsFile },
    rpc: { servers: [server.url], credsFile: rpc.credsFile },
    trust: { issuerService: true, clusterIssuers: [issuer.publicKey], unlinkedOrigins: ['caller'], refusalGraceMs: 0 },
  });
}

const connect = (user: NatsUser): Promise<LatticeConnection> =>
  connectPartition({
    partition: 'ctl',
    lattice: LATTICE,
    servers: [server.url],
    credsFile: user.credsFile,
    name: 'test',
    log: silentLogger(),
  });

describe('the issuer service', () => {
  it('lets a host serve that holds no seed, and a caller call', async () => {
    await using host = await startTrustHost(memberOf(listed!, 'host', { components: [TINY] }));
    expect(host.host.status().issuer).toBe(issuer.publicKey);
    await using caller = await startTrustCaller(memberOf(listed!, 'caller'));
    expect([...(await callTiny(caller))]).toEqual([3, 1, 2, 3]);
    const signed = await service.logLine((line) => line['host'] === host.host.id);
    expect(signed).toMatchObject({ user: listed!.publicKey, origins: 'tiny', targets: 'tiny', lifetimeMs: 60_000 });
  });

  it('refuses a host whose ctl user is not on the list, and leaves one line about it', async () => {
    const hostKey = SigningKey.generate('server');
    const hostSeedFile = seedFile(server.server.dir, 'unlisted-host', hostKey);
    const start = startTrustHost(memberOf(unlisted!, 'unlisted', { hostSeedFile }));
    await expect(start).rejects.toMatchObject({ code: 'TRELLIS_DELEGATION_REFUSED', exitCode: 4 });
    const line = await service.logLine((each) => each['host'] === hostKey.publicKey);
    expect(line).toMatchObject({ code: 'TRELLIS_DELEGATION_REFUSED', reason: 'not-allowed', user: unlisted!.publicKey });
  });

  it('leaves an audit record of each request, signed or refused', async () => {
    await using ctl = await connect(listed!);
    const records: Record<string, unknown>[] = [];
    ctl.subscribe(`wasmbus.evt.${LATTICE}.audit_control`, {}, ({ payload }) => {
      records.push((JSON.parse(Buffer.from(payload).toString('utf8')) as { data: Record<string, unknown> }).data);
    });
    await ctl.flush();
    const host = SigningKey.generate('server');
    const wish = { ctl, lattice: LATTICE, holder: host, nowMs: Date.now(), timeoutMs: 5_000 };
    await requestDelegation({ ...wish, org: 'tiny', tgt: 'tiny' });
    await expect(requestDelegation({ ...wish, org: 'bank', tgt: 'bank' })).rejects.toMatchObject({
      details: { reason: 'scope' },
    });
    const own = () => records.filter(({ signer }) => signer === host.publicKey);
    await until(() => Promise.resolve(own().length === 2));
    expect(own()).toMatchObject([
      { operation: 'trust.delegate', code: 'ok' },
      { operation: 'trust.delegate', code: 'TRELLIS_DELEGATION_REFUSED', detail: 'scope' },
    ]);
  });

  it('shows the issuers of a lattice to who holds a file of two seeds', async () => {
    const two = join(server.server.dir, 'two.seed');
    const text = [issuer, SigningKey.generate('cluster')].map((key) => key.exportSeed().reveal()).join('\n');
    writeFileSync(two, `${text}\n`, { mode: 0o600 });
    const file = join(server.server.dir, 'two.yaml');
    const ctl = { servers: [server.url], credsFile: operator!.credsFile };
    writeFileSync(file, JSON.stringify({ dev: true, lattice: LATTICE, ctl, trust: { clusterSeedFile: two } }));
    const { code, stdout } = await runProgram('cli', ['keys', 'issuers', '--config', file]);
    expect(code).toBe(0);
    expect(stdout).toContain(issuer.publicKey);
  });

  it('gives no more than the list allows, whoever asks', async () => {
    await using ctl = await connect(listed!);
    const host = SigningKey.generate('server');
    const wish = { ctl, lattice: LATTICE, holder: host, nowMs: Date.now(), timeoutMs: 5_000 };
    const claims = openDelegation(await requestDelegation({ ...wish, org: '*', tgt: '*' }));
    expect(claims).toMatchObject({ sub: host.publicKey, iss: issuer.publicKey, org: 'caller,tiny', tgt: 'tiny' });
    expect(claims!.exp - claims!.iat).toBe(60_000);
    await expect(requestDelegation({ ...wish, org: 'bank', tgt: 'bank' })).rejects.toMatchObject({
      details: { reason: 'scope' },
    });
    await expect(requestDelegation({ ...wish, org: '*', tgt: '*', nowMs: Date.now() - 60_000 })).rejects.toMatchObject({
      details: { reason: 'time' },
    });
    await expect(requestDelegation({ ...wish, org: '*', tgt: '*', nowMs: Date.now() + 60_000 })).rejects.toMatchObject({
      details: { reason: 'time' },
    });
  });

  it('gives an operator the commands that the list names, and nobody else any', async () => {
    const [person, stranger, host] = [SigningKey.generate('user'), SigningKey.generate('user'), SigningKey.generate('server')];
    await using lists = await startOther([
      { operator: person.publicKey, commands: ['component', 'link'], lifetimeMs: 60_000 },
      { user: listed!.publicKey, origins: ['*'], targets: ['*'] },
    ]);
    await using ctl = await connect(listed!);
    const wish = { ctl, lattice: OTHER, org: '', tgt: '', commands: '*', nowMs: Date.now(), timeoutMs: 5_000 };
    const claims = openDelegation(await requestDelegation({ ...wish, holder: person }));
    expect(claims).toMatchObject({
      sub: person.publicKey,
      iss: issuer.publicKey,
      org: '',
      tgt: '',
      ctl: 'component,link',
      lat: OTHER,
    });
    const signed = await lists.logLine((line) => line['operator'] === person.publicKey);
    expect(signed).toMatchObject({ user: listed!.publicKey, commands: 'component,link', lifetimeMs: 60_000 });
    await expect(requestDelegation({ ...wish, holder: stranger })).rejects.toMatchObject({
      code: 'TRELLIS_DELEGATION_REFUSED',
      details: { operator: stranger.publicKey, reason: 'not-allowed' },
    });
    await expect(requestDelegation({ ...wish, holder: host })).rejects.toMatchObject({ details: { reason: 'malformed' } });
    await expect(requestDelegation({ ...wish, holder: person, commands: 'host' })).rejects.toMatchObject({
      details: { reason: 'scope' },
    });
    await expect(requestDelegation({ ...wish, holder: person, org: '*' })).rejects.toMatchObject({
      details: { reason: 'malformed' },
    });
  });

  it('believes nobody who names the listed user without its key', async () => {
    await using ctl = await connect(unlisted!);
    const liar = new Proxy(ctl, {
      get: (target, name) => {
        if (name === 'userKey') return listed!.publicKey;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
      },
    });
    const host = SigningKey.generate('server');
    const wish = { ctl: liar, lattice: LATTICE, holder: host, org: '*', tgt: '*', nowMs: Date.now(), timeoutMs: 5_000 };
    await expect(requestDelegation(wish)).rejects.toMatchObject({ details: { reason: 'malformed' } });
  });

  it('takes a changed list, and refuses a revoked host', async () => {
    await using ctl = await connect(unlisted!);
    const host = SigningKey.generate('server');
    const ask = () =>
      requestDelegation({ ctl, lattice: LATTICE, holder: host, org: '*', tgt: '*', nowMs: Date.now(), timeoutMs: 5_000 });
    await expect(ask()).rejects.toMatchObject({ details: { reason: 'not-allowed' } });
    writeFileSync(
      allowFile(),
      JSON.stringify({
        allow: [
          { user: listed!.publicKey, origins: ['*'], targets: ['*'] },
          { host: host.publicKey, origins: ['*'] },
        ],
      }),
    );
    expect(openDelegation(await ask())).toMatchObject({ org: '*', tgt: '' });
    writeFileSync(allowFile(), 'allow: [{ everybody: yes }]');
    expect(openDelegation(await ask())).toMatchObject({ org: '*', tgt: '' });
    await service.logLine((line) => line['code'] === 'TRELLIS_CLI_FILE');
    const revoke = ['keys', 'revoke', host.publicKey, '--now', '--seed-file', seed, '--config', opsFile()];
    expect((await runProgram('cli', revoke)).code).toBe(0);
    await until(() =>
      ask().then(
        () => false,
        (error: { details: { reason: string } }) => error.details.reason === 'revoked',
      ),
    );
  });

  it('ends when it is told to, and never shows its seed', async () => {
    service.signal('SIGTERM');
    const { code, stdout, stderr } = await service.ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Signed \d+, refused \d+\./);
    expect(stdout + stderr).not.toContain(issuer.exportSeed().reveal().slice(2, 40));
  });
});
