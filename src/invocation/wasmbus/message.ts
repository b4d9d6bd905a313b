import { type ErrorCode, TrellisError } from '../../errors.ts';
import { isToken } from '../../ids.ts';
import { answerOfResult, type Answer, type ResultShape } from '../../wasmbus/payload.ts';
import { answerName, MAX_INLINE_BYTES, type PayloadStore } from '../../wasmbus/payload-store.ts';
import { type WasmbusInvocation, writeResponse } from '../../wasmbus/messages.ts';
import type { BusMessage } from '../../wrpc/bus.ts';
import type { Inbox } from '../../wrpc/inbox.ts';
import { IncomingInvocation, type ParamsListener, REPLY_HEADER, REPLY_UNARY } from '../../wrpc/server.ts';
import { HEADER } from '../headers.ts';

const EMPTY = new Uint8Array(0);
const NO_HEADER = (): undefined => undefined;
/** What a caller learns of every refusal. */
const DENIED = 'invocation denied';
/** What a caller learns of an answer that could not be delivered. */
const UNDELIVERED = 'invocation failed';

/** What a {@link WasmbusMessage} is made of. */
export interface WasmbusMessageOptions {
  readonly inbox: Inbox;
  readonly store: PayloadStore;
  readonly message: BusMessage;
  readonly invocation: WasmbusInvocation;
  readonly shape: ResultShape;
  /** Told what went wrong outside the path. */
  failed(code: ErrorCode, detail: string): void;
  /** Told once when the path is done with the message and its answer has been sent. */
  settled(): void;
}

/** The message as the path expects one: the payload is the parameters, the origin stands where `source-id` does. */
function asBusMessage(message: BusMessage, { origin, msg, traceparent }: WasmbusInvocation): BusMessage {
  // The key by the sender's word chooses a lane and nothing more, as `source-id` does; what is no name has none.
  const headers = new Map([
    [REPLY_HEADER, REPLY_UNARY],
    ...(isToken(origin.publicKey) ? [[HEADER.sourceId, origin.publicKey] as const] : []),
    ...(traceparent === undefined ? [] : [[HEADER.traceparent, traceparent] as const]),
  ]);
  return {
    line: message.line,
    subject: message.subject,
    reply: message.reply,
    payload: msg,
    header: (name) => headers.get(name),
    headerCount: headers.size,
    status: 0,
    statusText: '',
  };
}

/**
 * A call of 0.82 in the form in which the path takes calls. What differs is where the rest of a payload comes from (the object
 * store, once the path accepts), and how an answer looks: one `InvocationResponse`, unsigned, since 0.82 knows no other.
 */
export class WasmbusMessage extends IncomingInvocation {
  readonly invocation: WasmbusInvocation;
  readonly #o: WasmbusMessageOptions;
  #listener: ParamsListener | undefined;
  #fetching = false;
  #answering = false;
  #closed = false;

  constructor(options: WasmbusMessageOptions) {
    const { inbox, message, invocation } = options;
    super(inbox, message.subject, message.reply, asBusMessage(message, invocation));
    this.#o = options;
    this.invocation = invocation;
  }

  /** There is none: nothing follows the first message but what lies in the store. */
  override inbox(): string {
    return '';
  }

  override onParams(listener: ParamsListener): void {
    this.#listener = listener;
  }

  /** The path has found the token good and waits for the payload: only now is the store touched. */
  override accept(): void {
    const length = this.invocation.contentLength ?? 0;
    if (this.#fetching || this.#listener === undefined || length === 0 || this.payload.length > 0) return;
    this.#fetching = true;
    this.#o.store.take(this.invocation.id, length).then(
      (bytes) => this.#listener?.('', bytes, false, NO_HEADER),
      (error: unknown) => {
        this.#o.failed('TRELLIS_WASMBUS_STORE', error instanceof Error ? error.message : 'the payload could not be read');
        this.#listener?.('', EMPTY, true, NO_HEADER);
      },
    );
  }

  override refuse(status: number, text: string): void {
    this.#answer({ error: status === 401 ? DENIED : text });
  }

  override replyUnary(result: Uint8Array): boolean {
    this.#answer(answerOfResult(result, this.#o.shape) ?? { error: UNDELIVERED });
    return true;
  }

  override sendRoot(): void {}

  override sendPath(): void {}

  override close(): void {
    this.#listener = undefined;
    this.#closed = true;
    this.#settle();
  }

  #answer(answer: Answer): void {
    const { id } = this.invocation;
    if (answer.error === undefined && answer.msg.length > MAX_INLINE_BYTES) {
      this.#answering = true;
      const contentLength = answer.msg.length;
      void this.#o.store
        .put(answerName(id), answer.msg)
        .then(
          () => this.#publish(EMPTY, undefined, contentLength),
          (error: unknown) => {
            this.#o.failed('TRELLIS_WASMBUS_STORE', error instanceof Error ? error.message : 'the answer could not be stored');
            this.#publish(EMPTY, UNDELIVERED);
          },
        )
        .finally(() => {
          this.#answering = false;
          this.#settle();
        });
    } else if (answer.error === undefined) this.#publish(answer.msg, undefined);
    else this.#publish(EMPTY, answer.error);
  }

  #publish(msg: Uint8Array, error: string | undefined, contentLength = msg.length): void {
    const bytes = writeResponse({ msg, invocationId: this.invocation.id, error, contentLength });
    try {
      this.#o.message.line.publish(this.reply, bytes);
    } catch (cause) {
      this.#o.inbox.stats.undeliverable++;
      if (msg.length === 0) return;
      // A server whose limit is below 900 KiB: peers look for nothing of that size in the store.
      const code = cause instanceof TrellisError ? cause.code : 'TRELLIS_INTERNAL';
      this.#o.failed(code, `an answer of ${msg.length} bytes was not sent`);
      this.#publish(EMPTY, UNDELIVERED);
    }
  }

  #settle(): void {
    if (!this.#closed || this.#answering) return;
    super.close();
    this.#o.settled();
  }
}
