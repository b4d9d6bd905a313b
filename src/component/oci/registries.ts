import { TrellisError } from '../../errors.ts';
import { quote } from '../../ids.ts';

/** What a host shows to a registry. */
export type RegistryCredential =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | { readonly kind: 'bearer'; readonly token: string };

/** What {@link Registries} is made of; the settings of `artifacts`. */
export interface RegistriesOptions {
  /** Registries that are spoken to without TLS: exact authorities. */
  readonly insecure?: readonly string[];
  /** The only registries that are pulled from; any if empty. */
  readonly allowed?: readonly string[];
}

const ANONYMOUS: RegistryCredential = { kind: 'anonymous' };
const MAX_ENTRIES = 1_000;
const MAX_TEXT_CHARS = 16_384;

/**
 * The registries that a host knows: how each is spoken to and with which credentials. A registry that nobody mentioned is spoken to
 * over HTTPS, anonymously.
 */
export class Registries {
  readonly #insecure: ReadonlySet<string>;
  readonly #allowed: ReadonlySet<string>;
  readonly #put = new Map<string, RegistryCredential>();

  constructor(options: RegistriesOptions = {}) {
    this.#insecure = new Set(options.insecure);
    this.#allowed = new Set(options.allowed);
  }

  /**
   * Takes over credentials from the lattice (`registry.put`), for as long as this host runs: user and password for Basic, a token alone
   * as it is, none for anonymous. Whatever else a registry's entry holds makes it anonymous, and is said. Never throws.
   *
   * @param entries what came: a map from authority to `{ username?, password?, token?, registryType? }`.
   * @returns a sentence for each entry that was not taken as it came; none holds a secret.
   */
  put(entries: unknown): readonly string[] {
    if (typeof entries !== 'object' || entries === null || Array.isArray(entries)) return ['the registries are no map'];
    const warnings: string[] = [];
    for (const [name, entry] of Object.entries(entries)) {
      const registry = name.toLowerCase();
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

  /** What to show to a registry. */
  credentialFor(registry: string): RegistryCredential {
    return this.#put.get(registry) ?? ANONYMOUS;
  }
}

function readEntry(entry: unknown): { readonly credential: RegistryCredential; readonly warning?: string } {
  const anonymous = (warning: string) => ({ credential: ANONYMOUS, warning });
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return anonymous('has no usable entry: anonymous');
  const { username, password, token, registryType } = entry as Readonly<Record<string, unknown>>;
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
    return { credential: bearer === undefined ? ANONYMOUS : { kind: 'bearer', token: bearer }, ...warning };
  }
  return anonymous('has neither username and password nor a token alone: anonymous');
}
