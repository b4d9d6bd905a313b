import { readSignedSections } from '../../src/component/signed-sections.ts';
import { SigningKey } from '../../src/trust/nkey.ts';

/** What {@link signComponent} writes into the claims; each part has a default. */
export interface ClaimParts {
  readonly header?: unknown;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly wascap?: Readonly<Record<string, unknown>>;
  readonly account?: SigningKey;
  readonly section?: string;
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A JWT as wascap makes it, over a hash. */
export function claimsJwt(hash: string, parts: ClaimParts = {}): string {
  const account = parts.account ?? SigningKey.generate('account');
  const claims = {
    jti: 'test',
    iat: 1_700_000_000,
    iss: account.publicKey,
    sub: SigningKey.generate('module').publicKey,
    wascap: { name: 'Test', hash, tags: [], rev: 1, ver: '0.1.0', prov: false, ...parts.wascap },
    wascap_revision: 3,
    ...parts.claims,
  };
  const text = `${encode(parts.header ?? { typ: 'jwt', alg: 'Ed25519' })}.${encode(claims)}`;
  return `${text}.${account.sign(Buffer.from(text)).toString('base64url')}`;
}

/** A custom section of a module or component. */
export function customSection(name: string, content: Uint8Array | string): Buffer {
  const body = Buffer.concat([leb(Buffer.byteLength(name)), Buffer.from(name), Buffer.from(content)]);
  return Buffer.concat([Buffer.of(0), leb(body.length), body]);
}

/** A component with claims behind it, as `wash claims sign` leaves it. */
export function signComponent(bytes: Uint8Array, parts: ClaimParts = {}): Buffer {
  const jwt = claimsJwt(readSignedSections(bytes)!.hash(), parts);
  return Buffer.concat([bytes, customSection(parts.section ?? 'wasmcloud_jwt', jwt)]);
}

/** A number as WebAssembly writes lengths, in at least `width` bytes. */
export function leb(value: number, width = 1): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push(rest & 0x7f);
    rest = Math.floor(rest / 0x80);
  } while (rest > 0 || bytes.length < width);
  return Buffer.from(bytes.map((byte, i) => (i < bytes.length - 1 ? byte | 0x80 : byte)));
}
