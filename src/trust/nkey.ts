import { createPrivateKey, createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto';
import { TrellisError } from '../errors.ts';
import { decodeBase32, encodeBase32 } from './base32.ts';
import { Redacted } from './redacted.ts';

/** What a key is for. `module` and `service` are wasmCloud's additions to the NATS kinds. */
export type KeyKind = 'operator' | 'account' | 'user' | 'server' | 'cluster' | 'curve' | 'module' | 'service';

/** Type bytes of the nkey text form; shifted so that they become the first letter (O A U N C X M V). */
const PREFIX: Readonly<Record<KeyKind, number>> = {
  operator: 14 << 3,
  account: 0,
  user: 20 << 3,
  server: 13 << 3,
  cluster: 2 << 3,
  curve: 23 << 3,
  module: 12 << 3,
  service: 21 << 3,
};
const KIND_OF = new Map(Object.entries(PREFIX).map(([kind, byte]) => [byte, kind as KeyKind]));
const SEED_MARK = 18 << 3;

const PUBLIC_CHARS = 56;
const SEED_CHARS = 58;
const KEY_BYTES = 32;

// The fixed DER frames around 32 raw bytes (RFC 8410).
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
const SPKI_X25519 = Buffer.from('302a300506032b656e032100', 'hex');
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

// y coordinates (little endian, sign bit clear) of the eight points whose order divides 8: under such a key a signature
// can be made without any secret. p-1 is order 2; 0 is order 4; the last two are order 8.
const SMALL_ORDER_Y: readonly Buffer[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
].map((hex) => Buffer.from(hex, 'hex'));

/** What {@link parsePublicKey} gives back. `reason` names the fault and never repeats the text. */
export type ParsedPublicKey =
  | { readonly ok: true; readonly kind: KeyKind; readonly text: string; readonly key: KeyObject }
  | { readonly ok: false; readonly reason: string };

/** CRC-16/XMODEM, as nkeys append it (little endian). */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

function withCrc(body: Uint8Array): Buffer {
  const crc = crc16(body);
  return Buffer.concat([body, Uint8Array.of(crc & 0xff, crc >> 8)]);
}

/** The bytes of an nkey text without its checksum, or `undefined`: exact length, canonical base32, correct checksum. */
function decodeNkey(text: string | Uint8Array, chars: number): Buffer | undefined {
  if (text.length !== chars) return undefined;
  const bytes = decodeBase32(text);
  if (bytes === undefined) return undefined;
  const body = bytes.subarray(0, -2);
  return crc16(body) === bytes.readUInt16LE(bytes.length - 2) ? body : undefined;
}

function isSmallOrder(point: Uint8Array): boolean {
  const y = Buffer.from(point);
  y[31]! &= 0x7f;
  // y >= p is a second spelling of a small y; no honest key is written that way.
  if (y[31] === 0x7f && y.subarray(1, 31).every((byte) => byte === 0xff) && y[0]! >= 0xed) return true;
  return SMALL_ORDER_Y.some((candidate) => candidate.equals(y));
}

/**
 * Reads a public nkey: 56 characters of upper-case base32 whose checksum must be right. Keys under which anybody could
 * sign (small order) are refused. Never throws.
 */
export function parsePublicKey(text: string): ParsedPublicKey {
  if (typeof text !== 'string') return { ok: false, reason: 'not a text' };
  if (text.length !== PUBLIC_CHARS) {
    return { ok: false, reason: `has ${text.length} characters, a public key has ${PUBLIC_CHARS}` };
  }
  const body = decodeNkey(text, PUBLIC_CHARS);
  if (body === undefined) return { ok: false, reason: 'is mistyped: its checksum does not fit' };
  const kind = KIND_OF.get(body[0]!);
  if (kind === undefined) return { ok: false, reason: `begins with ${text[0]}, which is no public key kind` };
  const point = body.subarray(1);
  if (kind !== 'curve' && isSmallOrder(point)) return { ok: false, reason: 'is a key under which anybody can sign' };
  try {
    const der = Buffer.concat([kind === 'curve' ? SPKI_X25519 : SPKI_ED25519, point]);
    return { ok: true, kind, text, key: createPublicKey({ key: der, format: 'der', type: 'spki' }) };
  } catch {
    return { ok: false, reason: 'was refused by the cryptographic library' };
  }
}

/** The kind of a public key in its one spelling, or `undefined`; for where the key itself is not needed. Never throws. */
export function publicKeyKind(text: string): KeyKind | undefined {
  const body = decodeNkey(text, PUBLIC_CHARS);
  const kind = body === undefined ? undefined : KIND_OF.get(body[0]!);
  return body === undefined || (kind !== 'curve' && isSmallOrder(body.subarray(1))) ? undefined : kind;
}

/** The kind a seed was made for, or `undefined` if `text` is no well-formed seed. Says nothing else about the seed. */
export function seedKind(text: string): KeyKind | undefined {
  const body = typeof text === 'string' ? decodeNkey(text, SEED_CHARS) : undefined;
  const kind = body === undefined ? undefined : kindOfSeed(body);
  body?.fill(0);
  return kind;
}

function kindOfSeed(body: Uint8Array): KeyKind | undefined {
  const [first, second] = [body[0]!, body[1]!];
  if ((first & 0xf8) !== SEED_MARK || (second & 0x07) !== 0) return undefined;
  return KIND_OF.get(((first & 0x07) << 5) | (second >> 3));
}

/** An Ed25519 key that signs: the private half stays inside node:crypto. */
export class SigningKey {
  readonly kind: KeyKind;
  /** The public nkey, 56 characters. */
  readonly publicKey: string;
  readonly #key: KeyObject;

  private constructor(kind: KeyKind, key: KeyObject) {
    this.kind = kind;
    this.#key = key;
    const point = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES);
    this.publicKey = encodeBase32(withCrc(Buffer.concat([Uint8Array.of(PREFIX[kind]), point])));
  }

  /** A new random key. @throws TRELLIS_KEY_INVALID for `curve`, whose keys do not sign */
  static generate(kind: KeyKind): SigningKey {
    return SigningKey.#fromRaw(kind, randomBytes(KEY_BYTES));
  }

  /**
   * The key of an nkey seed (58 characters, `S` and the letter of its kind first). The bytes of a seed file may stand in for
   * it, with white space around the seed; they are wiped, as no string can be.
   * @throws TRELLIS_KEY_INVALID if it is malformed or of another kind; the message never repeats the value
   */
  static fromSeed(seed: string | Uint8Array, kind: KeyKind): SigningKey {
    if (typeof seed !== 'string' && ArrayBuffer.isView(seed)) {
      try {
        return SigningKey.#fromText(withoutSpace(seed), kind);
      } finally {
        seed.fill(0);
      }
    }
    return SigningKey.#fromText(seed, kind);
  }

  static #fromText(seed: string | Uint8Array, kind: KeyKind): SigningKey {
    const isText = typeof seed === 'string';
    const body = isText || ArrayBuffer.isView(seed) ? decodeNkey(seed, SEED_CHARS) : undefined;
    if (body === undefined) {
      const isPublic = isText
        ? parsePublicKey(seed).ok
        : seed?.length === PUBLIC_CHARS && parsePublicKey(String.fromCharCode(...seed)).ok;
      throw new TrellisError('TRELLIS_KEY_INVALID', {
        message: isPublic
          ? `A ${kind} seed is needed, but this is a public key`
          : `The ${kind} seed is malformed: ${SEED_CHARS} characters with a fitting checksum are needed`,
      });
    }
    const found = kindOfSeed(body);
    if (found !== kind) {
      body.fill(0);
      throw new TrellisError('TRELLIS_KEY_INVALID', {
        message: `A ${kind} seed is needed, but this is ${found === undefined ? 'no seed' : `a seed of kind ${found}`}`,
      });
    }
    return SigningKey.#fromRaw(kind, body.subarray(2));
  }

  /** Takes over `raw` and wipes it. */
  static #fromRaw(kind: KeyKind, raw: Uint8Array): SigningKey {
    if (kind === 'curve') {
      raw.fill(0);
      throw new TrellisError('TRELLIS_KEY_INVALID', { message: 'A curve key encrypts and cannot sign' });
    }
    const der = Buffer.concat([PKCS8_ED25519, raw]);
    raw.fill(0);
    try {
      return new SigningKey(kind, createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
    } finally {
      der.fill(0);
    }
  }

  /** The 64-byte Ed25519 signature over `data`. */
  sign(data: Uint8Array): Buffer {
    return sign(null, data, this.#key);
  }

  /** The seed text, for a file that only its owner can read. */
  exportSeed(): Redacted<string> {
    const prefix = PREFIX[this.kind];
    const der = this.#key.export({ format: 'der', type: 'pkcs8' });
    const body = Buffer.concat([Uint8Array.of(SEED_MARK | (prefix >> 5), (prefix & 0x1f) << 3), der.subarray(-KEY_BYTES)]);
    der.fill(0);
    const bytes = withCrc(body);
    body.fill(0);
    const text = encodeBase32(bytes);
    bytes.fill(0);
    return new Redacted(text);
  }
}

/** The part of a file's bytes that is not white space at its ends. */
function withoutSpace(bytes: Uint8Array): Uint8Array {
  let [from, to] = [0, bytes.length];
  while (from < to && bytes[from]! <= 0x20) from++;
  while (to > from && bytes[to - 1]! <= 0x20) to--;
  return bytes.subarray(from, to);
}
