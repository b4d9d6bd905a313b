import { fileURLToPath } from 'node:url';
import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';

/** Where an image lies in a registry. */
export interface ImageReference {
  /** `host` or `host:port`, in lower case: the authority, exactly as credentials and lists of registries name it. */
  readonly registry: string;
  /** Path in the registry, such as `acme/hello`. */
  readonly repository: string;
  /** `latest` where the reference names neither a tag nor a digest. */
  readonly tag: string | undefined;
  /** `sha256:<64 hex digits>` of the manifest. It wins over the tag. */
  readonly digest: string | undefined;
  /** True if the reference says `:latest` itself. One that only means it does not count, as in wasmCloud 1.x. */
  readonly saysLatest: boolean;
}

/** What a component reference means; `invalid` says why it means nothing. */
export type ArtifactReference =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'image'; readonly image: ImageReference }
  | { readonly kind: 'builtin'; readonly name: string }
  | { readonly kind: 'invalid'; readonly reason: string };

/** Longest reference that is looked at; real ones have a tenth of it. */
const MAX_CHARS = 1_024;
const MAX_NAME_CHARS = 255;
const BUILTIN = 'wasmcloud+builtin://';
const SCHEMES = ['oci://', 'http://', 'https://'];
const DOCKER_HUB = 'docker.io';

// Each is anchored and matches in one way only, so that no text takes long to refuse.
const REGISTRY =
  /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:]{2,39}\])(?::[0-9]{1,5})?$/;
const PATH_PART = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const TAG = /^[a-z0-9_][a-z0-9_.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/**
 * Reads a component reference as wasmCloud 1.x does: `file:///…`, `wasmcloud+builtin://name`, and whatever else is the name of an image,
 * with or without `oci://`, `http://` or `https://` in front (which do not choose the protocol). The name of an image is taken
 * in lower case. Never throws.
 */
export function readReference(text: string): ArtifactReference {
  if (typeof text !== 'string' || text === '') return invalid('is empty');
  if (text.length > MAX_CHARS) return invalid(`has more than ${MAX_CHARS} characters`);
  if (/^file:/i.test(text)) return readFileReference(text);
  if (text.startsWith(BUILTIN)) {
    const name = text.slice(BUILTIN.length);
    return /^[a-z0-9-]{1,64}$/.test(name) ? { kind: 'builtin', name } : invalid('names no builtin');
  }
  return readImage(strippedReference(text).toLowerCase());
}

/** A reference without its scheme, as providers are reported; a file's is its path. One that cannot be read comes back as it is. */
export function strippedReference(text: string): string {
  if (text.startsWith(BUILTIN)) return text.slice(BUILTIN.length);
  if (text.startsWith('file://')) return text.slice('file://'.length);
  const lower = text.slice(0, 8).toLowerCase();
  const scheme = SCHEMES.find((candidate) => lower.startsWith(candidate));
  return scheme === undefined ? text : text.slice(scheme.length);
}

/** The reference, or the error that says why it is none. @throws TRELLIS_ARTIFACT_REFERENCE */
export function parseReference(text: string): Exclude<ArtifactReference, { kind: 'invalid' }> {
  const reference = readReference(text);
  if (reference.kind !== 'invalid') return reference;
  throw new TrellisError('TRELLIS_ARTIFACT_REFERENCE', {
    message: `the reference ${quote(text)} ${reference.reason}`,
  });
}

/** An image as people write it: `registry/repository:tag@digest`. */
export function imageText({ registry, repository, tag, digest }: ImageReference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

function readFileReference(text: string): ArtifactReference {
  // A URL resolves `..` silently, also in its encoded spellings; whoever writes one means another file than he shows.
  if (text.split(/[/\\]/).some((part) => part.replace(/%2e/gi, '.') === '..')) return invalid('climbs with ..');
  if (!/^file:\/\/\//i.test(text)) return invalid('is no file URL with an absolute path: file:///path/to/component.wasm');
  try {
    const path = fileURLToPath(text);
    return path.includes('\0') ? invalid('holds a NUL') : { kind: 'file', path };
  } catch {
    return invalid('is not a usable file URL');
  }
}

function readImage(text: string): ArtifactReference {
  if (text.includes('://')) return invalid('has an unknown scheme');
  const at = text.indexOf('@');
  const named = at < 0 ? text : text.slice(0, at);
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !DIGEST.test(digest))
    return invalid('has a digest that is not sha256: and 64 digits of 0-9 and a-f');
  const slash = named.lastIndexOf('/');
  const colon = named.indexOf(':', slash + 1);
  const name = colon < 0 ? named : named.slice(0, colon);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) return invalid('has a tag that no registry takes');
  if (name.length > MAX_NAME_CHARS) return invalid(`has a name of more than ${MAX_NAME_CHARS} characters`);
  const parts = name.split('/');
  const first = parts[0]!;
  let registry = DOCKER_HUB;
  if (parts.length > 1 && (/[.:]/.test(first) || first === 'localhost')) {
    registry = first;
    parts.shift();
  } else if (parts.length === 1) {
    parts.unshift('library');
  }
  if (!REGISTRY.test(registry)) return invalid('names no registry: host or host:port');
  const port = Number(/:(\d+)$/.exec(registry.replace(/^\[[^\]]*\]/, ''))?.[1] ?? 1);
  if (port < 1 || port > 65_535) return invalid('names a port that does not exist');
  if (!parts.every((part) => PATH_PART.test(part))) return invalid('is neither a file URL nor the name of an image');
  return {
    kind: 'image',
    image: {
      registry,
      repository: parts.join('/'),
      tag: tag ?? (digest === undefined ? 'latest' : undefined),
      digest,
      saysLatest: text.endsWith(':latest'),
    },
  };
}

const invalid = (reason: string): ArtifactReference => ({ kind: 'invalid', reason });
