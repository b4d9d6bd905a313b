import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { HostConfig, HostConfigInput } from '../../src/config/schema.ts';
import { startHost, type Host } from '../../src/host.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import type { NatsUser, UserPermissions } from '../support/accounts.ts';
import { leastRights } from '../support/least-rights.ts';
import { type JwtTestServer, startJwtServer, startServer, startTlsServer, type TestServer } from '../support/nats-server.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { runProgram } from '../support/program.ts';
import { serverAllowances, tellsTime } from '../support/server-facts.ts';
import { acrossReconnect, callTiny, memberConfig, seedFile, startTrustCaller, TINY, until } from '../support/trust-lattice.ts';

const rights = leastRights('default');
let jwt: JwtTestServer;
let plain: TestServer;
let dir: string;
let cluster: string;
beforeAll(async () => {
  [jwt, plain] = await Promise.all([startJwtServer(), startServer({ jetstream: true })]);
  dir = mkdtempSync(join(tmpdir(), 'trellis-gate-'));
  cluster = seedFile(dir, 'cluster', SigningKey.generate('cluster'));
});
afterAll(async () => {
  await Promise.all([jwt[Symbol.asyncDispose](), plain[Symbol.asyncDispose]()]);
  rmSync(dir, { recursive: true, force: true });
});

const user = (allowed: UserPermissions, account = jwt.ctl): NatsUser => account.addUser('host', allowed);
/** A member's configuration, in production, with a state folder of its own. */
function production(more: HostConfigInput, allowed = serverAllowances(plain.version)): HostConfig {
  return memberConfig('nats://127.0.0.1:1', {
    dev: false,
    stateDir: mkdtempSync(join(dir, 'state-')),
    trust: { clusterSeedFile: cluster, unlinkedOrigins: ['caller'] },
    ...more,
    allow: [...(more.allow ?? []), ...allowed],
  });
}
const logins = (ctl: NatsUser, rpc: NatsUser): HostConfigInput => ({
  ctl: { servers: [jwt.url], credsFile: ctl.credsFile },
  rpc: { servers: [jwt.url], credsFile: rpc.credsFile },
});

interface Started extends AsyncDisposable {
  readonly host: Host;
  readonly logged: Record<string, unknown>[];
}
async function start(config: HostConfig, clock = systemClock): Promise<Started> {
  const { log, logged } = recordedLog();
  const host = await startHost({ config, log, clock, metrics: createMetrics({ eventLoop: false }) });
  return { host, logged, [Symbol.asyncDispose]: () => host.stop() };
}
/** The error of a start that must fail, and what was logged. */
async function refusal(
  config: HostConfig,
  clock = systemClock,
): Promise<{ code: string; message: string; exitCode: number; details: { codes: string[] } }> {
  return await start(config, clock).then(
    async (started) => {
      await started[Symbol.asyncDispose]();
      throw new Error('was started');
    },
    (error: { code: string; message: string; exitCode: number; details: { codes: string[] } }) => error,
  );
}
const said = (logged: readonly Record<string, unknown>[], code: string): Record<string, unknown>[] =>
  logged.filter((line) => line['code'] === code);
/** A call by a member with logins of its own. */
async function call(more: HostConfigInput): Promise<number> {
  await using caller = await startTrustCaller(production(more));
  return (await callTiny(caller)).length;
}

describe('a host in production', () => {
  it('START-07 serves where its two users have least rights, on one server', async () => {
    await using started = await start(production({ ...logins(user(rights.ctl), user(rights.rpc)), components: [TINY] }));
    expect(started.host.status()).toMatchObject({ ready: true, allowed: serverAllowances(plain.version) });
    expect(started.logged.filter(({ level, code }) => level === 'warn' && code === 'START-07')).toEqual([]);
    expect(await call(logins(user(rights.ctl), user(rights.rpc)))).toBeGreaterThan(0);
  });

  it('serves with entirely different servers for the two connections, each with its own TLS and users', async () => {
    await using control = await startTlsServer({ jetstream: true, mutual: true });
    const second = await startJwtServer();
    try {
      const { caFile, clientCertFile: certFile, clientKeyFile: keyFile } = control.certificates;
      const more = (): HostConfigInput => ({
        ctl: { servers: [control.url], tls: { caFile, certFile, keyFile } },
        rpc: { servers: [second.url], credsFile: second.rpc.addUser('host', rights.rpc).credsFile },
        // The certificate says who it is, and this server gives all of them the same rights.
        allow: ['partition'],
      });
      await using started = await start(production({ ...more(), components: [TINY] }));
      expect(started.host.status().ready).toBe(true);
      expect(await call(more())).toBeGreaterThan(0);
      expect(started.host.status().components).toMatchObject([{ id: 'tiny', calls: 1 }]);
    } finally {
      await second[Symbol.asyncDispose]();
    }
  });

  it('START-07 CRD-07 CRD-09 refuses credentials that are swapped, with exit code 78', async () => {
    const [ctl, rpc] = [user(rights.ctl), user(rights.rpc)];
    const error = await refusal(production(logins(rpc, ctl)));
    expect(error).toMatchObject({ code: 'TRELLIS_START_REFUSED', exitCode: 78, details: { codes: ['START-07', 'START-07'] } });
    expect(error.message).toContain('publish commands to hosts');
    const env = {
      TRELLIS_CTL_SERVERS: jwt.url,
      TRELLIS_RPC_SERVERS: jwt.url,
      TRELLIS_CTL_CREDS_FILE: rpc.credsFile,
      TRELLIS_RPC_CREDS_FILE: ctl.credsFile,
      TRELLIS_STATE_DIR: mkdtempSync(join(dir, 'state-')),
      TRELLIS_TRUST_STORE: 'off',
      TRELLIS_ALLOW: 'root',
    };
    const end = await runProgram('daemon', ['--log-format', 'json'], { env });
    expect(end.code).toBe(78);
    const lines = end.stderr
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const refused = said(lines, 'START-07').filter(({ level }) => level === 'error');
    expect(refused.map(({ setting }) => setting)).toEqual(['ctl.credsFile', 'rpc.credsFile']);
  });

  it('START-07 refuses rpc credentials that may write to the ctl half, and starts with --allow partition', async () => {
    const wide = { ...rights.rpc, publish: [...rights.rpc.publish!, 'wasmbus.ctl.>'] };
    const more = logins(user(rights.ctl), user(wide));
    expect(await refusal(production(more))).toMatchObject({ details: { codes: ['START-07'] } });
    await using started = await start(production({ ...more, allow: ['partition'] }));
    expect(started.host.status()).toMatchObject({ ready: true, allowed: ['partition', ...serverAllowances(plain.version)] });
    expect(said(started.logged, 'START-07').map(({ level }) => level)).toEqual(['warn']);
  });

  it('START-07 refuses a server that knows no users', async () => {
    const both = { servers: [plain.url] };
    const error = await refusal(production({ ctl: both, rpc: both }));
    expect(error.details.codes).toEqual(['START-07']);
    expect(error.message).toContain('knows no users');
  });

  it('START-15 refuses a clock that is not the server’s', async () => {
    const more = logins(user(rights.ctl), user(rights.rpc));
    const slow = { ...systemClock, wallMs: () => Date.now() - 8_000 };
    if (!tellsTime(plain.version)) {
      // Not measurable there: no reason to refuse.
      await using started = await start(production(more), slow);
      expect(said(started.logged, 'START-15')).toEqual([]);
      return;
    }
    expect(await refusal(production(more), slow)).toMatchObject({
      details: { codes: ['START-15'] },
      message: expect.stringMatching(/8\.\d s behind/) as string,
    });
    const fast = { ...systemClock, wallMs: () => Date.now() + 8_000 };
    expect((await refusal(production(more), fast)).message).toMatch(/[78]\.\d s ahead/);
    await using started = await start(production({ ...more, allow: ['clock-offset'] }), slow);
    expect(said(started.logged, 'START-15')).toHaveLength(1);
  });

  it('START-16 refuses a server with known critical faults, and starts with --allow vulnerable-server', async () => {
    const old = await versionMask(jwt.server.port, '2.10.1');
    try {
      const servers = [`nats://127.0.0.1:${old.port}`];
      const { ctl, rpc } = logins(user(rights.ctl), user(rights.rpc));
      const more = { ctl: { ...ctl, servers }, rpc: { ...rpc, servers } };
      const error = await refusal(production(more, []));
      expect(error.details.codes).toEqual(['START-16']);
      expect(error.message).toContain('CVE-2025-30215');
      await using started = await start(production({ ...more, allow: ['vulnerable-server'] }, []));
      expect(started.host.status().allowed).toEqual(['vulnerable-server']);
    } finally {
      await old.close();
    }
  });

  it('START-07 stops serving when new credentials, which it took over, may do more than the old', async () => {
    const [ctl, rpc] = [user(rights.ctl), user(rights.rpc)];
    const wide = user({ ...rights.rpc, publish: [...rights.rpc.publish!, 'wasmbus.ctl.>'] });
    await using started = await start(production({ ...logins(ctl, rpc), components: [TINY] }));
    // A renewal that changes nothing is no reason to stop.
    const renew = (from: NatsUser): void => {
      writeFileSync(`${rpc.credsFile}.new`, readFileSync(from.credsFile), { mode: 0o600 });
      renameSync(`${rpc.credsFile}.new`, rpc.credsFile);
    };
    const next = user(rights.rpc);
    renew(next);
    await until(() => started.host.member!.rpc.userKey === next.publicKey);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(started.host.status().ready).toBe(true);
    renew(wide);
    expect(await started.host.closed).toMatchObject({ code: 'TRELLIS_START_REFUSED' });
    expect(started.host.status().state).toBe('stopped');
  });

  it('START-07 judges a host that moved beyond this computer as one in production', async () => {
    // Not loopback by name, and the same server.
    const beyond = plain.url.replace('127.0.0.1', '0.0.0.0');
    const allow = ['plaintext', 'anonymous'];
    const at = (url: string): HostConfig => production({ dev: true, allow, ctl: { servers: [url] }, rpc: { servers: [url] } });
    await using started = await start(at(plain.url));
    expect(started.host.status().ready).toBe(true);
    expect(await started.host.reload(at(beyond))).toMatchObject({ applied: ['ctl.servers', 'rpc.servers'] });
    expect(await started.host.closed).toMatchObject({ code: 'TRELLIS_START_REFUSED' });
  });

  it('START-08 START-10 takes over no servers beyond this computer while what protects it there waits for a restart', async () => {
    const beyond = plain.url.replace('127.0.0.1', '0.0.0.0');
    const connections = (url: string): HostConfigInput => ({ ctl: { servers: [url] }, rpc: { servers: [url] } });
    const local = { ...connections(plain.url), dev: true, allow: ['plaintext', 'anonymous'] };
    for (const [trust, next] of [
      [{ clusterSeedFile: cluster, verify: 'off' }, { clusterSeedFile: cluster }],
      [{}, { clusterSeedFile: cluster }],
    ] as const) {
      await using started = await start(production({ ...local, trust }));
      const outcome = await started.host.reload(production({ ...local, ...connections(beyond), trust: next }));
      expect(outcome).toMatchObject({ errors: [{ code: 'TRELLIS_CONFIG_INVALID' }] });
      expect(started.host.status().ready).toBe(true);
    }
  });

  it('NAT-18 names in its status the rights that it lacks, and serves what it can', async () => {
    const narrow = { ...rights.rpc, subscribe: ['default.other.>', '_INBOX_RPC.default.{user}.>'] };
    await using started = await start(production({ ...logins(user(rights.ctl), user(narrow)), components: [TINY] }));
    const alarm = started.host.status().alarms.find(({ code }) => code === 'TRELLIS_ALARM_NATS_RIGHTS');
    expect(alarm).toMatchObject({ scope: 'rpc', detail: expect.stringContaining('calls of tiny') as string });
    // What it then does itself is refused, and said as well.
    await until(() => started.host.status().alarms.some(({ code }) => code === 'TRELLIS_ALARM_NATS_PERMISSION'));
  });

  it('START-07 stops serving, after what it has begun, when its rights have grown while it was away', async () => {
    const [ctl, rpc] = [SigningKey.generate('user'), SigningKey.generate('user')];
    const list = (subjects: readonly string[]): string => subjects.map((subject) => JSON.stringify(subject)).join(', ');
    const entry = (key: SigningKey, { publish = [], subscribe = [] }: UserPermissions): string => {
      const own = (subjects: readonly string[]): string =>
        list(subjects.map((subject) => subject.replaceAll('{user}', key.publicKey)));
      return `{ nkey: ${key.publicKey}, permissions { publish: [${own(publish)}], subscribe: [${own(subscribe)}] } }`;
    };
    const users = (more: readonly string[]): string =>
      `authorization { users: [ ${entry(ctl, rights.ctl)}, ${entry(rpc, { ...rights.rpc, publish: [...rights.rpc.publish!, ...more] })} ] }\n`;
    await using server = await startServer({ jetstream: true, configText: users([]) });
    const login = (name: string, key: SigningKey) => ({ servers: [server.url], seedFile: seedFile(dir, name, key) });
    await using started = await start(
      production({ ctl: login('grown-ctl', ctl), rpc: login('grown-rpc', rpc), components: [TINY] }),
    );
    expect(started.host.status().ready).toBe(true);
    // A restart that changes nothing changes nothing.
    const { ctl: ctlLine, rpc: rpcLine } = started.host.member!;
    await acrossReconnect([ctlLine, rpcLine], () => server.restart());
    await until(() => started.host.status().ready);
    await server.reload(users(['wasmbus.ctl.>']));
    await server.restart();
    const ended = await started.host.closed;
    expect(ended).toMatchObject({ code: 'TRELLIS_START_REFUSED', exitCode: 78 });
    expect(said(started.logged, 'START-07').map(({ level }) => level)).toEqual(['error']);
    expect(started.host.status().state).toBe('stopped');
  });
});

describe('a host on a development machine', () => {
  it('START-07 START-16 says once that a server without users is no partition, and serves with one login or none', async () => {
    const shared = seedFile(dir, 'shared', SigningKey.generate('user'));
    const both = { servers: [plain.url] };
    for (const more of [both, { ...both, seedFile: shared }]) {
      const config = { ...production({ ctl: more, rpc: more, components: [TINY] }), dev: true };
      await using started = await start(config);
      expect(started.host.status().ready).toBe(true);
      const warned = started.logged.filter(({ level, code }) => level === 'warn' && String(code).startsWith('START-'));
      expect(warned.map(({ code }) => code)).toEqual(['START-07']);
      expect(await call({ dev: true, ctl: more, rpc: more })).toBeGreaterThan(0);
    }
  });
});

/** A server that says in its greetings to be of another version. */
async function versionMask(port: number, version: string): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = dial(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
    upstream.on('data', (data: Buffer) => {
      const text = data.toString('latin1');
      client.write(Buffer.from(text.replace(/^(INFO .*"version":)"[^"]+"/m, `$1"${version}"`), 'latin1'));
    });
    client.pipe(upstream);
    upstream.on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
