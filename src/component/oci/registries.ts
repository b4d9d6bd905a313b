import { join } from 'node:path';
import type { HostConfig } from '../../config/schema.ts';
import { TrellisError } from '../../errors.ts';
import { quote } from '../../ids.ts';
import { isJsonObject } from '../../json-object.ts';
import { BlobCache } from './blob-cache.ts';
import { ANONYMOUS, namedCredential, type NamedCredential, type RegistryCredential } from './credentials.ts';
import { dockerCredential } from './docker-config.ts';
import { HttpClient } from './http-client.ts';
import { PullLimiter } from './pull-limiter.ts';

/** What {@link Registries} is made of; the settings of `artifacts`. */
export interface RegistriesOptions {
  /** Registries that are spoken to without TLS: exact authorities. */
  readonly insecure?: readonly string[];
  /** The only registries that are pulled from; any if empty. */
  readonly allowed?: readonly string[];
  /** The first that names a registry counts. */
  readonly credentials?: readonly NamedCredential[];
  readonly dockerConfigFile?: string | undefined;
  readonly credentialHelpers?: boolean;
  readonly tokenHosts?: readonly string[];
  readonly caFiles?: readonly string[];
  readonly allowLatest?: boolean;
  readonly requireDigest?: boolean;
  readonly staleTags?: boolean;
  readonly maxPulls?: number;
  readonly pullTimeoutMs?: number;
  /** Folder of pulled artifacts; nothing is kept if left out. */
  readonly cacheDir?: string;
  readonly maxCacheBytes?: number;
  /** Environment with the proxies. */
  readonly proxies?: Readonly<Record<string, string | undefined>>;
  /** How long a connection may say nothing. */
  readonly idleTimeoutMs?: number;
  /** Wait before the first repeated attempt; doubled for each further one. */
  readonly retryWaitMs?: number;
  /** Gets a sentence about what is odd; no secret in it. */
  readonly warn?: (message: string) => void;
}

const MAX_ENTRIES = 1_000;
const MAX_TEXT_CHARS = 16_384;
/** A host name and a port are shorter. */
const MAX_NAME_CHARS = 262;

/** The rules by which a host pulls. */
export interface PullRules {
  readonly allowLatest: boolean;
  readonly requireDigest: boolean;
  readonly staleTags: boolean;
  readonly timeoutMs: number;
  readonly retryWaitMs: number;
  readonly tokenHosts: readonly string[];
}

/**
 * The registries that a host knows: how each is spoken to, with which credentials, and what was pulled from them. One for all pulls of a
 * host, so that they are bounded together. A registry that nobody mentioned is spoken to over HTTPS, anonymously.
 */
export class Registries {
  readonly rules: PullRules;
  readonly client: HttpClient;
  readonly cache: BlobCache;
  readonly limiter: PullLimiter;
  readonly warn: (message: string) => void;
  readonly #insecure: ReadonlySet<string>;
  readonly #allowed: ReadonlySet<string>;
  readonly #options: RegistriesOptions;
  readonly #put = new Map<string, RegistryCredential>();
  readonly #closing = new AbortController();
  readonly #warned = new Set<string>();

  constructor(options: RegistriesOptions = {}) {
    this.#options = options;
    this.#insecure = new Set(options.insecure);
    this.#allowed = new Set(options.allowed);
    this.warn = options.warn ?? (() => undefined);
    this.rules = {
      allowLatest: options.allowLatest ?? false,
      requireDigest: options.requireDigest ?? false,
      staleTags: options.staleTags ?? true,
      timeoutMs: options.pullTimeoutMs ?? 300_000,
      retryWaitMs: options.retryWaitMs ?? 250,
      tokenHosts: options.tokenHosts ?? [],
    };
    this.client = new HttpClient({
      ...(options.caFiles === undefined ? {} : { caFiles: options.caFiles }),
      ...(options.proxies === undefined ? {} : { proxies: options.proxies }),
      ...(options.idleTimeoutMs === undefined ? {} : { idleTimeoutMs: options.idleTimeoutMs }),
    });
    const room = options.cacheDir === undefined ? 0 : (options.maxCacheBytes ?? 2 * 1024 ** 3);
    this.cache = new BlobCache(options.cacheDir ?? '', room, this.warn);
    this.limiter = new PullLimiter(options.maxPulls ?? 16);
  }

  /** The registries of a configuration. `warn` gets sentences about what is odd, without secrets. */
  static of({ artifacts, cacheDir }: Pick<HostConfig, 'artifacts' | 'cacheDir'>, warn: (message: string) => void): Registries {
    const { registry, username, password, passwordFile, ...settings } = artifacts;
    const single = registry === undefined || username === undefined ? [] : [{ registry, username, password, passwordFile }];
    return new Registries({
      insecure: settings.insecureRegistries,
      allowed: settings.allowedRegistries,
      credentials: [...single, ...settings.credentials],
      dockerConfigFile: settings.dockerConfigFile,
      credentialHelpers: settings.credentialHelpers,
      tokenHosts: settings.tokenHosts,
      caFiles: settings.tlsCaFiles,
      allowLatest: settings.allowLatest,
      requireDigest: settings.requireDigest,
      staleTags: settings.staleTags,
      maxPulls: settings.maxPulls,
      pullTimeoutMs: settings.pullTimeoutMs,
      cacheDir: join(cacheDir, 'artifacts'),
      maxCacheBytes: settings.maxCacheBytes,
      proxies: process.env,
      warn,
    });
  }

  /**
   * Takes over credentials from the lattice (`registry.put`), for as long as this host runs: user and password for Basic, a token alone
   * as it is, none for anonymous. Whatever else a registry's entry holds makes it anonymous, and is said. Never throws.
   *
   * @param entries what came: a map from authority to `{ username?, password?, token?, registryType? }`.
   * @returns a sentence for each entry that was not taken as it came; none holds a secret.
   */
  put(entries: unknown): readonly string[] {
    if (!isJsonObject(entries)) return ['the registries are no map'];
    const warnings: string[] = [];
    for (const [name, entry] of Object.entries(entries)) {
      const registry = name.toLowerCase();
      if (registry.length > MAX_NAME_CHARS) {
        warnings.push(`the registry ${quote(registry)} is no name of one; it was left out`);
        continue;
      }
      if (!this.#put.has(registry) && this.#put.size >= MAX_ENTRIES) {
        warnings.push(`more than ${MAX_ENTRIES} registries; the others were left out`);
        break;
      }
      const { credential, warning } = readEntry(entry);
      this.#put.set(registry, credential);
      if (warning !== undefined) warnings.push(`the registry ${quote(registry)} ${warning}`);
    }
    return warnings;
  }

  /** Aborted once {@link close} has been called. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Gives up every pull, those that wait and those that come later too: the host is stopping. */
  close(): void {
    this.#closing.abort(new TrellisError('TRELLIS_HOST_BUSY', { message: 'the host is stopping; the pull was given up' }));
    this.client.close();
  }

  /** For what is so at every pull, until somebody changes it. */
  #warnOnce(text: string): void {
    if (this.#warned.has(text) || this.#warned.size >= MAX_ENTRIES) return;
    this.#warned.add(text);
    this.warn(text);
  }

  /** True if the registry is spoken to over plain HTTP. */
  isInsecure(registry: string): boolean {
    return this.#insecure.has(registry);
  }

  /** @throws TRELLIS_ARTIFACT_REGISTRY unless this host may pull from the registry */
  check(registry: string): void {
    if (this.#allowed.size === 0 || this.#allowed.has(registry)) return;
    throw new TrellisError('TRELLIS_ARTIFACT_REGISTRY', {
      message: `the registry ${quote(registry)} is not one of artifacts.allowedRegistries`,
      details: { registry },
    });
  }

  /**
   * What to show to a registry: what the lattice put, else what the settings say, else what `docker login` left.
   * @throws TRELLIS_ARTIFACT_CREDENTIALS
   */
  async credentialFor(registry: string): Promise<RegistryCredential> {
    const put = this.#put.get(registry);
    if (put !== undefined) return put;
    const named = this.#options.credentials?.find((each) => each.registry === registry);
    if (named !== undefined) return namedCredential(named);
    const { dockerConfigFile: file, credentialHelpers: runHelpers = false } = this.#options;
    if (file === undefined) return ANONYMOUS;
    return (await dockerCredential(registry, { file, runHelpers, warn: (text) => this.#warnOnce(text) })) ?? ANONYMOUS;
  }
}

function readEntry(entry: unknown): { readonly credential: RegistryCredential; readonly warning?: string } {
  const anonymous = (warning: string) => ({ credential: ANONYMOUS, warning });
  if (!isJsonObject(entry)) return anonymous('has no usable entry: anonymous');
  const { username, password, token, registryType } = entry;
  const texts = [username, password, token].map((value) => (value === null ? undefined : value));
  if (texts.some((text) => text !== undefined && (typeof text !== 'string' || text.length > MAX_TEXT_CHARS))) {
    return anonymous('has credentials of another kind than texts: anonymous');
  }
  const [user, pass, bearer] = texts as (string | undefined)[];
  const odd = registryType !== undefined && registryType !== null && registryType !== 'oci';
  const warning = odd ? { warning: 'is of another type than oci, and is taken as oci' } : {};
  if (user !== undefined && pass !== undefined && bearer === undefined) {
    return { credential: { kind: 'basic', username: user, password: pass }, ...warning };
  }
  if (user === undefined && pass === undefined) {
    if (bearer === undefined) return { credential: ANONYMOUS, ...warning };
    // It becomes the value of a header.
    if (!/^[\x21-\x7e]+$/.test(bearer)) return anonymous('has a token that no header can carry: anonymous');
    return { credential: { kind: 'bearer', token: bearer }, ...warning };
  }
  return anonymous('has neither username and password nor a token alone: anonymous');
}
