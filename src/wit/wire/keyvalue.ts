import type { WitInterface } from '../types.ts';
import { BOOL, BYTES, func, list, option, record, result, STRING, tuple, U64, variant } from './type-builders.ts';

/** `wrpc:keyvalue@0.2.0-draft`: `wasi:keyvalue` with the name of the bucket in place of the bucket. */

const ERROR = variant({ 'no-such-store': null, 'access-denied': null, other: STRING });
const BUCKET = { bucket: STRING };
const ONE = { ...BUCKET, key: STRING };

/** Operations on one key. */
export const KEYVALUE_STORE: WitInterface = {
  name: 'wrpc:keyvalue/store@0.2.0-draft',
  functions: [
    func('get', ONE, result(option(BYTES), ERROR)),
    func('set', { ...ONE, value: BYTES }, result(null, ERROR)),
    func('delete', ONE, result(null, ERROR)),
    func('exists', ONE, result(BOOL, ERROR)),
    func('list-keys', { ...BUCKET, cursor: option(U64) }, result(record({ keys: list(STRING), cursor: option(U64) }), ERROR)),
  ],
};

/** Counters. */
export const KEYVALUE_ATOMICS: WitInterface = {
  name: 'wrpc:keyvalue/atomics@0.2.0-draft',
  functions: [func('increment', { ...ONE, delta: U64 }, result(U64, ERROR))],
};

const PAIR = tuple(STRING, BYTES);

/** Operations on several keys. */
export const KEYVALUE_BATCH: WitInterface = {
  name: 'wrpc:keyvalue/batch@0.2.0-draft',
  functions: [
    func('get-many', { ...BUCKET, keys: list(STRING) }, result(list(option(PAIR)), ERROR)),
    func('set-many', { ...BUCKET, 'key-values': list(PAIR) }, result(null, ERROR)),
    func('delete-many', { ...BUCKET, keys: list(STRING) }, result(null, ERROR)),
  ],
};

/** What a store tells of its changes. */
export const KEYVALUE_WATCHER: WitInterface = {
  name: 'wrpc:keyvalue/watcher@0.2.0-draft',
  functions: [func('on-set', { ...ONE, value: BYTES }, null), func('on-delete', ONE, null)],
};
