import type { Lifetime } from '../wasi/poll.ts';
import { StreamFailure } from '../wasi/io.ts';
import { ByteQueue } from '../wasi/network/byte-queue.ts';
import { HELD_BYTES, MAX_BODY_BYTES, type BodyOutcome, type BodyTarget, type ReceivedBody } from '../wasi/network/http-bodies.ts';
import type { HttpErrorCode } from '../wasi/network/http-errors.ts';
import { Fields, type WireFields } from '../wasi/network/http-fields.ts';

/** Bodies of `wrpc:http`: a stream of bytes, and trailers after it. */

/** What a message has of its body. */
export interface WireBody {
  readonly body: AsyncIterable<unknown>;
  readonly trailers: PromiseLike<WireFields | undefined>;
}

/** A body that comes along a link, for the guest's stream: holds a little, and takes no more until that has been read. */
export class BodyFromWire implements ReceivedBody {
  readonly lifetime: Lifetime;
  readonly #iterator: AsyncIterator<unknown>;
  readonly #trailers: PromiseLike<WireFields | undefined>;
  readonly #held = new ByteQueue();
  #total = 0;
  #state: 'open' | 'ended' | 'failed' = 'open';
  #failure: HttpErrorCode | undefined;
  #outcome: BodyOutcome | undefined;
  #started = false;
  #dropped = false;
  #resume: (() => void) | undefined;

  constructor({ body, trailers }: WireBody, lifetime: Lifetime) {
    this.lifetime = lifetime;
    this.#iterator = body[Symbol.asyncIterator]();
    this.#trailers = trailers;
  }

  ready(): boolean {
    return this.#held.bytes > 0 || this.#state !== 'open';
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#take().then(
      () => this.#end(undefined),
      () => this.#end({ tag: 'connection-terminated' }),
    );
  }

  read(maxBytes: number): Uint8Array | undefined {
    const bytes = this.#held.take(maxBytes);
    if (this.#held.bytes < HELD_BYTES) this.#resume?.();
    if (bytes !== undefined) return bytes;
    if (this.#failure !== undefined) throw new StreamFailure(this.#failure.tag, this.#failure);
    return this.#state === 'ended' ? undefined : new Uint8Array();
  }

  drop(): void {
    this.#dropped = true;
    this.#held.clear();
    this.start();
    this.#resume?.();
  }

  outcome(): BodyOutcome | undefined {
    return this.#outcome;
  }

  abort(code: HttpErrorCode = { tag: 'connection-terminated' }): void {
    this.#end(code);
    this.#resume?.();
    // Nobody waits for what its end comes to.
    void Promise.resolve(this.#iterator.return?.()).catch(() => {});
  }

  async #take(): Promise<void> {
    while (this.#state === 'open') {
      const { value, done } = await this.#iterator.next();
      if (done === true) return;
      const chunk = value as Uint8Array;
      this.#total += chunk.length;
      if (this.#total > MAX_BODY_BYTES) throw new Error('the body is too large');
      if (!this.#dropped) this.#held.push(chunk);
      this.lifetime.changed();
      if (this.#held.bytes >= HELD_BYTES) await new Promise<void>((resolve) => (this.#resume = resolve));
    }
  }

  #end(failure: HttpErrorCode | undefined): void {
    if (this.#state !== 'open') return;
    this.#state = failure === undefined ? 'ended' : 'failed';
    this.#failure = failure;
    this.lifetime.changed();
    if (failure !== undefined) {
      this.#outcome = { failure, trailers: undefined };
      return;
    }
    const settle = (outcome: BodyOutcome): void => {
      this.#outcome = outcome;
      this.lifetime.changed();
    };
    this.#trailers.then(
      (trailers) => settle({ failure: undefined, trailers: trailers === undefined ? undefined : Fields.ofWire(trailers) }),
      () => settle({ failure: { tag: 'connection-terminated' }, trailers: undefined }),
    );
  }
}

/** A body that a guest writes, for the link: asked for piece by piece, and each piece counts as held until then. */
export class BodyToWire implements BodyTarget, WireBody {
  readonly body: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => this.#pieces() };
  readonly trailers: Promise<WireFields | undefined>;
  readonly #settle: PromiseWithResolvers<WireFields | undefined>;
  readonly #queue: [bytes: Uint8Array, taken: () => void][] = [];
  #state: 'open' | 'ended' | 'broken' = 'open';
  #wake: (() => void) | undefined;

  constructor() {
    this.#settle = Promise.withResolvers();
    this.trailers = this.#settle.promise;
    // A body that breaks off says so itself.
    this.trailers.catch(() => {});
  }

  write(bytes: Uint8Array, taken: () => void): void {
    this.#queue.push([bytes, taken]);
    this.#wake?.();
  }

  end(trailers?: Fields): void {
    if (this.#state === 'open') this.#state = 'ended';
    this.#settle.resolve(trailers === undefined ? undefined : Fields.toWire(trailers));
    this.#wake?.();
  }

  destroy(): void {
    this.#state = 'broken';
    this.#settle.reject(new Error('the body was broken off'));
    this.#wake?.();
  }

  async *#pieces(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      if (this.#state === 'broken') throw new Error('the body was broken off');
      const next = this.#queue.shift();
      if (next !== undefined) {
        next[1]();
        yield next[0];
      } else if (this.#state === 'ended') return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
