import { WitError } from '../wit-error.ts';

/**
 * `wasi:http` `fields`. A name is a token and a value has no byte that ends a line, or it never gets in: what a guest says
 * in a header stays in that header.
 */

/** Fields of one message: names and values together, bytes. A guest that collects more than this traps. */
export const MAX_FIELDS_BYTES = 65_536;
/** What each field costs beside its name and value, so that empty ones are not for nothing. */
const FIELD_OVERHEAD_BYTES = 32;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** True if `text` is a token of HTTP: a method or the name of a field. */
export function isToken(text: string): boolean {
  return text.length <= 256 && TOKEN.test(text);
}

/**
 * What says where a message begins and ends, which connection it takes and who it is for. That is the host's to say: with
 * a say in it a guest could smuggle a second request past whatever stands before the server.
 */
const FORBIDDEN = new Set([
  'connection',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** True if a guest may not send this field, in any spelling a server might take for it. */
export function isForbidden(name: string): boolean {
  const plain = name.toLowerCase().replaceAll('_', '-');
  return FORBIDDEN.has(plain) || (plain === 'content-length' && name.includes('_'));
}

function isValue(value: Uint8Array): boolean {
  return value.every((byte) => byte === 9 || (byte >= 32 && byte !== 127));
}

/** Fields as links carry them: each name once, with its values. */
export type WireFields = readonly (readonly [name: string, values: readonly Uint8Array[]])[];

type Entry = readonly [name: string, value: Uint8Array];

/** Names and values, in order; names in lower case. */
export class Fields {
  #entries: Entry[];
  #bytes: number;
  #mutable = true;

  constructor() {
    this.#entries = [];
    this.#bytes = 0;
  }

  static fromList(list: readonly Entry[]): Fields {
    const fields = new Fields();
    for (const [name, value] of list) fields.append(name, value);
    return fields;
  }

  /** The fields of a message that came in, as `rawHeaders` of Node; what belongs to the connection is left out. */
  static received(raw: readonly string[]): Fields {
    const fields = new Fields();
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = raw[i]!.toLowerCase();
      if (!FORBIDDEN.has(name)) fields.#entries.push([name, Buffer.from(raw[i + 1]!, 'latin1')]);
    }
    fields.#mutable = false;
    return fields;
  }

  /** The fields of a message that came along a link; what is no field, or belongs to a connection, is left out. */
  static ofWire(entries: WireFields): Fields {
    const fields = new Fields();
    for (const [given, values] of entries) {
      const name = given.toLowerCase();
      if (!isToken(name) || FORBIDDEN.has(name)) continue;
      for (const value of values) if (isValue(value)) fields.#entries.push([name, new Uint8Array(value)]);
    }
    fields.#mutable = false;
    return fields;
  }

  /** Name and values of each field, as links carry them. */
  static toWire(fields: Fields): WireFields {
    const out = new Map<string, Uint8Array[]>();
    for (const [name, value] of fields.#entries) {
      const values = out.get(name);
      if (values === undefined) out.set(name, [value]);
      else values.push(value);
    }
    return [...out];
  }

  /** The same fields, for good. */
  static frozen(fields: Fields): Fields {
    const frozen = fields.clone();
    frozen.#mutable = false;
    return frozen;
  }

  /** Name → values as text of one byte a character, for Node. */
  static toNode(fields: Fields): Record<string, string[]> {
    const out = Object.create(null) as Record<string, string[]>;
    for (const [name, value] of fields.#entries) (out[name] ??= []).push(Buffer.from(value).toString('latin1'));
    return out;
  }

  get(name: string): Uint8Array[] {
    const wanted = name.toLowerCase();
    return this.#entries.filter(([each]) => each === wanted).map(([, value]) => value);
  }

  has(name: string): boolean {
    return this.get(name).length > 0;
  }

  set(name: string, values: readonly Uint8Array[]): void {
    this.#check(name, values);
    this.#remove(name);
    for (const value of values) this.#add(name, value);
  }

  append(name: string, value: Uint8Array): void {
    this.#check(name, [value]);
    this.#add(name, value);
  }

  delete(name: string): void {
    this.#check(name, []);
    this.#remove(name);
  }

  getAndDelete(name: string): Uint8Array[] {
    this.#check(name, []);
    const values = this.get(name);
    this.#remove(name);
    return values;
  }

  entries(): [string, Uint8Array][] {
    return this.#entries.map(([name, value]) => [name, value]);
  }

  copyAll(): [string, Uint8Array][] {
    return this.entries();
  }

  clone(): Fields {
    const copy = new Fields();
    copy.#entries = [...this.#entries];
    copy.#bytes = this.#bytes;
    return copy;
  }

  #check(name: string, values: readonly Uint8Array[]): void {
    if (!this.#mutable) throw new WitError({ tag: 'immutable' });
    if (!isToken(name) || !values.every(isValue)) throw new WitError({ tag: 'invalid-syntax' });
    if (isForbidden(name)) throw new WitError({ tag: 'forbidden' });
  }

  #add(name: string, value: Uint8Array): void {
    this.#bytes += name.length + value.length + FIELD_OVERHEAD_BYTES;
    if (this.#bytes > MAX_FIELDS_BYTES) throw new Error(`the fields of a message are larger than ${MAX_FIELDS_BYTES} bytes`);
    this.#entries.push([name.toLowerCase(), new Uint8Array(value)]);
  }

  #remove(name: string): void {
    const unwanted = name.toLowerCase();
    this.#entries = this.#entries.filter(([each, value]) => {
      if (each === unwanted) this.#bytes -= each.length + value.length + FIELD_OVERHEAD_BYTES;
      return each !== unwanted;
    });
  }
}
