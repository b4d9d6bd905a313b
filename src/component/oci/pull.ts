import { TrellisError } from '../../errors.ts';
import { imageText, type ImageReference } from '../reference.ts';
import { sha256 } from './blob-cache.ts';
import { chooseManifest, componentLayer, MAX_MANIFEST_BYTES, readManifest, type Descriptor, type Manifest } from './manifest.ts';
import { ACCEPTED_MANIFESTS } from './manifest.ts';
import type { Registries } from './registries.ts';
import { RegistrySession } from './session.ts';

/** A component from a registry. */
export interface PulledComponent {
  readonly bytes: Uint8Array;
  /** `sha256:<hex>` of the bytes. */
  readonly digest: string;
  /** `sha256:<hex>` of the manifest that the reference led to: what a reference names to mean just this. */
  readonly manifestDigest: string;
  /** True if its registry was out of reach and the tag may mean something else by now. */
  readonly stale: boolean;
}

/**
 * Pulls the component that an image holds. Bytes count only with the digest that named them: of the reference if it has one (a tag beside
 * it says nothing then), else of the manifest that the registry gives for the tag. What is in the cache is not fetched again.
 *
 * @param maxBytes largest component that is accepted; a larger one is not fetched.
 * @param signal ends the pull, unless somebody else wants the same.
 * @throws TRELLIS_ARTIFACT_*, TRELLIS_COMPONENT_TOO_LARGE, or the reason of `signal`
 */
export async function pullComponent(
  image: ImageReference,
  registries: Registries,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<PulledComponent> {
  checkRules(image, registries);
  const key = `${maxBytes} ${imageText(image)}`;
  const pull = async (unwanted: AbortSignal): Promise<PulledComponent> => {
    registries.closing.throwIfAborted();
    const session = new RegistrySession(image, registries, unwanted);
    try {
      return await new Pull(image, registries, session, maxBytes).run();
    } finally {
      session.close();
    }
  };
  return registries.limiter.run({ key, registry: image.registry }, pull, signal);
}

/**
 * The component of an image that was pulled before, if its reference has a digest and all of it is in the cache. Asks no registry, and
 * waits for no pull.
 * @throws as {@link pullComponent}
 */
export async function keptComponent(
  image: ImageReference,
  registries: Registries,
  maxBytes: number,
): Promise<PulledComponent | undefined> {
  checkRules(image, registries);
  if (image.digest === undefined) return undefined;
  try {
    return await new Pull(image, registries, NOBODY, maxBytes).run();
  } catch (error) {
    if (error === NOT_KEPT) return undefined;
    throw error;
  }
}

/** Who is asked for what the cache does not have. */
type Source = Pick<RegistrySession, 'get'>;

const NOT_KEPT = new Error('not in the cache');
const NOBODY: Source = { get: () => Promise.reject(NOT_KEPT) };

function checkRules(image: ImageReference, registries: Registries): void {
  const { rules } = registries;
  registries.check(image.registry);
  if (image.saysLatest && !rules.allowLatest) {
    throw new TrellisError('TRELLIS_ARTIFACT_LATEST', {
      message:
        "fetching images tagged 'latest' is currently prohibited in this host. This option can be overridden with WASMCLOUD_OCI_ALLOW_LATEST",
    });
  }
  if (image.digest === undefined && rules.requireDigest) {
    throw new TrellisError('TRELLIS_ARTIFACT_UNPINNED', { message: `the reference ${imageText(image)} has no digest` });
  }
}

interface FoundManifest {
  readonly digest: string;
  readonly manifest: Manifest;
  readonly stale: boolean;
}

class Pull {
  readonly #image: ImageReference;
  readonly #text: string;
  readonly #registries: Registries;
  readonly #source: Source;
  readonly #maxBytes: number;

  constructor(image: ImageReference, registries: Registries, source: Source, maxBytes: number) {
    this.#image = image;
    this.#text = imageText(image);
    this.#registries = registries;
    this.#source = source;
    this.#maxBytes = maxBytes;
  }

  async run(): Promise<PulledComponent> {
    const { digest: pinned } = this.#image;
    const found = pinned === undefined ? await this.#manifestOfTag() : await this.#manifestOf(pinned);
    let { manifest } = found;
    if (manifest.kind === 'index') {
      const chosen = chooseManifest(manifest.manifests, process);
      if (chosen === undefined) throw this.#invalid('it has images for other machines only');
      manifest = (await this.#manifestOf(chosen.digest)).manifest;
    }
    if (manifest.kind === 'index') throw this.#invalid('it is a list of lists of images');
    if (manifest.kind === 'invalid') throw this.#invalid(`its manifest ${manifest.reason}`);
    const layer = componentLayer(manifest.layers);
    if ('reason' in layer) throw this.#invalid(layer.reason);
    const bytes = await this.#layer(layer);
    return { bytes, digest: layer.digest, manifestDigest: found.digest, stale: found.stale };
  }

  async #manifestOf(digest: string): Promise<FoundManifest> {
    const { cache } = this.#registries;
    const kept = await cache.read(digest, MAX_MANIFEST_BYTES);
    if (kept !== undefined) return { digest, manifest: readManifest(kept, undefined), stale: false };
    const { body, contentType } = await this.#source.get(`manifests/${digest}`, {
      accept: ACCEPTED_MANIFESTS,
      maxBytes: MAX_MANIFEST_BYTES,
      check: (bytes) => sha256(bytes) === digest,
    });
    await cache.write(digest, body);
    return { digest, manifest: readManifest(body, contentType), stale: false };
  }

  async #manifestOfTag(): Promise<FoundManifest> {
    const { cache, rules, warn } = this.#registries;
    try {
      const { body, contentType } = await this.#source.get(`manifests/${this.#image.tag ?? 'latest'}`, {
        accept: ACCEPTED_MANIFESTS,
        maxBytes: MAX_MANIFEST_BYTES,
      });
      const digest = sha256(body);
      await cache.write(digest, body);
      await cache.writeTag(this.#text, digest);
      return { digest, manifest: readManifest(body, contentType), stale: false };
    } catch (error) {
      // Away is not the same as no: what the registry itself refuses or does not have is not run from memory.
      const isAway =
        error instanceof TrellisError &&
        (error.code === 'TRELLIS_ARTIFACT_UNREACHABLE' || error.code === 'TRELLIS_ARTIFACT_TIMEOUT');
      const digest = isAway && rules.staleTags ? await cache.readTag(this.#text) : undefined;
      const kept = digest === undefined ? undefined : await cache.read(digest, MAX_MANIFEST_BYTES);
      if (digest === undefined || kept === undefined) throw error;
      warn(
        `${this.#text} is taken from the cache (${digest}), because its registry is out of reach: ${(error as Error).message}`,
      );
      return { digest, manifest: readManifest(kept, undefined), stale: true };
    }
  }

  async #layer(layer: Descriptor): Promise<Uint8Array> {
    if (layer.size > this.#maxBytes) {
      throw new TrellisError('TRELLIS_COMPONENT_TOO_LARGE', {
        message: `the component of ${this.#text} has ${layer.size} bytes; this host accepts ${this.#maxBytes}`,
        details: { bytes: layer.size, maxBytes: this.#maxBytes },
      });
    }
    const { cache } = this.#registries;
    const kept = await cache.read(layer.digest, layer.size);
    if (kept?.length === layer.size) return kept;
    const { body } = await this.#source.get(`blobs/${layer.digest}`, {
      maxBytes: layer.size,
      check: (bytes) => bytes.length === layer.size && sha256(bytes) === layer.digest,
    });
    await cache.write(layer.digest, body);
    return body;
  }

  #invalid(reason: string): TrellisError {
    return new TrellisError('TRELLIS_ARTIFACT_INVALID', {
      message: reason.startsWith('Found ') ? reason : `${this.#text} is no component: ${reason}`,
    });
  }
}
