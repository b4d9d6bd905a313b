// The entry point `msgpackr/pack` leaves out the native add-on that `msgpackr` loads by itself: this process holds keys.
import { Packr } from 'msgpackr/pack';
import { MsgpackCursor } from './msgpack-cursor.ts';

/**
 * The two messages of wasmCloud 0.82 (`wasmbus.rpc.…`): msgpack maps with text keys, in the order of the Rust structs.
 *
 * Reading is our own: a general decoder damages bytes that a peer sends as text (the OTP host does), lets the last of two equal
 * keys win, and builds what an unknown key holds. Here a key may come once, fields have exactly their type, and what
 * nobody asks for is stepped over.
 */

/** One end of a call. */
export interface WasmbusEntity {
  /** `M…` an actor, `V…` a provider. */
  readonly publicKey: string;
  /** Empty for an actor. */
  readonly linkName: string;
  /** Empty for an actor; else such as `wasmcloud:keyvalue`. */
  readonly contractId: string;
}

/** A call as it stands in the message. Nothing in it is believed yet. */
export interface WasmbusInvocation {
  readonly origin: WasmbusEntity;
  readonly target: WasmbusEntity;
  /** `Interface.Method`. */
  readonly operation: string;
  /** The payload, or nothing when it is in the object store. A view. */
  readonly msg: Uint8Array;
  readonly id: string;
  /** The JWT. */
  readonly encodedClaims: string;
  readonly hostId: string;
  /** Bytes of the whole payload; `undefined` if the sender does not say (OTP may not). */
  readonly contentLength: number | undefined;
  /** W3C trace context, if there is one. */
  readonly traceparent: string | undefined;
}

/** An answer as it stands in the message. 0.82 signs no answers. */
export interface WasmbusResponse {
  readonly msg: Uint8Array;
  readonly invocationId: string;
  /** Why the call failed; `msg` then means nothing. */
  readonly error: string | undefined;
  readonly contentLength: number | undefined;
}

/** Why a message could not be read; for the log. */
export interface WasmbusFault {
  readonly malformed: string;
}

const MAX_FIELDS = 32;
const MAX_KEY_BYTES = 64;
const MAX_NAME_BYTES = 256;
const MAX_CLAIMS_BYTES = 4096;
const MAX_ERROR_BYTES = 64 * 1024;
const MAX_TRACE_ENTRIES = 16;
const MAX_TRACE_BYTES = 1024;
const EMPTY = new Uint8Array(0);

/** Reads a map: `field` takes the value of each key it knows and returns true. No key may come twice. */
function readMap(cursor: MsgpackCursor, maxPairs: number, field: (key: string) => boolean): void {
  const keys = new Set<string>();
  for (let left = cursor.mapLength(maxPairs); left > 0 && cursor.fault === undefined; left--) {
    const key = cursor.text(MAX_KEY_BYTES);
    if (keys.has(key)) cursor.fail('a key that comes twice');
    keys.add(key);
    if (!field(key)) cursor.skip();
  }
}

function readEntity(cursor: MsgpackCursor): WasmbusEntity {
  let [publicKey, linkName, contractId] = ['', '', ''];
  readMap(cursor, MAX_FIELDS, (key) => {
    if (key === 'public_key') publicKey = cursor.text(MAX_NAME_BYTES);
    else if (key === 'link_name') linkName = cursor.text(MAX_NAME_BYTES);
    else if (key === 'contract_id') contractId = cursor.text(MAX_NAME_BYTES);
    else return false;
    return true;
  });
  return { publicKey, linkName, contractId };
}

function readTraceparent(cursor: MsgpackCursor): string | undefined {
  let traceparent: string | undefined;
  readMap(cursor, MAX_TRACE_ENTRIES, (key) => {
    const value = cursor.text(MAX_TRACE_BYTES);
    if (key === 'traceparent') traceparent = value;
    return true;
  });
  return traceparent;
}

/** Reads a call. Never throws, and takes no more memory than the texts it gives back. */
export function readInvocation(bytes: Uint8Array): WasmbusInvocation | WasmbusFault {
  const cursor = new MsgpackCursor(bytes);
  let origin: WasmbusEntity | undefined;
  let target: WasmbusEntity | undefined;
  let [operation, id, encodedClaims, hostId] = ['', '', '', ''];
  let msg: Uint8Array = EMPTY;
  let contentLength: number | undefined;
  let traceparent: string | undefined;
  readMap(cursor, MAX_FIELDS, (key) => {
    switch (key) {
      case 'origin':
        origin = readEntity(cursor);
        return true;
      case 'target':
        target = readEntity(cursor);
        return true;
      case 'operation':
        operation = cursor.text(MAX_NAME_BYTES);
        return true;
      case 'msg':
        msg = cursor.bytes();
        return true;
      case 'id':
        id = cursor.text(MAX_NAME_BYTES);
        return true;
      case 'encoded_claims':
        encodedClaims = cursor.text(MAX_CLAIMS_BYTES);
        return true;
      case 'host_id':
        hostId = cursor.text(MAX_NAME_BYTES);
        return true;
      case 'content_length':
        contentLength = cursor.integer();
        return true;
      case 'traceContext':
        traceparent = readTraceparent(cursor);
        return true;
      default:
        return false;
    }
  });
  if (!cursor.end()) return { malformed: cursor.fault ?? '' };
  if (origin === undefined || target === undefined) return { malformed: 'no origin or no target' };
  return { origin, target, operation, msg, id, encodedClaims, hostId, contentLength, traceparent };
}

/** Reads an answer. Never throws. */
export function readResponse(bytes: Uint8Array): WasmbusResponse | WasmbusFault {
  const cursor = new MsgpackCursor(bytes);
  let msg: Uint8Array = EMPTY;
  let invocationId = '';
  let error: string | undefined;
  let contentLength: number | undefined;
  readMap(cursor, MAX_FIELDS, (key) => {
    if (key === 'msg') msg = cursor.bytes();
    else if (key === 'invocation_id') invocationId = cursor.text(MAX_NAME_BYTES);
    else if (key === 'error') error = cursor.nil() ? undefined : cursor.text(MAX_ERROR_BYTES);
    else if (key === 'content_length') contentLength = cursor.integer();
    else return false;
    return true;
  });
  if (!cursor.end()) return { malformed: cursor.fault ?? '' };
  return { msg, invocationId, error, contentLength };
}

// Plain maps with the smallest head, as the Rust serializer writes them; records would be an extension nobody else reads.
const packr = new Packr({ useRecords: false, variableMapSize: true });

function entityMap(entity: WasmbusEntity): Record<string, string> {
  return { public_key: entity.publicKey, link_name: entity.linkName, contract_id: entity.contractId };
}

function traceMap(traceparent: string | undefined): Record<string, string> {
  return traceparent === undefined ? {} : { traceparent };
}

/** The bytes of a call, as the Rust host of 0.82 writes them. */
export function writeInvocation(invocation: WasmbusInvocation): Uint8Array {
  const { origin, target, operation, msg, id, encodedClaims, hostId, contentLength, traceparent } = invocation;
  return packr.pack({
    origin: entityMap(origin),
    target: entityMap(target),
    operation,
    msg,
    id,
    encoded_claims: encodedClaims,
    host_id: hostId,
    content_length: contentLength ?? msg.length,
    traceContext: traceMap(traceparent),
  });
}

/** The bytes of an answer, as the Rust host of 0.82 writes them. */
export function writeResponse(response: WasmbusResponse): Uint8Array {
  const { msg, invocationId, error, contentLength } = response;
  return packr.pack({
    msg,
    invocation_id: invocationId,
    ...(error === undefined ? {} : { error }),
    content_length: contentLength ?? msg.length,
    traceContext: {},
  });
}
