import type { Instance } from './instances.ts';

/** Bytes of a handle. Nobody who was not given one can guess it. */
const HANDLE_BYTES = 16;
/** Handles that are remembered; nothing on the wire says that one is not needed any more, so the oldest goes. */
const MAX_HANDLES = 65_536;

/** The wire form of a resource of another component, kept in the object that stands for it here. */
const FOREIGN = Symbol('trellis.handle');

/** An object for a resource of another component; `prototype` is that of the class its component was given. */
export function foreignResource(prototype: object, handle: Uint8Array): object {
  return Object.defineProperty(Object.create(prototype) as object, FOREIGN, { value: handle.slice() });
}

interface Entry {
  readonly instance: Instance;
  readonly value: object;
}

/**
 * The resources that guests here have handed out (wRPC over NATS, resources): opaque bytes on the wire, an object of one
 * instance here. A handle lives as long as its instance: under `fresh`, no longer than the call that made it.
 */
export class Handles {
  readonly #entries = new Map<string, Entry>();
  /** The instance whose values are being encoded. */
  giver: Instance | undefined;
  /** The instance that the handles decoded so far belong to, and those of them that are handed over. */
  #owner: Instance | undefined;
  readonly #taken = new Set<string>();

  /** The handle of a resource: a new one for a guest's own, the one it came with for a foreign one. */
  encode(value: unknown): Uint8Array {
    if (typeof value !== 'object' || value === null) throw new TypeError('expected a resource');
    const foreign = (value as { [FOREIGN]?: Uint8Array })[FOREIGN];
    if (foreign !== undefined) return foreign;
    const instance = this.giver;
    if (instance === undefined) throw new TypeError('a resource cannot be sent in a stream or future');
    // The global one is loaded when it is first used, which most runners never do.
    const bytes = crypto.getRandomValues(Buffer.alloc(HANDLE_BYTES));
    const key = bytes.toString('latin1');
    this.#entries.set(key, { instance, value });
    instance.handles.add(key);
    if (this.#entries.size > MAX_HANDLES) this.#forgetOldest();
    return bytes;
  }

  /** The resource of a handle. Throws if there is none. Follow up with {@link accept}. */
  decode(kind: 'own' | 'borrow', bytes: Uint8Array): object {
    const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#taken.has(key)) throw new Error('a handle is not, or no longer, known here');
    if (this.#owner !== undefined && this.#owner !== entry.instance) throw new Error('handles of two instances in one call');
    this.#owner = entry.instance;
    if (kind === 'own') this.#taken.add(key);
    return entry.value;
  }

  /**
   * Ends the decoding of one set of parameters: with `ok`, handles of `own` parameters are gone from here on. Gives the
   * instance that all of them belong to.
   */
  accept(ok: boolean): Instance | undefined {
    const owner = this.#owner;
    if (ok && owner !== undefined) {
      for (const key of this.#taken) {
        this.#entries.delete(key);
        owner.handles.delete(key);
      }
    }
    this.#taken.clear();
    this.#owner = undefined;
    return owner;
  }

  /** Forgets the handles of an instance that is gone. */
  drop(instance: Instance): void {
    for (const key of instance.handles) this.#entries.delete(key);
    instance.handles.clear();
  }

  #forgetOldest(): void {
    for (const [key, { instance }] of this.#entries) {
      this.#entries.delete(key);
      instance.handles.delete(key);
      return;
    }
  }
}
