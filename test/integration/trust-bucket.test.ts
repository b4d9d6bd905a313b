import { jetstreamManager } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { latticeName } from '../../src/ids.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { TrustBucket } from '../../src/nats/trust-bucket.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { until } from '../support/until.ts';

let server: TestServer;
let lattices = 0;
beforeAll(async () => {
  server = await startServer({ jetstream: true });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const open = (url = server.url): Promise<LatticeConnection> =>
  connectPartition({ partition: 'ctl', lattice: 'default', servers: [url], name: 'test', log: silentLogger() });

async function openBucket(connection: LatticeConnection, lattice: string): Promise<TrustBucket> {
  const bucket = await TrustBucket.open(connection, latticeName(lattice));
  expect(bucket).toBeDefined();
  return bucket!;
}

/** Everything a listener hears, as words. */
function listener() {
  const heard: string[] = [];
  return {
    heard,
    entry: (key: string, text: string | undefined) => void heard.push(text === undefined ? `gone ${key}` : `${key}=${text}`),
    current: () => void heard.push('current'),
    rolledBack: (reason: string) => void heard.push(`rolled back: ${reason}`),
    failed: () => void heard.push('failed'),
  };
}

describe('the trust bucket', () => {
  it('hands over what is there, oldest first, then what is written', async () => {
    await using a = await open();
    await using b = await open();
    const lattice = `lattice${++lattices}`;
    const [writer, reader] = [await openBucket(a, lattice), await openBucket(b, lattice)];
    expect(await writer.create('issuers.1', 'one')).toBe(true);
    expect(await writer.create('issuers.1', 'another')).toBe(false);
    await writer.put('delegation.NA', 'not followed');
    await writer.create('issuers.2', 'two');
    const { heard, ...hear } = listener();
    const watch = await reader.follow(hear, 60_000);
    expect(heard).toEqual(['issuers.1=one', 'issuers.2=two', 'current']);
    await writer.put('revoked.NB', 'away');
    await writer.delete('revoked.NB');
    await until(() => heard.length >= 5);
    expect(heard.slice(3)).toEqual(['revoked.NB=away', 'gone revoked.NB']);
    watch.end();
    expect((await writer.list('delegation')).map(({ key, text }) => [key, text])).toEqual([['delegation.NA', 'not followed']]);
  });

  it('NAT-13 finds by itself what it was never told of', async () => {
    await using a = await open();
    await using b = await open();
    const lattice = `lattice${++lattices}`;
    const [writer, reader] = [await openBucket(a, lattice), await openBucket(b, lattice)];
    const { heard, ...hear } = listener();
    let deaf = true;
    let passed = 0;
    const entry = (key: string, text: string | undefined): undefined => (deaf ? void passed++ : hear.entry(key, text));
    const watch = await reader.follow({ ...hear, entry }, 600_000);
    await writer.create('issuers.1', 'one');
    await until(() => passed === 1);
    deaf = false;
    // The message that passed by is lost on it; the store still has it.
    await watch.check();
    expect(heard).toEqual(['current', 'issuers.1=one', 'current']);
    watch.end();
  });

  it('NAT-12 NAT-14 says that it was deleted or put back, makes it again, and reads it from its beginning', async () => {
    await using a = await open();
    await using b = await open();
    const lattice = `lattice${++lattices}`;
    const [writer, reader] = [await openBucket(a, lattice), await openBucket(b, lattice)];
    await writer.create('issuers.1', 'one');
    await writer.create('issuers.2', 'two');
    const { heard, ...hear } = listener();
    const watch = await reader.follow(hear, 100);
    const streams = (await a.withClient((client) => jetstreamManager(client))).streams;
    await streams.delete(`KV_LATTICETRUST_${lattice}`);
    await until(() => heard.some((line) => line.startsWith('rolled back')));
    const before = heard.length;
    expect(await writer.create('issuers.1', 'one')).toBe(true);
    await until(() => heard.slice(before).includes('issuers.1=one'));
    await until(() => heard.slice(before).includes('current'));
    watch.end();
  });

  it('takes part again after the server was away', async () => {
    await using own = await startServer({ jetstream: true });
    await using a = await open(own.url);
    const bucket = await openBucket(a, 'default');
    await bucket.create('issuers.1', 'one');
    const { heard, ...hear } = listener();
    const watch = await bucket.follow(hear, 200);
    await own.kill();
    await until(() => heard.includes('failed'));
    await own.restart();
    const before = heard.length;
    await until(() => heard.slice(before).includes('current'));
    expect(heard.some((line) => line.startsWith('rolled back'))).toBe(false);
    watch.end();
  });

  it('is not there without JetStream', async () => {
    await using plain = await startServer();
    await using a = await open(plain.url);
    expect(await TrustBucket.open(a, latticeName('default'))).toBeUndefined();
  });
});
