import { jetstream, StorageType } from '@nats-io/jetstream';
import type { NatsConnection } from 'nats';
import { Objm, type ObjectInfo, type ObjectStore } from '@nats-io/obj';
import { TrellisError } from '../errors.ts';
import type { LatticeName } from '../ids.ts';
import type { LatticeConnection } from './connection.ts';

const CHUNK_BYTES = 128 * 1024;
const REQUEST_MS = 5_000;
const READ_MS = 15_000;

/**
 * The bucket of a lattice in the JetStream object store, opened at the first use. What lies in it was written by anybody with
 * the rights to: its own digests say nothing, and whoever reads from it checks a hash that was signed.
 */
export class ObjectBucket {
  readonly #connection: LatticeConnection;
  readonly #name: LatticeName;
  #store: Promise<ObjectStore> | undefined;
  /** The client that {@link #store} is made with; the connection may have another by now. */
  #client: NatsConnection | undefined;

  constructor(connection: LatticeConnection, lattice: LatticeName) {
    this.#connection = connection;
    this.#name = lattice;
  }

  /** Stores `bytes`; a bucket that is not there is made. @throws TRELLIS_WASMBUS_STORE */
  async put(name: string, bytes: Uint8Array): Promise<void> {
    try {
      await this.#connection.withClient(async (client) => {
        const store = await this.#open(client);
        await store.putBlob({ name, options: { max_chunk_size: CHUNK_BYTES } }, bytes);
      });
    } catch (cause) {
      throw this.#failure('could not be written', cause);
    }
  }

  /**
   * Reads the object of exactly `length` bytes and deletes it. Links are not followed, and no more than `length` bytes are
   * taken in. What is not read whole is not deleted. @throws TRELLIS_WASMBUS_STORE
   */
  async take(name: string, length: number): Promise<Uint8Array> {
    const bytes = await this.#connection
      .withClient(async (client) => {
        const store = await this.#open(client);
        const found = await read(store, name, length);
        // A chunk left behind is a matter for whoever keeps the bucket; the call goes on.
        if (found !== undefined) await store.delete(name).catch(() => undefined);
        return found;
      })
      .catch((cause: unknown) => {
        throw this.#failure('could not be read', cause);
      });
    if (bytes === undefined) throw this.#failure(`holds no object of ${length} bytes by that name`);
    return bytes;
  }

  #open(client: NatsConnection): Promise<ObjectStore> {
    if (this.#client !== client) this.#store = undefined;
    this.#client = client;
    this.#store ??= this.#create(client).catch((error: unknown) => {
      this.#client = undefined;
      throw error;
    });
    return this.#store;
  }

  #create(client: NatsConnection): Promise<ObjectStore> {
    return new Objm(jetstream(client, { timeout: REQUEST_MS })).create(this.#name, { storage: StorageType.File });
  }

  #failure(what: string, cause?: unknown): TrellisError {
    const reason = cause instanceof Error ? `: ${cause.message}` : '';
    return new TrellisError('TRELLIS_WASMBUS_STORE', { message: `the object store ${this.#name} ${what}${reason}`, cause });
  }
}

function isWhole(info: ObjectInfo | null, name: string, length: number): boolean {
  return info !== null && !info.deleted && info.name === name && info.options?.link === undefined && info.size === length;
}

async function read(store: ObjectStore, name: string, length: number): Promise<Uint8Array | undefined> {
  if (!isWhole(await store.info(name), name, length)) return undefined;
  const object = await store.get(name);
  if (object === null) return undefined;
  // Said again by the stream itself; nobody else listens to it.
  object.error.catch(() => undefined);
  const reader = object.data.getReader();
  // Somebody may have replaced the object by now.
  const same = isWhole(object.info, name, length);
  const bytes = new Uint8Array(same ? length : 0);
  let at = 0;
  let over = !same;
  const timer = setTimeout(() => void reader.cancel().catch(() => undefined), READ_MS);
  try {
    while (!over) {
      const { done, value } = await reader.read();
      if (done) break;
      over = at + value.length > length;
      if (!over) bytes.set(value, at);
      at += value.length;
    }
  } finally {
    clearTimeout(timer);
    if (over) void reader.cancel().catch(() => undefined);
  }
  return same && at === length ? bytes : undefined;
}
