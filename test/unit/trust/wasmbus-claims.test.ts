import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SigningKey } from '../../../src/trust/nkey.ts';
import {
  newWasmbusTokenId,
  openWasmbusToken,
  signWasmbusClaims,
  wasmbusCallText,
  wasmbusHash,
  wasmbusUrl,
} from '../../../src/trust/wasmbus-claims.ts';
import { VECTOR } from '../../support/wasmbus.ts';
import { anyText } from '../../support/texts.ts';

const key = SigningKey.fromSeed(VECTOR.clusterSeed, 'cluster');
const CLAIMS = {
  exp: undefined,
  jti: VECTOR.jti,
  iat: VECTOR.iat,
  iss: VECTOR.clusterKey,
  sub: VECTOR.id,
  nbf: undefined,
  targetUrl: VECTOR.targetUrl,
  originUrl: VECTOR.originUrl,
  hash: VECTOR.hash,
};
const CLAIMS_TEXT =
  `{"jti":"${VECTOR.jti}","iat":${VECTOR.iat},"iss":"${VECTOR.clusterKey}","sub":"${VECTOR.id}",` +
  `"wascap":{"target_url":"${VECTOR.targetUrl}","origin_url":"${VECTOR.originUrl}","hash":"${VECTOR.hash}"},"wascap_revision":3}`;
const TOKEN = `${VECTOR.header}.${Buffer.from(CLAIMS_TEXT).toString('base64url')}.${VECTOR.signature}`;

/** The fault of a token over these claims, or `read`. */
function fault(claims: string, header = VECTOR.header): string {
  const token = openWasmbusToken(`${header}.${Buffer.from(claims).toString('base64url')}.${VECTOR.signature}`);
  return 'fault' in token ? token.fault : 'read';
}

describe('the vector', () => {
  it('is met by URLs, hash and token, byte for byte', () => {
    const call = wasmbusCallText(VECTOR.origin, VECTOR.target, VECTOR.operation);
    expect(call).toEqual({ originUrl: VECTOR.originUrl, targetUrl: VECTOR.targetUrl, operation: VECTOR.operation });
    expect(wasmbusHash(call, Buffer.from(VECTOR.payloadHex, 'hex'))).toBe(VECTOR.hash);
    expect(key.publicKey).toBe(VECTOR.clusterKey);
    expect(signWasmbusClaims(CLAIMS, key)).toBe(TOKEN);
  });

  it('is read back', () => {
    expect(openWasmbusToken(TOKEN)).toMatchObject({ claims: CLAIMS, signedText: TOKEN.slice(0, TOKEN.lastIndexOf('.')) });
  });
});

describe('URLs', () => {
  it('drop contract and link of a key that begins with M, fold the rest, and keep empty segments', () => {
    expect(wasmbusUrl({ publicKey: 'Mx', contractId: 'a:b', linkName: 'l' })).toBe('wasmbus://Mx');
    expect(wasmbusUrl({ publicKey: 'Vx', contractId: 'A:b c', linkName: 'My Link' })).toBe('wasmbus://a/b_c/my_link/Vx');
    expect(wasmbusUrl({ publicKey: 'system', contractId: '', linkName: '' })).toBe('wasmbus:////system');
  });
});

describe('reading', () => {
  it('takes keys of claims and header in any order, exp and nbf, and old tokens without a revision', () => {
    const { wascap, ...rest } = JSON.parse(CLAIMS_TEXT) as Record<string, unknown>;
    delete rest['wascap_revision'];
    expect(fault(JSON.stringify({ wascap, exp: 5, nbf: 4, ...rest }))).toBe('read');
    expect(fault(CLAIMS_TEXT, Buffer.from('{"alg":"Ed25519","typ":"jwt"}').toString('base64url'))).toBe('read');
  });

  it.each([
    ['a key twice', CLAIMS_TEXT.replace('{"jti"', '{"jti":"x","jti"')],
    ['a key twice in wascap', CLAIMS_TEXT.replace('"hash"', `"hash":"${VECTOR.hash}","hash"`)],
    ['an unknown key', CLAIMS_TEXT.replace('{"jti"', '{"x":1,"jti"')],
    ['INJ-06 __proto__ as a key', CLAIMS_TEXT.replace('{"jti"', '{"__proto__":{},"jti"')],
    ['INJ-06 __proto__ in wascap', CLAIMS_TEXT.replace('"hash"', '"__proto__":{},"hash"')],
    ['white space', CLAIMS_TEXT.replace(',', ', ')],
    ['an escape', CLAIMS_TEXT.replace('"jti"', '"\\u006ati"')],
    ['a text where iat is', CLAIMS_TEXT.replace(`${VECTOR.iat}`, `"${VECTOR.iat}"`)],
    ['a fraction where iat is', CLAIMS_TEXT.replace(`${VECTOR.iat}`, '1.5')],
    ['an exponent where iat is', CLAIMS_TEXT.replace(`${VECTOR.iat}`, '1e9')],
    ['a negative iat', CLAIMS_TEXT.replace(`${VECTOR.iat}`, '-1')],
    ['an iat beyond 2^53', CLAIMS_TEXT.replace(`${VECTOR.iat}`, '99999999999999999999')],
    ['null where exp is', CLAIMS_TEXT.replace('{"jti"', '{"exp":null,"jti"')],
    ['an empty id', CLAIMS_TEXT.replace(VECTOR.jti, '')],
    ['no wascap', CLAIMS_TEXT.replace(/"wascap":\{.*\},/, '')],
    ['null for wascap', CLAIMS_TEXT.replace(/"wascap":\{.*\},/, '"wascap":null,')],
    ['an empty URL of the target', CLAIMS_TEXT.replace(VECTOR.targetUrl, '')],
    ['an empty URL of the origin', CLAIMS_TEXT.replace(`"${VECTOR.originUrl}"`, '""')],
    ['a number for the URL of the target', CLAIMS_TEXT.replace(`"${VECTOR.targetUrl}"`, '1')],
    ['no URL of the origin', CLAIMS_TEXT.replace(`"origin_url":"${VECTOR.originUrl}",`, '')],
    ['a list for wascap', CLAIMS_TEXT.replace(/"wascap":\{.*\},/, '"wascap":[],')],
    ['a lower-case hash', CLAIMS_TEXT.replace(VECTOR.hash, VECTOR.hash.toLowerCase())],
    ['a short hash', CLAIMS_TEXT.replace(VECTOR.hash, VECTOR.hash.slice(1))],
    ['no object', '[]'],
    ['no JSON', '{'],
    ['a character outside ASCII', CLAIMS_TEXT.replace(VECTOR.jti, 'ü')],
  ])('refuses %s', (_, text) => {
    expect(fault(text)).toBe('malformed');
  });

  it.each(['{"typ":"jwt","alg":"none"}', '{"typ":"JWT","alg":"Ed25519"}', '{"typ":"jwt","alg":"Ed25519","kid":"x"}', '{}', ''])(
    'ENV-02 refuses the header %s',
    (header) => {
      expect(fault(CLAIMS_TEXT, Buffer.from(header).toString('base64url'))).toBe('form');
    },
  );

  it('ENV-09 takes one spelling of base64url', () => {
    const [header, claims, signature] = TOKEN.split('.') as [string, string, string];
    const last = signature.charCodeAt(signature.length - 1);
    for (const spelling of [
      `${header}.${claims}=.${signature}`,
      `${header}.${claims} .${signature}`,
      `${header}.${claims}.${signature}==`,
      `${header}.${claims}.${signature}\n`,
      `${header}.${claims}.${signature.slice(0, -1)}${String.fromCharCode(last + 1)}`,
      `${header}.${claims}.${signature.replaceAll('-', '+').replaceAll('_', '/')}`,
      `${header}.${claims}`,
      `${TOKEN}.`,
      '',
      '..',
      'x'.repeat(5_000),
    ]) {
      expect(openWasmbusToken(spelling), spelling.slice(-20)).toHaveProperty('fault');
    }
  });

  it.each([0, 63, 65])('refuses a proof of %i bytes', (length) => {
    const [header, claims] = TOKEN.split('.') as [string, string, string];
    expect(openWasmbusToken(`${header}.${claims}.${Buffer.alloc(length).toString('base64url')}`)).toHaveProperty('fault');
  });

  it('never throws, whatever comes', () => {
    fc.assert(
      fc.property(anyText(300), fc.json({ maxDepth: 4 }), (text, json) => {
        openWasmbusToken(text);
        fault(json);
      }),
      { numRuns: 300 },
    );
  });
});

describe('writing', () => {
  it('refuses what could not be written without an escape', () => {
    for (const value of ['a"b', 'a\\b', 'ü', '\n']) {
      expect(signWasmbusClaims({ ...CLAIMS, sub: value }, key)).toBeUndefined();
      expect(signWasmbusClaims({ ...CLAIMS, targetUrl: value }, key)).toBeUndefined();
    }
  });

  it('makes ids of 22 letters and digits that differ', () => {
    const ids = new Set(Array.from({ length: 1_000 }, newWasmbusTokenId));
    expect(ids.size).toBe(1_000);
    for (const id of ids) expect(id).toMatch(/^[0-9A-Za-z]{22}$/);
  });
});
