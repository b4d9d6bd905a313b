import { KEYVALUE_ATOMICS, KEYVALUE_BATCH, KEYVALUE_STORE } from '../../../wit/wire/keyvalue.ts';
import type { GuestFunctions, WireCalls } from './twins.ts';

/** `wasi:keyvalue` for guests, over `wrpc:keyvalue`: a bucket is a name, so opening one calls nobody and always succeeds. */

/** `wasi:keyvalue/store` `bucket`. */
class Bucket {
  readonly #wire: WireCalls;
  readonly name: string;

  constructor(wire: WireCalls, name: string) {
    this.#wire = wire;
    this.name = name;
  }

  get(key: string): Promise<unknown> {
    return this.#call('get', key);
  }

  set(key: string, value: Uint8Array): Promise<unknown> {
    return this.#call('set', key, value);
  }

  delete(key: string): Promise<unknown> {
    return this.#call('delete', key);
  }

  exists(key: string): Promise<unknown> {
    return this.#call('exists', key);
  }

  listKeys(cursor: bigint | undefined): Promise<unknown> {
    return this.#call('list-keys', cursor);
  }

  #call(func: string, ...values: readonly unknown[]): Promise<unknown> {
    return this.#wire(KEYVALUE_STORE.name, func, [this.name, ...values]);
  }
}

/** Returns what a guest imports of `wasi:keyvalue`. */
export function createKeyvalue(wire: WireCalls): Record<string, object> {
  return {
    'wasi:keyvalue/store@0.2.0-draft': { Bucket, open: (identifier: string) => new Bucket(wire, identifier) },
    'wasi:keyvalue/atomics@0.2.0-draft': {
      increment: ({ name }: Bucket, key: string, delta: bigint) => wire(KEYVALUE_ATOMICS.name, 'increment', [name, key, delta]),
    },
    'wasi:keyvalue/batch@0.2.0-draft': {
      getMany: ({ name }: Bucket, keys: readonly string[]) => wire(KEYVALUE_BATCH.name, 'get-many', [name, keys]),
      setMany: ({ name }: Bucket, pairs: readonly (readonly [string, Uint8Array])[]) =>
        wire(KEYVALUE_BATCH.name, 'set-many', [name, pairs]),
      deleteMany: ({ name }: Bucket, keys: readonly string[]) => wire(KEYVALUE_BATCH.name, 'delete-many', [name, keys]),
    },
  };
}

/** `wasi:keyvalue/watcher`, which a guest exports: it is given the bucket, the wire has its name. */
export function watcher(guest: GuestFunctions, wire: WireCalls): GuestFunctions {
  const told =
    (name: string) =>
    (bucket: unknown, ...values: readonly unknown[]): unknown =>
      guest[name]!(new Bucket(wire, bucket as string), ...values);
  return { onSet: told('onSet'), onDelete: told('onDelete') };
}
