import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionEvent } from '../../src/nats/connection-events.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { Alarms } from '../../src/telemetry/alarms.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { heldMemory } from '../support/held-memory.ts';
import { type JwtTestServer, startJwtServer, startServer } from '../support/nats-server.ts';
import { replaceFile } from '../support/rotating-files.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { until } from '../support/trust-lattice.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);

let jwt: JwtTestServer;
let files = 0;
beforeAll(async () => {
  jwt = await startJwtServer();
});
afterAll(async () => {
  await jwt[Symbol.asyncDispose]();
});

type Options = Partial<Parameters<typeof connectPartition>[0]>;

/** A connection with a credentials file of its own, and what it reports. */
async function open(text: string, more: Options = {}) {
  const credsFile = join(jwt.server.dir, `rotating-${++files}.creds`);
  writeFileSync(credsFile, text, { mode: 0o600 });
  const alarms = new Alarms(silentLogger());
  const connection = await connectPartition({
    partition: 'rpc',
    lattice: 'default',
    servers: [jwt.url],
    name: 'test',
    log: silentLogger(),
    credsFile,
    alarms,
    filesPollMs: 60_000,
    ...more,
  });
  const events: ConnectionEvent[] = [];
  connection.onStatus((event) => events.push(event));
  const moves = (): number => events.filter(({ type }) => type === 'moved').length;
  const standing = (): string[] => alarms.list().map((alarm) => alarm.code.replace('TRELLIS_ALARM_', ''));
  return { connection, credsFile, events, moves, alarms, standing, [Symbol.asyncDispose]: () => connection.close() };
}

const heapBytes = (): number => heldMemory().heapUsed;

const newUser = (allowed = {}): string => readFileSync(jwt.rpc.addUser('user', allowed).credsFile, 'utf8');

/** Asks `service` over `from`, 64 at a time, until stopped; each answer is for its own question. */
function load(from: LatticeConnection, service: string) {
  const seen = { asked: 0, lost: [] as unknown[], wrong: 0 };
  const stopped = new AbortController();
  const worker = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      const question = String(seen.asked++);
      try {
        const answer = await from.request(service, bytes(question), { timeoutMs: 20_000 });
        if (Buffer.from(answer.payload).toString() !== question) seen.wrong++;
      } catch (error) {
        seen.lost.push(error);
      }
    }
  };
  const workers = Array.from({ length: 64 }, worker);
  return {
    seen,
    async stop() {
      stopped.abort();
      await Promise.all(workers);
      return seen;
    },
  };
}

/** Answers on `service`, each after up to 5 ms, as a call that holds the line it came on. */
function serve(connection: LatticeConnection, service: string): Map<string, number> {
  const answered = new Map<string, number>();
  connection.subscribe(service, { queue: 'service' }, (message) => {
    const { line, reply } = message;
    const payload = Uint8Array.from(message.payload);
    const question = Buffer.from(payload).toString();
    answered.set(question, (answered.get(question) ?? 0) + 1);
    const holder = { onLineEnding: (): void => {} };
    line.hold(holder);
    setTimeout(() => {
      line.publish(reply, payload);
      line.release(holder);
    }, Math.random() * 5);
  });
  return answered;
}

describe('a connection that moves', () => {
  it('loses nothing over twenty moves of both sides, to new users, and answers nothing twice', async () => {
    await using client = await open(newUser());
    await using server = await open(newUser());
    const answered = serve(server.connection, 'service');
    await server.connection.flush();
    const running = load(client.connection, 'service');
    const prefixes = new Set<string>();
    for (let round = 1; round <= 10; round++) {
      for (const { connection, credsFile, moves } of [client, server]) {
        replaceFile(credsFile, newUser());
        await until(() => moves() === round);
        prefixes.add(connection.inboxPrefix);
      }
    }
    await until(() => running.seen.asked > 1_000);
    const seen = await running.stop();
    expect(seen.lost).toEqual([]);
    expect(seen.wrong).toBe(0);
    expect([...answered.values()].filter((times) => times !== 1)).toEqual([]);
    expect(prefixes.size).toBe(20);
    expect(client.events.filter(({ type }) => type !== 'moved')).toEqual([]);
    expect(client.connection.stats.messagesIn).toBeGreaterThanOrEqual(seen.asked);
  });
});

describe('a subscription without a queue group', () => {
  it('gets each message once, while there are two logins and at any other time', async () => {
    await using listening = await open(newUser());
    await using speaking = await open(newUser());
    const heard = new Map<string, number>();
    listening.connection.subscribe('news.*', {}, ({ subject }) => heard.set(subject, (heard.get(subject) ?? 0) + 1));
    await listening.connection.flush();
    let said = 0;
    const timer = setInterval(() => {
      for (let n = 0; n < 10; n++) speaking.connection.publish(`news.${said++}`, bytes('x'));
    }, 1);
    for (let n = 0; n < 10; n++) await listening.connection.rotate('again');
    await until(() => said > 100);
    clearInterval(timer);
    await speaking.connection.flush();
    await until(() => heard.size === said);
    expect([...heard.values()].filter((times) => times !== 1)).toEqual([]);
  });
});

describe('files that are replaced', () => {
  it('CRD-02 are used however they are replaced: written in place, by a link, in two halves, or without an event', async () => {
    const user = jwt.rpc.addUser('halves');
    await using test = await open(readFileSync(user.credsFile, 'utf8'));
    replaceFile(test.credsFile, newUser(), 'in place');
    await until(() => test.moves() === 1);
    replaceFile(test.credsFile, newUser(), 'link');
    await until(() => test.moves() === 2);
    replaceFile(test.credsFile, newUser(), 'link');
    await until(() => test.moves() === 3);

    // JWT and seed apart: between the two writes they do not fit, which is nothing to be alarmed about.
    const [jwtFile, seedFile] = [join(jwt.server.dir, 'half.jwt'), join(jwt.server.dir, 'half.nk')];
    writeFileSync(jwtFile, user.jwt, { mode: 0o600 });
    writeFileSync(seedFile, user.seed, { mode: 0o600 });
    await using halves = await open('', { credsFile: undefined, jwtFile, seedFile });
    const next = jwt.rpc.addUser('next');
    replaceFile(seedFile, next.seed);
    await sleep(300);
    expect(halves.connection.userKey).toBe(user.publicKey);
    replaceFile(jwtFile, next.jwt);
    await until(() => halves.moves() === 1);
    expect([halves.connection.userKey, halves.alarms.list()]).toEqual([next.publicKey, []]);

    // The folder that is watched does not change when the target of a link elsewhere does.
    const elsewhere = join(jwt.server.dir, 'elsewhere');
    mkdirSync(elsewhere);
    const [target, link] = [join(elsewhere, 'target.creds'), join(jwt.server.dir, 'link.creds')];
    writeFileSync(target, newUser(), { mode: 0o600 });
    symlinkSync(target, link);
    await using far = await open('', { credsFile: link, filesPollMs: 200 });
    replaceFile(target, newUser());
    await until(() => far.moves() === 1);
  });

  it('CRD-02 keep the inboxes below the key of the same user, and use those of the next', async () => {
    const user = jwt.rpc.addUser('same', { expiresInMs: 3_600_000 });
    await using test = await open(readFileSync(user.credsFile, 'utf8'));
    const renewed = jwt.rpc.renewUser(user, { expiresInMs: 7_200_000 });
    replaceFile(test.credsFile, readFileSync(renewed.credsFile, 'utf8'));
    await until(() => test.moves() === 1);
    const { connection } = test;
    expect(connection.userKey).toBe(user.publicKey);
    expect(connection.inboxPrefix.startsWith(`_INBOX_RPC.default.${user.publicKey}.`)).toBe(true);
    expect(connection.credentialsExpireMs).toBeGreaterThan(Date.now() + 7_000_000);
    expect(connection.signAsUser(bytes('x'))?.length).toBe(64);
  });

  it('CRD-04 CRD-05 CRD-06 that cannot be used raise an alarm and nothing else, until they are right', async () => {
    await using test = await open(newUser());
    await using peer = await open(newUser());
    serve(test.connection, 'kept');
    await test.connection.flush();
    const running = load(peer.connection, 'kept');
    const good = readFileSync(test.credsFile, 'utf8');
    const { userKey } = test.connection;
    const wrong: [string, string, string][] = [
      ['half written', good.slice(0, good.length / 2), 'CREDENTIALS_KEPT'],
      ['empty', '', 'CREDENTIALS_KEPT'],
      ['of another account', readFileSync(jwt.ctl.addUser('foreign').credsFile, 'utf8'), 'CREDENTIALS_KEPT'],
      ['expired', newUser({ expiresInMs: -5_000 }), 'CREDENTIALS_KEPT'],
      ['not valid yet', newUser({ notBeforeInMs: 60_000 }), 'CREDENTIALS_KEPT'],
    ];
    for (const [what, text, alarm] of wrong) {
      replaceFile(test.credsFile, text);
      await until(() => test.standing().includes(alarm)).catch(() => expect.fail(`no alarm: ${what}`));
      expect(test.alarms.list()[0]).toMatchObject({ scope: 'rpc', detail: expect.stringContaining(test.credsFile) });
      replaceFile(test.credsFile, good);
      await until(() => test.standing().length === 0);
    }
    chmodSync(test.credsFile, 0o644);
    await until(() => test.standing().includes('CREDENTIALS_EXPOSED'));
    chmodSync(test.credsFile, 0o600);
    await until(() => test.standing().length === 0);
    const seen = await running.stop();
    expect([seen.lost, seen.wrong, test.events, test.connection.userKey]).toEqual([[], 0, [], userKey]);
  });

  it('that the server refuses are tried again, and the old ones stay in use', async () => {
    await using own = await startJwtServer();
    const [first, revoked] = [own.rpc.addUser('first'), own.rpc.addUser('revoked')];
    own.rpc.revoke(revoked);
    await own.reload();
    await using test = await open(readFileSync(first.credsFile, 'utf8'), { servers: [own.url] });
    replaceFile(test.credsFile, readFileSync(revoked.credsFile, 'utf8'));
    await until(() => test.standing().includes('ROTATION_FAILED'));
    expect(test.alarms.list()[0]?.detail).toMatch(/cannot move \(new credentials\).*the server refused the login/);
    expect([test.connection.state, test.connection.userKey, test.moves()]).toEqual(['connected', first.publicKey, 0]);
    // Not after the pause between two tries: the file is another one.
    replaceFile(test.credsFile, readFileSync(own.rpc.addUser('good').credsFile, 'utf8'));
    await until(() => test.moves() === 1 && test.standing().length === 0);
    await expect(test.connection.rotate('by hand')).resolves.toBeUndefined();
    expect(test.moves()).toBe(2);
  });

  it('are not moved to when they may do less than the old ones', async () => {
    await using test = await open(newUser());
    let heard = 0;
    test.connection.subscribe('needed', {}, () => heard++);
    await test.connection.flush();
    replaceFile(test.credsFile, newUser({ subscribe: ['_INBOX_RPC.>'] }));
    await until(() => test.standing().includes('ROTATION_FAILED'));
    expect(test.alarms.list().find(({ code }) => code.endsWith('ROTATION_FAILED'))?.detail).toMatch(
      /may not subscribe to needed, the old ones may/,
    );
    replaceFile(test.credsFile, newUser({ subscribe: ['needed'] }));
    await until(() => test.alarms.list().some(({ detail }) => /their own inbox/.test(detail)) || test.moves() > 0);
    test.connection.publish('needed', bytes('x'));
    await test.connection.flush();
    await until(() => heard === 1);
  });
});

describe('credentials that end', () => {
  it('CRD-01 by their date: an alarm, tries for ever, and the next file is taken', async () => {
    await using test = await open(newUser({ expiresInMs: 5_000 }));
    let heard = 0;
    test.connection.subscribe('after', {}, () => heard++);
    await until(() => test.standing().includes('CREDENTIALS_EXPIRED') && test.standing().includes('LOGIN_REFUSED'));
    expect(test.connection.state).toBe('disconnected');
    await until(() => test.standing().includes('NATS_DISCONNECTED'));
    replaceFile(test.credsFile, newUser());
    await until(() => test.connection.state === 'connected');
    await until(() => test.standing().length === 0);
    test.connection.publish('after', bytes('x'));
    await test.connection.flush();
    await until(() => heard === 1);
    expect(test.events.some(({ type }) => type === 'closed')).toBe(false);
  });

  it('CRD-03 by revocation: an alarm within 5 s, and the way back is open, by a new file or by taking it back', async () => {
    await using own = await startJwtServer();
    const user = own.rpc.addUser('revoked');
    await using test = await open(readFileSync(user.credsFile, 'utf8'), { servers: [own.url] });
    own.rpc.revoke(user);
    const start = performance.now();
    await own.reload();
    await until(() => test.standing().includes('LOGIN_REFUSED'));
    const toldMs = performance.now() - start;
    await takesAtMost(5_000, () => toldMs);
    // A newer JWT of the same user: the revocation is of those of that second and before.
    await sleep(2_100);
    replaceFile(test.credsFile, readFileSync(own.rpc.renewUser(user).credsFile, 'utf8'));
    await until(() => test.connection.state === 'connected' && test.standing().length === 0);

    const another = own.rpc.addUser('another');
    replaceFile(test.credsFile, readFileSync(another.credsFile, 'utf8'));
    await until(() => test.connection.userKey === another.publicKey);
    own.rpc.revoke(another);
    await own.reload();
    await until(() => test.standing().includes('LOGIN_REFUSED'));
    own.rpc.reinstate(another);
    await own.reload();
    await until(() => test.connection.state === 'connected' && test.standing().length === 0);
    await test.connection.flush();
  });

  it('are warned of when two thirds of their life are over', async () => {
    let aheadMs = 0;
    const clock = { wallMs: () => Date.now() + aheadMs, monotonicMs: () => performance.now() };
    await using test = await open(newUser({ expiresInMs: 90 * 60_000 }), { clock, filesPollMs: 50 });
    await sleep(200);
    expect(test.standing()).toEqual([]);
    aheadMs = 61 * 60_000;
    await until(() => test.standing().includes('CREDENTIALS_EXPIRE'));
    replaceFile(test.credsFile, newUser({ expiresInMs: 24 * 3_600_000 }));
    await until(() => test.standing().length === 0);
  });
});

describe('a connection whose server goes', () => {
  /** Two servers of one cluster, without accounts. */
  async function cluster() {
    const first = await startServer({ configText: 'server_name: one\ncluster { name: c, listen: "127.0.0.1:-1" }\n' });
    const route = /Listening for route connections on 127\.0\.0\.1:(\d+)/.exec(first.log())?.[1];
    const second = await startServer({
      configText: `server_name: two\ncluster { name: c, listen: "127.0.0.1:-1", routes: ["nats://127.0.0.1:${route}"] }\n`,
    });
    await until(() => /Route connection created/.test(second.log()));
    const end = async (): Promise<void> => {
      for (const each of [first, second]) await each[Symbol.asyncDispose]();
    };
    return { first, second, [Symbol.asyncDispose]: end };
  }

  it('NAT-15 lame duck: moves to another configured server early, and loses nothing', async () => {
    await using both = await cluster();
    const { first, second } = both;
    /** The client takes the servers in any order. */
    const openOnFirst = async (): ReturnType<typeof open> => {
      for (;;) {
        const opened = await open('', { credsFile: undefined, servers: [first.url, second.url] });
        if (opened.connection.server.endsWith(`:${first.port}`)) return opened;
        await opened.connection.close();
      }
    };
    await using asking = await openOnFirst();
    await using serving = await openOnFirst();
    const answered = serve(serving.connection, 'lame');
    await serving.connection.flush();
    const running = load(asking.connection, 'lame');
    await sleep(300);
    first.signal('SIGUSR2');
    const moving = [asking, serving];
    await until(() => moving.every(({ moves }) => moves() === 1));
    for (const { connection } of moving) expect(connection.server).toBe(`127.0.0.1:${second.port}`);
    await sleep(300);
    const seen = await running.stop();
    expect([seen.lost, seen.wrong]).toEqual([[], 0]);
    expect([...answered.values()].filter((times) => times !== 1)).toEqual([]);
    expect(moving.flatMap(({ events }) => events.filter(({ type }) => type === 'disconnected'))).toEqual([]);
  });

  it('takes new credentials that came while it was away, on a line of its own', async () => {
    await using own = await startJwtServer();
    await using test = await open(readFileSync(own.rpc.addUser('before').credsFile, 'utf8'), { servers: [own.url] });
    let heard = 0;
    test.connection.subscribe('again', {}, () => heard++);
    await test.connection.flush();
    await own.server.kill();
    await until(() => test.connection.state === 'disconnected');
    const next = own.rpc.addUser('next');
    replaceFile(test.credsFile, readFileSync(next.credsFile, 'utf8'));
    await until(() => test.standing().includes('ROTATION_FAILED'));
    await own.server.restart();
    await until(() => test.connection.userKey === next.publicKey && test.connection.state === 'connected');
    await until(() => test.standing().length === 0);
    expect(test.connection.inboxPrefix).toContain(next.publicKey);
    test.connection.publish('again', bytes('x'));
    await test.connection.flush();
    await until(() => heard === 1);
  });
});

describe('a move', () => {
  it('is one for all who ask for it before it begins, and none once the connection is closed', async () => {
    const test = await open(newUser());
    await Promise.all(Array.from({ length: 5 }, (_, i) => test.connection.rotate(`${i}`)));
    expect(test.moves()).toBeLessThanOrEqual(2);
    const moving = test.connection.rotate('last');
    await test.connection.close();
    await expect(moving).rejects.toThrow();
    await expect(test.connection.rotate('later')).rejects.toMatchObject({ code: 'TRELLIS_NATS_CLOSED' });
    expect(await test.connection.closed).toBeUndefined();
  });

  it('answers what came in before it on the login that may: a reply right is of one login alone', async () => {
    const replying = { publish: ['nothing'], subscribe: ['ask', '_INBOX_CTL.>'], responses: { max: 1, ttlMs: 60_000 } };
    await using server = await open(newUser(replying));
    await using client = await open(newUser());
    server.connection.subscribe('ask', { queue: 'q' }, ({ line, reply }) => {
      const holder = { onLineEnding: (): void => {} };
      line.hold(holder);
      setTimeout(() => {
        line.publish(reply, bytes('answer'));
        line.release(holder);
      }, 300);
    });
    await server.connection.flush();
    const answers = Array.from({ length: 10 }, () => client.connection.request('ask', bytes('?'), { timeoutMs: 3_000 }));
    await client.connection.flush();
    await server.connection.rotate('while it answers');
    for (const { payload } of await Promise.all(answers)) expect(Buffer.from(payload).toString()).toBe('answer');
    expect(server.standing()).toEqual([]);
  });

  it('waits for what began before, for so long and no longer', async () => {
    await using test = await open(newUser(), { retireTimeoutMs: 1_500 });
    const { line } = test.connection;
    let ending = 0;
    line.hold({ onLineEnding: () => ending++ });
    await test.connection.rotate('by hand');
    expect([ending, test.connection.line === line]).toEqual([0, false]);
    line.publish('still.there', bytes('x'));
    await sleep(200);
    expect(ending).toBe(0);
    await until(() => ending === 1);
    // Nobody releases the line: it is closed all the same, and is then no closed connection but an interrupted one.
    await until(() => {
      try {
        line.publish('still.there', bytes('x'));
        return false;
      } catch (error) {
        expect(error).toMatchObject({ code: 'TRELLIS_NATS_DISCONNECTED' });
        return true;
      }
    });
    await test.connection.flush();
  });

  it('leaves nothing behind, a hundred times', async () => {
    await using test = await open(newUser());
    let heard = 0;
    for (let n = 0; n < 20; n++) test.connection.subscribe(`leak.${n}`, {}, () => heard++);
    const { connection } = test;
    const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
    const round = async (): Promise<void> => {
      await connection.rotate('again');
      await connection.request('nobody', bytes('x'), { timeoutMs: 1_000 }).catch(() => undefined);
    };
    for (let n = 0; n < 10; n++) await round();
    await sleep(50);
    const [before, heapBefore] = [sockets(), heapBytes()];
    for (let n = 0; n < 100; n++) await round();
    await until(() => sockets() === before);
    expect((heapBytes() - heapBefore) / 1e6).toBeLessThan(2);
    connection.publish('leak.7', bytes('x'));
    await connection.flush();
    await until(() => heard > 0);
    expect([heard, test.moves(), connection.stats.reconnects]).toEqual([1, 110, 0]);
  });
});

describe('certificates', () => {
  it('that are replaced are moved to, when they fit together', async () => {
    const dir = jwt.server.dir;
    const ca = createCertificateAuthority();
    const write = (name: string, text: string): string => {
      const file = join(dir, name);
      replaceFile(file, text);
      return file;
    };
    const own = ca.issue('localhost', { dnsNames: ['localhost'] });
    const [first, second] = [ca.issue('first', { dnsNames: ['first'] }), ca.issue('second', { dnsNames: ['second'] })];
    const tls = {
      caFile: write('rotating-ca.pem', ca.certPem),
      certFile: write('rotating.pem', first.certPem),
      keyFile: write('rotating-key.pem', first.keyPem),
    };
    const files = {
      ca: write('server-ca.pem', ca.certPem),
      cert: write('own.pem', own.certPem),
      key: write('own-key.pem', own.keyPem),
    };
    await using server = await startServer({
      configText: `tls { cert_file: "${files.cert}", key_file: "${files.key}", ca_file: "${files.ca}", verify: true }\n`,
    });
    await using test = await open('', { credsFile: undefined, servers: [`tls://localhost:${server.port}`], tls });
    write('rotating.pem', second.certPem);
    await until(() => test.standing().includes('CREDENTIALS_KEPT'));
    expect(test.alarms.list()[0]?.detail).toMatch(/does not fit tls.keyFile/);
    write('rotating-key.pem', second.keyPem);
    await until(() => test.moves() === 1 && test.standing().length === 0);
    write('rotating-ca.pem', `${ca.certPem}${createCertificateAuthority('the next').certPem}`);
    await until(() => test.moves() === 2);
    write('rotating-ca.pem', '-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n');
    await until(() => test.standing().includes('CREDENTIALS_KEPT'));
    // An interruption meanwhile reads no file again.
    await server.restart();
    await until(() => test.connection.stats.reconnects === 1);
    await test.connection.flush();
    expect(test.moves()).toBe(2);
  });
});
