import { HTTP_OUTGOING } from '../../../wit/wire/http.ts';
import { ImportFailed } from '../import-failed.ts';
import { FutureTrailers, IncomingBody, OutgoingBody, SentBody } from '../wasi/network/http-bodies.ts';
import { type HttpErrorCode, streamErrorCode } from '../wasi/network/http-errors.ts';
import { Fields, type WireFields } from '../wasi/network/http-fields.ts';
import { declaredLength, OutgoingRequest, RequestOptions, type Method, type Scheme } from '../wasi/network/http-messages.ts';
import { Pollable, type Lifetime } from '../wasi/poll.ts';
import { WitError } from '../wasi/wit-error.ts';
import { EarlyResult } from './early-result.ts';
import { BodyFromWire, BodyToWire, type WireBody } from './http-bodies.ts';
import type { GuestFunctions, WireCalls } from './twins.ts';

/** `wasi:http` over `wrpc:http`: requests that come along a link, and requests that leave along one. */

/** `wrpc:http/types` `request`. */
export interface WireRequest extends WireBody {
  readonly method: Method;
  readonly pathWithQuery: string | undefined;
  readonly scheme: Scheme | undefined;
  readonly authority: string | undefined;
  readonly headers: WireFields;
}

/** `wrpc:http/types` `response`. */
interface WireResponse extends WireBody {
  readonly status: number;
  readonly headers: WireFields;
}

/** `wasi:http/types` `incoming-request`. */
class IncomingRequest {
  readonly #request: WireRequest;
  readonly #body: BodyFromWire;
  #fields: Fields | undefined;
  #consumed = false;

  constructor(request: WireRequest, body: BodyFromWire) {
    this.#request = request;
    this.#body = body;
  }

  method(): Method {
    return this.#request.method;
  }

  pathWithQuery(): string | undefined {
    return this.#request.pathWithQuery;
  }

  scheme(): Scheme | undefined {
    return this.#request.scheme;
  }

  authority(): string | undefined {
    return this.#request.authority;
  }

  headers(): Fields {
    this.#fields ??= Fields.ofWire(this.#request.headers);
    return this.#fields;
  }

  consume(): IncomingBody {
    if (this.#consumed) throw new WitError(undefined);
    this.#consumed = true;
    return new IncomingBody(this.#body);
  }
}

const LEAST_STATUS = 100;
const MOST_STATUS = 999;

/** `wasi:http/types` `outgoing-response`. */
class OutgoingResponse {
  readonly #fields: Fields;
  readonly #body = new SentBody('response');
  #hasBody = false;
  #status = 200;

  constructor(fields: Fields) {
    this.#fields = Fields.frozen(fields);
  }

  statusCode(): number {
    return this.#status;
  }

  setStatusCode(status: number): void {
    if (status < LEAST_STATUS || status > MOST_STATUS) throw new WitError(undefined);
    this.#status = status;
  }

  headers(): Fields {
    return this.#fields;
  }

  body(): OutgoingBody {
    if (this.#hasBody) throw new WitError(undefined);
    this.#hasBody = true;
    this.#body.declaredBytes = declaredLength(this.#fields);
    return new OutgoingBody(this.#body);
  }

  /** The response as it goes along the link, and its body, which has no bytes if the guest never asked for it. */
  static toWire(response: OutgoingResponse, lifetime: Lifetime): { wire: WireResponse; body: SentBody } {
    const body = response.#body;
    if (!response.#hasBody) body.finish();
    return { wire: { status: response.#status, headers: Fields.toWire(response.#fields), ...toWire(body, lifetime) }, body };
  }
}

/** A body on its way along a link. */
function toWire(body: SentBody, lifetime: Lifetime): WireBody {
  const wire = new BodyToWire();
  body.attach(wire, lifetime);
  return { body: wire.body, trailers: wire.trailers };
}

type Answer = { readonly tag: 'ok'; readonly val: OutgoingResponse } | { readonly tag: 'err'; readonly val: HttpErrorCode };

/** `wasi:http/types` `response-outparam`. */
class ResponseOutparam {
  readonly #answer: (answer: Answer) => void;

  constructor(answer: (answer: Answer) => void) {
    this.#answer = answer;
  }

  static set(param: ResponseOutparam, answer: Answer): void {
    param.#answer(answer);
  }
}

/** What became of a request that left along a link. */
type Outcome = { readonly response: WireResponse; readonly body: BodyFromWire } | { readonly failure: HttpErrorCode };

/** `wasi:http/types` `future-incoming-response`. */
class FutureIncomingResponse {
  readonly #lifetime: Lifetime;
  #outcome: Outcome | undefined;
  #given = false;

  constructor(answer: Promise<unknown>, lifetime: Lifetime, opened: (body: BodyFromWire) => void) {
    this.#lifetime = lifetime;
    answer.then(
      (value) => {
        const response = value as WireResponse;
        const body = new BodyFromWire(response, lifetime);
        opened(body);
        this.#settle({ response, body });
      },
      (error: unknown) => this.#settle({ failure: failureOf(error) }),
    );
  }

  subscribe(): Pollable {
    return new Pollable({ lifetime: this.#lifetime, ready: () => this.#outcome !== undefined });
  }

  get(): object | undefined {
    const outcome = this.#outcome;
    if (outcome === undefined) return undefined;
    if (this.#given) return { tag: 'err', val: undefined };
    this.#given = true;
    if ('failure' in outcome) return { tag: 'ok', val: { tag: 'err', val: outcome.failure } };
    return { tag: 'ok', val: { tag: 'ok', val: new IncomingResponse(outcome.response, outcome.body) } };
  }

  #settle(outcome: Outcome): void {
    this.#outcome = outcome;
    this.#lifetime.changed();
  }
}

/** The error of the other side, or what stands for a call that failed. */
function failureOf(error: unknown): HttpErrorCode {
  if (error instanceof WitError) return error.payload as HttpErrorCode;
  // Without a link nothing may be sent, as without a grant.
  if (error instanceof ImportFailed && error.code === 'TRELLIS_LINK_MISSING') return { tag: 'HTTP-request-denied' };
  return { tag: 'internal-error', val: error instanceof Error ? error.message : 'the call failed' };
}

/** `wasi:http/types` `incoming-response`. */
class IncomingResponse {
  readonly #response: WireResponse;
  readonly #body: BodyFromWire;
  #fields: Fields | undefined;
  #consumed = false;

  constructor(response: WireResponse, body: BodyFromWire) {
    this.#response = response;
    this.#body = body;
  }

  status(): number {
    return this.#response.status;
  }

  headers(): Fields {
    this.#fields ??= Fields.ofWire(this.#response.headers);
    return this.#fields;
  }

  consume(): IncomingBody {
    if (this.#consumed) throw new WitError(undefined);
    this.#consumed = true;
    return new IncomingBody(this.#body);
  }
}

/** `wasi:http` of one instance: what it is asked along links, and what it asks. */
export class HttpTwin {
  readonly #lifetime: Lifetime;
  readonly #wire: WireCalls;
  /** Bodies that the current call receives. */
  readonly #open = new Set<BodyFromWire>();

  constructor(lifetime: Lifetime, wire: WireCalls) {
    this.#lifetime = lifetime;
    this.#wire = wire;
  }

  /** The interfaces a guest imports. */
  imports(): Record<string, object> {
    return {
      'wasi:http/types': {
        Fields,
        FutureIncomingResponse,
        FutureTrailers,
        IncomingBody,
        IncomingRequest,
        IncomingResponse,
        OutgoingBody,
        OutgoingRequest,
        OutgoingResponse,
        RequestOptions,
        ResponseOutparam,
        httpErrorCode: streamErrorCode,
      },
      'wasi:http/outgoing-handler': {
        handle: (request: OutgoingRequest, options: RequestOptions | undefined) => this.#send(request, options),
      },
    };
  }

  /** Serves a request with the guest's `wasi:http/incoming-handler`. */
  serve(guest: GuestFunctions, request: WireRequest): EarlyResult {
    const { promise, resolve, reject } = Promise.withResolvers<WireResponse>();
    const incoming = new IncomingRequest(request, this.#receive(request));
    let sent: SentBody | undefined;
    const outparam = new ResponseOutparam((answer) => {
      if (sent !== undefined) throw new Error('a response was given already');
      if (answer.tag === 'err') {
        reject(new DeclaredError(answer.val));
        return;
      }
      const { wire, body } = OutgoingResponse.toWire(answer.val, this.#lifetime);
      sent = body;
      resolve(wire);
    });
    const broken = (val: string): void => {
      if (sent?.finished === false) sent.fail({ tag: 'internal-error', val });
    };
    const run = async (): Promise<void> => {
      try {
        await guest['handle']!(incoming, outparam);
      } catch (error) {
        reject(error);
        broken('the guest failed');
        throw error;
      }
      reject(new Error('the guest returned without a response'));
      broken('the guest returned before the end of the body');
    };
    return new EarlyResult(promise, run());
  }

  /** Ends what the current call has open. */
  endCall(): void {
    for (const body of this.#open) body.abort();
    this.#open.clear();
  }

  #receive(message: WireBody): BodyFromWire {
    const body = new BodyFromWire(message, this.#lifetime);
    this.#open.add(body);
    return body;
  }

  #send(request: OutgoingRequest, options: RequestOptions | undefined): FutureIncomingResponse {
    // Providers of 1.x cannot make an address of less than all its parts, so hosts fill in or refuse what the guest left out.
    const { path } = OutgoingRequest.head(request);
    const authority = request.authority();
    if (authority === undefined) throw new WitError({ tag: 'HTTP-request-URI-invalid' });
    if (path === undefined) throw new WitError({ tag: 'HTTP-request-URI-too-long' });
    const body = OutgoingRequest.bodyOf(request) ?? emptyBody();
    // As hosts of 1.x do; what sends it on may make a message of the fields alone.
    const host: WireFields = [['host', [Buffer.from(authority)]]];
    const answer = this.#wire(HTTP_OUTGOING.name, 'handle', [
      {
        method: request.method(),
        pathWithQuery: path,
        scheme: request.scheme() ?? { tag: 'HTTPS' },
        authority,
        headers: [...host, ...Fields.toWire(request.headers())],
        ...toWire(body, this.#lifetime),
      },
      options && {
        connectTimeout: options.connectTimeout(),
        firstByteTimeout: options.firstByteTimeout(),
        betweenBytesTimeout: options.betweenBytesTimeout(),
      },
    ]);
    return new FutureIncomingResponse(answer, this.#lifetime, (received) => this.#open.add(received));
  }
}

function emptyBody(): SentBody {
  const body = new SentBody('request');
  body.finish();
  return body;
}

/** Thrown for the error case of a result by what stands between a guest and the wire. */
class DeclaredError extends Error {
  readonly payload: unknown;

  constructor(payload: unknown) {
    super('the guest answered with an error');
    this.payload = payload;
  }
}
