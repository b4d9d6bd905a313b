import { setTimeout as sleep } from 'node:timers/promises';
import { TrellisError } from '../../errors.ts';
import type { ImageReference } from '../reference.ts';
import { maySendTo, type AddressKind } from './addresses.ts';
import type { RegistryCredential } from './credentials.ts';
import { unreachable, type HttpAnswer } from './http-client.ts';
import { judgeRedirect } from './redirects.ts';
import type { Registries } from './registries.ts';
import { authorize, refused } from './token.ts';

/** What {@link RegistrySession.get} is to fetch. */
export interface Wanted {
  readonly accept?: string;
  /** Most bytes. */
  readonly maxBytes: number;
  /** Whether these are the right bytes; others are fetched again. */
  readonly check?: (bytes: Uint8Array) => boolean;
}

const ATTEMPTS = 3;
const MAX_REDIRECTS = 5;
const MAX_WAIT_MS = 10_000;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** Where Docker Hub's registry really is. */
const HUB = { registry: 'docker.io', host: 'registry-1.docker.io' };

/**
 * Reading one repository of one registry: login, redirects, repeated attempts, all within the time of one pull. The registry's credentials
 * reach the registry, and whoever {@link authorize} lets have them; where a redirect leads elsewhere, nothing is shown.
 */
export class RegistrySession {
  readonly #image: ImageReference;
  readonly #registries: Registries;
  readonly #origin: string;
  readonly #timeout: AbortController;
  readonly #timer: NodeJS.Timeout;
  readonly #enders: readonly AbortSignal[];
  readonly #giveUp = (event: Event): void => this.#timeout.abort((event.target as AbortSignal).reason);
  #credential: Promise<RegistryCredential> | undefined;
  #authorization: string | undefined;
  /** Where in the network the registry is: known with its first answer, and what a redirect may lead to depends on it. */
  #peer: AddressKind = 'public';

  /** @param signal - Aborted when nobody wants the image any more. */
  constructor(image: ImageReference, registries: Registries, signal: AbortSignal) {
    this.#image = image;
    this.#registries = registries;
    const host = image.registry === HUB.registry ? HUB.host : image.registry;
    this.#origin = `${registries.isInsecure(image.registry) ? 'http' : 'https'}://${host}`;
    this.#timeout = new AbortController();
    this.#enders = [registries.closing, signal];
    for (const ender of this.#enders) ender.addEventListener('abort', this.#giveUp);
    const { timeoutMs } = registries.rules;
    this.#timer = setTimeout(() => {
      const message = `pulling from ${image.registry} took longer than ${timeoutMs} ms`;
      this.#timeout.abort(new TrellisError('TRELLIS_ARTIFACT_TIMEOUT', { message, details: { timeoutMs } }));
    }, timeoutMs);
  }

  /** Ends whatever is under way. */
  close(): void {
    clearTimeout(this.#timer);
    for (const ender of this.#enders) ender.removeEventListener('abort', this.#giveUp);
    this.#timeout.abort();
  }

  /**
   * Fetches something of the repository, in up to three attempts: a registry that is away, busy, or breaks off may do better a moment later.
   * @param path below the repository, such as `manifests/1.0`
   */
  async get(path: string, wanted: Wanted): Promise<{ readonly body: Buffer; readonly contentType: string | undefined }> {
    const url = new URL(`${this.#origin}/v2/${this.#image.repository}/${path}`);
    for (let attempt = 1; ; attempt += 1) {
      try {
        const answer = await this.#follow(url, wanted);
        if (wanted.check === undefined || wanted.check(answer.body)) {
          return { body: answer.body, contentType: answer.headers['content-type'] };
        }
        throw new TrellisError('TRELLIS_ARTIFACT_MISMATCH', {
          message: `${url.host} gave ${answer.body.length} bytes that do not have the digest of ${path}`,
          details: { path },
        });
      } catch (error) {
        const again =
          error instanceof TrellisError &&
          (error.code === 'TRELLIS_ARTIFACT_UNREACHABLE' || error.code === 'TRELLIS_ARTIFACT_MISMATCH');
        if (!again || attempt === ATTEMPTS) throw error;
        await this.#pause(attempt, error.details['retryAfterMs']);
      }
    }
  }

  async #pause(attempt: number, asked: unknown): Promise<void> {
    const grown = this.#registries.rules.retryWaitMs * 2 ** (attempt - 1);
    // Hosts that lost the same registry together should not come back together.
    const waitMs = Math.min(MAX_WAIT_MS, Math.max(grown, typeof asked === 'number' ? asked : 0)) * (1 + Math.random() / 2);
    const { signal } = this.#timeout;
    await sleep(waitMs, undefined, { signal }).catch(() => {
      throw signal.reason;
    });
  }

  async #follow(start: URL, wanted: Wanted): Promise<HttpAnswer> {
    const isInsecure = (authority: string): boolean => this.#registries.isInsecure(authority);
    let url = start;
    for (let hops = 0; ; hops += 1) {
      const answer = url.origin === start.origin ? await this.#askRegistry(url, wanted) : await this.#askElsewhere(url, wanted);
      if (!REDIRECTS.has(answer.status)) {
        if (answer.status === 200) return answer;
        throw this.#fault(url, answer);
      }
      const next = judgeRedirect(url, answer.headers.location, isInsecure);
      if (!next.ok || hops === MAX_REDIRECTS) {
        throw new TrellisError('TRELLIS_ARTIFACT_REDIRECT', {
          message: `${url.host} sends this host ${next.ok ? 'on and on' : next.reason}`,
          details: { host: url.host },
        });
      }
      url = next.url;
    }
  }

  /** Asks the registry itself, and logs in if it wants that. */
  async #askRegistry(url: URL, wanted: Wanted): Promise<HttpAnswer> {
    const first = await this.#ask(url, wanted, this.#authorization ?? (await this.#ownToken()));
    this.#peer = first.peer;
    if (first.status !== 401) return first;
    // Also for a token that counted until now: it may have expired between two attempts.
    this.#authorization = await authorize({
      client: this.#registries.client,
      registry: this.#image.registry,
      repository: this.#image.repository,
      credential: await this.#shown(),
      challenge: first.headers['www-authenticate'],
      peer: this.#peer,
      tokenHosts: this.#registries.rules.tokenHosts,
      isInsecure: (authority) => this.#registries.isInsecure(authority),
      signal: this.#timeout.signal,
    });
    return this.#ask(url, wanted, this.#authorization);
  }

  /** Looked up once a pull: files are read for it, perhaps a program is run. */
  #shown(): Promise<RegistryCredential> {
    this.#credential ??= this.#registries.credentialFor(this.#image.registry);
    return this.#credential;
  }

  async #ownToken(): Promise<string | undefined> {
    const credential = await this.#shown();
    return credential.kind === 'bearer' ? `Bearer ${credential.token}` : undefined;
  }

  #askElsewhere(url: URL, wanted: Wanted): Promise<HttpAnswer> {
    return this.#ask(url, wanted, undefined, (kind) => maySendTo(this.#peer, kind));
  }

  #ask(
    url: URL,
    wanted: Wanted,
    authorization: string | undefined,
    mayGoTo?: (kind: AddressKind) => boolean,
  ): Promise<HttpAnswer> {
    return this.#registries.client.ask({
      url,
      headers: {
        ...(wanted.accept === undefined ? {} : { accept: wanted.accept }),
        ...(authorization === undefined ? {} : { authorization }),
      },
      maxBytes: wanted.maxBytes,
      signal: this.#timeout.signal,
      ...(mayGoTo === undefined ? {} : { mayGoTo }),
    });
  }

  #fault(url: URL, { status, headers }: HttpAnswer): TrellisError {
    const { registry, repository } = this.#image;
    if (status === 404) {
      return new TrellisError('TRELLIS_ARTIFACT_NOT_FOUND', {
        message: `the registry ${registry} has no such image in ${repository}`,
        details: { registry, repository },
      });
    }
    if (status === 401 || status === 403) return refused(registry, `does not let this host read ${repository} (${status})`);
    if (status === 429 || status >= 500) {
      const seconds = Number(headers['retry-after']);
      const error = unreachable(url, `answers ${status}`);
      return Number.isFinite(seconds) && seconds > 0
        ? new TrellisError(error.code, { message: error.message, details: { ...error.details, retryAfterMs: seconds * 1_000 } })
        : error;
    }
    return new TrellisError('TRELLIS_ARTIFACT_INVALID', { message: `${url.host} answers ${status}, which no registry should` });
  }
}
