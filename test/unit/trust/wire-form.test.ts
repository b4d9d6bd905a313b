import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { buildTree } from '../../../src/trust/merkle.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { writeRequestClaims } from '../../../src/trust/request-token.ts';
import {
  batchMessage,
  HEADERS,
  leafHash,
  paramsDigest,
  requestDigest,
  resultDigest,
  sealBatched,
  sealSingle,
  signedTextOf,
  singleMessage,
} from '../../../src/trust/token.ts';

/**
 * The wire form, pinned: another implementation, or a later version of this one, must make the same bytes. Ed25519 is
 * deterministic, so whole tokens can be compared. The seed is the public test seed of the wasmCloud 0.82 sources.
 */
const key = SigningKey.fromSeed('SCAIYCZTW775GJYX3MVWLURALVC3PULW43PTEKGH72JBMA3A7LOLGLQ2JA', 'cluster');
const sign = (message: string): Buffer => key.sign(Buffer.from(message, 'latin1'));

function claimsText(jti: string): string {
  return writeRequestClaims({
    v: 2,
    jti,
    iat: 1_800_000_000_000,
    exp: 1_800_000_030_000,
    lat: 'default',
    iss: key.publicKey,
    org: 'caller',
    lnk: 'default',
    tgt: 'echo',
    ins: 'trellis-samples:echo/bytes@0.1.0',
    fun: 'echo-bytes',
    sub: 'default.echo.wrpc.0.0.1.trellis-samples:echo/bytes@0.1.0.echo-bytes',
    rpl: '_INBOX_RPC.default.k1',
    len: 3,
    dig: paramsDigest(Buffer.from('abc')),
  });
}

/** D(label, part), as the definition says it. */
function d(label: string, text: string): string {
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(text.length));
  return createHash('sha256').update(`wzt2\0${label}\0`).update(length).update(text, 'latin1').digest('latin1');
}

const short = (text: string): string => createHash('sha256').update(text).digest('base64url');

describe('the wire form of tokens', () => {
  it('signs D("single", header.claims)', () => {
    const text = signedTextOf(HEADERS.request.single, claimsText('AAAAAAAAAAAAAAAAAAAAAA'));
    expect(singleMessage(text)).toBe(d('single', text));
    const token = sealSingle(text, sign(singleMessage(text)));
    expect(token.split('.')[0]).toBe('inv2s');
    expect(short(token)).toBe('iWY01SX411nw4DIoyXofymei3NX3qdNU7xhe2zg9xkg');
  });

  it('signs D("batch", count and root) over leaves D("leaf", header.claims)', () => {
    const texts = ['A', 'Q', 'g'].map((c) => signedTextOf(HEADERS.request.batched, claimsText('B'.repeat(21) + c)));
    const leaves = texts.map((text) => leafHash(text, 'binary'));
    expect(leaves).toEqual(texts.map((text) => d('leaf', text)));
    const { root, paths } = buildTree(leaves);
    expect(batchMessage(root, 3)).toBe(d('batch', `\0\x03${root}`));
    expect(batchMessage(root, 1024)).toBe(d('batch', `\x04\0${root}`));
    const token = sealBatched(texts[1]!, sign(batchMessage(root, 3)), 1, 3, paths[1]!);
    expect(token.split('.')[0]).toBe('inv2b');
    expect(short(token)).toBe('zae6RcikQjStkuCgWBzmWuv7JXNl5bjCp7u4wbJI_CI');
  });

  it('digests parameters, results and requests under labels of their own', () => {
    const of = (label: string): string => Buffer.from(d(label, 'abc'), 'latin1').toString('base64url');
    expect(paramsDigest(Buffer.from('abc'))).toBe(of('params'));
    expect(resultDigest(Buffer.from('abc'))).toBe(of('result'));
    expect(requestDigest('abc')).toBe(of('req'));
  });
});
