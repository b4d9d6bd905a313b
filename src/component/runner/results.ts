import { encodeInline } from '../../wit/inline.ts';
import { BudgetError, sendPending } from './async-values.ts';
import { FLAG, FRAME, type CallFailure, type FrameWriter } from './frames.ts';
import type { Handles } from './handles.ts';
import type { RunningCall } from './running-call.ts';

/** Why a result could not be sent. */
export interface ResultFailure {
  readonly status: CallFailure;
  readonly detail: string;
}

const EMPTY = new Uint8Array(0);
/** How a call fails whose async result cannot be in the root. */
const INLINE_FAILURES = { 'cannot-inline': 'unsigned-values', 'too-large': 'too-large', value: 'trap' } as const;

/** The first line of what was thrown. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'something that is not an error was thrown';
  return `${error.name}: ${error.message}`.split('\n', 1)[0]!.slice(0, 400);
}

/** Encodes what guests return and writes it. Gives back a failure, or nothing when the call's last answer is written. */
export class Results {
  readonly #writer: FrameWriter;
  readonly #handles: Handles;
  readonly #maxBytes: number;

  /** @param maxBytes Largest result, its streams included. */
  constructor(writer: FrameWriter, handles: Handles, maxBytes: number) {
    this.#writer = writer;
    this.#handles = handles;
    this.#maxBytes = maxBytes;
  }

  /** Sends the result of a function without streams and futures. */
  send(call: RunningCall, value: unknown): ResultFailure | undefined {
    this.#handles.giver = call.instance;
    const encoded = call.fn.codec.encodeResult(value);
    this.#handles.giver = undefined;
    if (!encoded.ok) return { status: 'error', detail: `the result does not fit its type: ${encoded.reason}` };
    return this.#root(call, encoded.bytes, FLAG.eof);
  }

  /** Sends a result with streams and futures, to their ends; never rejects. */
  async sendAsync(call: RunningCall, value: unknown): Promise<ResultFailure | undefined> {
    const { codec } = call.fn;
    if (call.inline) {
      const encoded = await encodeInline(codec, 'result', [value], this.#maxBytes);
      if (call.ended) return undefined;
      if (!encoded.ok) return { status: INLINE_FAILURES[encoded.why], detail: encoded.reason };
      return this.#last(call, () => this.#root(call, encoded.bytes, FLAG.eof));
    }
    this.#handles.giver = call.instance;
    const encoded = codec.encodeResult(value);
    this.#handles.giver = undefined;
    if (!encoded.ok) return { status: 'error', detail: `the result does not fit its type: ${encoded.reason}` };
    const { bytes, pending } = encoded;
    if (pending.length === 0) return this.#last(call, () => this.#root(call, bytes, FLAG.eof));
    const failure = this.#root(call, bytes, FLAG.pending);
    if (failure !== undefined) return failure;
    // Streams are announced by a frame without bytes: whatever ends the call, the host then knows what it broke off.
    for (const { kind, path } of pending) {
      if (kind === 'stream') this.#writer.path(FRAME.resultPath, call.id, path.join('.'), EMPTY, false);
    }
    call.sending = new AbortController();
    const { signal } = call.sending;
    const maxBytes = this.#maxBytes - bytes.length;
    try {
      await sendPending(pending, { writer: this.#writer, type: FRAME.resultPath, id: call.id, maxBytes, signal });
    } catch (error) {
      return { status: error instanceof BudgetError ? 'too-large' : 'trap', detail: reasonOf(error) };
    }
    return this.#last(call, () => {
      this.#writer.bare(FRAME.ended, call.id);
      return undefined;
    });
  }

  /** What ends a call, for the host: not before the guest has returned, which is to be watched as long. */
  async #last(call: RunningCall, end: () => ResultFailure | undefined): Promise<ResultFailure | undefined> {
    try {
      await call.guest;
    } catch (error) {
      return { status: 'trap', detail: reasonOf(error) };
    }
    return call.ended ? undefined : end();
  }

  #root(call: RunningCall, bytes: Uint8Array, flags: number): ResultFailure | undefined {
    if (bytes.length > this.#maxBytes) return { status: 'too-large', detail: `a result of ${bytes.length} bytes` };
    const writer = this.#writer;
    writer.open(FRAME.result, call.id, 1 + bytes.length);
    writer.u8(flags);
    writer.bytes(bytes);
    return undefined;
  }
}
