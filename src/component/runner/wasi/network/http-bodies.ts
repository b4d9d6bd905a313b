import type { ClientRequest, IncomingMessage } from 'node:http';
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

/** The body of a request, from the guest's stream to the connection, which may come later. */
export class RequestBody implements SinkState {
  lifetime: Lifetime | undefined;
  /** The value of `content-length`; no other size is sent then. */
  declaredBytes: number | undefined;
  #request: ClientRequest | undefined;
  /** What was written before there was a connection. */
  #early: Uint8Array[] = [];
  #unsent = 0;
  #total = 0;
  #state: 'open' | 'finished' | 'broken' = 'open';
  #failure: HttpErrorCode | undefined;

  /** Bytes so far. */
  get totalBytes(): number {
    return this.#total;
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
    return this.#unsent === 0 || this.#request === undefined;
  }

  write(bytes: Uint8Array): void {
    const total = this.#total + bytes.length;
    if (total > Math.min(this.declaredBytes ?? MAX_BODY_BYTES, MAX_BODY_BYTES)) {
      this.fail({ tag: 'HTTP-request-body-size', val: BigInt(total) });
      this.room();
    }
    this.#total = total;
    this.#unsent += bytes.length;
    // The guest may change its memory before the bytes are sent.
    const copy = new Uint8Array(bytes);
    if (this.#request === undefined) this.#early.push(copy);
    else this.#send(copy);
  }

  /** Connects it with the request it is the body of. */
  attach(request: ClientRequest, lifetime: Lifetime): void {
    this.#request = request;
    this.lifetime = lifetime;
    for (const bytes of this.#early) this.#send(bytes);
    this.#early = [];
    if (this.#state === 'finished') request.end();
    else if (this.#state === 'broken') request.destroy();
  }

  /** Ends it well. Throws the `error-code` if that is not the size that was declared. */
  finish(): void {
    if (this.#failure !== undefined) throw new WitError(this.#failure);
    if (this.declaredBytes !== undefined && this.#total !== this.declaredBytes) {
      this.fail({ tag: 'HTTP-request-body-size', val: BigInt(this.#total) });
      throw new WitError(this.#failure);
    }
    this.#state = 'finished';
    this.#request?.end();
  }

  /** Ends it, and the request with it. */
  fail(code: HttpErrorCode): void {
    if (this.#state === 'broken') return;
    this.#state = 'broken';
    this.#failure = code;
    this.#early = [];
    this.#request?.destroy();
    this.lifetime?.changed();
  }

  #send(bytes: Uint8Array): void {
    this.#request!.write(bytes, () => {
      this.#unsent -= bytes.length;
      this.lifetime?.changed();
    });
  }
}

/** `wasi:http/types` `outgoing-body`. */
export class OutgoingBody {
  readonly #body: RequestBody;
  #written = false;

  constructor(body: RequestBody) {
    this.#body = body;
  }

  write(): OutputStream {
    if (this.#written) throw new WitError(undefined);
    this.#written = true;
    return new OutputStream((bytes) => this.#body.write(bytes), this.#body);
  }

  static finish(body: OutgoingBody, trailers: Fields | undefined): void {
    if (trailers !== undefined && trailers.entries().length > 0) {
      // Servers differ in what they take a trailer for; one that takes it for a header could be fooled.
      const code = { tag: 'HTTP-request-trailer-section-size', val: 0 };
      body.#body.fail(code);
      throw new WitError(code);
    }
    body.#body.finish();
  }

  [Symbol.dispose](): void {
    if (!this.#body.finished) this.#body.fail({ tag: 'internal-error', val: 'the request body was dropped before its end' });
  }
}

/** The body of a response, from the connection to the guest's stream. */
export class ResponseBody implements SourceState {
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
  outcome(): { readonly failure: HttpErrorCode | undefined; readonly trailers: Fields | undefined } | undefined {
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
  readonly #body: ResponseBody;
  #taken = false;
  #finished = false;

  constructor(body: ResponseBody) {
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
  readonly #body: ResponseBody;
  #given = false;

  constructor(body: ResponseBody) {
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
