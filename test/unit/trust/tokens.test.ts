import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkWritable } from '../../../src/trust/claim-values.ts';
import { type ConfirmClaims, readConfirmClaims, writeConfirmClaims } from '../../../src/trust/confirm-token.ts';
import { readRequestClaims, type RequestClaims, writeRequestClaims } from '../../../src/trust/request-token.ts';
import {
  type AcceptClaims,
  readAcceptClaims,
  readResultClaims,
  type ResultClaims,
  writeAcceptClaims,
  writeResultClaims,
} from '../../../src/trust/result-token.ts';
import { MAX_CLAIMS_CHARS } from '../../../src/trust/token.ts';
import { anyText } from '../../support/texts.ts';

const base64url = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b).toString('base64url'));
const name = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);
const plain = fc.stringMatching(/^[!#-[\]-~]{1,40}$/);
const kid = fc.option(base64url(32), { nil: undefined });
const status = fc.constantFrom(
  'ok',
  'denied',
  'busy',
  'trap',
  'timeout',
  'too-large',
  'bad-params',
  'unsigned-values',
  'frames',
  'unavailable',
  'error',
);

const requestClaims = fc.record({
  v: fc.constant(2),
  jti: base64url(16),
  iat: fc.maxSafeNat(),
  exp: fc.maxSafeNat(),
  lat: name,
  iss: plain,
  kid,
  org: name,
  lnk: name,
  tgt: name,
  ins: fc.oneof(fc.constant(''), plain),
  fun: plain,
  sub: plain,
  rpl: plain,
  len: fc.maxSafeNat(),
  dig: base64url(32),
}) as fc.Arbitrary<RequestClaims>;
const withEpk = fc
  .tuple(requestClaims, base64url(32), fc.boolean())
  .map(([claims, epk, present]): RequestClaims => (present ? { ...claims, epk } : claims));
const inbox = fc.stringMatching(/^[A-Za-z0-9_]{1,12}(\.[A-Za-z0-9_]{1,12}){0,3}$/);
const resultClaims = fc.record({
  v: fc.constant(2),
  req: base64url(32),
  iat: fc.maxSafeNat(),
  lat: name,
  iss: plain,
  kid,
  srv: name,
  st: status,
  len: fc.maxSafeNat(),
  dig: base64url(32),
}) as fc.Arbitrary<ResultClaims>;
const withInbox = fc
  .tuple(resultClaims, inbox, fc.boolean())
  .map(([claims, rs, present]): ResultClaims => (present ? { ...claims, rs } : claims));
const acceptClaims = fc.record({
  v: fc.constant(2),
  req: base64url(32),
  iat: fc.maxSafeNat(),
  lat: name,
  iss: plain,
  kid,
  srv: name,
  rs: inbox,
}) as fc.Arbitrary<AcceptClaims>;
const withSession = fc
  .tuple(acceptClaims, base64url(32), fc.boolean(), fc.nat(2))
  .map(([claims, epk, present, state]): AcceptClaims => ({
    ...claims,
    ...(present ? { epk } : {}),
    ...[{}, { cnf: 1 as const }, { run: 1 as const }][state],
  }));
const confirmClaims = fc.record({
  v: fc.constant(2),
  req: base64url(32),
  iat: fc.maxSafeNat(),
  lat: name,
  iss: plain,
  kid,
  rs: inbox,
}) as fc.Arbitrary<ConfirmClaims>;

describe('claims', () => {
  it.each([
    ['request', withEpk, writeRequestClaims, readRequestClaims],
    ['result', withInbox, writeResultClaims, readResultClaims],
    ['accept', withSession, writeAcceptClaims, readAcceptClaims],
    ['confirm', confirmClaims, writeConfirmClaims, readConfirmClaims],
  ] as const)('of a %s: one text for one value, and it is what JSON.stringify writes', (_, arbitrary, write, read) => {
    fc.assert(
      fc.property(arbitrary as fc.Arbitrary<RequestClaims & ResultClaims & AcceptClaims & ConfirmClaims>, (claims) => {
        const text = write(claims);
        expect(text).toBe(JSON.stringify(claims));
        expect(read(text)).toEqual(claims);
      }),
    );
    // What is read at all is written back the same, so no two texts stand for one value.
    fc.assert(
      fc.property(
        arbitrary as fc.Arbitrary<RequestClaims & ResultClaims & AcceptClaims & ConfirmClaims>,
        fc.nat(),
        fc.nat(3),
        anyText(3),
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

  const id = 'AAAAAAAAAAAAAAAAAAAAAA';
  const digest = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
  const opening = { v: 2, req: digest, iat: 1, lat: 'default', iss: 'C', srv: 'echo' } as const;
  const request: RequestClaims = {
    v: 2,
    jti: id,
    iat: 1,
    exp: 2,
    lat: 'default',
    iss: 'C',
    org: 'a',
    lnk: 'b',
    tgt: 'c',
    ins: '',
    fun: 'f',
    sub: 's',
    rpl: 'r',
    len: 0,
    dig: digest,
  };
  const readable: Record<string, (change: object) => unknown> = {
    request: (change) => readRequestClaims(writeRequestClaims({ ...request, ...change })),
    result: (change) => readResultClaims(writeResultClaims({ ...opening, st: 'ok', len: 0, dig: digest, ...change })),
    accept: (change) => readAcceptClaims(writeAcceptClaims({ ...opening, rs: '_INBOX.a', ...change })),
  };
  const noDigest = [digest.slice(1), `${digest}A`, `${digest.slice(1)}B`, `${digest.slice(1)}=`, `.${digest.slice(1)}`, ''];
  const noToken = ['', 'a.b', 'a b', '*', '>', 'gr\u00fcn'];

  it.each<[string, string, readonly string[], readonly string[]]>([
    ['request', 'jti', [`${id.slice(1)}g`], [id.slice(1), `${id}A`, `A${id}`, `${id.slice(1)}B`, '', '018dbf3c-0a4b-7c00-8000']],
    ['request', 'lat', ['x'.repeat(64)], [...noToken, 'x'.repeat(65)]],
    ['request', 'org', ['x'.repeat(128)], [...noToken, 'x'.repeat(129)]],
    ['request', 'lnk', ['x'.repeat(64)], [...noToken, 'x'.repeat(65)]],
    ['request', 'tgt', ['x'.repeat(128)], [...noToken, 'x'.repeat(129)]],
    ['request', 'fun', ['[method]a.b'], ['']],
    ['request', 'sub', ['a.b'], ['']],
    ['request', 'rpl', ['a.b'], ['']],
    ['request', 'dig', [`${digest.slice(1)}8`], noDigest],
    ['request', 'kid', [`${digest.slice(1)}8`], noDigest],
    ['request', 'epk', [`${digest.slice(1)}8`], noDigest],
    ['result', 'req', [`${digest.slice(1)}8`], noDigest],
    ['result', 'lat', ['x'.repeat(64)], [...noToken, 'x'.repeat(65)]],
    ['result', 'kid', [`${digest.slice(1)}8`], noDigest],
    ['result', 'srv', ['x'.repeat(128)], [...noToken, 'x'.repeat(129)]],
    ['result', 'st', ['trap'], ['', 'OK', 'ok ', 'constructor']],
    ['result', 'dig', [`${digest.slice(1)}8`], noDigest],
    ['result', 'rs', [`_INBOX.${'a'.repeat(505)}`], [`_INBOX.${'a'.repeat(506)}`, '', '*', '$SYS.a', '.a', 'a.', 'a..b']],
    ['accept', 'req', [`${digest.slice(1)}8`], noDigest],
    ['accept', 'lat', ['x'.repeat(64)], [...noToken, 'x'.repeat(65)]],
    ['accept', 'kid', [`${digest.slice(1)}8`], noDigest],
    ['accept', 'srv', ['x'.repeat(128)], [...noToken, 'x'.repeat(129)]],
    ['accept', 'epk', [`${digest.slice(1)}8`], noDigest],
    ['accept', 'rs', [`_INBOX.${'a'.repeat(505)}`, 'a$b'], [`_INBOX.${'a'.repeat(506)}`]],
  ])('of a %s say in %s what has the form of that, and nothing else', (kind, name, good, bad) => {
    for (const value of good) expect(readable[kind]!({ [name]: value }), value).toMatchObject({ [name]: value });
    for (const value of bad) expect(readable[kind]!({ [name]: value }), value).toBeUndefined();
  });

  it.each([
    ['request', writeRequestClaims(request), readRequestClaims],
    ['result', writeResultClaims({ ...opening, st: 'ok', len: 0, dig: digest }), readResultClaims],
    ['accept', writeAcceptClaims({ ...opening, rs: '_INBOX.a' }), readAcceptClaims],
  ] as const)('of a %s end where they end, and have no key for what is absent', (kind, text, read) => {
    expect(read(text)).toBeDefined();
    const absent = { request: ['kid', 'epk'], result: ['kid', 'rs'], accept: ['kid', 'epk', 'run'] }[kind];
    expect(Object.keys(read(text)!).filter((name) => absent.includes(name))).toEqual([]);
    for (const changed of [`${text} `, `${text}}`, text.slice(0, -1), text.slice(1), `${text}${text}`]) {
      expect(read(changed)).toBeUndefined();
    }
  });
});

describe('what is too much for claims, or cannot stand in them', () => {
  const failure = (text: string, ...values: string[]): unknown => {
    try {
      return checkWritable(text, ...values);
    } catch (error) {
      return error;
    }
  };

  it('is said before anything is signed', () => {
    expect(failure('x'.repeat(MAX_CLAIMS_CHARS), 'plain', '', ' ~!')).toBeUndefined();
    expect(failure('x'.repeat(MAX_CLAIMS_CHARS + 1))).toMatchObject({
      code: 'TRELLIS_TRUST_CLAIMS_INVALID',
      message: 'The names and subjects of this call are too long to sign (2601 characters, at most 2600)',
    });
    for (const value of ['"', '\\', '\x1f', '\x7f', 'a\n', '\u00e9']) {
      expect(failure('{}', 'plain', value, 'plain')).toMatchObject({
        code: 'TRELLIS_TRUST_CLAIMS_INVALID',
        message: 'A name or subject of this call holds a quote, a backslash or a character outside printable ASCII',
      });
    }
  });
});
