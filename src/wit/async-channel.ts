/** The bytes of one index path, and the streams and futures that read them. */
import { ByteQueue } from './byte-queue.ts';
import type { AsyncSource, Decoder } from './decode.ts';
import { isNumeric, NUMERIC_ARRAYS, type NumericArray } from './js-shapes.ts';
import type { WitType } from './types.ts';
import { ValueReader, WireFault } from './value-reader.ts';

/** Most elements handed over at once. */
const MAX_BATCH = 65_536;
/** A value may be tried again with each message until this many times its bytes were read; from then on it has to grow first. */
const RETRY_FACTOR = 32;

/** What a channel tells its owner. */
export interface ChannelOwner {
  /** The content is broken: the whole set of values is. */
  fault(reason: string): void;
  /** Bytes left the buffer. */
  released(bytes: number): void;
  /** Makes the values found inside the content of `channel` at nesting `level`. */
  nested(channel: Channel, level: number): AsyncSource;
}

/** Reads one stream or future from a channel. */
export interface Consumer {
  /** Reads what it can. True when it is done and the next consumer of the path may read. */
  advance(): boolean;
  /** No more content will come. */
  fault(reason: string): void;
}

/** One index path. Pending inside pending shares a path: its consumers take turns, outermost first. */
export class Channel {
  readonly path: readonly number[];
  readonly #owner: ChannelOwner;
  readonly #queue = new ByteQueue();
  readonly consumers: Consumer[] = [];
  #active = 0;
  #ended = false;
  #dropped = false;
  #received = 0;
  #spent = 0;
  #needed = 0;

  constructor(path: readonly number[], owner: ChannelOwner) {
    this.path = path;
    this.#owner = owner;
  }

  get atEnd(): boolean {
    return this.#ended && this.#queue.length === 0;
  }

  get length(): number {
    return this.#queue.length;
  }

  /** Takes bytes and returns how many are now held more. */
  push(bytes: Uint8Array, end: boolean): number {
    if (end) this.#ended = true;
    const taken = this.#dropped ? 0 : bytes.length;
    if (taken > 0) {
      this.#queue.push(bytes);
      this.#received += taken;
    }
    return taken;
  }

  /** Lets the consumers read, in turn. */
  advance(): void {
    while (this.consumers[this.#active]?.advance() === true) this.#active++;
  }

  isActive(consumer: Consumer): boolean {
    return this.consumers[this.#active] === consumer;
  }

  /** Nobody reads here any more: what is there and what comes is dropped. */
  drop(): void {
    this.#dropped = true;
    this.#owner.released(this.#queue.length);
    this.#queue.clear();
  }

  /** Reads one thing, or gives `undefined` when more bytes are needed. Faults go to the owner. */
  read<T>(
    path: readonly number[],
    level: number,
    read: (reader: ValueReader, source: AsyncSource) => T,
  ): { value: T } | undefined {
    const { length } = this.#queue;
    if (length < this.#needed && !this.#ended) return undefined;
    const reader = new ValueReader(this.#queue.view(), path, true);
    try {
      const value = read(reader, this.#owner.nested(this, level));
      this.#queue.consume(reader.pos);
      this.#owner.released(reader.pos);
      this.#needed = 0;
      return { value };
    } catch (error) {
      const waits = error instanceof WireFault && error.incomplete;
      if (waits && !this.#ended) {
        this.#spent += length;
        const grown = this.#spent > RETRY_FACTOR * this.#received + MAX_BATCH ? length * 1.25 : length + 1;
        this.#needed = Math.max(error.need, grown);
      } else {
        this.#owner.fault(
          waits ? 'it ends in the middle of a value' : error instanceof Error ? error.message : 'a value was refused',
        );
      }
      return undefined;
    }
  }
}

/** Reads the value of a future. */
export class FutureConsumer implements Consumer {
  readonly promise: Promise<unknown>;
  readonly #channel: Channel;
  readonly #level: number;
  readonly #decode: Decoder | null;
  #resolve!: (value: unknown) => void;
  #reject!: (error: Error) => void;
  readonly #silent: boolean;

  /** `decode` is `null` for a future without type, which resolves when its path ends. `silent`: a fault leaves it unsettled. */
  constructor(channel: Channel, level: number, decode: Decoder | null, silent: boolean) {
    this.#channel = channel;
    this.#level = level;
    this.#decode = decode;
    this.#silent = silent;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.promise.catch(() => {}); // nobody has to wait for it
  }

  advance(): boolean {
    const decode = this.#decode;
    if (decode === null) {
      if (this.#channel.atEnd) this.#resolve(undefined);
      return this.#channel.atEnd;
    }
    const read = this.#channel.read(this.#channel.path, this.#level, decode);
    if (read !== undefined) this.#resolve(read.value);
    return read !== undefined;
  }

  fault(reason: string): void {
    if (!this.#silent) this.#reject(new Error(reason));
  }
}

interface Waiting {
  readonly resolve: (step: IteratorResult<unknown, undefined>) => void;
  readonly reject: (error: Error) => void;
}

const DONE: IteratorResult<unknown, undefined> = { value: undefined, done: true };

/**
 * Reads a stream: chunks, each a list, until an empty list or the end of the path. Elements are decoded when somebody asks
 * for them. Numeric elements come in typed arrays, others one by one.
 */
export class StreamConsumer implements Consumer, AsyncIterableIterator<unknown, undefined> {
  readonly #channel: Channel;
  readonly #type: WitType | null;
  readonly #decode: Decoder;
  readonly #silent: boolean;
  readonly #waiting: Waiting[] = [];
  /** Elements still to come in this chunk. */
  #left = 0;
  /** Elements read so far; the position of the next one. */
  #count = 0;
  #state: 'open' | 'done' | 'broken' = 'open';
  #reason = '';

  constructor(channel: Channel, type: WitType | null, decode: Decoder, silent: boolean) {
    this.#channel = channel;
    this.#type = type;
    this.#decode = decode;
    this.#silent = silent;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (this.#channel.isActive(this)) this.#channel.advance();
      else this.#settle();
    });
  }

  return(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#state === 'open') this.#state = 'done';
    this.#channel.drop();
    this.#settle();
    return Promise.resolve(DONE);
  }

  advance(): boolean {
    while (this.#waiting.length > 0 && this.#state === 'open') {
      const step = this.#step();
      if (step === undefined) break;
      this.#waiting.shift()!.resolve(step);
    }
    this.#settle();
    return false; // nothing else can share the path of a stream
  }

  fault(reason: string): void {
    if (this.#state !== 'open') return;
    this.#state = 'broken';
    this.#reason = reason;
    this.#settle();
  }

  #settle(): void {
    if (this.#state === 'open') return;
    for (const waiting of this.#waiting.splice(0)) {
      if (this.#state === 'done') waiting.resolve(DONE);
      else if (!this.#silent) waiting.reject(new Error(this.#reason));
    }
  }

  #step(): IteratorResult<unknown, undefined> | undefined {
    const channel = this.#channel;
    if (this.#left === 0) {
      if (channel.atEnd) return this.#finish();
      const header = channel.read(channel.path, 0, (reader) => {
        const count = reader.u32();
        if (this.#type === null && count > MAX_BATCH) reader.fail('a chunk of empty elements is too long');
        return count;
      });
      if (header === undefined) return undefined;
      if (header.value === 0) return this.#finish();
      this.#left = header.value;
    }
    const kind = this.#type?.kind ?? '';
    const read = isNumeric(kind)
      ? channel.read(channel.path, 0, (reader, source) => this.#numbers(reader, source, new NUMERIC_ARRAYS[kind](this.#room())))
      : channel.read([...channel.path, this.#count], 0, (reader, source) => [this.#decode(reader, source)]);
    if (read === undefined) return undefined;
    this.#left -= read.value.length;
    this.#count += read.value.length;
    return { value: isNumeric(kind) ? read.value : this.#type === null ? undefined : read.value[0], done: false };
  }

  #room(): number {
    return Math.min(this.#left, Math.max(this.#channel.length, 1), MAX_BATCH);
  }

  // As many elements as are complete; at least one, or the fault of the first.
  #numbers(reader: ValueReader, source: AsyncSource, out: NumericArray): NumericArray {
    if (out instanceof Uint8Array) return reader.raw(Math.max(Math.min(out.length, reader.end), 1));
    for (let i = 0; i < out.length; i++) {
      const start = reader.pos;
      try {
        out[i] = this.#decode(reader, source) as never;
      } catch (error) {
        if (i === 0 || !(error instanceof WireFault) || !error.incomplete) throw error;
        reader.pos = start;
        return out.slice(0, i);
      }
    }
    return out;
  }

  #finish(): IteratorResult<unknown, undefined> {
    this.#state = 'done';
    this.#channel.drop();
    return DONE;
  }
}
