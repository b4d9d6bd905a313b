import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';

/** The bytes of a component as they lie on disk; nothing about them is checked yet. */
export interface Artifact {
  readonly bytes: Uint8Array;
  /** `sha256:<64 hex digits>` of the bytes. */
  readonly digest: string;
  /** Absolute path. */
  readonly path: string;
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
    file = await open(path, 'r');
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
