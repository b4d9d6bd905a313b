import { hostName, hostPort } from '../../../../ids.ts';
import type { HostPort } from '../../../../ids.ts';
import { WitError } from '../wit-error.ts';
import { OutgoingBody, SentBody } from './http-bodies.ts';
import { Fields, isToken } from './http-fields.ts';

/** What a guest says of a request of `wasi:http`; nothing here reaches the network. */

/** Characters of a path with its query. */
const MAX_PATH_CHARS = 8_192;
const MAX_METHOD_CHARS = 32;
/** Longest time a timer of Node can be set to. */
const MAX_TIMER_MS = 2_147_483_647;
const NANOS_PER_MS = 1_000_000n;

/** WIT's `method`. */
export interface Method {
  readonly tag: string;
  readonly val?: string;
}

/** WIT's `scheme`. */
export interface Scheme {
  readonly tag: 'HTTP' | 'HTTPS' | 'other';
  readonly val?: string;
}

/** What a request says, in the form in which it is sent; `undefined` where it cannot be sent. */
export interface RequestHead {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly secure: boolean | undefined;
  /** Host and port, the port of the scheme if it names none. */
  readonly target: HostPort | undefined;
  readonly fields: Fields;
}

// Origin form. No space, no control character and no `#`: none of them is part of a path, and servers differ in what they
// make of them.
const PATH = /^[/?][\x21\x22\x24-\x7e]*$/;

/** Returns an authority as host and port, or `undefined`: no user information, no empty port. */
export function parseAuthority(authority: string, defaultPort: number): HostPort | undefined {
  const named = hostPort(authority);
  if (named !== undefined) return named;
  const host = hostName(authority);
  return host === undefined ? undefined : { host, port: defaultPort };
}

const portOf = (scheme: Scheme | undefined): number => (scheme?.tag === 'HTTP' ? 80 : 443);

/** `wasi:http/types` `outgoing-request`. */
export class OutgoingRequest {
  readonly #fields: Fields;
  readonly #body = new SentBody('request');
  #hasBody = false;
  #method: Method = { tag: 'get' };
  #path: string | undefined;
  #scheme: Scheme | undefined;
  #authority: string | undefined;

  constructor(fields: Fields) {
    this.#fields = Fields.frozen(fields);
  }

  body(): OutgoingBody {
    if (this.#hasBody) throw new WitError(undefined);
    this.#hasBody = true;
    // Read now, so that the guest learns of a body that does not fit while it writes it.
    this.#body.declaredBytes = declaredLength(this.#fields);
    return new OutgoingBody(this.#body);
  }

  method(): Method {
    return this.#method;
  }

  setMethod(method: Method): void {
    const other = method.tag === 'other' ? method.val! : 'GET';
    if (!isToken(other) || other.length > MAX_METHOD_CHARS) throw new WitError(undefined);
    this.#method = method;
  }

  pathWithQuery(): string | undefined {
    return this.#path;
  }

  setPathWithQuery(path: string | undefined): void {
    // Long ones are refused when they are sent: there is an error code for them there.
    if (path !== undefined && path !== '' && !PATH.test(path.slice(0, MAX_PATH_CHARS))) throw new WitError(undefined);
    this.#path = path?.slice(0, MAX_PATH_CHARS + 1);
  }

  scheme(): Scheme | undefined {
    return this.#scheme;
  }

  setScheme(scheme: Scheme | undefined): void {
    this.#scheme = scheme;
  }

  authority(): string | undefined {
    return this.#authority;
  }

  setAuthority(authority: string | undefined): void {
    if (authority !== undefined && parseAuthority(authority, 80) === undefined) throw new WitError(undefined);
    this.#authority = authority;
  }

  headers(): Fields {
    return this.#fields;
  }

  /** What is to be sent. */
  static head(request: OutgoingRequest): RequestHead {
    const { tag, val } = request.#method;
    // Node sends methods in upper case, whatever it is given.
    const method = (tag === 'other' ? val! : tag).toUpperCase();
    const path = request.#path ?? '/';
    const scheme = request.#scheme;
    return {
      // CONNECT asks for a way to somewhere else.
      method: method === 'CONNECT' ? undefined : method,
      path: path.length > MAX_PATH_CHARS ? undefined : path.startsWith('/') ? path : `/${path}`,
      secure: scheme === undefined || scheme.tag === 'HTTPS' ? true : scheme.tag === 'HTTP' ? false : undefined,
      target: request.#authority === undefined ? undefined : parseAuthority(request.#authority, portOf(scheme)),
      fields: request.#fields,
    };
  }

  /** Its body, if it was ever asked for. */
  static bodyOf(request: OutgoingRequest): SentBody | undefined {
    return request.#hasBody ? request.#body : undefined;
  }
}

/** What a `content-length` among these fields declares; `undefined` without one. */
export function declaredLength(fields: Fields): number | undefined {
  const [length] = fields.get('content-length');
  return length === undefined ? undefined : parseLength(length);
}

/** Returns the number in a `content-length`, or -1 if it is none. */
export function parseLength(value: Uint8Array): number {
  const text = Buffer.from(value).toString('latin1');
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : -1;
}

/** `wasi:http/types` `request-options`; times are nanoseconds there. */
export class RequestOptions {
  #connect: bigint | undefined;
  #firstByte: bigint | undefined;
  #betweenBytes: bigint | undefined;

  connectTimeout(): bigint | undefined {
    return this.#connect;
  }

  setConnectTimeout(duration: bigint | undefined): void {
    this.#connect = duration;
  }

  firstByteTimeout(): bigint | undefined {
    return this.#firstByte;
  }

  setFirstByteTimeout(duration: bigint | undefined): void {
    this.#firstByte = duration;
  }

  betweenBytesTimeout(): bigint | undefined {
    return this.#betweenBytes;
  }

  setBetweenBytesTimeout(duration: bigint | undefined): void {
    this.#betweenBytes = duration;
  }

  /** Returns the times as milliseconds; those left out end with the call. */
  static timeouts(options: RequestOptions | undefined): Timeouts {
    return {
      connectMs: toMs(options?.connectTimeout()),
      firstByteMs: toMs(options?.firstByteTimeout()),
      betweenBytesMs: toMs(options?.betweenBytesTimeout()),
    };
  }
}

/** Times of one request, milliseconds. */
export interface Timeouts {
  readonly connectMs: number | undefined;
  readonly firstByteMs: number | undefined;
  readonly betweenBytesMs: number | undefined;
}

function toMs(nanoseconds: bigint | undefined): number | undefined {
  if (nanoseconds === undefined) return undefined;
  const ms = (nanoseconds + NANOS_PER_MS - 1n) / NANOS_PER_MS;
  return ms > MAX_TIMER_MS ? MAX_TIMER_MS : Number(ms);
}
