import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionEvent } from '../../src/nats/connection-events.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { openCredentials } from '../../src/nats/credentials.ts';
import { Login } from '../../src/nats/login.ts';
import { createLogger, silentLogger } from '../../src/telemetry/log.ts';
import type { UserPermissions } from '../support/accounts.ts';
import { type JwtTestServer, startJwtServer } from '../support/nats-server.ts';
import { until } from '../support/until.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const code = (name: string) => expect.objectContaining({ code: name });

let jwt: JwtTestServer;
beforeAll(async () => {
  jwt = await startJwtServer();
});
afterAll(async () => {
  await jwt[Symbol.asyncDispose]();
});

const open = (more: Partial<Parameters<typeof connectPartition>[0]>): Promise<LatticeConnection> =>
  connectPartition({ partition: 'rpc', lattice: 'default', servers: [jwt.url], name: 'test', log: silentLogger(), ...more });

/** What a production rpc user may do: its own inboxes only. */
const leastFor = (key: string): UserPermissions => ({
  publish: ['default.*.wrpc.>', '_INBOX_RPC.default.>'],
  subscribe: ['default.*.wrpc.>', `_INBOX_RPC.default.${key}.>`],
});

/** Replaces a file as an operator should: written beside it, then renamed. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

describe('a login', () => {
  it('works with a credentials file, with JWT and seed apart, and with CR LF line ends', async () => {
    const user = jwt.rpc.addUser('plain');
    const crlf = join(jwt.server.dir, 'crlf.creds');
    writeFileSync(crlf, readFileSync(user.credsFile, 'utf8').replaceAll('\n', '\r\n'), { mode: 0o600 });
    for (const files of [
      { credsFile: user.credsFile },
      { jwtFile: user.jwtFile, seedFile: user.seedFile },
      { credsFile: crlf },
    ]) {
      await using connection = await open(files);
      await connection.flush();
      expect(connection.inboxPrefix).toMatch(new RegExp(`^_INBOX_RPC\\.default\\.${user.publicKey}\\.[A-Za-z0-9_-]{22}$`));
    }
  });

  it('that the server refuses is an error at once', async () => {
    const expired = jwt.rpc.addUser('expired', { expiresInMs: -60_000 });
    await expect(open({ credsFile: expired.credsFile })).rejects.toEqual(code('TRELLIS_NATS_AUTH_REFUSED'));
    await expect(open({})).rejects.toEqual(code('TRELLIS_NATS_AUTH_REFUSED'));
  });

  it('is refused before dialling when the files cannot be right', async () => {
    const [user, other] = [jwt.rpc.addUser('a'), jwt.rpc.addUser('b')];
    const dir = jwt.server.dir;
    const file = (name: string, text: string): string => {
      writeFileSync(join(dir, name), text, { mode: 0o600 });
      return join(dir, name);
    };
    // Not the last character: two of its bits belong to no byte, and a change of those alone is no damage.
    const damaged = user.seed.slice(0, 30) + (user.seed[30] === 'A' ? 'B' : 'A') + user.seed.slice(31);
    for (const files of [
      { credsFile: join(dir, 'missing.creds') },
      { credsFile: file('empty.creds', '') },
      { credsFile: file('jwt-only.creds', user.jwt) },
      { credsFile: file('huge.creds', 'x'.repeat(100_000)) },
      { credsFile: user.credsFile, seedFile: user.seedFile },
      { jwtFile: user.jwtFile },
      { jwtFile: user.jwtFile, seedFile: other.seedFile },
      { jwtFile: user.jwtFile, seedFile: file('damaged.nk', damaged) },
      { jwtFile: file('no.jwt', 'eyJhIjoxfQ.eyJhIjoxfQ.AAAA'), seedFile: user.seedFile },
    ]) {
      const error = await open(files).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error, JSON.stringify(files)).toEqual(code('TRELLIS_NATS_CREDENTIALS_INVALID'));
      expect(JSON.stringify(error)).not.toContain(user.seed.slice(0, 20));
    }
  });

  it('warns of files that others can read, and never logs a seed', async () => {
    const user = jwt.rpc.addUser('open');
    chmodSync(user.credsFile, 0o644);
    const lines: string[] = [];
    const log = createLogger({ format: 'json', level: 'trace', destination: { write: (line) => lines.push(line) } });
    await using connection = await open({ credsFile: user.credsFile, log });
    log.info(`a slip: ${user.seed}`);
    await connection.flush();
    log.flush();
    expect(lines.join('')).toContain('chmod 600');
    expect(lines.join('')).not.toContain(user.seed);
  });
});

describe('credentials while the connection lives', () => {
  it('F5 CRD-01 expire without ending it: the login is retried, and works with the next file', async () => {
    const account = jwt.rpc;
    const nowMs = Date.now();
    const shortLived = account.addUser('short', { expiresInMs: 5_000 });
    await using connection = await open({ credsFile: shortLived.credsFile });
    const events: ConnectionEvent[] = [];
    connection.onStatus((event) => events.push(event));
    expect(connection.credentialsExpireMs).toBeGreaterThan(nowMs);
    let seen = 0;
    connection.subscribe('a', {}, () => seen++);
    await connection.flush();
    await until(() => connection.state === 'disconnected');
    // Long enough for the two refused logins in a row after which the client alone would give up.
    await until(
      () => events.filter((event) => event.type === 'error' && event.error.code === 'TRELLIS_NATS_AUTH_REFUSED').length >= 4,
    );
    expect(connection.state).toBe('disconnected');
    replace(shortLived.credsFile, readFileSync(account.addUser('next').credsFile, 'utf8'));
    await until(() => connection.state === 'connected');
    connection.publish('a', bytes(''));
    await connection.flush();
    await until(() => seen === 1);
    expect(events.some((event) => event.type === 'closed')).toBe(false);
  });

  it('CRD-03 are revoked: the connection is dropped, says so, and stays alive', async () => {
    await using own = await startJwtServer();
    const user = own.rpc.addUser('revoked');
    await using connection = await open({ servers: [own.url], credsFile: user.credsFile });
    const events: ConnectionEvent[] = [];
    connection.onStatus((event) => events.push(event));
    own.rpc.revoke(user);
    await own.reload();
    await until(() => events.some((event) => event.type === 'error' && event.error.code === 'TRELLIS_NATS_AUTH_REFUSED'));
    // The server may say why before it closes the connection.
    await until(() => connection.state === 'disconnected');
    expect(events.some((event) => event.type === 'closed')).toBe(false);
  });

  it('CRD-04 CRD-05 keep the last good pair when the file is half written, foreign, stale or exposed', async () => {
    const user = jwt.rpc.addUser('kept');
    const same = jwt.rpc.addUser('same-account');
    const credentials = openCredentials({ credsFile: user.credsFile }, () => {})!;
    const good = readFileSync(user.credsFile, 'utf8');
    const refused: [string, RegExp][] = [
      [good.slice(0, good.length / 2), /holds no user seed/],
      ['', /holds no user seed/],
      [good.replace(user.seed, same.seed), /another user than the seed/],
      [readFileSync(jwt.ctl.addUser('foreign').credsFile, 'utf8'), /another account/],
      [readFileSync(jwt.rpc.addUser('old', { expiresInMs: -5_000 }).credsFile, 'utf8'), /expired at 20/],
      [readFileSync(jwt.rpc.addUser('early', { notBeforeInMs: 60_000 }).credsFile, 'utf8'), /not valid before 20/],
    ];
    for (const [text, why] of refused) {
      replace(user.credsFile, text);
      const verdict = await credentials.check(Date.now());
      expect(verdict).toEqual({ ok: false, alarm: 'TRELLIS_ALARM_CREDENTIALS_KEPT', detail: expect.stringMatching(why) });
      expect(JSON.stringify(verdict)).not.toContain(same.seed);
      expect(credentials.current.userKey).toBe(user.publicKey);
      const login = new Login(credentials.current).answer('nonce');
      expect(login).toMatchObject({ jwt: user.jwt, nkey: user.publicKey });
      expect(Buffer.from(login.sig, 'base64url').length).toBe(64);
    }
    replace(user.credsFile, readFileSync(same.credsFile, 'utf8'));
    chmodSync(user.credsFile, 0o644);
    expect(await credentials.check(Date.now())).toMatchObject({ ok: false, alarm: 'TRELLIS_ALARM_CREDENTIALS_EXPOSED' });
    chmodSync(user.credsFile, 0o600);
    expect(await credentials.check(Date.now())).toEqual({ ok: true });
    expect(credentials.current).toMatchObject({ jwt: same.jwt, userKey: same.publicKey, account: jwt.rpc.publicKey });
  });
});

describe('permissions', () => {
  it('of one own inbox tree are enough for a member of the lattice', async () => {
    const limited = jwt.rpc.addUser('limited', leastFor('UNUSED'));
    await using connection = await open({ credsFile: limited.credsFile, inboxPrefix: '_INBOX_RPC.default.UNUSED' });
    const errors: ConnectionEvent[] = [];
    connection.onStatus((event) => errors.push(event));
    connection.subscribe(`${connection.inboxPrefix}.w.>`, {}, () => {});
    connection.subscribe('default.comp-a.wrpc.0.0.1.run', { queue: 'default.comp-a' }, () => {});
    await connection.flush();
    await expect(connection.request('default.nobody.wrpc.0.0.1.run', bytes(''), { timeoutMs: 20_000 })).rejects.toEqual(
      code('TRELLIS_NATS_NO_RESPONDERS'),
    );
    expect(errors).toEqual([]);
  });

  it('NAT-18 that are missing are named in the status, and end nothing', async () => {
    const limited = jwt.rpc.addUser('limited', leastFor('UNUSED'));
    await using connection = await open({ credsFile: limited.credsFile, inboxPrefix: '_INBOX_RPC.default.UNUSED' });
    const refusals: string[] = [];
    connection.onStatus((event) => {
      if (event.type === 'error') refusals.push(`${event.error.code} ${JSON.stringify(event.error.details)}`);
    });
    connection.subscribe('wasmbus.ctl.v1.default.>', {}, () => {});
    connection.publish('wasmbus.ctl.v1.default.host.stop.H', bytes(''));
    await connection.flush();
    await expect(connection.request('wasmbus.ctl.v1.default.host.ping', bytes(''), { timeoutMs: 20_000 })).rejects.toEqual(
      code('TRELLIS_NATS_PERMISSION'),
    );
    await until(() => refusals.length >= 3);
    expect(refusals).toContain('TRELLIS_NATS_PERMISSION {"operation":"subscription","subject":"wasmbus.ctl.v1.default.>"}');
    expect(refusals).toContain('TRELLIS_NATS_PERMISSION {"operation":"publish","subject":"wasmbus.ctl.v1.default.host.stop.H"}');
    expect(connection.state).toBe('connected');
  });

  it('RSP-05 F6 keep other users of the account out of the inboxes', async () => {
    const victim = jwt.rpc.addUser('victim', leastFor('VICTIM'));
    const spy = jwt.rpc.addUser('spy', leastFor('SPY'));
    await using a = await open({ credsFile: victim.credsFile, inboxPrefix: '_INBOX_RPC.default.VICTIM' });
    await using b = await open({ credsFile: spy.credsFile, inboxPrefix: '_INBOX_RPC.default.SPY' });
    let seen = 0;
    const refused: string[] = [];
    b.onStatus((event) => {
      if (event.type === 'error') refused.push(String(event.error.details['subject']));
    });
    const attempts = ['_INBOX.>', '_INBOX_RPC.>', '_INBOX_RPC.default.>', '_INBOX_RPC.default.VICTIM.>', '>', '*.>'];
    for (const subject of attempts) b.subscribe(subject, {}, () => seen++);
    await b.flush();
    a.subscribe(`${a.inboxPrefix}.w.>`, {}, () => {});
    await a.flush();
    for (let i = 0; i < 10; i++) a.publish(`${a.inboxPrefix}.w.${i}`, bytes('secret'));
    await a.flush();
    await b.flush();
    expect(seen).toBe(0);
    expect([...refused].sort()).toEqual([...attempts].sort());
  });
});
