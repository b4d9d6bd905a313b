import { readFileSync } from 'node:fs';
import type { ComponentSpec } from '../../src/component/component.ts';
import { preflight } from '../../src/component/preflight.ts';
import { compileFunction } from '../../src/wit/codec.ts';
import { fetcherComponent } from './components.ts';
import { runComponent, sized, type Outcome, type TestComponent } from './running-component.ts';

/** A request of the fetcher component; what is left out is a GET of `/` without a body. */
export interface GuestRequest {
  readonly method?: string;
  readonly https?: boolean;
  readonly authority: string;
  readonly path?: string;
  readonly headers?: readonly (readonly [string, string])[];
  /** Length of a body whose byte number n is n modulo 251. */
  readonly bodyBytes?: number;
  readonly connectTimeout?: number;
  readonly firstByteTimeout?: number;
  readonly betweenBytesTimeout?: number;
}

/** What the guest got. */
export interface GuestAnswer {
  readonly status?: number;
  readonly headers?: Record<string, string[]>;
  readonly bodyBytes?: number;
  readonly bodySum?: number;
  readonly bodyStart?: string;
  /** Where it failed, and with which case of `error-code` or `header-error`. */
  readonly failed?: string;
  /** How the call itself ended, if not well. */
  readonly call?: string;
  readonly ms: number;
}

/** A guest that sends requests. */
export interface FetchingGuest extends AsyncDisposable {
  readonly test: TestComponent;
  send(request: GuestRequest, timeoutMs?: number): Promise<GuestAnswer>;
  /** Sends a request and ends the call without waiting for the answer. */
  leave(authority: string): Promise<Outcome>;
}

const ERROR_CODES = [
  'DNS-timeout',
  'DNS-error',
  'destination-not-found',
  'destination-unavailable',
  'destination-IP-prohibited',
  'destination-IP-unroutable',
  'connection-refused',
  'connection-terminated',
  'connection-timeout',
  'connection-read-timeout',
  'connection-write-timeout',
  'connection-limit-reached',
  'TLS-protocol-error',
  'TLS-certificate-error',
  'TLS-alert-received',
  'HTTP-request-denied',
  'HTTP-request-length-required',
  'HTTP-request-body-size',
  'HTTP-request-method-invalid',
  'HTTP-request-URI-invalid',
  'HTTP-request-URI-too-long',
  'HTTP-request-header-section-size',
  'HTTP-request-header-size',
  'HTTP-request-trailer-section-size',
  'HTTP-request-trailer-size',
  'HTTP-response-incomplete',
  'HTTP-response-header-section-size',
  'HTTP-response-header-size',
  'HTTP-response-body-size',
  'HTTP-response-trailer-section-size',
  'HTTP-response-trailer-size',
  'HTTP-response-transfer-coding',
  'HTTP-response-content-coding',
  'HTTP-response-timeout',
  'HTTP-upgrade-failed',
  'HTTP-protocol-error',
  'loop-detected',
  'configuration-error',
  'internal-error',
];
const HEADER_ERRORS = ['invalid-syntax', 'forbidden', 'immutable'];

type Field = [string, Uint8Array];
interface Response {
  readonly status: number;
  readonly headers: Field[];
  readonly bodyBytes: bigint;
  readonly bodySum: bigint;
  readonly bodyStart: Uint8Array;
}
type Result = { tag: 'ok'; val: Response } | { tag: 'err'; val: { at: string; code: number } };

/** Starts the fetcher component with these network grants. */
export async function fetchingGuest(network: readonly string[], spec: Partial<ComponentSpec> = {}): Promise<FetchingGuest> {
  const sample = fetcherComponent();
  const { types } = preflight(readFileSync(sample.file), { maxBytes: 1024 * 1024 });
  const codec = compileFunction(types.exports[0]!.functions.find((fn) => fn.name === 'send')!);
  const test = await runComponent(sample, { grants: { network }, ...spec });
  const send = async (request: GuestRequest, timeoutMs = 60_000): Promise<GuestAnswer> => {
    const params = codec.encodeParams([
      {
        method: request.method ?? 'GET',
        https: request.https ?? false,
        authority: request.authority,
        path: request.path ?? '/',
        headers: (request.headers ?? []).map(([name, value]) => [name, Buffer.from(value, 'latin1')]),
        bodyBytes: BigInt(request.bodyBytes ?? -1),
        connectTimeout: request.connectTimeout ?? 0,
        firstByteTimeout: request.firstByteTimeout ?? 0,
        betweenBytesTimeout: request.betweenBytesTimeout ?? 0,
      },
    ]);
    if (!params.ok) throw new Error(params.reason);
    const { root, failure, detail, ms } = await test.call('requests.send', params.bytes, { timeoutMs });
    if (failure !== undefined) return { call: `${failure}: ${detail}`, ms };
    const decoded = codec.decodeResult(root);
    if (!decoded.ok) throw new Error(decoded.reason);
    const [result] = decoded.values as [Result];
    if (result.tag === 'err') {
      const { at, code } = result.val;
      return { failed: `${at} ${(at === 'header' ? HEADER_ERRORS : ERROR_CODES)[code] ?? code}`, ms };
    }
    const { status, headers, bodyBytes, bodySum, bodyStart } = result.val;
    const fields: Record<string, string[]> = {};
    for (const [name, value] of headers) (fields[name] ??= []).push(Buffer.from(value).toString('latin1'));
    return {
      status,
      headers: fields,
      bodyBytes: Number(bodyBytes),
      bodySum: Number(bodySum),
      bodyStart: Buffer.from(bodyStart).toString('latin1'),
      ms,
    };
  };
  return {
    test,
    send,
    leave: (authority) => test.call('requests.leave', sized(authority)),
    [Symbol.asyncDispose]: () => test.component.stop(),
  };
}
