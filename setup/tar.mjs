import { gunzipSync } from 'node:zlib';

const BLOCK = 512;

/**
 * The content of the one file in a `.tar.gz` whose path ends with `suffix`, or undefined. Plain ustar entries only, which is
 * what npm and the nats-server release write; `maxBytes` bounds what it unpacks to.
 */
export function fileInTarball(archive, suffix, maxBytes = 200_000_000) {
  const tar = gunzipSync(archive, { maxOutputLength: maxBytes });
  for (let at = 0; at + BLOCK <= tar.length;) {
    const header = tar.subarray(at, at + BLOCK);
    const name = text(header, 0, 100);
    if (name === '') return undefined; // the two empty blocks at the end
    const size = Number.parseInt(text(header, 124, 12).trim(), 8);
    if (!Number.isSafeInteger(size) || size < 0) return undefined;
    const prefix = text(header, 345, 155);
    const path = prefix === '' ? name : `${prefix}/${name}`;
    const type = header[156];
    const isFile = type === 0 || type === 0x30;
    at += BLOCK;
    if (at + size > tar.length) return undefined;
    if (isFile && (path === suffix || path.endsWith(`/${suffix}`))) return tar.subarray(at, at + size);
    at += Math.ceil(size / BLOCK) * BLOCK;
  }
  return undefined;
}

function text(header, offset, length) {
  const field = header.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return field.subarray(0, end === -1 ? length : end).toString('latin1');
}
