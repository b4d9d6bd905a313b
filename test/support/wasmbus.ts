import { readFileSync } from 'node:fs';

/** Bytes that a message carries as msgpack text, as the OTP host of 0.82 does with every binary. */
export class AsText {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** What {@link msgpack} writes. A list of pairs is a map in that order, also with a key twice. */
export type Packable =
  | string
  | number
  | bigint
  | boolean
  | null
  | Uint8Array
  | AsText
  | Pairs
  | { readonly list: readonly Packable[] };
/** A map as its pairs. */
export type Pairs = readonly (readonly [key: string, value: Packable])[];

function head(length: number, fix: number, fixMax: number, wide: readonly (number | undefined)[]): Buffer {
  if (length <= fixMax) return Buffer.of(fix | length);
  const [one, two, four] = wide;
  if (length <= 0xff && one !== undefined) return Buffer.of(one, length);
  if (length <= 0xffff && two !== undefined) return Buffer.of(two, length >> 8, length & 0xff);
  const bytes = Buffer.alloc(5, four);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

const STRING = [0xd9, 0xda, 0xdb] as const;

/** A msgpack writer of the tests' own: smallest heads, nothing clever. */
export function msgpack(value: Packable): Buffer {
  if (value === null) return Buffer.of(0xc0);
  if (typeof value === 'boolean') return Buffer.of(value ? 0xc3 : 0xc2);
  if (typeof value === 'number') return head(value, 0, 0x7f, [0xcc, 0xcd, 0xce]);
  if (typeof value === 'bigint') {
    const bytes = Buffer.alloc(9, 0xcf);
    bytes.writeBigUInt64BE(value, 1);
    return bytes;
  }
  if (typeof value === 'string') return msgpack(new AsText(Buffer.from(value)));
  if (value instanceof AsText) return Buffer.concat([head(value.bytes.length, 0xa0, 31, STRING), value.bytes]);
  if (value instanceof Uint8Array) return Buffer.concat([head(value.length, 0, -1, [0xc4, 0xc5, 0xc6]), value]);
  if ('list' in value)
    return Buffer.concat([head(value.list.length, 0x90, 15, [undefined, 0xdc, 0xdd]), ...value.list.map(msgpack)]);
  return Buffer.concat([
    head(value.length, 0x80, 15, [undefined, 0xde, 0xdf]),
    ...value.flatMap(([key, each]) => [msgpack(key), msgpack(each)]),
  ]);
}

/** The call of the published vector. */
export const VECTOR = JSON.parse(readFileSync(new URL('../fixtures/wasmbus-vectors.json', import.meta.url), 'utf8')) as {
  readonly clusterSeed: string;
  readonly clusterKey: string;
  readonly origin: Party;
  readonly target: Party;
  readonly operation: string;
  readonly payloadHex: string;
  readonly id: string;
  readonly hostId: string;
  readonly jti: string;
  readonly iat: number;
  readonly originUrl: string;
  readonly targetUrl: string;
  readonly hash: string;
  readonly header: string;
  readonly signature: string;
};

/** One end of a call. */
export interface Party {
  readonly publicKey: string;
  readonly linkName: string;
  readonly contractId: string;
}

/** An entity as the Rust host writes it. */
export function entityPairs(party: Party): Pairs {
  return [
    ['public_key', party.publicKey],
    ['link_name', party.linkName],
    ['contract_id', party.contractId],
  ];
}
