import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import { type ErrorCode, TrellisError } from '../../errors.ts';
import type { LatticeName } from '../../ids.ts';
import type { SigningKey } from '../../trust/nkey.ts';
import { newWasmbusTokenId, signWasmbusClaims, wasmbusCallText, wasmbusHash } from '../../trust/wasmbus-claims.ts';
import { readResponse, type WasmbusEntity, writeInvocation } from '../../wasmbus/messages.ts';
import { payloadOfParams, resultOfAnswer, type Answer, type ResultShape } from '../../wasmbus/payload.ts';
import { answerName, MAX_INLINE_BYTES, type PayloadStore } from '../../wasmbus/payload-store.ts';
import type { Bus, BusLine, BusMessage } from '../../wrpc/bus.ts';
import type { Inbox, InboxReceiver } from '../../wrpc/inbox.ts';
import { printableStatus } from '../failure-codes.ts';
import type { PathObserver } from '../observer.ts';
import { wasmbusSubject } from './serve.ts';

const EMPTY = new Uint8Array(0);

/** One call to a peer of 0.82. */
export interface WasmbusCall {
  readonly origin: WasmbusEntity;
  readonly target: WasmbusEntity;
  /** `Interface.Method`. */
  readonly operation: string;
  /** Encoded parameters of a `func(list<u8>)`. Kept until the call is over. */
  readonly params: Uint8Array;
  readonly shape: ResultShape;
  readonly timeoutMs: number;
  readonly traceparent?: string | undefined;
}

/** How a call ends: exactly one of them, once. */
export interface WasmbusCallEvents {
  done(result: Uint8Array): void;
  fail(code: ErrorCode, detail: string): void;
}

/** What a {@link WasmbusInvoker} is made of. */
export interface WasmbusInvokerOptions {
  readonly bus: Bus;
  readonly inbox: Inbox;
  readonly lattice: LatticeName;
  readonly clock: Clock;
  /** The cluster key that 0.82 peers have on their list. */
  readonly key: SigningKey;
  /** Public key (`N…`) that peers are told as the sending host. */
  readonly hostId: string;
  readonly store: PayloadStore;
  readonly observer: PathObserver;
  readonly maxResultBytes: number;
}

/**
 * Calls peers of 0.82, signed as they sign. Their answers are not signed: whoever can publish to the inbox of a call can answer it,
 * so the inbox is unguessable, and a link to such a peer says that this is good enough.
 */
export class WasmbusInvoker {
  readonly #o: WasmbusInvokerOptions;
  readonly #calls = new Set<Call>();

  constructor(options: WasmbusInvokerOptions) {
    this.#o = options;
  }

  /** Starts a call. Never throws. */
  invoke(request: WasmbusCall, events: WasmbusCallEvents): { cancel(): void } {
    const call = new Call(this.#o, request, events, () => this.#calls.delete(call));
    this.#calls.add(call);
    void call.start();
    return call;
  }

  /** Ends every call in flight with TRELLIS_INVOKE_CANCELLED. */
  close(): void {
    for (const call of this.#calls) call.fail('TRELLIS_INVOKE_CANCELLED', 'the host is stopping');
  }
}

class Call implements InboxReceiver {
  readonly #o: WasmbusInvokerOptions;
  readonly #request: WasmbusCall;
  readonly #events: WasmbusCallEvents;
  readonly #forget: () => void;
  readonly #id = randomUUID();
  /** The line that the reply comes on. */
  readonly #line: BusLine;
  readonly #reply: string;
  readonly #deadline: NodeJS.Timeout;
  #fetching = false;
  #ended = false;

  constructor(options: WasmbusInvokerOptions, request: WasmbusCall, events: WasmbusCallEvents, forget: () => void) {
    this.#o = options;
    this.#request = request;
    this.#events = events;
    this.#forget = forget;
    this.#line = options.bus.line;
    this.#reply = options.inbox.open(this);
    this.#deadline = setTimeout(() => this.fail('TRELLIS_INVOKE_TIMEOUT', 'no answer came in time'), request.timeoutMs);
  }

  async start(): Promise<void> {
    try {
      await this.#send();
    } catch (error) {
      const code = error instanceof TrellisError ? error.code : 'TRELLIS_INVOKE_FAILED';
      // Not in the turn of the caller, who may not have kept the call yet.
      queueMicrotask(() => this.fail(code, error instanceof Error ? error.message : 'the call could not be sent'));
    }
  }

  async #send(): Promise<void> {
    const { origin, target, operation, params, traceparent } = this.#request;
    const payload = payloadOfParams(params);
    if (payload === undefined) throw new TrellisError('TRELLIS_INVOKE_BAD_PARAMS', { message: 'the parameters are no list<u8>' });
    const inline = payload.length <= MAX_INLINE_BYTES;
    // 0.82 stores the whole payload before it sends the call; and what it has waited for is signed with the time it is sent at.
    if (!inline) await this.#o.store.put(this.#id, payload);
    if (this.#ended) return;
    const call = wasmbusCallText(origin, target, operation);
    const encodedClaims = signWasmbusClaims(
      {
        exp: undefined,
        jti: newWasmbusTokenId(),
        iat: Math.floor(this.#o.clock.wallMs() / 1_000),
        iss: this.#o.key.publicKey,
        sub: this.#id,
        nbf: undefined,
        targetUrl: call.targetUrl,
        originUrl: call.originUrl,
        hash: wasmbusHash(call, payload),
      },
      this.#o.key,
    );
    if (encodedClaims === undefined) throw new TrellisError('TRELLIS_TRUST_CLAIMS_INVALID');
    const message = writeInvocation({
      origin,
      target,
      operation,
      msg: inline ? payload : EMPTY,
      id: this.#id,
      encodedClaims,
      hostId: this.#o.hostId,
      contentLength: payload.length,
      traceparent,
    });
    this.#line.publish(wasmbusSubject(this.#o.lattice, target).subject, message, { reply: this.#reply });
  }

  onLineEnding(): void {
    this.fail('TRELLIS_INVOKE_MOVED', 'the connection has moved on and waits no longer');
  }

  onInboxMessage(tail: string, message: BusMessage): void {
    if (this.#ended || this.#fetching || tail !== '') return;
    if (message.status === 503) {
      this.fail('TRELLIS_INVOKE_NO_RESPONDERS', 'no peer of wasmCloud 0.82 serves the target');
      return;
    }
    const response = readResponse(message.payload);
    // What does not fit is dropped and the call goes on waiting: a forger's try ends nothing.
    if ('malformed' in response) {
      this.#o.observer.dropped(`an answer that is no InvocationResponse: ${response.malformed}`);
      return;
    }
    const { invocationId, error, msg, contentLength = msg.length } = response;
    // Peers that could not read a call say so under no id, or this one.
    const unread = error !== undefined && (invocationId === '' || invocationId === 'UNKNOWN');
    if (invocationId !== this.#id && !unread) {
      this.#o.observer.dropped('an answer to another invocation');
      return;
    }
    if (error !== undefined) this.#finish({ error });
    else if (contentLength === msg.length) this.#finish({ msg });
    else if (msg.length === 0 && contentLength <= this.#o.maxResultBytes) void this.#fetch(contentLength);
    else if (msg.length === 0) this.fail('TRELLIS_PATH_TOO_LARGE', `the peer announced an answer of ${contentLength} bytes`);
    else this.#o.observer.dropped('an answer whose size is not the announced one');
  }

  async #fetch(length: number): Promise<void> {
    this.#fetching = true;
    try {
      this.#finish({ msg: await this.#o.store.take(answerName(this.#id), length) });
    } catch (error) {
      this.fail('TRELLIS_WASMBUS_STORE', error instanceof Error ? error.message : 'the answer could not be read');
    }
  }

  #finish(answer: Answer): void {
    if (this.#ended) return;
    const result = resultOfAnswer(answer, this.#request.shape);
    if (result === undefined) {
      this.fail('TRELLIS_INVOKE_FAILED', `the peer answered with an error: ${printableStatus(answer.error ?? '')}`);
      return;
    }
    if (result.length > this.#o.maxResultBytes) {
      this.fail('TRELLIS_PATH_TOO_LARGE', `the answer has ${result.length} bytes, ${this.#o.maxResultBytes} are allowed`);
      return;
    }
    this.#end();
    this.#events.done(result);
  }

  fail(code: ErrorCode, detail: string): void {
    if (this.#ended) return;
    this.#end();
    this.#events.fail(code, detail);
  }

  cancel(): void {
    if (!this.#ended) this.#end();
  }

  #end(): void {
    this.#ended = true;
    clearTimeout(this.#deadline);
    this.#o.inbox.close(this.#reply);
    this.#forget();
  }
}
