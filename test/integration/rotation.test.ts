import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionEvent } from '../../src/nats/connection-events.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { Alarms } from '../../src/telemetry/alarms.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { type JwtTestServer, startJwtServer } from '../support/nats-server.ts';
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

const newUser = (allowed = {}): string => readFileSync(jwt.rpc.addUser('user', allowed).credsFile, 'utf8');

/** Replaces a file as an operator should: written beside it, then renamed. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** Asks `service` over `from`, 64 at a time, until stopped; each answer is for its own question. */
function load(from: LatticeConnection, service: string) {
  const seen = { asked: 0, lost: [] as unknown[], wrong: 0 };
  const stopped = new AbortController();
  const worker = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      const question = String(seen.asked++);
      try {
        const answer = await from.request(service, bytes(question), { timeoutMs: 3_000 });
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
        replace(credsFile, newUser());
        await until(() => moves() === round);
        prefixes.add(connection.inboxPrefix);
      }
    }
    const seen = await running.stop();
    expect(seen.lost).toEqual([]);
    expect(seen.wrong).toBe(0);
    expect(seen.asked).toBeGreaterThan(5_000);
    expect([...answered.values()].filter((times) => times !== 1)).toEqual([]);
    expect(prefixes.size).toBe(20);
    expect(client.events.filter(({ type }) => type !== 'moved')).toEqual([]);
    expect(client.connection.stats.messagesIn).toBeGreaterThanOrEqual(seen.asked);
  }, 30_000);
});
