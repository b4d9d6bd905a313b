import { describe, expect, it } from 'vitest';
import type { SignerDirectory } from '../../../src/trust/issuers.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { ReplayWindow } from '../../../src/trust/replay.ts';
import { writeRequestClaims } from '../../../src/trust/request-token.ts';
import { RestartFence } from '../../../src/trust/restart-fence.ts';
import { type ResultClaims, writeAcceptClaims, writeResultClaims } from '../../../src/trust/result-token.ts';
import { createTokenSigner } from '../../../src/trust/signer.ts';
import { HEADERS, resultDigest } from '../../../src/trust/token.ts';
import { TrustState } from '../../../src/trust/trust-state.ts';
import { TrustedTime } from '../../../src/trust/trusted-time.ts';
import { createRequestVerifier, type ReceivedRequest } from '../../../src/trust/verify-request.ts';
import { createResultVerifier } from '../../../src/trust/verify-result.ts';
import {
  CALL,
  claimsOf,
  createTrustWorld,
  ECHO,
  LATTICE,
  ManualClock,
  MemoryAheadStore,
  messageOf,
  sealClaims,
  signCalls,
} from '../../support/trust.ts';

const key = SigningKey.generate('cluster');
const stranger = SigningKey.generate('cluster');
const issuers = new TrustState({
  lattice: LATTICE,
  issuers: [key.publicKey],
  time: new TrustedTime(new ManualClock()),
  skewMs: 5_000,
});
/** Issuers that may sign for these two only. */
const narrow: SignerDirectory = {
  find(iss, kid) {
    const found = issuers.find(iss, kid);
    if ('ok' in found) return found;
    return { ...found, speaksFor: (origin) => origin === CALL.origin, answersFor: (component) => component === CALL.target };
  },
};

describe('the order of checks of a request', () => {
  const ID = 'AAAAAAAAAAAAAAAAAAAAAA';

  it('is the one that is written down: with everything wrong, each fault mended shows the next', () => {
    const clock = new ManualClock();
    const time = new TrustedTime(clock);
    const replay = new ReplayWindow({ clock, maxEntries: 10, skewMs: 5_000 });
    const verifier = createRequestVerifier({
      lattice: LATTICE,
      signers: narrow,
      time,
      replay,
      links: { allows: (origin, link, instance, target) => [origin, link, instance, target].join(' ') === LINKED },
      unlinkedOrigins: ['other'],
      bind: 'strict',
      fence: new RestartFence(time, 5_000, new MemoryAheadStore()),
    });
    const LINKED = [CALL.origin, CALL.link, CALL.instance, CALL.target].join(' ');
    const start = clock.wallMs();
    clock.pass(40_000);
    const now = clock.wallMs();
    replay.insert(key.publicKey, ID, now + 30_000);

    const claims: Record<string, unknown> = {
      ...claimsOf(key, clock),
      jti: ID,
      iss: stranger.publicKey,
      iat: now + 5_001,
      exp: now + 65_002,
      lat: 'elsewhere',
      org: 'third',
      lnk: 'b-link',
      tgt: 'c-target',
      ins: 'd:e/f',
      fun: 'g-func',
      sub: 'h.subject',
      rpl: 'i.reply',
      len: 2,
      dig: 'A'.repeat(43),
    };
    const message: Record<string, unknown> = {
      ...messageOf(undefined),
      sourceId: 'x-source',
      linkName: 'x-link',
      params: Buffer.from('abc'),
    };
    let signer = stranger;
    const judge = (): string => {
      const token = sealClaims(signer, writeRequestClaims(claims as never));
      const verdict = verifier.verify({ ...message, token } as unknown as ReceivedRequest);
      return verdict.ok ? 'passes' : `${verdict.code.slice('TRELLIS_VERIFY_'.length)} ${verdict.detail}`;
    };
    const steps: [() => void, string][] = [
      [() => undefined, `ISSUER signed by "${stranger.publicKey}"`],
      [() => (claims.iss = key.publicKey), 'LIFETIME life of 60001 ms, allowed are 1 to 60000'],
      [() => (claims.exp = now + 65_001), "EARLY issued 5001 ms ahead of this host's clock, skew allowed is 5000"],
      [() => Object.assign(claims, { iat: start - 1, exp: now - 5_001 }), 'EXPIRED expired 5001 ms ago, skew allowed is 5000'],
      [() => (claims.exp = now - 5_000), 'FENCED issued 1 ms before this host started'],
      [() => (claims.iat = start), 'LATTICE made for lattice "elsewhere"'],
      [() => (claims.lat = LATTICE), 'TARGET made for component "c-target"'],
      [() => (claims.tgt = CALL.target), 'TARGET made for interface "d:e/f"'],
      [() => (claims.ins = CALL.instance), 'TARGET made for function "g-func"'],
      [() => (claims.fun = CALL.func), 'BINDING made for subject "h.subject"'],
      [() => (claims.sub = CALL.subject), 'BINDING made for another reply subject'],
      [() => (claims.rpl = CALL.reply), 'HEADERS signed by "third", header source-id says "x-source"'],
      [() => (message.sourceId = undefined), 'HEADERS signed for link "b-link", header link-name says "x-link"'],
      [() => (message.linkName = undefined), `LINK "third" has no link "b-link" to "echo" for "${CALL.instance}"`],
      [() => (claims.org = 'other'), `SCOPE "${key.publicKey}" may not speak for "other"`],
      [() => Object.assign(claims, { org: CALL.origin, lnk: CALL.link }), `REPLAYED id ${ID} was used before`],
      [() => (claims.jti = ID.replace(/^A/, 'B')), 'PAYLOAD 3 parameter bytes came, 2 were signed'],
      [() => (claims.len = 3), 'PAYLOAD digest of the parameters differs'],
      [() => (message.params = Buffer.from('ab')), `SIGNATURE not signed by "${key.publicKey}"`],
      [() => (signer = key), 'passes'],
    ];
    const said = steps.map(([mend]) => {
      mend();
      return judge();
    });
    expect(said).toEqual(steps.map(([, expected]) => expected));
    // Only what went through everything else cost cryptography.
    expect(verifier.stats).toMatchObject({ checks: 2, remembered: 0 });
  });

  it.each([
    [undefined, 'TRELLIS_VERIFY_UNSIGNED', 'no token'],
    ['', 'TRELLIS_VERIFY_UNSIGNED', 'no token'],
    ['inv1s.e30.AA', 'TRELLIS_VERIFY_FORM', 'token is no request token of version 2'],
    ['inv2s.e30', 'TRELLIS_VERIFY_MALFORMED', 'token has two parts, not three'],
    [sealClaims(key, '{}'), 'TRELLIS_VERIFY_MALFORMED', 'claims are not in their one spelling'],
  ])('says of the token %s what it is not', (token, code, detail) => {
    expect(createTrustWorld({ key }).verifier.verify(messageOf(token))).toEqual({ ok: false, code, detail });
  });

  it('on admission: who verified it, payload, time, id, room', () => {
    const world = createTrustWorld({ key, maxEntries: 1 });
    const [first, second] = signCalls(world.signer, 2).map(({ message }) => world.verifier.verify(message));
    if (first?.ok !== true || second?.ok !== true) return expect.unreachable();
    const { pending } = first;
    expect([pending.complete, pending.paramsBytes]).toEqual([true, CALL.params.length]);
    const judge = (...args: Parameters<typeof world.verifier.admit>): string => {
      const verdict = world.verifier.admit(...args);
      return verdict.ok ? 'runs' : `${verdict.code.slice('TRELLIS_VERIFY_'.length)} ${verdict.detail}`;
    };
    const bytes = CALL.params.length;
    expect(judge({ ...pending } as never, [CALL.params])).toBe('FAILED this request did not come from this verifier');
    expect(judge(pending, [CALL.params, CALL.params])).toBe(`PAYLOAD ${2 * bytes} parameter bytes came, ${bytes} were signed`);
    expect(judge(pending, [Buffer.alloc(bytes)])).toBe('PAYLOAD digest of the parameters differs');
    expect(judge(pending, [Buffer.from(CALL.params)])).toBe('runs');
    expect(judge(pending, [CALL.params])).toBe(`REPLAYED id ${pending.claims.jti} was used before`);
    expect(judge(second.pending, [CALL.params])).toBe('REPLAY_FULL no room to remember another id');
    world.clock.pass(35_001);
    expect(judge(pending, [CALL.params])).toBe('EXPIRED expired 5001 ms ago, before its parameters were complete');
  });

  it('takes the beginning of longer parameters, and says that it is one', () => {
    const world = createTrustWorld({ key });
    const { message } = signCalls(world.signer, 1)[0]!;
    const verdict = world.verifier.verify({ ...message, params: CALL.params.subarray(0, -1) });
    expect(verdict).toMatchObject({ ok: true, pending: { complete: false, checkedParams: undefined } });
  });

  it('allows five seconds between clocks and a minute of life unless told', () => {
    const clock = new ManualClock();
    const time = new TrustedTime(clock);
    const replay = new ReplayWindow({ clock, maxEntries: 10, skewMs: 5_000 });
    const fence = new RestartFence(time, 5_000, new MemoryAheadStore());
    const links = { allows: () => true };
    const base = { lattice: LATTICE, signers: issuers, time, replay, links, unlinkedOrigins: [], fence } as const;
    const verifier = createRequestVerifier({ ...base, bind: 'strict' });
    const judge = (changes: object): string => {
      const verdict = verifier.verify(messageOf(sealClaims(key, writeRequestClaims(claimsOf(key, clock, changes)))));
      return verdict.ok ? 'passes' : verdict.code;
    };
    const start = clock.wallMs();
    expect(judge({ exp: start + 60_000 })).toBe('passes');
    expect(judge({ exp: start + 60_001 })).toBe('TRELLIS_VERIFY_LIFETIME');
    expect(judge({ exp: start + 1 })).toBe('passes');
    expect(judge({ exp: start })).toBe('TRELLIS_VERIFY_LIFETIME');
    clock.pass(20_000);
    expect(judge({ iat: start, exp: start + 15_000 })).toBe('passes');
    expect(judge({ iat: start, exp: start + 14_999 })).toBe('TRELLIS_VERIFY_EXPIRED');
  });
});

describe('the order of checks of an answer', () => {
  const RESULT = Buffer.from('abc');

  function setUp() {
    const world = createTrustWorld({ key });
    const { sent } = signCalls(world.signer, 1)[0]!;
    const verifier = createResultVerifier({ lattice: LATTICE, signers: narrow, time: world.time });
    return { ...world, sent, verifier };
  }

  it.each(['result', 'accept'] as const)('is the one that is written down, for a %s', (kind) => {
    const { verifier, clock, sent: own } = setUp();
    const now = clock.wallMs();
    let sent = { ...own, target: 'other', issuedAtMs: now + 5_001 };
    const claims: Record<string, unknown> = {
      v: 2,
      req: 'A'.repeat(43),
      iat: now + 5_001,
      lat: 'elsewhere',
      iss: stranger.publicKey,
      srv: 'third',
      st: 'trap',
      len: 2,
      dig: 'A'.repeat(43),
      rs: '_INBOX.a',
    };
    let signer = stranger;
    const judge = (): string => {
      const text = kind === 'result' ? writeResultClaims(claims as never) : writeAcceptClaims(claims as never);
      const token = sealClaims(signer, text, HEADERS[kind].single);
      const verdict = kind === 'result' ? verifier.result(sent, token, RESULT) : verifier.accept(sent, token);
      return verdict.ok ? 'passes' : `${verdict.code.slice('TRELLIS_VERIFY_'.length)} ${verdict.detail}`;
    };
    const steps: [() => void, string][] = [
      [() => undefined, `ISSUER signed by "${stranger.publicKey}"`],
      [() => (claims.iss = key.publicKey), 'LATTICE made for lattice "elsewhere"'],
      [() => (claims.lat = LATTICE), 'UNRELATED answers another request'],
      [() => (claims.req = sent.digest), 'SERVER "third" answers for "other"'],
      [() => (claims.srv = 'other'), "EARLY issued 5001 ms ahead of this host's clock, skew allowed is 5000"],
      [() => (claims.iat = now), 'EXPIRED issued 5001 ms before its request, skew allowed is 5000'],
      ...(kind === 'accept'
        ? []
        : ([
            [() => (sent = { ...sent, issuedAtMs: now + 5_000 }), 'PAYLOAD 3 result bytes came, 2 were signed'],
            [() => (claims.len = 3), 'PAYLOAD digest of the result differs'],
          ] satisfies [() => void, string][])),
      [
        () => {
          sent = { ...sent, issuedAtMs: now + 5_000 };
          claims.dig = resultDigest(RESULT);
        },
        `SCOPE "${key.publicKey}" may not answer for "other"`,
      ],
      [
        () => {
          sent = { ...sent, target: CALL.target };
          claims.srv = CALL.target;
        },
        `SIGNATURE not signed by "${key.publicKey}"`,
      ],
      [() => (signer = key), 'passes'],
    ];
    const said = steps.map(([mend]) => {
      mend();
      return judge();
    });
    expect(said).toEqual(steps.map(([, expected]) => expected));
    expect(verifier.stats).toMatchObject({ checks: 2, remembered: 0 });
  });

  it.each([
    [undefined, 'TRELLIS_VERIFY_UNSIGNED', 'no result token'],
    ['', 'TRELLIS_VERIFY_UNSIGNED', 'no result token'],
    ['inv2s.e30.AA', 'TRELLIS_VERIFY_FORM', 'token is no result token of version 2'],
    ['res2s.e30', 'TRELLIS_VERIFY_MALFORMED', 'token has two parts, not three'],
    [sealClaims(key, '{}', 'res2s'), 'TRELLIS_VERIFY_MALFORMED', 'claims are not in their one spelling'],
  ])('says of the token %s what it is not', (token, code, detail) => {
    const { verifier, sent } = setUp();
    expect(verifier.result(sent, token, RESULT)).toEqual({ ok: false, code, detail });
    const asAccept = token?.replace('res2s', 'acc2s');
    expect(verifier.accept(sent, asAccept)).toEqual({ ok: false, code, detail: detail.replace('result', 'accept') });
  });

  it('may stand at the very edges of the skew', () => {
    const { verifier, clock, sent } = setUp();
    const judge = (iat: number): boolean => {
      const base = { v: 2, req: sent.digest, lat: LATTICE, iss: key.publicKey, srv: CALL.target, st: 'ok', len: 3 } as const;
      const claims: ResultClaims = { ...base, iat, dig: resultDigest(RESULT) };
      return verifier.result(sent, sealClaims(key, writeResultClaims(claims), HEADERS.result.single), RESULT).ok;
    };
    const now = clock.wallMs();
    expect([now - 5_001, now - 5_000, now, now + 5_000, now + 5_001].map(judge)).toEqual([false, true, true, true, false]);
  });
});

describe('both judges', () => {
  it('remember the root of a batch for as long as a token of it can be accepted', () => {
    const clock = new ManualClock();
    const ahead = new ManualClock(clock.wallMs() + 5_000);
    const signer = createTokenSigner({ key, lattice: LATTICE, clock: ahead, lifetimeMs: 60_000 });
    const [first, last] = signCalls(signer, 2);
    const world = createTrustWorld({ key, clock });
    expect(world.verifier.verify(first!.message).ok).toBe(true);
    clock.pass(69_999);
    expect(world.verifier.verify(last!.message).ok).toBe(true);
    expect(world.verifier.stats).toMatchObject({ checks: 1, remembered: 1 });

    const answers: string[] = [];
    for (let n = 0; n < 2; n++) {
      signer.result({ request: first!.sent.digest, server: ECHO, status: 'ok', result: CALL.params }, (t) => answers.push(t));
    }
    signer.flush();
    expect(world.results.result(first!.sent, answers[0], CALL.params).ok).toBe(true);
    clock.pass(69_999);
    expect(world.results.result(first!.sent, answers[1], CALL.params).ok).toBe(true);
    expect(world.results.stats).toMatchObject({ checks: 1, remembered: 1 });
  });

  it('hand on what an answer says of streams', () => {
    const { signer, results } = createTrustWorld({ key });
    const { sent } = signCalls(signer, 1)[0]!;
    const [answer, epk] = [{ request: sent.digest, server: ECHO, inbox: '_INBOX.a' }, 'A'.repeat(43)];
    const ended = { ...answer, status: 'ok', result: CALL.params } as const;
    const said: unknown[] = [];
    signer.accept({ ...answer, epk, state: 'running' }, (token) => said.push(results.accept(sent, token)));
    signer.accept({ ...answer, state: 'confirm' }, (token) => said.push(results.accept(sent, token)));
    signer.accept(answer, (token) => said.push(results.accept(sent, token)));
    signer.result(ended, (token) => said.push(results.result(sent, token, CALL.params)));
    signer.result({ ...ended, inbox: undefined }, (token) => said.push(results.result(sent, token, CALL.params)));
    signer.flush();
    expect(said).toEqual([
      { ok: true, inbox: '_INBOX.a', epk, confirm: false, running: true },
      { ok: true, inbox: '_INBOX.a', epk: undefined, confirm: true, running: false },
      { ok: true, inbox: '_INBOX.a', epk: undefined, confirm: false, running: false },
      { ok: true, status: 'ok', inbox: '_INBOX.a' },
      { ok: true, status: 'ok', inbox: undefined },
    ]);
  });

  it('refuse when whom they ask fails', () => {
    const world = createTrustWorld({ key });
    const { sent } = signCalls(world.signer, 1)[0]!;
    const broken: SignerDirectory = {
      find() {
        throw new Error('broken');
      },
    };
    const verifier = createResultVerifier({ lattice: LATTICE, signers: broken, time: world.time });
    const failed = { ok: false, code: 'TRELLIS_VERIFY_FAILED', detail: 'the verifier failed: "broken"' };
    const answer = { request: sent.digest, server: ECHO, status: 'ok', result: CALL.params, inbox: '_INBOX.a' } as const;
    world.signer.result(answer, (token) => expect(verifier.result(sent, token, CALL.params)).toEqual(failed));
    world.signer.accept(answer, (token) => expect(verifier.accept(sent, token)).toEqual(failed));
    world.signer.flush();
    expect.assertions(2);
  });
});
