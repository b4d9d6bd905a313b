import type { Caller } from '../caller.ts';
import { TrellisError } from '../errors.ts';
import type { InvocationHandle } from '../invocation/outbound.ts';
import { compileFunction } from '../wit/codec.ts';
import { ReadyStream } from '../wit/js-shapes.ts';
import { fromJson, toJson, type Json } from '../wit/json.ts';
import { hasAsync, type WitType } from '../wit/types.ts';
import { PendingResults } from './pending-results.ts';
import type { Operation } from './find-operation.ts';

/** One call with arguments as JSON. */
export interface TypedCall {
  readonly caller: Caller;
  readonly target: string;
  readonly operation: Operation;
  /** JSON values, one a parameter; `"@-"` for a stream stands for standard input. */
  readonly args: readonly unknown[];
  readonly link: string;
  readonly timeoutMs: number;
  readonly stdin: AsyncIterable<Uint8Array>;
}

/** A result as JSON, and as bytes where it is text or bytes. */
export interface TypedResult {
  readonly json: Json;
  readonly raw: Uint8Array | string | undefined;
}

/** What stands for standard input among the arguments. */
export const STDIN = '@-';

/** Encodes the arguments, calls, and decodes the result. @throws TRELLIS_WIT_VALUE, TRELLIS_INVOKE_*, TRELLIS_PATH_* */
export async function callTyped(call: TypedCall): Promise<TypedResult> {
  const { caller, operation, timeoutMs } = call;
  const { fn } = operation;
  if (call.args.length !== fn.params.length) {
    const wanted = fn.params.map((param) => param.name).join(', ') || 'none';
    throw new TrellisError('TRELLIS_WIT_VALUE', {
      message: `expected ${fn.params.length} arguments (${wanted}), got ${call.args.length}`,
    });
  }
  const values: unknown[] = [];
  for (const [i, { name, type }] of fn.params.entries()) {
    const arg = call.args[i];
    values.push(
      arg === STDIN && type.kind === 'stream' ? await streamFromStdin(type.elem, call.stdin) : fromJson(type, arg, name),
    );
  }
  const codec = compileFunction(fn);
  const encoded = codec.encodeParams(values);
  if (!encoded.ok) throw new TrellisError('TRELLIS_WIT_VALUE', { message: encoded.reason });
  if (encoded.pending.some(({ kind }) => kind === 'future'))
    throw new TrellisError('TRELLIS_WIT_VALUE', { message: 'a future among the arguments has no value' });

  const until = performance.now() + timeoutMs;
  const results = new PendingResults();
  let handle: InvocationHandle | undefined;
  const root = await caller.call({
    target: call.target,
    instance: operation.instance,
    func: fn.wireName,
    params: encoded.bytes,
    timeoutMs,
    link: call.link,
    ...(hasAsync(fn.result)
      ? {
          onPath: (path: string, bytes: Uint8Array, eof: boolean) => results.push(path, bytes, eof),
          onCut: (error: TrellisError) => results.cut(error),
        }
      : {}),
    pendingParams: encoded.pending.length > 0,
    onHandle: (opened) => {
      handle = opened;
      // A stream that could not travel inline is an empty one: its end is all there is to send.
      for (const pending of encoded.pending) opened.sendPath(pending.path.join('.'), Uint8Array.of(0), true);
    },
  });
  try {
    // All that a 1.x peer can say of a trap (wRPC over NATS, errors); no result is as short as this one.
    if (root.length === 0 && fn.result !== null)
      throw new TrellisError('TRELLIS_INVOKE_TRAP', { message: 'the target ended the call without a result' });
    // Nobody vouches for anything beyond the root, or nothing follows it.
    if (handle?.open !== true) results.refuse();
    const decoded = codec.decodeResult(root, results);
    if (results.refused) throw new TrellisError('TRELLIS_PATH_UNSIGNED_VALUES');
    if (!decoded.ok)
      throw new TrellisError('TRELLIS_INVOKE_FAILED', { message: `the result could not be read: ${decoded.reason}` });
    await results.complete(until - performance.now());
    if (fn.result === null) return { json: null, raw: undefined };
    return { json: toJson(fn.result, decoded.values[0]), raw: rawOf(decoded.values[0]) };
  } finally {
    handle?.cancel();
  }
}

/** Standard input as the elements of a stream: bytes as they are, anything else one JSON value a line. */
async function streamFromStdin(elem: WitType | null, stdin: AsyncIterable<Uint8Array>): Promise<ReadyStream> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stdin) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (elem === null || elem.kind === 'u8') return new ReadyStream(new Uint8Array(bytes));
  const lines = bytes
    .toString('utf8')
    .split('\n')
    .filter((line) => line.trim() !== '');
  return new ReadyStream(lines.map((line, i) => fromJson(elem, parseLine(line, i), `line ${i + 1} of standard input`)));
}

function parseLine(line: string, index: number): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new TrellisError('TRELLIS_WIT_VALUE', { message: `line ${index + 1} of standard input is not JSON`, cause });
  }
}

/** The bytes or text of a result that is nothing else, through `ok` and inline streams. */
function rawOf(value: unknown): Uint8Array | string | undefined {
  if (typeof value === 'string' || value instanceof Uint8Array) return value;
  if (value instanceof ReadyStream) return value.items instanceof Uint8Array ? value.items : undefined;
  const { tag, val } = (value ?? {}) as { tag?: unknown; val?: unknown };
  return tag === 'ok' ? rawOf(val) : undefined;
}
