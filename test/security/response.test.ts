import { describe, expect, it } from 'vitest';
import { componentId } from '../../src/ids.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { type ResultClaims, type ResultStatus, writeResultClaims } from '../../src/trust/result-token.ts';
import { createTokenSigner, type TokenSigner } from '../../src/trust/signer.ts';
import { HEADERS, resultDigest } from '../../src/trust/token.ts';
import { createRandom } from '../support/random.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { createTrustWorld, ECHO, LATTICE, sealClaims, type SignedCall, signCalls } from '../support/trust.ts';

const key = SigningKey.generate('cluster');
const RESULT = Buffer.from('result of the call');

function setUp() {
  const world = createTrustWorld({ key });
  const [call] = signCalls(world.signer, 1) as [SignedCall];
  return { ...world, call };
}

interface Answer {
  readonly request: string;
  readonly server?: ReturnType<typeof componentId>;
  readonly status?: ResultStatus;
  readonly result?: Uint8Array;
  /** Tokens signed together; above 1 gives the batched form. */
  readonly together?: number;
}

/** A properly signed result token. */
function sign(signer: TokenSigner, { request, server = ECHO, status = 'ok', result = RESULT, together = 1 }: Answer): string {
  const tokens: string[] = [];
  for (let n = 0; n < together; n++) signer.result({ request, server, status, result }, (token) => tokens.push(token));
  signer.flush();
  return tokens.at(-1)!;
}

function accept(signer: TokenSigner, request: string, inbox: string): string {
  let token = '';
  signer.accept({ request, server: ECHO, inbox }, (t) => (token = t));
  signer.flush();
  return token;
}

describe('results', () => {
  it('pass in both forms, in one piece or several, with every status', () => {
    const { results, signer, call } = setUp();
    const statuses: ResultStatus[] = [
      'ok',
      'denied',
      'busy',
      'trap',
      'timeout',
      'too-large',
      'bad-params',
      'unavailable',
      'error',
    ];
    for (const together of [1, 7]) {
      for (const status of statuses) {
        const token = sign(signer, { request: call.sent.digest, status, together });
        expect(results.result(call.sent, token, RESULT)).toEqual({ ok: true, status });
        expect(results.result(call.sent, token, [RESULT.subarray(0, 5), RESULT.subarray(5)])).toEqual({ ok: true, status });
      }
    }
  });

  it('RSP-01 RSP-04 forged, unsigned or altered: 10,000 of them, none taken, the real one still is', () => {
    const { results, signer, clock, call } = setUp();
    const stranger = createTokenSigner({ key: SigningKey.generate('cluster'), lattice: LATTICE, clock });
    const { digest } = call.sent;
    for (const status of ['ok', 'error', 'denied'] as const) {
      expect(results.result(call.sent, sign(stranger, { request: digest, status }), RESULT)).toMatchObject({
        code: 'TRELLIS_VERIFY_ISSUER',
      });
    }
    expect(results.stats.checks).toBe(0);
    for (const token of [undefined, '', call.token]) expect(results.result(call.sent, token, RESULT).ok).toBe(false);
    const random = createRandom();
    const tokens = [sign(signer, { request: digest }), sign(signer, { request: digest, together: 5 })];
    for (let n = 0; n < 10_000; n++) {
      const bytes = Buffer.concat([Buffer.from(tokens[n & 1]!), RESULT]);
      const bit = random.below(bytes.length * 8);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const end = tokens[n & 1]!.length;
      expect(results.result(call.sent, bytes.toString('latin1', 0, end), bytes.subarray(end)).ok).toBe(false);
    }
    for (const token of tokens) expect(results.result(call.sent, token, RESULT)).toEqual({ ok: true, status: 'ok' });
  });

  it('RSP-02 signed for another request', () => {
    const { results, signer, call } = setUp();
    const other = signCalls(signer, 1)[0]!;
    const token = sign(signer, { request: other.sent.digest });
    expect(results.result(call.sent, token, RESULT)).toMatchObject({ code: 'TRELLIS_VERIFY_UNRELATED' });
    expect(results.result(other.sent, token, RESULT)).toMatchObject({ ok: true });
  });

  it('RSP-02 signed by a trusted key for another component, lattice or purpose', () => {
    const { results, signer, clock, call } = setUp();
    const { digest } = call.sent;
    const elsewhere = sign(signer, { request: digest, server: componentId('other') });
    expect(results.result(call.sent, elsewhere, RESULT)).toMatchObject({ code: 'TRELLIS_VERIFY_SERVER' });
    const lattice = createTokenSigner({ key, lattice: 'other' as typeof LATTICE, clock });
    expect(results.result(call.sent, sign(lattice, { request: digest }), RESULT)).toMatchObject({
      code: 'TRELLIS_VERIFY_LATTICE',
    });
    expect(results.result(call.sent, accept(signer, digest, '_INBOX.a'), RESULT)).toMatchObject({ code: 'TRELLIS_VERIFY_FORM' });
    expect(results.result(call.sent, call.token, RESULT)).toMatchObject({ code: 'TRELLIS_VERIFY_FORM' });
  });

  it('RSP-03 an old answer does not fit a new call with the same content', () => {
    const { results, signer, call } = setUp();
    const token = sign(signer, { request: call.sent.digest });
    for (const again of signCalls(signer, 3)) {
      expect(results.result(again.sent, token, RESULT)).toMatchObject({ code: 'TRELLIS_VERIFY_UNRELATED' });
    }
  });

  it('RSP-04 a good status on other bytes, or other bytes under a good status', () => {
    const { results, signer, call } = setUp();
    const token = sign(signer, { request: call.sent.digest });
    for (const bytes of [
      Buffer.alloc(0),
      RESULT.subarray(1),
      Buffer.concat([RESULT, Buffer.from('x')]),
      Buffer.alloc(RESULT.length),
    ]) {
      expect(results.result(call.sent, token, bytes)).toMatchObject({ code: 'TRELLIS_VERIFY_PAYLOAD' });
    }
    const [header, claims, proof] = token.split('.');
    for (const status of ['error', 'denied', 'OK', 'fine', '']) {
      const text = Buffer.from(claims!, 'base64url').toString().replace('"st":"ok"', `"st":"${status}"`);
      const forged = `${header}.${Buffer.from(text).toString('base64url')}.${proof}`;
      expect(results.result(call.sent, forged, RESULT).ok).toBe(false);
    }
  });

  it('RSP-04 a trusted key that signs a status nobody knows, or a length that is not true', () => {
    const { results, clock, call } = setUp();
    const good: ResultClaims = {
      v: 2,
      req: call.sent.digest,
      iat: clock.wallMs(),
      lat: LATTICE,
      iss: key.publicKey,
      srv: ECHO,
      st: 'ok',
      len: RESULT.length,
      dig: resultDigest(RESULT),
    };
    const judge = (change: object) =>
      results.result(call.sent, sealClaims(key, writeResultClaims({ ...good, ...change }), HEADERS.result.single), RESULT);
    expect(judge({})).toEqual({ ok: true, status: 'ok' });
    for (const st of ['fine', '', 'OK', 'constructor']) expect(judge({ st })).toMatchObject({ code: 'TRELLIS_VERIFY_MALFORMED' });
    for (const len of [0, RESULT.length + 1]) expect(judge({ len })).toMatchObject({ code: 'TRELLIS_VERIFY_PAYLOAD' });
  });

  it('RSP-06 a token or a result beyond all size is refused without work', async () => {
    const { results, call } = setUp();
    expect(results.result(call.sent, `res2s.${'A'.repeat(5_000_000)}.A`, RESULT)).toMatchObject({
      code: 'TRELLIS_VERIFY_MALFORMED',
    });
    const { signer } = setUp();
    const token = sign(signer, { request: call.sent.digest });
    const huge = Buffer.alloc(64 << 20);
    // A wrong length is seen before anything is hashed; hashing these bytes alone takes longer. Best of five.
    await takesAtMost(10, () => {
      const tookMs = Array.from({ length: 5 }, () => {
        const started = performance.now();
        expect(results.result(call.sent, token, huge)).toMatchObject({ code: 'TRELLIS_VERIFY_PAYLOAD' });
        return performance.now() - started;
      });
      return Math.min(...tookMs);
    });
  });

  it('are judged by time: not from before the request, not from the future', () => {
    const { results, signer, clock, call } = setUp();
    const answeredAfter = (ms: number) => {
      clock.pass(ms);
      const token = sign(signer, { request: call.sent.digest });
      clock.pass(-ms);
      return results.result(call.sent, token, RESULT);
    };
    expect(answeredAfter(-5_000)).toMatchObject({ ok: true });
    expect(answeredAfter(-5_001)).toMatchObject({ code: 'TRELLIS_VERIFY_EXPIRED' });
    expect(answeredAfter(5_000)).toMatchObject({ ok: true });
    expect(answeredAfter(5_001)).toMatchObject({ code: 'TRELLIS_VERIFY_EARLY' });
  });

  it('never make the verifier throw', () => {
    const { results } = setUp();
    for (const sent of [undefined, null, {}]) {
      expect(results.result(sent as never, 'res2s.e30.AA', RESULT).ok).toBe(false);
      expect(results.accept(sent as never, 'acc2s.e30.AA').ok).toBe(false);
    }
    const { call, signer } = setUp();
    const token = sign(signer, { request: call.sent.digest });
    for (const root of [undefined, null, 7]) expect(results.result(call.sent, token, root as never).ok).toBe(false);
  });
});

describe('accepts', () => {
  it('pass, and name the inbox', () => {
    const { results, signer, call } = setUp();
    const inbox = '_INBOX_RPC.default.n7.k1';
    expect(results.accept(call.sent, accept(signer, call.sent.digest, inbox))).toEqual({
      ok: true,
      inbox,
      epk: undefined,
      confirm: false,
      running: false,
    });
  });

  it('RSP-01 forged ones, and ones that lead parameters elsewhere, do not', () => {
    const { results, signer, clock, call } = setUp();
    const stranger = createTokenSigner({ key: SigningKey.generate('cluster'), lattice: LATTICE, clock });
    const { digest } = call.sent;
    expect(results.accept(call.sent, undefined)).toMatchObject({ code: 'TRELLIS_VERIFY_UNSIGNED' });
    expect(results.accept(call.sent, accept(stranger, digest, '_INBOX.a'))).toMatchObject({ code: 'TRELLIS_VERIFY_ISSUER' });
    expect(results.accept(call.sent, sign(signer, { request: digest }))).toMatchObject({ code: 'TRELLIS_VERIFY_FORM' });
    const other = signCalls(signer, 1)[0]!;
    expect(results.accept(other.sent, accept(signer, digest, '_INBOX.a'))).toMatchObject({ code: 'TRELLIS_VERIFY_UNRELATED' });
    const [header, claims, proof] = accept(signer, digest, '_INBOX.a').split('.');
    const moved = Buffer.from(claims!, 'base64url').toString().replace('_INBOX.a', '_INBOX.b');
    const forged = `${header}.${Buffer.from(moved).toString('base64url')}.${proof}`;
    expect(results.accept(call.sent, forged)).toMatchObject({ code: 'TRELLIS_VERIFY_SIGNATURE' });
    for (const inbox of ['_INBOX.>', '*', 'a..b', '']) {
      expect(results.accept(call.sent, accept(signer, digest, inbox))).toMatchObject({ code: 'TRELLIS_VERIFY_MALFORMED' });
    }
  });
});
