import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readClaims, readJwt, verifyClaims } from '../../../src/component/claims.ts';
import { readSignedSections } from '../../../src/component/signed-sections.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { claimsJwt, customSection, leb, signComponent } from '../../support/signed-component.ts';

const fixture = (name: string): Buffer => readFileSync(new URL(`../../fixtures/claims/${name}.wasm`, import.meta.url));
const component = readFileSync(new URL('../../../components/echo/tiny.wasm', import.meta.url));
const nested = readFileSync(new URL('../../../components/echo/echo.wasm', import.meta.url));
// The three files were signed at this time by wash 0.43, one to expire and one to begin a day later.
const SIGNED_MS = Date.parse('2026-11-26T11:33:17Z');
const DAY_MS = 86_400_000;
const HASH = 'A'.repeat(64);

const faultOf = (bytes: Uint8Array, nowMs = SIGNED_MS): string => {
  const reading = readClaims(bytes, nowMs);
  return reading.kind === 'bad' ? reading.reason : reading.kind;
};

describe('claims that wash signed', () => {
  it('are read and verified', () => {
    const reading = readClaims(fixture('signed'), SIGNED_MS);
    expect(reading).toMatchObject({
      kind: 'good',
      claims: {
        subject: 'MC6C2DNRG5II5TM5BTGOCQPTDLDWKG5GWMBPYHIS4EOPQ62ZOQNPFAZV',
        issuer: 'ACHPVILB66ACDVMIV6TZJHZGZEQAJHNCXBVWC7WDZJ7HLCBXNL4WERX7',
        name: 'Tiny echo',
        revision: 7,
        version: '1.2.3',
        tags: ['demo', 'trellis'],
        callAlias: 'trellis/tiny',
      },
    });
  });

  it('expire, and begin', () => {
    expect(faultOf(fixture('expiring'))).toBe('good');
    expect(faultOf(fixture('expiring'), SIGNED_MS + DAY_MS + 2_000)).toContain('expired at 2026-11-27');
    expect(faultOf(fixture('future'))).toContain('count from 2026-11-27');
    expect(faultOf(fixture('future'), SIGNED_MS + DAY_MS + 2_000)).toBe('good');
  });

  it('do not hold for other bytes: every byte of the component counts', () => {
    const signed = fixture('signed');
    for (let at = 8; at < component.length; at += 7) {
      const changed = Buffer.from(signed);
      changed[at]! ^= 1;
      // A byte of a length can make it no module at all, and then there is nothing to believe either.
      expect(['good']).not.toContain(faultOf(changed));
    }
    expect(faultOf(Buffer.concat([signed, customSection('note', 'x')]))).toBe('they speak of other bytes');
  });
});

describe('claims', () => {
  it('are none in an unsigned component, a module and what is neither', () => {
    for (const bytes of [component, nested, Buffer.alloc(0), Buffer.from('not wasm'), component.subarray(0, 40)]) {
      expect(readClaims(bytes, SIGNED_MS)).toEqual({ kind: 'none' });
    }
  });

  it('are good in a component with nested ones, and under the older name of the section', () => {
    expect(faultOf(signComponent(nested))).toBe('good');
    expect(faultOf(signComponent(component, { section: 'jwt' }))).toBe('good');
  });

  it('count at the top level alone, and there only once', () => {
    // A signed core module inside of a component: its claims are about that module.
    const module = Buffer.from('0061736d01000000', 'hex');
    const inner = signComponent(module);
    const outer = Buffer.concat([Buffer.from('0061736d0d000100', 'hex'), Buffer.of(1), leb(inner.length), inner]);
    expect(faultOf(outer)).toBe('none');
    expect(faultOf(signComponent(outer))).toBe('good');
    expect(faultOf(Buffer.concat([signComponent(component), customSection('jwt', 'x')]))).toContain('more than one');
  });

  it('are over the sections with their lengths in the shortest form, as wascap writes them again', () => {
    const rest = Buffer.from('note-content');
    const body = Buffer.concat([leb(4), Buffer.from('note'), rest]);
    const short = Buffer.concat([component, Buffer.of(0), leb(body.length), body]);
    const long = Buffer.concat([component, Buffer.of(0), leb(body.length, 5), body]);
    expect(readSignedSections(long)!.hash()).toBe(readSignedSections(short)!.hash());
    expect(readSignedSections(short)!.hash()).not.toBe(readSignedSections(component)!.hash());
  });

  const user = SigningKey.generate('user');
  it.each([
    ['two parts', 'a.b', 'three parts'],
    ['a part that is no base64url', 'a.b.c!', 'base64url'],
    ['another algorithm', claimsJwt(HASH, { header: { typ: 'jwt', alg: 'none' } }), 'header'],
    ['another type', claimsJwt(HASH, { header: { typ: 'JWS', alg: 'Ed25519' } }), 'header'],
    ['a list in place of claims', claimsJwt(HASH, { claims: { wascap: [] } }), 'no claims'],
    ['a user for an issuer', claimsJwt(HASH, { claims: { iss: user.publicKey } }), 'no account key'],
    ['no issuer', claimsJwt(HASH, { claims: { iss: undefined } }), 'no account key'],
    ['a host for a subject', claimsJwt(HASH, { claims: { sub: user.publicKey } }), 'no module key'],
    [
      'the name of another issuer',
      claimsJwt(HASH, { claims: { iss: SigningKey.generate('account').publicKey } }),
      'not signed by',
    ],
    ['a text for a time', claimsJwt(HASH, { claims: { exp: '9999999999' } }), 'time'],
    ['a fraction for a time', claimsJwt(HASH, { claims: { nbf: 1.5 } }), 'time'],
    ['no hash', claimsJwt(HASH, { wascap: { hash: undefined } }), 'no hash'],
    ['a hash in lower case', claimsJwt(HASH, { wascap: { hash: 'a'.repeat(64) } }), 'no hash'],
    ['another hash', claimsJwt('B'.repeat(64)), 'other bytes'],
    ['a provider', claimsJwt(HASH, { wascap: { prov: true } }), 'provider'],
    ['a number for a name', claimsJwt(HASH, { wascap: { name: 1 } }), 'text'],
    ['a text for a revision', claimsJwt(HASH, { wascap: { rev: '1' } }), 'revision'],
    ['numbers for tags', claimsJwt(HASH, { wascap: { tags: [1] } }), 'tags'],
  ])('ART-09 are refused with %s', (_what, jwt, reason) => {
    expect(readJwt(jwt, HASH, SIGNED_MS)).toMatchObject({ kind: 'bad', reason: expect.stringContaining(reason) as string });
  });

  it('hold where optional parts are left out or null', () => {
    const sparse = { name: undefined, tags: null, rev: undefined, ver: null, prov: undefined };
    expect(readJwt(claimsJwt(HASH, { wascap: sparse }), HASH, SIGNED_MS)).toMatchObject({ kind: 'good' });
  });

  it('ART-09 have to be of a listed issuer, if any is listed', () => {
    const account = SigningKey.generate('account');
    const signed = signComponent(component, { account });
    const options = { nowMs: SIGNED_MS, issuers: [account.publicKey] };
    expect(verifyClaims(signed, options)?.issuer).toBe(account.publicKey);
    const refused = expect.objectContaining({ code: 'TRELLIS_CLAIMS_ISSUER' }) as Error;
    expect(() => verifyClaims(component, options)).toThrow(refused);
    expect(() => verifyClaims(signComponent(component), options)).toThrow(refused);
    expect(() => verifyClaims(fixture('future'), { nowMs: SIGNED_MS, issuers: [] })).toThrow(
      expect.objectContaining({ code: 'TRELLIS_CLAIMS_INVALID' }) as Error,
    );
    expect(verifyClaims(component, { nowMs: SIGNED_MS, issuers: [] })).toBeUndefined();
  });

  it('never make their readers throw', () => {
    fc.assert(
      fc.property(fc.string(), fc.uint8Array({ maxLength: 200 }), (text, bytes) => {
        readJwt(text, HASH, SIGNED_MS);
        readClaims(bytes, SIGNED_MS);
        readClaims(Buffer.concat([component, customSection('wasmcloud_jwt', bytes)]), SIGNED_MS);
      }),
    );
    const signed = fixture('signed');
    fc.assert(
      fc.property(fc.nat(signed.length - 1), fc.nat(255), fc.nat(signed.length), (at, byte, length) => {
        const changed = Buffer.from(signed.subarray(0, length));
        if (at < changed.length) changed[at] = byte;
        const isSame = changed.equals(signed);
        expect(readClaims(changed, SIGNED_MS).kind === 'good').toBe(isSame);
      }),
    );
  });

  it('read a deep nest of components without falling over', () => {
    let bytes = Buffer.from('0061736d0d000100', 'hex');
    for (let i = 0; i < 2_000; i += 1) {
      bytes = Buffer.concat([Buffer.from('0061736d0d000100', 'hex'), Buffer.of(4), leb(bytes.length), bytes]);
    }
    expect(readClaims(bytes, SIGNED_MS)).toEqual({ kind: 'none' });
  });
});
