import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ForeignGates } from '../../../src/invocation/foreign/gates.ts';
import {
  crossesAccounts,
  maxSharedBytes,
  oneMessageFault,
  SHARED_HEADER_BYTES,
} from '../../../src/invocation/foreign/one-message.ts';
import { ForeignRules, type ForeignShare } from '../../../src/invocation/foreign/rules.ts';
import { mintDelegation } from '../../../src/trust/delegation.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { EVERYBODY } from '../../../src/trust/scope.ts';
import { createTrustWorld, LATTICE } from '../../support/trust.ts';

const issuer = SigningKey.generate('cluster');
const SHARE: ForeignShare = {
  lattice: 'other',
  issuers: [issuer.publicKey],
  origins: ['x'],
  target: 'hello',
  interface: 'n:p/greeting',
  functions: ['greet'],
};

describe('what another lattice may call', () => {
  const NOW = 1_800_000_000_000;
  let nowMs = NOW;
  const rules = (...shares: Partial<ForeignShare>[]): ForeignRules =>
    new ForeignRules(
      'other',
      shares.map((share) => ({ ...SHARE, ...share })),
      () => nowMs,
    );
  const greet = { target: 'hello', instance: 'n:p/greeting@0.1.0', func: 'greet' };
  const allows = (table: ForeignRules, origin: string, called = greet): boolean =>
    table.allows(origin, 'any', called.instance, called.target, called.func);

  it('is one function of one interface of one component, for the callers listed', () => {
    const table = rules({});
    expect(table.judge(greet)).toBeUndefined();
    expect(allows(table, 'x')).toBe(true);
    expect(allows(table, 'y')).toBe(false);
    for (const other of [
      { func: 'other' },
      { instance: 'n:p/other@0.1.0' },
      { target: 'other' },
      { instance: 'n:p/greeting2' },
    ]) {
      expect(table.judge({ ...greet, ...other })?.code).toBe('TRELLIS_VERIFY_FOREIGN');
      expect(allows(table, 'x', { ...greet, ...other })).toBe(false);
    }
  });

  it('does not add up: what one entry gives to one caller, another does not give to a second', () => {
    const table = rules({}, { origins: ['y'], functions: [] });
    const other = { ...greet, func: 'other' };
    expect(table.judge(other)).toBeUndefined();
    expect(allows(table, 'x', other)).toBe(false);
    expect(allows(table, 'y', other)).toBe(true);
    expect(allows(table, 'y')).toBe(true);
  });

  it('ends at its time, to the millisecond, and says so', () => {
    const table = rules({ until: new Date(NOW).toISOString() });
    nowMs = NOW - 1;
    expect(table.judge(greet)).toBeUndefined();
    expect(allows(table, 'x')).toBe(true);
    nowMs = NOW;
    expect(table.judge(greet)?.detail).toContain('until 2027-01-15T08:00:00.000Z');
    expect(allows(table, 'x')).toBe(false);
  });
});

describe('calls through the import of another account', () => {
  const world = createTrustWorld();
  const own = { text: 'dlg', kid: 'k', sinceMs: 0 };
  const gates = (shares: readonly ForeignShare[], bindsLogically = false): ForeignGates =>
    new ForeignGates({
      lattice: LATTICE,
      shares,
      trust: world.signers,
      own: () => own,
      time: world.time,
      fence: world.fence,
      clock: world.clock,
      skewMs: 5_000,
      bindsLogically,
    });
  const REPLY = '_R_.abc.def';
  const mint = (key: SigningKey, lattice: string): string =>
    mintDelegation(key, {
      lattice,
      subject: SigningKey.generate('server').publicKey,
      origins: EVERYBODY,
      targets: EVERYBODY,
      epoch: 0,
      nowMs: world.clock.wallMs(),
      lifetimeMs: 60_000,
    });
  const gateOf = (table: ForeignGates, delegation: string | undefined, reply = REPLY): ReturnType<ForeignGates['gateFor']> =>
    table.gateFor({ reply, header: (name) => (name === 'Lattice-Delegation' ? delegation : undefined) });
  const opened = {
    token: undefined,
    pass: undefined,
    sourceId: undefined,
    linkName: undefined,
    traceparent: undefined,
    declaredBytes: undefined,
    depth: 0,
  };
  const check = (gate: ReturnType<ForeignGates['gateFor']>): string | undefined => {
    const message = { subject: 's', reply: REPLY, payload: new Uint8Array(0), header: () => undefined };
    const verdict = gate?.check(opened, message, { target: 'hello', instance: 'n:p/greeting', func: 'greet' });
    return verdict?.ok === false ? verdict.code : undefined;
  };

  it('are known by the reply subject that the server gives them', () => {
    expect(crossesAccounts('_R_.abc.def')).toBe(true);
    for (const reply of ['_INBOX_RPC.default.x', '_R_', '_Rx.a', 'x_R_.a', '']) expect(crossesAccounts(reply)).toBe(false);
    expect(gateOf(gates([SHARE]), undefined, '_INBOX_RPC.default.x')).toBeUndefined();
  });

  it('meet the gate of the lattice and issuer that their delegation names, and else a closed one', () => {
    const table = gates([SHARE]);
    expect(gateOf(table, mint(issuer, 'other'))).toMatchObject({ lattice: 'other', lane: '/other', mode: 'enforce' });
    expect(check(gateOf(table, mint(issuer, 'other')))).toBe('TRELLIS_VERIFY_UNSIGNED');
    const closed = [
      undefined,
      '',
      'x',
      mint(issuer, 'third'),
      mint(SigningKey.generate('cluster'), 'other'),
      mint(world.key, LATTICE),
    ];
    for (const shown of closed) expect(check(gateOf(table, shown))).toBe('TRELLIS_VERIFY_FOREIGN');
    expect(check(gateOf(gates([]), mint(issuer, 'other')))).toBe('TRELLIS_VERIFY_FOREIGN');
  });

  it('go to the gate of this lattice only where its tokens are bound to no subject and nothing is shared', () => {
    expect(gateOf(gates([], true), undefined)).toBeUndefined();
    expect(check(gateOf(gates([SHARE], true), undefined))).toBe('TRELLIS_VERIFY_FOREIGN');
  });

  it('meet what is shared now, by a gate that goes on remembering', () => {
    const table = gates([SHARE]);
    const before = gateOf(table, mint(issuer, 'other'));
    table.takeShares([]);
    expect(gateOf(table, mint(issuer, 'other'))).toBe(before);
    expect(check(before)).toBe('TRELLIS_VERIFY_FOREIGN');
    const next = SigningKey.generate('cluster');
    table.takeShares([
      { ...SHARE, issuers: [issuer.publicKey, next.publicKey] },
      { ...SHARE, lattice: 'third' },
    ]);
    expect(gateOf(table, mint(issuer, 'other'))).toBe(before);
    for (const [key, lattice] of [
      [issuer, 'other'],
      [next, 'other'],
      [issuer, 'third'],
    ] as const)
      expect(check(gateOf(table, mint(key, lattice)))).toBe('TRELLIS_VERIFY_UNSIGNED');
    expect(check(gateOf(table, mint(next, 'third')))).toBe('TRELLIS_VERIFY_FOREIGN');
  });

  it('are refused without an exception, whatever stands where the delegation should be', () => {
    const table = gates([SHARE]);
    const genuine = mint(issuer, 'other');
    const near = fc
      .tuple(fc.nat(genuine.length - 1), fc.string({ maxLength: 3 }))
      .map(([at, text]) => genuine.slice(0, at) + text + genuine.slice(at + 1));
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          near,
          fc.string().map((text) => `${text} ${genuine}`),
        ),
        (shown) => {
          expect(check(gateOf(table, shown))).toMatch(/^TRELLIS_VERIFY_/);
        },
      ),
    );
  });

  it('answer in one message or not at all', () => {
    const sync = { asyncParams: false, asyncResult: false };
    expect(oneMessageFault(sync, true, false)).toBeUndefined();
    expect(oneMessageFault(sync, false, false)?.[0]).toBe('bad-params');
    expect(oneMessageFault({ ...sync, asyncParams: true }, true, false)?.[0]).toBe('unsigned-values');
    expect(oneMessageFault({ ...sync, asyncResult: true }, true, false)?.[0]).toBe('unsigned-values');
    expect(oneMessageFault(sync, true, true)?.[0]).toBe('unavailable');
    expect(maxSharedBytes(1024 * 1024)).toBe(1024 * 1024 - SHARED_HEADER_BYTES);
    expect(maxSharedBytes(1024)).toBe(0);
  });
});
