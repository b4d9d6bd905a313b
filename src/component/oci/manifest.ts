import { isJsonObject } from '../../json-object.ts';

/** Reads what registries say about images. Strict about what is used, indifferent to the rest. */

/** A part of an image. */
export interface Descriptor {
  readonly mediaType: string;
  /** `sha256:<64 hex digits>`. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

/** One image of several, and for which machine it is. */
export interface PlatformDescriptor extends Descriptor {
  readonly os: string | undefined;
  readonly architecture: string | undefined;
}

/** What a manifest is. */
export type Manifest =
  | { readonly kind: 'image'; readonly layers: readonly Descriptor[] }
  | { readonly kind: 'index'; readonly manifests: readonly PlatformDescriptor[] }
  | { readonly kind: 'invalid'; readonly reason: string };

/** Largest manifest that is read, bytes. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const IMAGE_TYPES = ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json'];
const INDEX_TYPES = ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json'];
/** What a host asks a registry for. */
export const ACCEPTED_MANIFESTS = [...IMAGE_TYPES, ...INDEX_TYPES].join(', ');
/** Layers that hold a component. The last one is taken as it is, as 1.x does: it is not unpacked. */
export const COMPONENT_LAYERS: readonly string[] = [
  'application/wasm',
  'application/vnd.module.wasm.content.layer.v1+wasm',
  'application/vnd.oci.image.layer.v1.tar',
];
const MAX_ENTRIES = 1_000;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/**
 * Reads a manifest. One that could be read as two things is neither: a layer list beside an image list, or another type in the text
 * than in the header. Never throws.
 *
 * @param contentType of the answer, if there was one.
 */
export function readManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return invalid('is not JSON');
  }
  if (!isJsonObject(value)) return invalid('is no JSON object');
  const { schemaVersion, mediaType, layers, manifests } = value;
  if (schemaVersion !== 2) return invalid('is not of version 2');
  if (mediaType !== undefined && typeof mediaType !== 'string') return invalid('has a malformed media type');
  const header = contentType?.split(';')[0]!.trim().toLowerCase();
  const known = header !== undefined && [...IMAGE_TYPES, ...INDEX_TYPES].includes(header) ? header : undefined;
  if (mediaType !== undefined && known !== undefined && mediaType !== known) return invalid('is announced as something else');
  const type = mediaType ?? known;
  if (layers !== undefined && manifests !== undefined) return invalid('is an image and a list of images at once');
  if (manifests !== undefined) {
    if (type !== undefined && !INDEX_TYPES.includes(type)) return invalid('is announced as something else');
    const read = readList(manifests, readPlatform);
    return read === undefined ? invalid('has a malformed list of images') : { kind: 'index', manifests: read };
  }
  if (type !== undefined && !IMAGE_TYPES.includes(type)) return invalid('is of a kind that is no image');
  const read = readList(layers, readDescriptor);
  return read === undefined ? invalid('has a malformed list of layers') : { kind: 'image', layers: read };
}

/** The layer that holds the component, or why there is none. */
export function componentLayer(layers: readonly Descriptor[]): Descriptor | { readonly reason: string } {
  if (layers.length !== 1) {
    return { reason: `Found invalid OCI wasm artifact, expected single layer, found ${layers.length} layers` };
  }
  const layer = layers[0]!;
  return COMPONENT_LAYERS.includes(layer.mediaType)
    ? layer
    : { reason: 'its layer is of another media type than components have' };
}

/** The names that Go gives to this machine, which is how registries know it. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm', ia32: '386', s390x: 's390x' };
const SYSTEMS: Readonly<Record<string, string>> = { win32: 'windows' };

/** Chooses among the images of a list: the one for this machine, else the one for WebAssembly, else the only one. */
export function chooseManifest(
  manifests: readonly PlatformDescriptor[],
  machine: { readonly platform: string; readonly arch: string },
): PlatformDescriptor | undefined {
  const os = SYSTEMS[machine.platform] ?? machine.platform;
  const architecture = ARCHITECTURES[machine.arch] ?? machine.arch;
  return (
    manifests.find((each) => each.os === os && each.architecture === architecture) ??
    manifests.find((each) => /^wasm(?:32|64)?$/.test(each.architecture ?? '') || /^wasi(?:p[12])?$/.test(each.os ?? '')) ??
    (manifests.length === 1 ? manifests[0] : undefined)
  );
}

const invalid = (reason: string): Manifest => ({ kind: 'invalid', reason });

function readList<T>(value: unknown, read: (item: unknown) => T | undefined): T[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_ENTRIES) return undefined;
  const items = value.map(read);
  return items.every((item) => item !== undefined) ? items : undefined;
}

function readDescriptor(value: unknown): Descriptor | undefined {
  if (!isJsonObject(value)) return undefined;
  const { mediaType, digest, size } = value;
  if (typeof mediaType !== 'string' || mediaType.length > 255) return undefined;
  if (typeof digest !== 'string' || !DIGEST.test(digest)) return undefined;
  if (!Number.isSafeInteger(size) || (size as number) < 0) return undefined;
  // `urls`, where a layer may lie elsewhere, is left out on purpose: only the registry that was named is asked.
  return { mediaType, digest, size: size as number };
}

function readPlatform(value: unknown): PlatformDescriptor | undefined {
  const descriptor = readDescriptor(value);
  if (descriptor === undefined) return undefined;
  const { platform } = value as { platform?: unknown };
  const text = (name: string): string | undefined => {
    const found = isJsonObject(platform) ? platform[name] : undefined;
    return typeof found === 'string' ? found : undefined;
  };
  return { ...descriptor, os: text('os'), architecture: text('architecture') };
}
