import {
  createCipheriv,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  timingSafeEqual,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/**
 * The session of one call whose streams and futures travel outside the signed bytes. Caller and server each make an
 * X25519 key for this call alone and name it in what they sign: the request and the accept. From the shared secret, the
 * request and the accept come two keys, one a direction.
 *
 * A frame carries `sequence.tag`. The tag is a GMAC (AES-256-GCM over nothing, everything being additional data): an order
 * of magnitude faster than HMAC-SHA256 over 64 KiB. Its nonce is the sequence number, which counts all frames of one
 * direction, whichever path they belong to: what is altered, dropped, repeated, moved in time, to another path or to
 * another call does not fit. Payloads stay as they are, so that a peer that knows nothing of this can read them.
 */

/** Longest value that {@link FrameSession.seal} gives, characters. */
export const MAX_FRAME_TAG_CHARS = 39;

const HEADER_FORM = /^(0|[1-9][0-9]{0,15})\.([A-Za-z0-9_-]{22})$/;
const KEY_BYTES = 32;
const LABEL = Buffer.from('wzt2\0frame\0', 'latin1');

/** Which end of a call one is. */
export type SessionSide = 'caller' | 'server';

/** An X25519 key that lives as long as one call is being set up. */
export class EphemeralKey {
  /** The public half: 32 bytes as 43 base64url characters. */
  readonly text: string;
  readonly #privateKey: KeyObject;

  constructor() {
    const pair = generateKeyPairSync('x25519');
    this.text = pair.publicKey.export({ format: 'jwk' }).x!;
    this.#privateKey = pair.privateKey;
  }

  /** The secret shared with the holder of `peer`, 32 bytes; `undefined` if `peer` is no key, or one that gives no secret. */
  agree(peer: string): Buffer | undefined {
    try {
      const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: peer }, format: 'jwk' });
      // OpenSSL refuses points of low order, whose secret everybody knows.
      return diffieHellman({ privateKey: this.#privateKey, publicKey });
    } catch {
      return undefined;
    }
  }
}

/** What became of a frame: `next` may be used; `foreign` is not the peer's; `repeated` has been used; after `gap` one is missing. */
export type FrameVerdict = 'next' | 'foreign' | 'repeated' | 'gap';

/** Seals the frames of one direction and opens those of the other. Neither function throws for what a peer sends. */
export class FrameSession {
  readonly #sealKey: KeyObject;
  readonly #openKey: KeyObject;
  #sealed = 0;
  #opened = 0;

  /**
   * @param side which end this is
   * @param secret what both have agreed on
   * @param requestDigest D("req", request token), base64url
   * @param acceptDigest D("acc", accept token), base64url
   */
  constructor(side: SessionSide, secret: Buffer, requestDigest: string, acceptDigest: string) {
    const salt = Buffer.concat([Buffer.from(requestDigest, 'base64url'), Buffer.from(acceptDigest, 'base64url')]);
    const keyOf = (from: SessionSide): KeyObject =>
      createSecretKey(Buffer.from(hkdfSync('sha256', secret, salt, `wzt2 frames of the ${from}`, KEY_BYTES)));
    this.#sealKey = keyOf(side);
    this.#openKey = keyOf(side === 'caller' ? 'server' : 'caller');
  }

  /** The header value of the next frame this side sends. An empty frame is the end of its path. */
  seal(path: string, bytes: Uint8Array): string {
    const sequence = this.#sealed++;
    return `${sequence}.${tagOf(this.#sealKey, sequence, path, bytes).toString('base64url')}`;
  }

  /** Judges a frame. Only `next` moves the session on, so a stranger's frames change nothing, whatever they say. */
  open(value: string | undefined, path: string, bytes: Uint8Array): FrameVerdict {
    const match = HEADER_FORM.exec(value ?? '');
    if (match === null) return 'foreign';
    const sequence = Number(match[1]);
    if (!Number.isSafeInteger(sequence)) return 'foreign';
    // Its place is taken: whoever sent it, nothing is to be learnt from its tag.
    if (sequence < this.#opened) return 'repeated';
    const tag = Buffer.from(match[2]!, 'base64url');
    // Back to text: the last character of 16 bytes has four bits that must be zero.
    if (tag.toString('base64url') !== match[2]) return 'foreign';
    if (!timingSafeEqual(tag, tagOf(this.#openKey, sequence, path, bytes))) return 'foreign';
    if (sequence > this.#opened) return 'gap';
    this.#opened++;
    return 'next';
  }
}

function tagOf(key: KeyObject, sequence: number, path: string, bytes: Uint8Array): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(BigInt(sequence), 4);
  // Label, then both parts with their lengths, as in all digests of tokens. Whether it is the end shows in the second length.
  const head = Buffer.alloc(LABEL.length + 16 + path.length);
  LABEL.copy(head);
  head.writeUInt32BE(path.length, LABEL.length + 4);
  head.write(path, LABEL.length + 8, 'latin1');
  head.writeUInt32BE(bytes.length, head.length - 4);
  const mac = createCipheriv('aes-256-gcm', key, nonce);
  mac.setAAD(head);
  mac.setAAD(bytes);
  mac.final();
  return mac.getAuthTag();
}
