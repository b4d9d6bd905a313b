import type { WitFunction, WitInterface, WitType } from '../types.ts';
import { BOOL, func, future, list, option, record, result, stream, STRING, tuple, U64, U8 } from './type-builders.ts';

/** `wrpc:blobstore`: `wasi:blobstore` with names in place of containers, and objects as streams. Providers serve one of two versions. */

const NAME = { name: STRING };
const OBJECT = record({ container: STRING, object: STRING });
const ID = { id: OBJECT };
const BOTH = { src: OBJECT, dest: OBJECT };
const done = result(null, STRING);

/** The functions; `wrap` says how a stream is given that may end early, `written` what a write gives. */
function functions(wrap: (elem: WitType) => WitType, written: WitType | null): readonly WitFunction[] {
  return [
    func('clear-container', NAME, done),
    func('container-exists', NAME, result(BOOL, STRING)),
    func('create-container', NAME, done),
    func('delete-container', NAME, done),
    func('get-container-info', NAME, result(record({ 'created-at': U64 }), STRING)),
    func('list-container-objects', { ...NAME, limit: option(U64), offset: option(U64) }, result(wrap(STRING), STRING)),
    func('copy-object', BOTH, done),
    func('delete-object', ID, done),
    func('delete-objects', { container: STRING, objects: list(STRING) }, done),
    func('get-container-data', { ...ID, start: U64, end: U64 }, result(wrap(U8), STRING)),
    func('get-object-info', ID, result(record({ 'created-at': U64, size: U64 }), STRING)),
    func('has-object', ID, result(BOOL, STRING)),
    func('move-object', BOTH, done),
    func('write-container-data', { ...ID, data: stream(U8) }, result(written, STRING)),
  ];
}

/** Streams say at their end whether they are whole. */
export const BLOBSTORE: WitInterface = {
  name: 'wrpc:blobstore/blobstore@0.2.0',
  functions: functions((elem) => tuple(stream(elem), future(done)), future(done)),
};

/** The version before, whose streams do not. */
export const OLD_BLOBSTORE: WitInterface = { name: 'wrpc:blobstore/blobstore@0.1.0', functions: functions(stream, null) };
