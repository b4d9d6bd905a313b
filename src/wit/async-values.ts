import { Channel, FutureConsumer, StreamConsumer, type ChannelOwner } from './async-channel.ts';
import type { AsyncContent, AsyncSource } from './decode.ts';
import { ReadyStream } from './js-shapes.ts';
import type { WitType } from './types.ts';

/** Limits and ways of {@link AsyncValues}. */
export interface AsyncValuesOptions {
  /** Most bytes held for readers that are slower than the network, all paths together. Default 8 MiB. */
  readonly maxBufferedBytes?: number;
  /** Most paths that may have content. Default 1,024. */
  readonly maxPaths?: number;
  /**
   * Called once when content is broken, truncated or too much. With it, the readers of the values wait for ever instead of
   * failing: jco has guests that hang, and processes that stop, when a stream given to a guest throws. End the call then.
   */
  readonly onFault?: (reason: string) => void;
}

/**
 * The streams and futures of one value set (the parameters, or the result, of one call) on the receiving side: give it to the
 * decoder as its source, and push what arrives on the index paths, in any order, also before the root is decoded.
 *
 * A stream is an async iterator (numeric elements in typed arrays, others one by one; `return()` drops the rest), a future a
 * promise. A path that ends inside a value, or inside a chunk, is a fault, never a short success; the empty message alone
 * is a good end of a stream (wRPC over NATS, end markers).
 */
export class AsyncValues implements AsyncSource {
  readonly #options: AsyncValuesOptions;
  readonly #channels = new Map<string, Channel>();
  readonly #values = new Map<string, unknown>();
  readonly #owner: ChannelOwner;
  #buffered = 0;
  #reason: string | undefined;

  constructor(options: AsyncValuesOptions = {}) {
    this.#options = options;
    this.#owner = {
      fault: (reason) => this.fail(reason),
      released: (bytes) => {
        this.#buffered -= bytes;
      },
      nested: (channel, level) => this.#sourceInside(channel, level),
    };
  }

  /** Bytes that arrived and nobody has read. */
  get bufferedBytes(): number {
    return this.#buffered;
  }

  /**
   * Takes content. `path` is the index path without leading dot (`0.1`); `end` says that nothing follows on it. The bytes are
   * copied. False when the values have failed, also by this push: the call cannot succeed any more.
   */
  push(path: string, bytes: Uint8Array, end: boolean): boolean {
    if (this.#reason !== undefined) return false;
    const channel = this.#channel(path);
    if (channel === undefined) return false;
    this.#buffered += channel.push(bytes, end);
    channel.advance();
    if (this.#buffered > (this.#options.maxBufferedBytes ?? 8 * 1024 * 1024)) this.fail('a stream is read too slowly');
    return this.#reason === undefined;
  }

  /** Ends every open stream and future with an error: the caller went away, or the time is over. */
  fail(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    for (const channel of this.#channels.values()) {
      for (const consumer of channel.consumers) consumer.fault(reason);
      channel.drop();
    }
    this.#options.onFault?.(reason);
  }

  /** Implements {@link AsyncSource}. */
  stream(path: readonly number[], type: WitType | null, content: AsyncContent): unknown {
    return this.#value(path, 0, 'stream', type, content);
  }

  /** Implements {@link AsyncSource}. */
  future(path: readonly number[], type: WitType | null, content: AsyncContent): unknown {
    return this.#value(path, 0, 'future', type, content);
  }

  #channel(path: string): Channel | undefined {
    let channel = this.#channels.get(path);
    if (channel === undefined) {
      if (!/^[0-9]{1,10}(?:\.[0-9]{1,10}){0,63}$/.test(path)) return this.#refuse('content on a path that is none');
      if (this.#channels.size >= (this.#options.maxPaths ?? 1024)) return this.#refuse('content on too many paths');
      channel = new Channel(path.split('.').map(Number), this.#owner);
      this.#channels.set(path, channel);
    }
    return channel;
  }

  #refuse(reason: string): undefined {
    this.fail(reason);
    return undefined;
  }

  #sourceInside(channel: Channel, level: number): AsyncSource {
    // Same path: the value follows the one it was found in. Longer path: it has a path of its own.
    const levelAt = (path: readonly number[]): number => (path.length === channel.path.length ? level + 1 : 0);
    return {
      stream: (path, type, content) => this.#value(path, levelAt(path), 'stream', type, content),
      future: (path, type, content) => this.#value(path, levelAt(path), 'future', type, content),
    };
  }

  #value(
    path: readonly number[],
    level: number,
    kind: 'stream' | 'future',
    type: WitType | null,
    content: AsyncContent,
  ): unknown {
    if (content.inline !== undefined) {
      return kind === 'stream' ? new ReadyStream(content.inline.value as unknown[]) : Promise.resolve(content.inline.value);
    }
    const where = path.join('.');
    const key = `${where}#${level}`;
    const known = this.#values.get(key);
    if (known !== undefined) return known;
    const channel = this.#channel(where);
    if (channel === undefined) throw new Error('too many streams and futures');
    const silent = this.#options.onFault !== undefined;
    const consumer =
      kind === 'stream'
        ? new StreamConsumer(channel, type, content.decode, silent)
        : new FutureConsumer(channel, level, type === null ? null : content.decode, silent);
    channel.consumers[level] = consumer;
    const value = consumer instanceof StreamConsumer ? consumer : consumer.promise;
    this.#values.set(key, value);
    if (this.#reason !== undefined) consumer.fault(this.#reason);
    // A future reads at once; a consumer found inside another one is reached when that one is done.
    else if (channel.isActive(consumer)) channel.advance();
    return value;
  }
}
