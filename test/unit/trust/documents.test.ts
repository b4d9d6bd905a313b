import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DelegationClaims,
  delegationThumbprint,
  MAX_DELEGATION_CHARS,
  MAX_DELEGATION_LIFETIME_MS,
  mintDelegation,
  openDelegation,
  signDelegation,
  writeDelegationClaims,
} from '../../../src/trust/delegation.ts';
import { type CommandClaims, openCommand, writeCommandClaims } from '../../../src/trust/control-token.ts';
import { isDocumentSignedBy } from '../../../src/trust/document.ts';
import { type IssuerSetClaims, openIssuerSet, signIssuerSet, writeIssuerSetClaims } from '../../../src/trust/issuer-set.ts';
import { parsePublicKey, SigningKey } from '../../../src/trust/nkey.ts';
import { openRevocation, type RevocationClaims, signRevocation, writeRevocationClaims } from '../../../src/trust/revocation.ts';
import type { DocumentKind } from '../../../src/trust/token.ts';
import { sealClaims } from '../../support/trust.ts';

const issuer = SigningKey.generate('cluster');
const host = SigningKey.generate('server');
const provider = SigningKey.generate('service');
const NOW_MS = 1_800_000_000_000;

const delegation: DelegationClaims = {
  v: 2,
  jti: 'AAAAAAAAAAAAAAAAAAAAAA',
  iat: NOW_MS,
  nbf: NOW_MS,
  exp: NOW_MS + 3_600_000,
  lat: 'default',
  iss: issuer.publicKey,
  sub: host.publicKey,
  epc: 0,
  org: 'echo,hello',
  tgt: '*',
};
const OPERATOR = { sub: SigningKey.generate('user').publicKey, org: '', tgt: '', ctl: 'component,link' } as const;
const issuers: IssuerSetClaims = {
  v: 2,
  iat: NOW_MS,
  lat: 'default',
  iss: issuer.publicKey,
  epc: 1,
  min: 0,
  act: issuer.publicKey,
  set: issuer.publicKey,
};
const revocation: RevocationClaims = {
  v: 2,
  iat: NOW_MS,
  lat: 'default',
  iss: issuer.publicKey,
  sub: host.publicKey,
  frm: NOW_MS,
};

const command: CommandClaims = {
  v: 2,
  jti: 'AAAAAAAAAAAAAAAAAAAAAA',
  iat: NOW_MS,
  exp: NOW_MS + 15_000,
  lat: 'default',
  iss: issuer.publicKey,
  sub: 'wasmbus.ctl.v1.default.link.put',
  rpl: '_INBOX_CTL.default.x.y',
  len: 2,
  dig: 'A'.repeat(43),
};
const openedCommand = (text: string): CommandClaims | undefined => {
  const opened = openCommand(text);
  return 'fault' in opened ? undefined : opened.claims;
};

const KINDS = [
  { kind: 'delegation', word: 'dlg2s', open: openDelegation, text: signDelegation(issuer, delegation), claims: delegation },
  { kind: 'issuers', word: 'iss2s', open: openIssuerSet, text: signIssuerSet(issuer, issuers), claims: issuers },
  { kind: 'revocation', word: 'rev2s', open: openRevocation, text: signRevocation(issuer, revocation), claims: revocation },
  {
    kind: 'command',
    word: 'ctl2s',
    open: openedCommand,
    text: sealClaims(issuer, writeCommandClaims(command), 'ctl2s'),
    claims: command,
  },
] as const satisfies readonly {
  kind: DocumentKind;
  word: string;
  open: (text: string) => unknown;
  text: string;
  claims: unknown;
}[];

const keyOf = (publicKey: string) => {
  const parsed = parsePublicKey(publicKey);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.key;
};
const claimsText = (text: string): string => Buffer.from(text.split('.')[1]!, 'base64url').toString('latin1');

describe.each(KINDS)('a signed $kind', ({ kind, word, open, text, claims }) => {
  it('comes back as it was signed, under its own header word', () => {
    expect(text.startsWith(`${word}.`)).toBe(true);
    expect(open(text)).toEqual(claims);
    expect(isDocumentSignedBy(text, kind, keyOf(issuer.publicKey))).toBe(true);
    expect(isDocumentSignedBy(text, kind, keyOf(host.publicKey))).toBe(false);
  });

  it('is nothing under any other header word, the batched ones of tokens included', () => {
    for (const other of ['dlg2s', 'iss2s', 'rev2s', 'ctl2s', 'dlg2b', 'iss2b', 'ctl2b', 'rev2b', 'inv2s', 'inv2b', 'res2b']) {
      if (other === word) continue;
      const renamed = sealClaims(issuer, claimsText(text), other);
      expect(open(renamed)).toBeUndefined();
      expect(isDocumentSignedBy(renamed, kind, keyOf(issuer.publicKey))).toBe(false);
    }
  });

  it('with any byte altered is not opened or not signed', () => {
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const altered = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ change) + text.slice(at + 1);
        return open(altered) === undefined || !isDocumentSignedBy(altered, kind, keyOf(issuer.publicKey));
      }),
      { numRuns: 2_000 },
    );
  });

  it('has one spelling: blanks, escapes, other orders, signs, padding and doubled keys are not read', () => {
    const plain = claimsText(text);
    const spellings = [
      ` ${plain}`,
      plain.replace('{"v":2', '{ "v":2'),
      plain.replace('"v":2', '"v":2.0'),
      plain.replace('"v":2', '"v":02'),
      plain.replace('"v":2', '"v":3'),
      plain.replace(/"iat":(\d+)/, '"iat":+$1'),
      plain.replace(/"iat":(\d+)/, '"iat":$1.0'),
      plain.replace('default', '\\u0064efault'),
      plain.replace('}', ',"v":2}'),
      `${plain}\n`,
      JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(plain) as object).reverse())),
    ];
    for (const spelling of spellings) expect(open(sealClaims(issuer, spelling, word)), spelling).toBeUndefined();
    expect(open(`${text}=`)).toBeUndefined();
    expect(open(`${text}.`)).toBeUndefined();
    expect(open(` ${text}`)).toBeUndefined();
  });

  it('never throws, whatever it is given', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('utf16le')),
          fc.string().map((inner) => sealClaims(issuer, inner, word)),
          fc.json().map((inner) => sealClaims(issuer, inner, word)),
        ),
        (garbage) => open(garbage) === undefined,
      ),
      { numRuns: 500 },
    );
    for (const value of [undefined, null, 7, {}, []]) expect(open(value as never)).toBeUndefined();
  });
});

describe('delegation claims', () => {
  it.each<[string, Partial<DelegationClaims>]>([
    ['ends before it begins', { exp: NOW_MS }],
    ['ends before it was minted', { iat: NOW_MS + 3_600_000 }],
    ['lives longer than a day', { exp: NOW_MS + MAX_DELEGATION_LIFETIME_MS + 1 }],
    ['was minted longer than a day before its end', { iat: NOW_MS - MAX_DELEGATION_LIFETIME_MS }],
    ['is for a user key', { sub: SigningKey.generate('user').publicKey }],
    ['is for another issuer', { sub: SigningKey.generate('cluster').publicKey }],
    ['goes from an issuer straight to a provider', { sub: provider.publicKey }],
    ['has a parent but comes from an issuer', { par: delegationThumbprint('x') }],
    ['has a parent that is no thumbprint', { par: 'x' }],
    ['names origins out of order', { org: 'hello,echo' }],
    ['names an origin twice', { org: 'echo,echo' }],
    ['names an empty origin', { org: 'echo,' }],
    ['names a pattern', { org: 'ec*' }],
    ['names everything and something', { tgt: '*,echo' }],
    ['lets a host give commands', { ctl: '*' }],
    ['lets an operator speak for somebody', { ...OPERATOR, org: 'echo' }],
    ['lets an operator answer for somebody', { ...OPERATOR, tgt: '*' }],
    ['lets an operator give no commands', { ...OPERATOR, ctl: '' }],
    ['lets an operator give commands by a pattern', { ...OPERATOR, ctl: 'lin*' }],
    ['lets an operator delegate', { ...OPERATOR, iss: host.publicKey }],
    ['is for an operator below a host', { ...OPERATOR, iss: host.publicKey, par: delegationThumbprint('x') }],
    ['has a lattice that is none', { lat: 'a.b' }],
    ['has an id that is none', { jti: 'AAAAAAAAAAAAAAAAAAAAAB' }],
    [
      'is too long for a header',
      {
        org: Array.from(
          { length: 40 },
          (_, at) => `component-with-a-long-name-${String(at).padStart(2, '0')}-and-more-of-it`,
        ).join(','),
      },
    ],
  ])('are not read when it %s', (_, changes) => {
    const changed = { ...delegation, ...changes };
    expect(openDelegation(sealClaims(issuer, writeDelegationClaims(changed), 'dlg2s'))).toBeUndefined();
    expect(() => signDelegation(issuer, changed)).toThrow(expect.objectContaining({ code: 'TRELLIS_TRUST_CLAIMS_INVALID' }));
  });

  it('are not signed by a key that they do not name', () => {
    expect(() => signDelegation(SigningKey.generate('cluster'), delegation)).toThrow(
      expect.objectContaining({ code: 'TRELLIS_TRUST_CLAIMS_INVALID' }),
    );
  });

  it('let an operator give commands and nothing else', () => {
    const text = mintDelegation(issuer, {
      lattice: 'default',
      subject: OPERATOR.sub,
      origins: [],
      targets: [],
      commands: ['link', 'component', 'link'],
      epoch: 0,
      nowMs: NOW_MS,
      lifetimeMs: 60_000,
    });
    expect(openDelegation(text)).toMatchObject(OPERATOR);
    expect(openDelegation(signDelegation(issuer, { ...delegation, ...OPERATOR, ctl: '*' }))).toMatchObject({ ctl: '*' });
  });

  it('may name nobody, and a provider below a host but nothing below a provider', () => {
    const parent = signDelegation(issuer, { ...delegation, org: '' });
    expect(openDelegation(parent)).toMatchObject({ org: '' });
    const child = { ...delegation, iss: host.publicKey, sub: provider.publicKey, par: delegationThumbprint(parent) };
    expect(openDelegation(signDelegation(host, child))).toEqual(child);
    for (const wrong of [
      { ...child, iss: provider.publicKey, sub: SigningKey.generate('service').publicKey },
      { ...child, sub: SigningKey.generate('server').publicKey },
    ]) {
      expect(openDelegation(sealClaims(provider, writeDelegationClaims(wrong), 'dlg2s'))).toBeUndefined();
    }
  });

  it('are minted sorted and without repetition, and within the life of a parent', () => {
    const common = { lattice: 'default', epoch: 3, nowMs: NOW_MS + 0.7, lifetimeMs: 60_000 };
    const parent = mintDelegation(issuer, { ...common, subject: host.publicKey, origins: ['b', 'a', 'b'], targets: '*' });
    expect(openDelegation(parent)).toMatchObject({
      iat: NOW_MS,
      nbf: NOW_MS,
      exp: NOW_MS + 60_000,
      org: 'a,b',
      tgt: '*',
      epc: 3,
    });
    const child = mintDelegation(host, {
      ...common,
      lifetimeMs: 3_600_000,
      subject: provider.publicKey,
      origins: ['a'],
      targets: [],
      parent,
    });
    expect(openDelegation(child)).toMatchObject({ exp: NOW_MS + 60_000, org: 'a', tgt: '', par: delegationThumbprint(parent) });
    expect(parent.length).toBeLessThan(MAX_DELEGATION_CHARS);
  });
});

describe('issuer set claims', () => {
  const [first, second] = [SigningKey.generate('cluster').publicKey, SigningKey.generate('cluster').publicKey].sort();

  it.each<[string, Partial<IssuerSetClaims>]>([
    ['epoch 0', { epc: 0 }],
    ['a least epoch above its own', { min: 2 }],
    ['nobody in it', { set: '' }],
    ['an active issuer that is not in it', { act: first! }],
    ['a host in it', { set: [issuer.publicKey, host.publicKey].sort().join(',') }],
    ['members out of order', { act: first!, set: `${second},${first}` }],
    ['a member twice', { set: `${issuer.publicKey},${issuer.publicKey}` }],
    ['a host as its signer', { iss: host.publicKey }],
  ])('are not read with %s', (_, changes) => {
    expect(openIssuerSet(sealClaims(issuer, writeIssuerSetClaims({ ...issuers, ...changes }), 'iss2s'))).toBeUndefined();
  });
});

describe('revocation claims', () => {
  it('name a host, a provider, an operator or one delegation, and nobody else', () => {
    for (const sub of [host.publicKey, provider.publicKey, OPERATOR.sub, delegationThumbprint('x')]) {
      expect(openRevocation(signRevocation(issuer, { ...revocation, sub }))).toMatchObject({ sub });
    }
    for (const sub of [issuer.publicKey, 'echo', '', '*', SigningKey.generate('account').publicKey]) {
      expect(openRevocation(sealClaims(issuer, writeRevocationClaims({ ...revocation, sub }), 'rev2s'))).toBeUndefined();
    }
  });
});
