import { encodeBase32 } from '../../src/trust/base32.ts';

/** CRC-16/XMODEM, bit by bit as its definition says, in the byte order of nkeys. */
function crcOf(body: Uint8Array): Buffer {
  let crc = 0;
  for (const byte of body) {
    for (let bit = 7; bit >= 0; bit--) {
      const carry = ((crc >> 15) ^ (byte >> bit)) & 1;
      crc = ((crc << 1) & 0xffff) ^ (carry === 1 ? 0x1021 : 0);
    }
  }
  return Buffer.from([crc & 0xff, crc >> 8]);
}

/** The text of an nkey with these bytes, prefix included, and a checksum that fits. */
export function nkeyText(body: Uint8Array): string {
  return encodeBase32(Buffer.concat([body, crcOf(body)]));
}

/** The text of a public key over any 32 bytes; of a cluster key unless another type byte is given. */
export function publicText(point: Uint8Array, prefix = 2 << 3): string {
  return nkeyText(Buffer.concat([Buffer.from([prefix]), point]));
}
