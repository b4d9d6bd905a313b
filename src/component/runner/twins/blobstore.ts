import { BLOBSTORE, OLD_BLOBSTORE } from '../../../wit/wire/blobstore.ts';
import { ImportFailed } from '../import-failed.ts';
import { InputStream, OutputStream, StreamFailure } from '../wasi/io.ts';
import type { Lifetime } from '../wasi/poll.ts';
import { WitError } from '../wasi/wit-error.ts';
import { BodyFromWire } from './http-bodies.ts';
import type { WireCalls } from './twins.ts';

/** `wasi:blobstore` for guests, over `wrpc:blobstore`: a container is its name, what is written is sent when it is whole. */

/** Bytes of an object that a guest writes, or takes in one piece. Larger ones are read as streams. */
const MAX_OBJECT_BYTES = 16 * 1024 * 1024;

type Done = { readonly tag: 'ok' } | { readonly tag: 'err'; readonly val: string };
/** A stream of version 0.2.0, and whether it came to its end. */
type Checked = readonly [stream: AsyncIterable<unknown>, done: PromiseLike<Done>];

const refuse = (reason: string): never => {
  throw new WitError(reason) as unknown as Error;
};

/** The version that answered last in this process, and so is asked first: to find that nobody serves the other takes time. */
let oldFirst = false;

/** Calls of one instance, in whichever version there is. */
class Blobs {
  readonly #wire: WireCalls;
  readonly lifetime: Lifetime;

  constructor(wire: WireCalls, lifetime: Lifetime) {
    this.#wire = wire;
    this.lifetime = lifetime;
  }

  /** Calls a function that is the same in both versions. */
  async call(func: string, ...values: readonly unknown[]): Promise<unknown> {
    return (await this.#either(func, values)).value;
  }

  /** Calls one that gives a stream: its elements, and a failure where it is not whole. */
  async opened(func: string, ...values: readonly unknown[]): Promise<AsyncIterable<unknown>> {
    const { value, old } = await this.#either(func, values);
    return old ? (value as AsyncIterable<unknown>) : whole(value as Checked);
  }

  async write(id: object, data: Uint8Array): Promise<void> {
    const { value, old } = await this.#either('write-container-data', [id, data]);
    if (old) return;
    const done = await (value as PromiseLike<Done>);
    if (done.tag === 'err') refuse(done.val);
  }

  async #either(func: string, values: readonly unknown[]): Promise<{ value: unknown; old: boolean }> {
    const first = oldFirst;
    try {
      return { value: await this.#wire(nameOf(first), func, values), old: first };
    } catch (error) {
      if (!(error instanceof ImportFailed) || error.code !== 'TRELLIS_INVOKE_NO_RESPONDERS') throw error;
    }
    const value = await this.#wire(nameOf(!first), func, values);
    oldFirst = !first;
    return { value, old: !first };
  }
}

const nameOf = (old: boolean): string => (old ? OLD_BLOBSTORE : BLOBSTORE).name;

async function* whole([stream, done]: Checked): AsyncGenerator<unknown, void, undefined> {
  yield* stream;
  const end = await done;
  if (end.tag === 'err') throw new Error(end.val);
}

interface ObjectInfo {
  readonly createdAt: bigint;
  readonly size: bigint;
}

/** `wasi:blobstore/container` `container`. */
class Container {
  readonly #blobs: Blobs;
  readonly #name: string;

  constructor(blobs: Blobs, name: string) {
    this.#blobs = blobs;
    this.#name = name;
  }

  name(): string {
    return this.#name;
  }

  async info(): Promise<object> {
    const info = (await this.#blobs.call('get-container-info', this.#name)) as { createdAt: bigint };
    return { name: this.#name, createdAt: info.createdAt };
  }

  async getData(object: string, start: bigint, end: bigint): Promise<IncomingValue> {
    const stream = await this.#blobs.opened('get-container-data', this.#id(object), start, end);
    const size = async (): Promise<bigint> => {
      const { size: all } = (await this.#blobs.call('get-object-info', this.#id(object))) as ObjectInfo;
      // Both ends belong to what was asked for.
      const last = end < all ? end : all - 1n;
      return last < start ? 0n : last - start + 1n;
    };
    return new IncomingValue(stream, size, this.#blobs.lifetime);
  }

  writeData(object: string, value: OutgoingValue): Promise<void> {
    return this.#blobs.write(this.#id(object), OutgoingValue.bytes(value));
  }

  async listObjects(): Promise<StreamObjectNames> {
    const names = await this.#blobs.opened('list-container-objects', this.#name, undefined, undefined);
    return new StreamObjectNames(names as AsyncIterable<string>);
  }

  deleteObject(object: string): Promise<unknown> {
    return this.#blobs.call('delete-object', this.#id(object));
  }

  deleteObjects(objects: readonly string[]): Promise<unknown> {
    return this.#blobs.call('delete-objects', this.#name, objects);
  }

  hasObject(object: string): Promise<unknown> {
    return this.#blobs.call('has-object', this.#id(object));
  }

  async objectInfo(object: string): Promise<object> {
    const { createdAt, size } = (await this.#blobs.call('get-object-info', this.#id(object))) as ObjectInfo;
    return { name: object, container: this.#name, createdAt, size };
  }

  clear(): Promise<unknown> {
    return this.#blobs.call('clear-container', this.#name);
  }

  #id(object: string): object {
    return { container: this.#name, object };
  }
}

/** `wasi:blobstore/container` `stream-object-names`. */
class StreamObjectNames {
  readonly #names: AsyncIterator<string>;

  constructor(names: AsyncIterable<string>) {
    this.#names = names[Symbol.asyncIterator]();
  }

  async readStreamObjectNames(count: bigint): Promise<[string[], boolean]> {
    const names: string[] = [];
    const atEnd = await this.#take(count, (name) => names.push(name));
    return [names, atEnd];
  }

  async skipStreamObjectNames(count: bigint): Promise<[bigint, boolean]> {
    let skipped = 0n;
    const atEnd = await this.#take(count, () => skipped++);
    return [skipped, atEnd];
  }

  async #take(count: bigint, name: (name: string) => unknown): Promise<boolean> {
    for (let taken = 0n; taken < count; taken++) {
      const { value, done } = await this.#names.next().catch(told);
      if (done === true) return true;
      name(value);
    }
    return false;
  }
}

/** What a stream failed with, as the error of the function that read it. */
const told = (error: unknown): never => refuse(error instanceof Error ? error.message : 'the stream failed');

/** `wasi:blobstore/types` `outgoing-value`. */
class OutgoingValue {
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  #taken = false;

  static newOutgoingValue(): OutgoingValue {
    return new OutgoingValue();
  }

  outgoingValueWriteBody(): OutputStream {
    if (this.#taken) throw new WitError(undefined);
    this.#taken = true;
    return new OutputStream((bytes) => {
      this.#bytes += bytes.length;
      if (this.#bytes > MAX_OBJECT_BYTES) throw new StreamFailure(`an object of more than ${MAX_OBJECT_BYTES} bytes`);
      // The guest may change its memory before they are sent.
      this.#chunks.push(new Uint8Array(bytes));
    });
  }

  static finish(_value: OutgoingValue): void {}

  /** What has been written so far. */
  static bytes(value: OutgoingValue): Uint8Array {
    return Buffer.concat(value.#chunks);
  }
}

/** `wasi:blobstore/types` `incoming-value`. */
class IncomingValue {
  readonly #stream: AsyncIterable<unknown>;
  readonly #size: () => Promise<bigint>;
  readonly #lifetime: Lifetime;

  constructor(stream: AsyncIterable<unknown>, size: () => Promise<bigint>, lifetime: Lifetime) {
    this.#stream = stream;
    this.#size = size;
    this.#lifetime = lifetime;
  }

  static async incomingValueConsumeSync(value: IncomingValue): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const chunk of value.#stream as AsyncIterable<Uint8Array>) {
        bytes += chunk.length;
        if (bytes > MAX_OBJECT_BYTES) throw new Error(`more than ${MAX_OBJECT_BYTES} bytes; read them as a stream`);
        chunks.push(chunk);
      }
    } catch (error) {
      told(error);
    }
    return Buffer.concat(chunks);
  }

  static incomingValueConsumeAsync(value: IncomingValue): InputStream {
    const body = new BodyFromWire({ body: value.#stream, trailers: Promise.resolve(undefined) }, value.#lifetime);
    body.start();
    return new InputStream((maxBytes) => body.read(maxBytes), body);
  }

  size(): Promise<bigint> {
    return this.#size();
  }
}

/** Returns what a guest imports of `wasi:blobstore`. */
export function createBlobstore(wire: WireCalls, lifetime: Lifetime): Record<string, object> {
  const blobs = new Blobs(wire, lifetime);
  const container = (name: string): Container => new Container(blobs, name);
  return {
    'wasi:blobstore/blobstore@0.2.0-draft': {
      createContainer: (name: string) => blobs.call('create-container', name).then(() => container(name)),
      getContainer: async (name: string) => {
        if ((await blobs.call('container-exists', name)) !== true) refuse('container does not exist');
        return container(name);
      },
      deleteContainer: (name: string) => blobs.call('delete-container', name),
      containerExists: (name: string) => blobs.call('container-exists', name),
      copyObject: (src: object, dest: object) => blobs.call('copy-object', src, dest),
      moveObject: (src: object, dest: object) => blobs.call('move-object', src, dest),
    },
    'wasi:blobstore/container@0.2.0-draft': { Container, StreamObjectNames },
    'wasi:blobstore/types@0.2.0-draft': { IncomingValue, OutgoingValue },
  };
}
