const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const VALUE_OF = new Map([...ALPHABET].map((letter, value) => [letter, value]));

/** RFC 4648 base32, upper case, without padding. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let pending = 0;
  for (const byte of bytes) {
    pending = (pending << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(pending >> bits) & 31];
    }
    pending &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + ALPHABET[(pending << (5 - bits)) & 31];
}

/**
 * The bytes of a base32 text, or `undefined` unless it is exactly what {@link encodeBase32} would write. A text may come as its
 * bytes: those can be wiped afterwards, a string cannot.
 */
export function decodeBase32(text: string | Uint8Array): Buffer | undefined {
  const bytes = Buffer.alloc(Math.floor((text.length * 5) / 8));
  let length = 0;
  let bits = 0;
  let pending = 0;
  for (const unit of text) {
    const value = VALUE_OF.get(typeof unit === 'string' ? unit : String.fromCharCode(unit));
    if (value === undefined) return undefined;
    pending = (pending << 5) | value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[length++] = pending >> bits;
      pending &= (1 << bits) - 1;
    }
  }
  // Left-over bits would give a second spelling of the same bytes.
  return bits < 5 && pending === 0 ? bytes : undefined;
}
