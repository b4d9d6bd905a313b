/** The compiled codec of one function: its parameters and its result, both ways. */
import { compileDecoder, type AsyncSource, type DecodeContext, type Decoder } from './decode.ts';
import { encodeAt, type EncodeContext, type Encoded, type Encoder } from './encode-async.ts';
import { compileEncoder } from './encode.ts';
import { PENDING, ReadyFuture, ReadyStream } from './js-shapes.ts';
import { hasAsync, type WitFunction } from './types.ts';
import { ValueReader, WireFault } from './value-reader.ts';

/** What decoding gives. On the wire anything may follow a complete value; `consumed` says where it ends. */
export type Decoded =
  | { readonly ok: true; readonly values: unknown[]; readonly consumed: number }
  /** `need`: for incomplete bytes, a lower bound of the length of the complete ones; otherwise 0. */
  | { readonly ok: false; readonly incomplete: boolean; readonly reason: string; readonly need: number };

/** How a function's values are written and read. */
export interface CodecOptions {
  /** Write the longest negative integers in the form that wasmCloud 1.9.2 can read. Reading takes both forms always. */
  readonly maskedSigned?: boolean;
  /** Resource handles ↔ their opaque bytes; without them a handle is its bytes. */
  readonly handles?: {
    encode(kind: 'own' | 'borrow', resource: string, value: unknown): Uint8Array;
    decode(kind: 'own' | 'borrow', resource: string, bytes: Uint8Array): unknown;
  };
}

/**
 * The codec of one function. Nothing here throws: faults are values. A `result` type is a `{tag, val}` object here also at
 * the top level; turning it into a return or a throw is the caller's part.
 *
 * Decoded byte lists are views of the given bytes, which must not change while the values live.
 */
export interface FunctionCodec {
  readonly hasAsyncParams: boolean;
  readonly hasAsyncResult: boolean;
  encodeParams(values: readonly unknown[]): Encoded;
  decodeParams(bytes: Uint8Array, source?: AsyncSource): Decoded;
  /** `value` is ignored for a function without result. */
  encodeResult(value: unknown): Encoded;
  /** Gives one value, or none for a function without result. */
  decodeResult(bytes: Uint8Array, source?: AsyncSource): Decoded;
  /** As {@link encodeParams} and {@link encodeResult}, with the content of some streams and futures at hand; see `inline.ts`. */
  encodeWith(side: 'params' | 'result', values: readonly unknown[], inline: ReadonlyMap<unknown, unknown>): Encoded;
}

/** The source when nobody gives one: inline content is kept, {@link PENDING} stands for content that would follow. */
export const readySource: AsyncSource = {
  stream: (_path, _type, { inline }) => (inline === undefined ? PENDING : new ReadyStream(inline.value as unknown[])),
  future: (_path, _type, { inline }) => (inline === undefined ? PENDING : new ReadyFuture(inline.value)),
};

/** Compiles the codec of a function. Costs some microseconds per node of its types; do it once. */
export function compileFunction(fn: WitFunction, options: CodecOptions = {}): FunctionCodec {
  const encodeContext: EncodeContext = {
    path: [],
    pending: [],
    inline: null,
    maskedSigned: options.maskedSigned ?? false,
    handle: options.handles?.encode,
  };
  const decodeContext: DecodeContext = { handle: options.handles?.decode };
  const params = fn.params.map((param) => ({
    name: param.name,
    encode: compileEncoder(param.type, encodeContext),
    decode: compileDecoder(param.type, decodeContext),
  }));
  const encodeOne: Encoder | null = fn.result === null ? null : compileEncoder(fn.result, encodeContext);
  const decodeOne: Decoder | null = fn.result === null ? null : compileDecoder(fn.result, decodeContext);
  const paramEncoders = params.map((param) => param.encode);
  const paramDecoders = params.map((param) => param.decode);
  const resultDecoders = decodeOne === null ? [] : [decodeOne];

  const encodeParams = (values: readonly unknown[]): Encoded => {
    if (values.length !== params.length)
      return { ok: false, reason: `expected ${params.length} parameters, got ${values.length}` };
    let index = 0;
    const encoded = encodeAt(encodeContext, [0], '', (writer) => {
      for (; index < paramEncoders.length; index++) {
        encodeContext.path[0] = index;
        paramEncoders[index]!(writer, values[index]);
      }
    });
    return encoded.ok ? encoded : { ok: false, reason: `parameter ${params[index]?.name ?? index}${encoded.reason}` };
  };
  const encodeResult = (value: unknown): Encoded =>
    encodeAt(encodeContext, [0], 'result', (writer) => encodeOne?.(writer, value));

  return {
    hasAsyncParams: fn.params.some((param) => hasAsync(param.type)),
    hasAsyncResult: hasAsync(fn.result),
    encodeParams,
    encodeResult,
    decodeParams: (bytes, source = readySource) => decodeAll(paramDecoders, bytes, source),
    decodeResult: (bytes, source = readySource) => decodeAll(resultDecoders, bytes, source),
    encodeWith(side, values, inline) {
      encodeContext.inline = inline;
      try {
        return side === 'params' ? encodeParams(values) : encodeResult(values[0]);
      } finally {
        encodeContext.inline = null;
      }
    },
  };
}

function decodeAll(decoders: readonly Decoder[], bytes: Uint8Array, source: AsyncSource): Decoded {
  try {
    const reader = new ValueReader(bytes, [0], false);
    const values: unknown[] = [];
    for (let i = 0; i < decoders.length; i++) {
      reader.path[0] = i;
      reader.path.length = 1;
      values.push(decoders[i]!(reader, source));
    }
    return { ok: true, values, consumed: reader.pos };
  } catch (error) {
    if (error instanceof WireFault)
      return { ok: false, incomplete: error.incomplete, reason: error.message, need: Math.max(error.need, 0) };
    // A handle or a stream that the caller's hooks refuse.
    return { ok: false, incomplete: false, reason: error instanceof Error ? error.message : 'a value was refused', need: 0 };
  }
}
