import type { IncomingMessage } from 'node:http';
import { InputStream, OutputStream, STREAM_CLOSED, StreamFailure } from '../io.ts';
import type { SinkState, SourceState } from '../io.ts';
import { Pollable } from '../poll.ts';
import type { Lifetime } from '../poll.ts';
import { WitError } from '../wit-error.ts';
import { ByteQueue } from './byte-queue.ts';
import { httpErrorCode } from './http-errors.ts';
import type { HttpErrorCode } from './http-errors.ts';
import { Fields } from './http-fields.ts';

/** Bodies of `wasi:http`, both ways: streams that hold a little and let the other side wait beyond that. */

/** Bytes of a stream that are held for whoever is slower. */
export const HELD_BYTES = 262_144;
/** Bytes of one body, as sent; more is an error. A stream needs no memory, but nothing should go on for ever. */
export const MAX_BODY_BYTES = 1024 ** 3;

/** Where the body of a message goes; a `ClientRequest` of Node is one. */
export interface BodyTarget {
  /** Takes bytes; calls `taken` when it holds them no longer. */
  write(bytes: Uint8Array, taken: () => void): unknown;
  /** Ends it well. Trailers come of responses alone. */
  end(trailers?: Fields): unknown;
  /** Breaks it off. */
  destroy(): unknown;
}

/** The body of a message that a guest sends, from its stream to where it goes, which may come later. */
export class SentBody implements SinkState {
  lifetime: Lifetime | undefined;
  /** The value of `content-length`; no other size is sent then. */
  declaredBytes: number | undefined;
  readonly #kind: 'request' | 'response';
  #target: BodyTarget | undefined;
  #trailers: Fields | undefined;
  /** What was written before there was a connection. */
  #early: Uint8Array[] = [];
  #unsent = 0;
  #total = 0;
  #state: 'open' | 'finished' | 'broken' = 'open';
  #failure: HttpErrorCode | undefined;

  constructor(kind: 'request' | 'response') {
    this.#kind = kind;
  }

  /** Bytes so far. */
  get totalBytes(): number {
    return this.#total;
  }

  /** Whether it may have trailers. */
  get takesTrailers(): boolean {
    return this.#kind === 'response';
  }

  get finished(): boolean {
    return this.#state === 'finished';
  }

  room(): number {
    if (this.#failure !== undefined) throw new StreamFailure(this.#failure.tag, this.#failure);
    if (this.#state !== 'open') throw STREAM_CLOSED;
    return Math.max(0, HELD_BYTES - this.#unsent);
  }

  flushed(): boolean {
    return this.#unsent === 0 || this.#target === undefined;
  }

  write(bytes: Uint8Array): void {
    const total = this.#total + bytes.length;
    if (total > Math.min(this.declaredBytes ?? MAX_BODY_BYTES, MAX_BODY_BYTES)) {
      this.fail(this.#wrongSize(total));
      this.room();
    }
    this.#total = total;
    this.#unsent += bytes.length;
    // The guest may change its memory before the bytes are sent.
    const copy = new Uint8Array(bytes);
    if (this.#target === undefined) this.#early.push(copy);
    else this.#send(copy);
  }

  /** Connects it with the message it is the body of. */
  attach(target: BodyTarget, lifetime: Lifetime): void {
    this.#target = target;
    this.lifetime = lifetime;
    for (const bytes of this.#early) this.#send(bytes);
    this.#early = [];
    if (this.#state === 'finished') target.end(this.#trailers);
    else if (this.#state === 'broken') target.destroy();
  }

  /** Ends it well. Throws the `error-code` if that is not the size that was declared. */
  finish(trailers?: Fields): void {
    if (this.#failure !== undefined) throw new WitError(this.#failure);
    if (this.declaredBytes !== undefined && this.#total !== this.declaredBytes) {
      this.fail(this.#wrongSize(this.#total));
      throw new WitError(this.#failure);
    }
    this.#state = 'finished';
    this.#trailers = trailers;
    this.#target?.end(trailers);
  }

  /** Ends it, and the request with it. */
  fail(code: HttpErrorCode): void {
    if (this.#state === 'broken') return;
    this.#state = 'broken';
    this.#failure = code;
    this.#early = [];
    this.#target?.destroy();
    this.lifetime?.changed();
  }

  #wrongSize(bytes: number): HttpErrorCode {
    return { tag: `HTTP-${this.#kind}-body-size`, val: BigInt(bytes) };
  }

  #send(bytes: Uint8Array): void {
    this.#target!.write(bytes, () => {
      this.#unsent -= bytes.length;
      this.lifetime?.changed();
    });
  }
}

/** `wasi:http/types` `outgoing-body`. */
export class OutgoingBody {
  readonly #body: SentBody;
  #written = false;

  constructor(body: SentBody) {
    this.#body = body;
  }

  write(): OutputStream {
    if (this.#written) throw new WitError(undefined);
    this.#written = true;
    return new OutputStream((bytes) => this.#body.write(bytes), this.#body);
  }

  static finish(body: OutgoingBody, trailers: Fields | undefined): void {
    const some = trailers === undefined || trailers.entries().length === 0 ? undefined : trailers;
    if (some !== undefined && !body.#body.takesTrailers) {
      // Servers differ in what they take a trailer for; one that takes it for a header could be fooled.
      const code = { tag: 'HTTP-request-trailer-section-size', val: 0 };
      body.#body.fail(code);
      throw new WitError(code);
    }
    body.#body.finish(some);
  }

  [Symbol.dispose](): void {
    if (!this.#body.finished) this.#body.fail({ tag: 'internal-error', val: 'the body was dropped before its end' });
  }
}

/** The body of a message that a guest receives. */
export interface ReceivedBody extends SourceState {
  readonly lifetime: Lifetime;
  /** Lets bytes come; until then they wait on the way. */
  start(): void;
  /** Up to so many bytes; none while there are none yet, `undefined` at the end. Throws {@link StreamFailure}. */
  read(maxBytes: number): Uint8Array | undefined;
  /** What is left of it is not wanted. */
  drop(): void;
  /** Whether it has come to its end, and how. */
  outcome(): BodyOutcome | undefined;
  /** Ends it, and what it comes from. */
  abort(code?: HttpErrorCode): void;
}

/** How the body of a message ended. */
export interface BodyOutcome {
  readonly failure: HttpErrorCode | undefined;
  readonly trailers: Fields | undefined;
}

/** The body of a response, from the connection to the guest's stream. */
export class ResponseBody implements ReceivedBody {
  readonly lifetime: Lifetime;
  readonly #message: IncomingMessage;
  readonly #betweenMs: number | undefined;
  readonly #held = new ByteQueue();
  #total = 0;
  #state: 'open' | 'ended' | 'failed' = 'open';
  #failure: HttpErrorCode | undefined;
  #reading = false;
  /** Nobody reads it any more; the rest is let pass for the sake of the trailers. */
  #dropped = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param betweenMs How long the server may send nothing while something is expected of it. */
  constructor(message: IncomingMessage, lifetime: Lifetime, betweenMs: number | undefined) {
    this.#message = message;
    this.lifetime = lifetime;
    this.#betweenMs = betweenMs;
    message.on('end', () => this.#end(message.complete ? undefined : { tag: 'HTTP-response-incomplete' }));
    message.on('error', (error) => {
      const code = httpErrorCode(error);
      this.#end(code.tag === 'connection-terminated' ? { tag: 'HTTP-response-incomplete' } : code);
    });
    message.on('close', () => this.#end({ tag: 'HTTP-response-incomplete' }));
  }

  ready(): boolean {
    return this.#held.bytes > 0 || this.#state !== 'open';
  }

  /** Lets bytes come; until then they wait on the way. */
  start(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#message.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#expect();
  }

  read(maxBytes: number): Uint8Array | undefined {
    const bytes = this.#held.take(maxBytes);
    if (bytes === undefined) {
      if (this.#failure !== undefined) throw new StreamFailure(this.#failure.tag, this.#failure);
      return this.#state === 'ended' ? undefined : new Uint8Array();
    }
    if (this.#held.bytes < HELD_BYTES && this.#message.isPaused()) {
      this.#message.resume();
      this.#expect();
    }
    return bytes;
  }

  /** What is left of it is not wanted. */
  drop(): void {
    this.#dropped = true;
    this.#held.clear();
    this.start();
    if (this.#message.isPaused()) this.#message.resume();
  }

  /** Whether it has come to its end, and how. */
  outcome(): BodyOutcome | undefined {
    if (this.#state === 'open') return undefined;
    const raw = this.#message.rawTrailers;
    return { failure: this.#failure, trailers: raw.length === 0 ? undefined : Fields.received(raw) };
  }

  /** Ends it, and its connection with it. */
  abort(code: HttpErrorCode = { tag: 'connection-terminated' }): void {
    this.#end(code);
    this.#message.destroy();
  }

  #take(chunk: Buffer): void {
    this.#total += chunk.length;
    if (this.#total > MAX_BODY_BYTES) {
      this.abort({ tag: 'HTTP-response-body-size', val: BigInt(this.#total) });
      return;
    }
    if (!this.#dropped) {
      this.#held.push(chunk);
      if (this.#held.bytes >= HELD_BYTES) this.#message.pause();
    }
    this.#expect();
    this.lifetime.changed();
  }

  #expect(): void {
    clearTimeout(this.#timer);
    if (this.#betweenMs === undefined || this.#state !== 'open' || this.#message.isPaused()) return;
    this.#timer = setTimeout(() => this.abort({ tag: 'connection-read-timeout' }), this.#betweenMs);
  }

  #end(failure: HttpErrorCode | undefined): void {
    if (this.#state !== 'open') return;
    this.#state = failure === undefined ? 'ended' : 'failed';
    this.#failure = failure;
    clearTimeout(this.#timer);
    this.lifetime.changed();
  }
}

/** `wasi:http/types` `incoming-body`. */
export class IncomingBody {
  readonly #body: ReceivedBody;
  #taken = false;
  #finished = false;

  constructor(body: ReceivedBody) {
    this.#body = body;
  }

  stream(): InputStream {
    if (this.#taken) throw new WitError(undefined);
    this.#taken = true;
    this.#body.start();
    return new InputStream((maxBytes) => this.#body.read(maxBytes), this.#body);
  }

  static finish(body: IncomingBody): FutureTrailers {
    body.#finished = true;
    body.#body.drop();
    return new FutureTrailers(body.#body);
  }

  [Symbol.dispose](): void {
    if (!this.#finished) this.#body.abort();
  }
}

/** `wasi:http/types` `future-trailers`. */
export class FutureTrailers {
  readonly #body: ReceivedBody;
  #given = false;

  constructor(body: ReceivedBody) {
    this.#body = body;
  }

  subscribe(): Pollable {
    const body = this.#body;
    return new Pollable({ lifetime: body.lifetime, ready: () => body.outcome() !== undefined });
  }

  get(): object | undefined {
    const outcome = this.#body.outcome();
    if (outcome === undefined) return undefined;
    if (this.#given) return { tag: 'err', val: undefined };
    this.#given = true;
    const { failure, trailers } = outcome;
    return { tag: 'ok', val: failure === undefined ? { tag: 'ok', val: trailers } : { tag: 'err', val: failure } };
  }

  [Symbol.dispose](): void {
    this.#body.abort();
  }
}
