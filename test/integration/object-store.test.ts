import { randomBytes } from 'node:crypto';
import { Objm, type ObjectStore } from '@nats-io/obj';
import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { latticeName } from '../../src/ids.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { ObjectBucket } from '../../src/nats/object-store.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';

const LATTICE = latticeName('default');
const refused = { code: 'TRELLIS_WASMBUS_STORE' };

let server: TestServer;
let connection: LatticeConnection;
let bucket: ObjectBucket;
/** A peer that writes what it likes into the same bucket. */
let peer: NatsConnection;
let store: ObjectStore;

const open = (url: string): Promise<LatticeConnection> =>
  connectPartition({ partition: 'rpc', lattice: LATTICE, servers: [url], name: 'test', log: silentLogger() });

beforeAll(async () => {
  server = await startServer({ jetstream: true });
  connection = await open(server.url);
  bucket = new ObjectBucket(connection, LATTICE);
  peer = await connect({ servers: server.url });
  store = await new Objm(peer).create(LATTICE);
});

afterAll(async () => {
  await peer.close();
  await connection.close();
  await server[Symbol.asyncDispose]();
});

describe('the object store of a lattice', () => {
  it('takes what was put, in chunks of 128 KiB, and deletes it', async () => {
    const bytes = randomBytes(1_000_000);
    await bucket.put('a', bytes);
    expect(await store.info('a')).toMatchObject({ size: bytes.length, chunks: 8 });
    expect(Buffer.from(await bucket.take('a', bytes.length)).equals(bytes)).toBe(true);
    expect((await store.info('a'))?.deleted).toBe(true);
    await expect(bucket.take('a', bytes.length)).rejects.toMatchObject(refused);
  });

  it('takes what a peer put', async () => {
    const bytes = randomBytes(300_000);
    await store.putBlob({ name: 'b' }, bytes);
    expect(Buffer.from(await bucket.take('b', bytes.length)).equals(bytes)).toBe(true);
  });

  it('reads no object of another size, none that is not there, and follows no link; and leaves all of them', async () => {
    await store.putBlob({ name: 'c' }, randomBytes(100_000));
    const other = await new Objm(peer).create('other');
    const info = await other.putBlob({ name: 'secret' }, Buffer.from('secret'));
    await store.link('linked', info);
    for (const [name, length] of [
      ['c', 99_999],
      ['c', 100_001],
      ['nothing', 1],
      ['linked', 6],
    ] as const) {
      await expect(bucket.take(name, length), name).rejects.toMatchObject(refused);
    }
    expect((await store.info('c'))?.size).toBe(100_000);
    expect((await other.info('secret'))?.size).toBe(6);
    expect((await store.info('linked'))?.deleted).not.toBe(true);
  });

  it('says what is missing on a server without JetStream', async () => {
    await using plain = await startServer();
    await using alone = await open(plain.url);
    const none = new ObjectBucket(alone, LATTICE);
    for (const attempt of [() => none.put('a', randomBytes(10)), () => none.take('a', 10)]) {
      await expect(attempt()).rejects.toMatchObject({ ...refused, remedy: expect.stringContaining('JetStream') });
    }
  });
});
