import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readRequestClaims, type RequestClaims, writeRequestClaims } from '../../../src/trust/request-token.ts';
import {
  type AcceptClaims,
  readAcceptClaims,
  readResultClaims,
  type ResultClaims,
  writeAcceptClaims,
  writeResultClaims,
} from '../../../src/trust/result-token.ts';
import { HEADERS, MAX_TOKEN_CHARS, openToken, sealBatched, sealSingle, signedTextOf } from '../../../src/trust/token.ts';

const base64url = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b).toString('base64url'));
const name = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);
const plain = fc.stringMatching(/^[!#-[\]-~]{1,40}$/);
const status = fc.constantFrom('ok', 'denied', 'busy', 'trap', 'timeout', 'too-large', 'bad-params', 'unavailable', 'error');

const requestClaims: fc.Arbitrary<RequestClaims> = fc.record({
  v: fc.constant(2),
  jti: base64url(16),
  iat: fc.maxSafeNat(),
  exp: fc.maxSafeNat(),
  lat: name,
  iss: plain,
  org: name,
  lnk: name,
  tgt: name,
  ins: fc.oneof(fc.constant(''), plain),
  fun: plain,
  sub: plain,
  rpl: plain,
  len: fc.maxSafeNat(),
  dig: base64url(32),
});
const resultClaims = fc.record({
  v: fc.constant(2),
  req: base64url(32),
  iat: fc.maxSafeNat(),
  lat: name,
  iss: plain,
  srv: name,
  st: status,
  len: fc.maxSafeNat(),
  dig: base64url(32),
}) as fc.Arbitrary<ResultClaims>;
const acceptClaims = fc.record({
  v: fc.constant(2),
  req: base64url(32),
  iat: fc.maxSafeNat(),
  lat: name,
  iss: plain,
  srv: name,
  rs: fc.stringMatching(/^[A-Za-z0-9_]{1,12}(\.[A-Za-z0-9_]{1,12}){0,3}$/),
}) as fc.Arbitrary<AcceptClaims>;

describe('claims', () => {
  it.each([
    ['request', requestClaims, writeRequestClaims, readRequestClaims],
    ['result', resultClaims, writeResultClaims, readResultClaims],
    ['accept', acceptClaims, writeAcceptClaims, readAcceptClaims],
  ] as const)('of a %s: one text for one value, and it is what JSON.stringify writes', (_, arbitrary, write, read) => {
    fc.assert(
      fc.property(arbitrary as fc.Arbitrary<RequestClaims & ResultClaims & AcceptClaims>, (claims) => {
        const text = write(claims);
        expect(text).toBe(JSON.stringify(claims));
        expect(read(text)).toEqual(claims);
      }),
    );
    // What is read at all is written back the same, so no two texts stand for one value.
    fc.assert(
      fc.property(
        arbitrary as fc.Arbitrary<RequestClaims & ResultClaims & AcceptClaims>,
        fc.nat(),
        fc.nat(3),
        fc.string({ unit: 'binary', maxLength: 3 }),
        (claims, at, cut, put) => {
          const text = write(claims);
          const start = at % text.length;
          const changed = text.slice(0, start) + put + text.slice(start + cut);
          const back = read(changed);
          if (back !== undefined) expect(write(back as never)).toBe(changed);
        },
      ),
    );
  });

  it.each([
    ['wildcard', '_INBOX.*'],
    ['tail wildcard', '_INBOX.>'],
    ['blank', '_INBOX.a b'],
    ['empty token', '_INBOX..a'],
    ['leading dot', '._INBOX'],
    ['trailing dot', '_INBOX.'],
    ['system subject', '$SYS.REQ.SERVER'],
    ['nothing', ''],
    ['too long', `_INBOX.${'a'.repeat(600)}`],
  ])('of an accept with a %s as inbox are refused', (_, rs) => {
    const claims = { v: 2, req: 'A'.repeat(43), iat: 1, lat: 'default', iss: 'C', srv: 'echo', rs } as const;
    expect(readAcceptClaims(writeAcceptClaims(claims))).toBeUndefined();
    expect(readAcceptClaims(writeAcceptClaims({ ...claims, rs: '_INBOX.a1' }))).toMatchObject({ rs: '_INBOX.a1' });
  });
});

describe('token frame', () => {
  const signature = Buffer.alloc(64, 3);
  const path = ['x'.repeat(32), 'y'.repeat(32)];
  const claims = '{"any":"thing"}';
  const single = sealSingle(signedTextOf(HEADERS.request.single, claims), signature);
  const batched = sealBatched(signedTextOf(HEADERS.request.batched, claims), signature, 2, 4, path);

  it('opens both forms', () => {
    expect(openToken(single, 'request')).toMatchObject({ claimsText: claims, proof: { signature, place: undefined } });
    expect(openToken(batched, 'request')).toMatchObject({
      claimsText: claims,
      proof: { signature, place: { index: 2, count: 4, path: path.join('') } },
    });
  });

  it.each([
    ['index as large as the count', 4, 4, 2],
    ['count of one', 0, 1, 0],
    ['count of none', 0, 0, 0],
    ['count over the limit', 0, 1025, 11],
    ['path too short', 2, 4, 1],
    ['path too long', 2, 4, 3],
    ['path of a promoted leaf too long', 4, 5, 3],
  ])('refuses a proof with %s', (_, index, count, steps) => {
    const token = sealBatched(
      signedTextOf(HEADERS.request.batched, claims),
      signature,
      index,
      count,
      Array(steps).fill('z'.repeat(32)),
    );
    expect(openToken(token, 'request')).toMatchObject({ fault: 'malformed' });
  });

  it('refuses one form under the header of the other, and each kind as another', () => {
    expect(openToken(HEADERS.request.batched + single.slice(5), 'request')).toMatchObject({ fault: 'malformed' });
    expect(openToken(HEADERS.request.single + batched.slice(5), 'request')).toMatchObject({ fault: 'malformed' });
    for (const kind of ['result', 'accept'] as const) {
      expect(openToken(single, kind)).toMatchObject({ fault: 'form' });
      expect(openToken(batched, kind)).toMatchObject({ fault: 'form' });
    }
  });

  it('never throws, whatever comes', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.tuple(fc.constantFrom('inv2s', 'inv2b', 'res2s'), fc.base64String(), fc.base64String()).map((parts) => parts.join('.')),
      fc.nat(batched.length).map((length) => batched.slice(0, length)),
    );
    fc.assert(fc.property(text, (t) => 'fault' in openToken(t, 'request') || openToken(t, 'request') !== undefined));
    expect(openToken('inv2s.'.padEnd(MAX_TOKEN_CHARS + 1, 'A'), 'request')).toMatchObject({ fault: 'malformed' });
  });
});
