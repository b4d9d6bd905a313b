import { createHash } from 'node:crypto';
import { constants, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HostConfig } from '../config/schema.ts';
import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';
import type { Permits } from '../lanes.ts';
import { verifyClaims, type EmbeddedClaims } from './claims.ts';
import { keptComponent, pullComponent } from './oci/pull.ts';
import type { Registries } from './oci/registries.ts';
import { imageText, parseReference } from './reference.ts';

/** The bytes of a component as they lie on disk; nothing about them is checked yet. */
export interface Artifact {
  readonly bytes: Uint8Array;
  /** `sha256:<64 hex digits>` of the bytes. */
  readonly digest: string;
  /** Absolute path. */
  readonly path: string;
}

/** How a reference becomes a component. */
export interface ArtifactOptions {
  /** The largest component, bytes. */
  readonly maxBytes: number;
  /** True if `file://` references are followed (`artifacts.allowFiles`). */
  readonly allowFiles: boolean;
  /** How registries are spoken to; one for all pulls of a host. */
  readonly registries: Registries;
  /** What the component must have, `sha256:<hex>`; anything if left out. */
  readonly digest?: string | undefined;
  /** Account keys of which one must have signed (`artifacts.issuers`); nobody has to if empty. */
  readonly issuers?: readonly string[];
  /** Milliseconds since the Unix epoch, for claims that expire; the machine's clock if left out. */
  readonly nowMs?: () => number;
  /** Ends a pull that is wanted no more, and nothing else. */
  readonly signal?: AbortSignal;
}

/** A component that a reference led to. */
export interface FetchedArtifact {
  readonly bytes: Uint8Array;
  /** `sha256:<64 hex digits>` of the bytes. */
  readonly digest: string;
  /** What it says of itself, verified; none if it is not signed. */
  readonly claims?: EmbeddedClaims;
  /** Of an image: the digest of its manifest, which a reference can name to mean just this. */
  readonly manifestDigest?: string;
  /** True if its registry was out of reach, and what the tag meant before was taken. */
  readonly stale?: boolean;
}

/**
 * Fetches the component that a reference names, and verifies what it says of itself. Nothing of it is run or taken apart before.
 *
 * @throws TRELLIS_ARTIFACT_*, TRELLIS_CLAIMS_*, TRELLIS_COMPONENT_NOT_FOUND, TRELLIS_COMPONENT_TOO_LARGE, TRELLIS_COMPONENT_DIGEST
 */
export async function fetchArtifact(ref: string, options: ArtifactOptions): Promise<FetchedArtifact> {
  return verified(ref, await locate(ref, options), options);
}

/**
 * Runs `work` with the component that a reference leads to, in its turn. No turn is held while a registry is asked: an image that is not
 * on this machine is pulled into the cache first, and read from there, so that only what has its turn is in memory. Where the cache keeps
 * nothing it is pulled a second time.
 *
 * @throws what {@link fetchArtifact} throws, the reason of `options.signal` during a pull, and what `work` throws
 */
export async function withArtifact<T>(
  ref: string,
  options: ArtifactOptions,
  turns: Permits,
  work: (found: FetchedArtifact) => Promise<T>,
): Promise<T> {
  const fetched = (from: string): Promise<T> => turns.run(async () => work(await fetchArtifact(from, options)));
  const reference = parseReference(ref);
  if (reference.kind !== 'image') return fetched(ref);
  const { registries, maxBytes, signal } = options;
  const { image } = reference;
  if (image.digest !== undefined) {
    const done = await turns.run(async () => {
      const kept = await keptComponent(image, registries, maxBytes);
      return kept === undefined ? undefined : { value: await work(verified(ref, kept, options)) };
    });
    if (done !== undefined) return done.value;
  }
  const { manifestDigest } = await pullComponent(image, registries, maxBytes, signal);
  return fetched(imageText({ ...image, digest: manifestDigest }));
}

function verified(ref: string, found: FetchedArtifact, options: ArtifactOptions): FetchedArtifact {
  if (options.digest !== undefined && options.digest !== found.digest) {
    throw new TrellisError('TRELLIS_COMPONENT_DIGEST', {
      message: `the component ${quote(ref)} has the digest ${found.digest}, and ${options.digest} is configured`,
      details: { digest: found.digest, expected: options.digest },
    });
  }
  return withClaims(found, options);
}

/** What a configuration says of where a component comes from: its file or its image. */
export interface ConfiguredPlace {
  readonly file?: string;
  readonly image?: string;
  /** What the component must have, `sha256:<hex>`. */
  readonly digest?: string;
}

/**
 * Fetches the component that a configuration names. A file needs no `allowFiles`, which is about what the lattice asks for.
 * @throws what {@link fetchArtifact} throws
 */
export async function configuredArtifact(place: ConfiguredPlace, options: ArtifactOptions): Promise<FetchedArtifact> {
  const { file, image, digest } = place;
  if (image !== undefined) return fetchArtifact(image, { ...options, digest, allowFiles: false });
  const { bytes, digest: found } = await loadArtifact(file ?? '', { maxBytes: options.maxBytes, digest });
  return withClaims({ bytes, digest: found }, options);
}

/** Runs `work` with the component that a configuration names, in its turn: as {@link withArtifact}. */
export function withConfigured<T>(
  place: ConfiguredPlace,
  options: ArtifactOptions,
  turns: Permits,
  work: (found: FetchedArtifact) => Promise<T>,
): Promise<T> {
  const { image, digest } = place;
  if (image !== undefined) return withArtifact(image, { ...options, digest, allowFiles: false }, turns, work);
  return turns.run(async () => work(await configuredArtifact(place, options)));
}

/** How a host fetches components, after its configuration. `nowMs`: milliseconds since the Unix epoch, for claims that expire. */
export function artifactOptions(
  { artifacts, limits }: Pick<HostConfig, 'artifacts' | 'limits'>,
  registries: Registries,
  nowMs: () => number,
): ArtifactOptions {
  const { allowFiles, issuers } = artifacts;
  return { maxBytes: limits.maxComponentSizeBytes, allowFiles, issuers, registries, nowMs };
}

async function locate(ref: string, options: ArtifactOptions): Promise<FetchedArtifact> {
  const reference = parseReference(ref);
  switch (reference.kind) {
    case 'file': {
      if (!options.allowFiles) {
        throw new TrellisError('TRELLIS_ARTIFACT_FILES', {
          message: 'unable to start component from file, file loading is disabled',
        });
      }
      const { bytes, digest } = await loadArtifact(ref, { maxBytes: options.maxBytes });
      return { bytes, digest };
    }
    case 'image': {
      const { registries, maxBytes, signal } = options;
      return (
        (await keptComponent(reference.image, registries, maxBytes)) ??
        pullComponent(reference.image, registries, maxBytes, signal)
      );
    }
    case 'builtin':
      throw new TrellisError('TRELLIS_ARTIFACT_REFERENCE', { message: `${quote(ref)} is a provider, not a component` });
  }
}

function withClaims<T extends FetchedArtifact>(
  found: T,
  { nowMs = Date.now, issuers = [] }: Pick<ArtifactOptions, 'nowMs' | 'issuers'>,
): T {
  const claims = verifyClaims(found.bytes, { nowMs: nowMs(), issuers });
  return claims === undefined ? found : { ...found, claims };
}

/** Returns `sha256:<hex>` of `bytes`. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/**
 * Reads a component file. The size is checked before anything is read, and again while reading, so a file that grows
 * meanwhile (or a device that never ends) costs no more than the limit.
 *
 * @param ref a path, relative to the working directory, or a `file://` URL.
 * @param options.maxBytes the largest file that is accepted, bytes.
 * @param options.digest what the file must have, `sha256:<hex>`; anything if left out.
 * @throws TRELLIS_COMPONENT_NOT_FOUND, TRELLIS_COMPONENT_TOO_LARGE, TRELLIS_COMPONENT_DIGEST, TRELLIS_COMPONENT_UNSUPPORTED (another
 *   kind of reference)
 */
export async function loadArtifact(
  ref: string,
  options: { readonly maxBytes: number; readonly digest?: string | undefined },
): Promise<Artifact> {
  const path = toPath(ref);
  let file;
  try {
    // Without waiting: a pipe would keep a thread until somebody writes to it.
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    throw notFound(path, cause);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw notFound(path, undefined, 'is not a file');
    if (stat.size > options.maxBytes) throw tooLarge(path, stat.size, options.maxBytes);
    const bytes = Buffer.allocUnsafeSlow(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
      if (bytesRead === 0) throw notFound(path, undefined, 'became shorter while it was read');
      length += bytesRead;
    }
    const digest = digestOf(bytes);
    if (options.digest !== undefined && options.digest !== digest) {
      throw new TrellisError('TRELLIS_COMPONENT_DIGEST', {
        message: `the component file ${quote(path)} has the digest ${digest}, and ${options.digest} is configured`,
        details: { path, digest, expected: options.digest },
      });
    }
    return { bytes, digest, path };
  } finally {
    await file.close();
  }
}

function toPath(ref: string): string {
  if (ref.startsWith('file:')) {
    try {
      return fileURLToPath(ref);
    } catch (cause) {
      throw new TrellisError('TRELLIS_COMPONENT_UNSUPPORTED', {
        message: `component reference ${quote(ref)} is not a usable file URL`,
        remedy: 'Use an absolute path, or file:///absolute/path.wasm.',
        cause,
      });
    }
  }
  // A NUL would end the path early in the system call.
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(ref) || ref.includes('\0') || ref === '') {
    throw new TrellisError('TRELLIS_COMPONENT_UNSUPPORTED', {
      message: `component reference ${quote(ref)} is neither a path nor a file:// URL`,
      remedy: 'Download the component first and give its path.',
    });
  }
  return resolve(ref);
}

function notFound(path: string, cause: unknown, why?: string): TrellisError {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  const reason = why ?? (code === 'ENOENT' ? 'does not exist' : `cannot be read (${code ?? 'unknown reason'})`);
  return new TrellisError('TRELLIS_COMPONENT_NOT_FOUND', {
    message: `the component file ${quote(path)} ${reason}`,
    details: { path },
    cause,
  });
}

function tooLarge(path: string, bytes: number, maxBytes: number): TrellisError {
  return new TrellisError('TRELLIS_COMPONENT_TOO_LARGE', {
    message: `the component file ${quote(path)} has ${bytes} bytes; this host accepts ${maxBytes}`,
    details: { path, bytes, maxBytes },
  });
}
