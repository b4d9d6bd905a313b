import { lookup as resolveName, type LookupAddress, type LookupOptions } from 'node:dns';
import { readFileSync } from 'node:fs';
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { createSecureContext, getCACertificates } from 'node:tls';
import { TrellisError } from '../../errors.ts';
import { quote } from '../../ids.ts';
import { addressKind, type AddressKind } from './addresses.ts';

/** One answer, read whole. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Where the answer came from; of a proxy, if there is one between. */
  readonly peer: AddressKind;
}

/** One question. */
export interface HttpQuestion {
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Makes it a POST of a form. */
  readonly form?: string;
  /** Most bytes of a good answer that are read; one that announces more is not read at all. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  /** Which addresses the name may stand for; any but the ones nobody goes to if left out. */
  readonly mayGoTo?: (kind: AddressKind) => boolean;
}

/** What an {@link HttpClient} is made of. */
export interface HttpClientOptions {
  /** Files with further certificate authorities (PEM), read once. */
  readonly caFiles?: readonly string[];
  /** `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`: the environment of the process. */
  readonly proxies?: Readonly<Record<string, string | undefined>>;
  /** How long a connection may say nothing. */
  readonly idleTimeoutMs?: number;
}

const IDLE_MS = 30_000;
/** Most bytes of an answer that is no good one: enough for what registries say of errors. */
const MAX_ERROR_BYTES = 64 * 1024;
const PROXY_NAMES = ['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'];

/**
 * Asks registries. Follows nothing by itself, decompresses nothing, and connects only to addresses that the question allows; what comes
 * back is bounded before it is read. Certificates are checked against Node's authorities, the system's, and the given files.
 */
export class HttpClient {
  readonly #options: HttpClientOptions;
  #plain: HttpAgent | undefined;
  #secure: HttpsAgent | undefined;

  constructor(options: HttpClientOptions = {}) {
    this.#options = options;
  }

  /**
   * Asks once.
   * @throws TRELLIS_ARTIFACT_UNREACHABLE (may succeed later), _REDIRECT (an address that is not allowed), _TIMEOUT (the signal),
   *   _INVALID (a compressed answer), TRELLIS_COMPONENT_TOO_LARGE
   */
  async ask(question: HttpQuestion): Promise<HttpAnswer> {
    const { url } = question;
    const mayGoTo = (kind: AddressKind): boolean => kind !== 'never' && (question.mayGoTo?.(kind) ?? true);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    // An address that stands there itself is never looked up.
    if (isIP(host) !== 0 && !mayGoTo(addressKind(host))) throw innerAddress(url);
    const secure = url.protocol === 'https:';
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method: question.form === undefined ? 'GET' : 'POST',
      agent: secure ? this.#httpsAgent() : this.#httpAgent(),
      signal: question.signal,
      timeout: this.#options.idleTimeoutMs ?? IDLE_MS,
      lookup: guardedLookup(url, mayGoTo),
      headers: {
        'accept-encoding': 'identity',
        'user-agent': 'trellis',
        ...(question.form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
        ...question.headers,
      },
    });
    return new Promise<HttpAnswer>((resolve, reject) => {
      const fail = (error: unknown): void => {
        request.destroy();
        reject(error instanceof TrellisError ? error : asFault(url, error, question.signal));
      };
      request.on('error', fail);
      request.on('timeout', () => fail(unreachable(url, 'says nothing')));
      // Some ends are no errors to Node, such as an upgrade to another protocol that nobody asked for.
      let answered = false;
      request.on('close', () => {
        if (!answered) fail(unreachable(url, 'ends the connection without an answer'));
      });
      request.on('response', (response) => {
        answered = true;
        const peer = addressKind(response.socket.remoteAddress ?? '');
        readBody(response, url, question.maxBytes).then(
          (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body, peer }),
          fail,
        );
      });
      request.end(question.form);
    });
  }

  /** Closes what is kept open. */
  close(): void {
    this.#plain?.destroy();
    this.#secure?.destroy();
  }

  #httpAgent(): HttpAgent {
    this.#plain ??= new HttpAgent({ keepAlive: false, ...this.#proxies() });
    return this.#plain;
  }

  #httpsAgent(): HttpsAgent {
    // Reading the system's authorities takes a tenth of a second, so only a host that pulls does it.
    this.#secure ??= new HttpsAgent({
      keepAlive: false,
      // Made once: parsing some hundred certificates takes longer than a handshake.
      secureContext: createSecureContext({
        ca: [
          ...new Set([...getCACertificates('default'), ...getCACertificates('system')]),
          ...(this.#options.caFiles ?? []).map((file) => readAuthorities(file)),
        ],
      }),
      ...this.#proxies(),
    });
    return this.#secure;
  }

  #proxies(): { proxyEnv?: Record<string, string> } {
    const found = PROXY_NAMES.flatMap((name) => {
      const value = this.#options.proxies?.[name];
      return value === undefined || value === '' ? [] : [[name, value] as const];
    });
    return found.length === 0 ? {} : { proxyEnv: Object.fromEntries(found) };
  }
}

type Found = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void;

/** Resolves a name to those of its addresses that are allowed, so that what is checked is what is connected to. */
function guardedLookup(url: URL, mayGoTo: (kind: AddressKind) => boolean) {
  return (name: string, options: LookupOptions, found: Found): void => {
    resolveName(name, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return found(error, []);
      const allowed = addresses.filter(({ address }) => mayGoTo(addressKind(address)));
      if (allowed.length === 0) return found(innerAddress(url), []);
      if (options.all === true) return found(null, allowed);
      found(null, allowed[0]!.address, allowed[0]!.family);
    });
  };
}

async function readBody(response: IncomingMessage, url: URL, maxBytes: number): Promise<Buffer> {
  const good = response.statusCode === 200;
  const limit = good ? maxBytes : MAX_ERROR_BYTES;
  const encoding = response.headers['content-encoding'];
  if (good && encoding !== undefined && encoding !== 'identity') {
    throw new TrellisError('TRELLIS_ARTIFACT_INVALID', { message: `${url.host} compresses what was asked for as it is` });
  }
  const announced = Number(response.headers['content-length'] ?? 0);
  if (good && announced > limit) throw tooLarge(url, announced, limit);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit) {
      if (good) throw tooLarge(url, undefined, limit);
      break;
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function readAuthorities(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new TrellisError('TRELLIS_ARTIFACT_UNREACHABLE', {
      message: `the certificate authorities in ${quote(file)} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown'})`,
      remedy: 'Correct artifacts.tlsCaFiles, or give this user access to the file.',
      cause,
    });
  }
}

/** Says that a place could not be reached, or did not answer as it should; the same may work later. */
export function unreachable(url: URL, what: string, cause?: unknown): TrellisError {
  return new TrellisError('TRELLIS_ARTIFACT_UNREACHABLE', { message: `${url.host} ${what}`, details: { host: url.host }, cause });
}

function innerAddress(url: URL): TrellisError {
  return new TrellisError('TRELLIS_ARTIFACT_REDIRECT', {
    message: `${url.host} stands for an address that this host does not go to from there`,
    details: { host: url.host },
  });
}

function tooLarge(url: URL, bytes: number | undefined, maxBytes: number): TrellisError {
  return new TrellisError('TRELLIS_COMPONENT_TOO_LARGE', {
    message: `${url.host} sends ${bytes ?? 'more'} bytes${bytes === undefined ? ' than announced' : ''}; this host accepts ${maxBytes}`,
    details: { maxBytes, ...(bytes === undefined ? {} : { bytes }) },
  });
}

function asFault(url: URL, error: unknown, signal: AbortSignal): TrellisError {
  if (signal.aborted) {
    return signal.reason instanceof TrellisError
      ? signal.reason
      : new TrellisError('TRELLIS_ARTIFACT_TIMEOUT', { message: `${url.host} took too long` });
  }
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown reason';
  // What OpenSSL says of an answer in plain HTTP; its text helps nobody.
  if (error instanceof Error && /wrong version number|packet length too long/i.test(error.message))
    return unreachable(url, 'does not speak TLS', undefined);
  const isTls = /CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO|EPROTO/.test(code);
  // Node hangs whole certificates on some of its errors; the message and the code tell enough for a log.
  const cause = Object.assign(new Error(error instanceof Error ? error.message : code), { code });
  return unreachable(url, isTls ? `cannot be spoken to over TLS (${code})` : `cannot be reached or broke off (${code})`, cause);
}
