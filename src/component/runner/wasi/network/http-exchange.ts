import { request as sendPlain } from 'node:http';
import type { ClientRequest, IncomingMessage, RequestOptions as NodeOptions } from 'node:http';
import { request as sendSecure } from 'node:https';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Pollable } from '../poll.ts';
import { WitError } from '../wit-error.ts';
import type { Connections } from './connections.ts';
import type { NetworkGrants } from './grants.ts';
import { IncomingBody, MAX_BODY_BYTES, ResponseBody } from './http-bodies.ts';
import type { SentBody } from './http-bodies.ts';
import { httpErrorCode } from './http-errors.ts';
import type { HttpErrorCode } from './http-errors.ts';
import { Fields } from './http-fields.ts';
import { OutgoingRequest, parseLength, RequestOptions } from './http-messages.ts';
import type { RequestHead, Timeouts } from './http-messages.ts';

/** Status line and fields of a response, bytes. */
const MAX_RESPONSE_HEAD_BYTES = 65_536;

/** Methods whose requests have a body; without one, they say that it is empty. */
const USUALLY_WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);

/** What is to be sent, after all checks. */
interface Outgoing {
  readonly options: NodeOptions;
  readonly secure: boolean;
  readonly body: SentBody | undefined;
}

/**
 * Checks a request against the grant and against what HTTP allows.
 *
 * The message is framed here and nowhere else: by exactly one of `content-length` and `transfer-encoding`, on a connection
 * that carries this one request. So a guest has no means to make a server see another request than this one.
 */
function prepare(head: RequestHead, body: SentBody | undefined, grants: NetworkGrants): Outgoing {
  const { method, path, secure, target, fields } = head;
  if (secure === undefined) throw new WitError({ tag: 'HTTP-protocol-error' });
  if (target === undefined) throw new WitError({ tag: 'HTTP-request-URI-invalid' });
  // Before everything else that could tell a guest more about where it may not go.
  if (!grants.allows(target.host, target.port)) throw new WitError({ tag: 'HTTP-request-denied' });
  if (method === undefined) throw new WitError({ tag: 'HTTP-request-method-invalid' });
  if (path === undefined) throw new WitError({ tag: 'HTTP-request-URI-too-long' });
  const headers: Record<string, string | string[]> = Fields.toNode(fields);
  frame(headers, method, fields, body);
  const family = isIP(target.host);
  const bracketed = family === 6 ? `[${target.host}]` : target.host;
  headers['host'] = target.port === (secure ? 443 : 80) ? bracketed : `${bracketed}:${target.port}`;
  const options: NodeOptions & { servername?: string } = {
    method,
    host: target.host,
    port: target.port,
    path,
    headers,
    setHost: false,
    // A connection of its own, closed afterwards.
    agent: false,
    lookup: lookupIn(grants),
    maxHeaderSize: MAX_RESPONSE_HEAD_BYTES,
    insecureHTTPParser: false,
  };
  if (family === 0) options.servername = target.host;
  return { options, secure, body };
}

/** Says where the message ends. */
function frame(headers: Record<string, string | string[]>, method: string, fields: Fields, body: SentBody | undefined): void {
  const lengths = fields.get('content-length');
  if (lengths.length > 0) {
    const length = lengths.length === 1 ? parseLength(lengths[0]!) : -1;
    if (length < 0 || length > (body === undefined ? 0 : MAX_BODY_BYTES)) {
      throw new WitError({ tag: 'HTTP-request-body-size', ...(length < 0 ? {} : { val: BigInt(length) }) });
    }
    headers['content-length'] = String(length);
  } else if (body?.finished === true) {
    headers['content-length'] = String(body.totalBytes);
  } else if (body !== undefined) {
    headers['transfer-encoding'] = 'chunked';
  } else if (USUALLY_WITH_BODY.has(method)) {
    headers['content-length'] = '0';
  }
}

/** Node connects to what this gives it: addresses that the grant allows. */
function lookupIn(grants: NetworkGrants): LookupFunction {
  return (name, options, done) => {
    grants.resolve(name).then(
      (addresses) => {
        if (options.all === true) done(null, [...addresses]);
        else done(null, addresses[0]!.address, addresses[0]!.family);
      },
      (error: unknown) => done(error as NodeJS.ErrnoException, ''),
    );
  };
}

/** One request and its response. */
class Exchange {
  readonly connections: Connections;
  readonly #timeouts: Timeouts;
  readonly #request: ClientRequest;
  readonly #body: SentBody | undefined;
  readonly #forget: () => void;
  #response: IncomingMessage | undefined;
  #received: ResponseBody | undefined;
  #failure: HttpErrorCode | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(outgoing: Outgoing, timeouts: Timeouts, connections: Connections) {
    this.connections = connections;
    this.#timeouts = timeouts;
    this.#body = outgoing.body;
    const forget = connections.add(() => this.abort({ tag: 'connection-terminated' }));
    if (forget === undefined) throw new WitError({ tag: 'connection-limit-reached' });
    this.#forget = forget;
    let request: ClientRequest;
    try {
      request = (outgoing.secure ? sendSecure : sendPlain)(outgoing.options);
    } catch (error) {
      // Node has the last word on what may be sent.
      forget();
      throw new WitError(httpErrorCode(error));
    }
    this.#request = request;
    // All fields were bounded when they came in; Node would leave out some of many.
    request.maxHeadersCount = 0;
    request.on('error', (error) => this.abort(httpErrorCode(error)));
    request.on('response', (response) => this.#onResponse(response));
    request.on('upgrade', (_response, socket) => {
      socket.destroy();
      this.abort({ tag: 'HTTP-upgrade-failed' });
    });
    request.on('close', () => {
      forget();
      if (this.#response === undefined) this.abort({ tag: 'connection-terminated' });
    });
    this.#limitTimes(outgoing.secure);
    if (outgoing.body === undefined) request.end();
    else outgoing.body.attach(request, connections.lifetime);
  }

  /** The answer, once there is one. */
  get outcome():
    | { readonly failure: HttpErrorCode }
    | { readonly response: IncomingMessage; readonly body: ResponseBody }
    | undefined {
    if (this.#failure !== undefined) return { failure: this.#failure };
    if (this.#response === undefined) return undefined;
    return { response: this.#response, body: this.#received! };
  }

  /** Ends it, wherever it is. The first reason stands. */
  abort(code: HttpErrorCode): void {
    clearTimeout(this.#timer);
    if (this.#response === undefined) this.#failure ??= code;
    this.#received?.abort(code);
    if (this.#body?.finished === false) this.#body.fail(code);
    this.#request.destroy();
    this.#forget();
    this.connections.lifetime.changed();
  }

  #onResponse(response: IncomingMessage): void {
    clearTimeout(this.#timer);
    if (this.#failure !== undefined) {
      response.destroy();
      return;
    }
    this.#response = response;
    this.#received = new ResponseBody(response, this.connections.lifetime, this.#timeouts.betweenBytesMs);
    this.connections.lifetime.changed();
  }

  #limitTimes(secure: boolean): void {
    const { connectMs, firstByteMs } = this.#timeouts;
    const limit = (ms: number | undefined, tag: string): void => {
      clearTimeout(this.#timer);
      if (ms !== undefined) this.#timer = setTimeout(() => this.abort({ tag }), ms);
    };
    limit(connectMs, 'connection-timeout');
    this.#request.once('socket', (socket) => {
      (socket as TLSSocket).once(secure ? 'secureConnect' : 'connect', () => {
        if (this.#failure === undefined && this.#response === undefined) limit(firstByteMs, 'connection-read-timeout');
      });
    });
  }
}

/** `wasi:http/types` `future-incoming-response`. */
export class FutureIncomingResponse {
  readonly #exchange: Exchange;
  #given = false;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  subscribe(): Pollable {
    const exchange = this.#exchange;
    return new Pollable({ lifetime: exchange.connections.lifetime, ready: () => exchange.outcome !== undefined });
  }

  get(): object | undefined {
    const { outcome } = this.#exchange;
    if (outcome === undefined) return undefined;
    if (this.#given) return { tag: 'err', val: undefined };
    this.#given = true;
    if ('failure' in outcome) return { tag: 'ok', val: { tag: 'err', val: outcome.failure } };
    return { tag: 'ok', val: { tag: 'ok', val: new IncomingResponse(outcome.response, outcome.body) } };
  }

  [Symbol.dispose](): void {
    if (!this.#given) this.#exchange.abort({ tag: 'connection-terminated' });
  }
}

/** `wasi:http/types` `incoming-response`. */
export class IncomingResponse {
  readonly #message: IncomingMessage;
  readonly #body: ResponseBody;
  #fields: Fields | undefined;
  #consumed = false;

  constructor(message: IncomingMessage, body: ResponseBody) {
    this.#message = message;
    this.#body = body;
  }

  status(): number {
    return this.#message.statusCode!;
  }

  headers(): Fields {
    this.#fields ??= Fields.received(this.#message.rawHeaders);
    return this.#fields;
  }

  consume(): IncomingBody {
    if (this.#consumed) throw new WitError(undefined);
    this.#consumed = true;
    return new IncomingBody(this.#body);
  }

  [Symbol.dispose](): void {
    if (!this.#consumed) this.#body.abort();
  }
}

/** Sends a request, as `wasi:http/outgoing-handler` does. Throws the `error-code` of what is not even tried. */
export function send(
  request: OutgoingRequest,
  options: RequestOptions | undefined,
  grants: NetworkGrants,
  connections: Connections,
): FutureIncomingResponse {
  const outgoing = prepare(OutgoingRequest.head(request), OutgoingRequest.bodyOf(request), grants);
  return new FutureIncomingResponse(new Exchange(outgoing, RequestOptions.timeouts(options), connections));
}
