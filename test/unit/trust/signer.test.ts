import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { TrellisError } from '../../../src/errors.ts';
import { MAX_BATCH } from '../../../src/trust/merkle.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { createTokenSigner, newTokenId } from '../../../src/trust/signer.ts';
import { MAX_TOKEN_CHARS, type OpenToken, openToken, requestDigest, type TokenKind } from '../../../src/trust/token.ts';
import { CALL, createTrustWorld, ECHO, LATTICE, ManualClock, messageOf, run, signCalls } from '../../support/trust.ts';

const key = SigningKey.generate('cluster');

describe('token signer', () => {
  it('signs a lone token in the single form, in the same turn of the event loop', async () => {
    const world = createTrustWorld({ key });
    let token = '';
    world.signer.request(CALL, (t) => (token = t));
    expect(token).toBe('');
    await turn();
    expect(token).toMatch(/^inv2s\./);
    expect(run(world, messageOf(token))).toBe('ran');
  });

  it('signs everything of one turn with one signature, requests and answers alike, in order', async () => {
    const world = createTrustWorld({ key });
    const tokens: string[] = [];
    for (let n = 0; n < 30; n++) {
      world.signer.request(CALL, (token) => tokens.push(`request ${token}`));
      world.signer.result({ request: 'A'.repeat(43), server: ECHO, status: 'ok', result: CALL.params }, (token) =>
        tokens.push(`result ${token}`),
      );
    }
    await turn();
    expect(world.signer.stats).toEqual({ tokens: 60, signatures: 1 });
    expect(tokens.map((t) => t.slice(0, 13))).toEqual(
      Array.from({ length: 30 }, () => ['request inv2b', 'result res2b.']).flat(),
    );
    for (const text of tokens.filter((t) => t.startsWith('request'))) expect(run(world, messageOf(text.slice(8)))).toBe('ran');
    expect(world.verifier.stats.checks).toBe(1);
    expect(world.verifier.stats.remembered).toBe(29);
  });

  it('signs each token alone when batching is off', async () => {
    const world = createTrustWorld({ key });
    const signer = createTokenSigner({ key, lattice: LATTICE, clock: world.clock, batch: false });
    const calls = signCalls(signer, 3);
    expect(calls.every(({ token }) => token.startsWith('inv2s.'))).toBe(true);
    expect(signer.stats).toEqual({ tokens: 3, signatures: 3 });
    for (const { message } of calls) expect(run(world, message)).toBe('ran');
  });

  it('never puts more than the limit into one batch', () => {
    const world = createTrustWorld({ key });
    const calls = signCalls(world.signer, MAX_BATCH + 1);
    expect(world.signer.stats).toEqual({ tokens: MAX_BATCH + 1, signatures: 2 });
    expect(calls.at(-1)!.token).toMatch(/^inv2s\./);
    for (const { message } of calls) expect(run(world, message)).toBe('ran');
  });

  it('gives every other receiver its token when one throws, and throws that on', () => {
    const { signer } = createTrustWorld({ key });
    const got: string[] = [];
    signer.request(CALL, () => {
      throw new Error('receiver');
    });
    signer.request(CALL, (token) => got.push(token));
    signer.request(CALL, () => {
      throw new Error('another');
    });
    expect(() => signer.flush()).toThrow(new Error('receiver'));
    expect(got).toHaveLength(1);
  });

  it('takes what a receiver asks for into the next batch', async () => {
    const { signer } = createTrustWorld({ key });
    const order: string[] = [];
    signer.request(CALL, () => {
      order.push('first');
      signer.request(CALL, () => order.push('second'));
    });
    signer.flush();
    expect(order).toEqual(['first']);
    await turn();
    expect(order).toEqual(['first', 'second']);
  });

  it('gives the caller what it needs to judge the answer', () => {
    const world = createTrustWorld({ key });
    const [{ token, sent }] = signCalls(world.signer, 1) as [ReturnType<typeof signCalls>[0]];
    const now = world.clock.wallMs();
    expect(sent).toEqual({ token, digest: requestDigest(token), target: 'echo', issuedAtMs: now, expiresAtMs: now + 30_000 });
  });

  it('refuses what could not be read back, before it signs', () => {
    const { signer } = createTrustWorld({ key });
    for (const change of [
      { subject: 'a"b' },
      { reply: 'a\\b' },
      { func: 'gr\u00fc\u00df' },
      { origin: 'a\nb' },
      { subject: 'x'.repeat(3000) },
    ]) {
      expect(() => signer.request({ ...CALL, ...change }, () => undefined)).toThrow(TrellisError);
    }
    const answer = { request: 'A'.repeat(43), server: ECHO, status: 'ok', result: CALL.params, inbox: '_INBOX.a' } as const;
    for (const change of [{ request: 'a"b' }, { server: 'a"b' as typeof ECHO }, { inbox: 'a"b' }]) {
      expect(() => signer.accept({ ...answer, ...change }, () => undefined)).toThrow(TrellisError);
      if (!('inbox' in change)) expect(() => signer.result({ ...answer, ...change }, () => undefined)).toThrow(TrellisError);
    }
    signer.flush();
    expect(signer.stats).toEqual({ tokens: 0, signatures: 0 });
  });

  it('makes tokens that live from a millisecond to a minute, half of one unless told', () => {
    const clock = new ManualClock();
    const lifeOf = (lifetimeMs?: number): number => {
      const signer = createTokenSigner({ key, lattice: LATTICE, clock, ...(lifetimeMs === undefined ? {} : { lifetimeMs }) });
      const { sent } = signCalls(signer, 1)[0]!;
      return sent.expiresAtMs - sent.issuedAtMs;
    };
    expect([lifeOf(), lifeOf(1), lifeOf(60_000)]).toEqual([30_000, 1, 60_000]);
    for (const lifetimeMs of [0, -1, 60_001, 1.5, Number.NaN]) {
      expect(() => lifeOf(lifetimeMs)).toThrow(
        expect.objectContaining({
          code: 'TRELLIS_TRUST_CLAIMS_INVALID',
          message: `A token cannot live ${lifetimeMs} ms`,
          remedy: 'Set trust.tokenLifetimeMs between 1 and 60000.',
        }),
      );
    }
  });

  it('delivers turn after turn', async () => {
    const { signer } = createTrustWorld({ key });
    for (let n = 0; n < 3; n++) {
      let token = '';
      signer.request(CALL, (t) => (token = t));
      await turn();
      expect(token).toMatch(/^inv2s\./);
    }
    expect(signer.stats).toEqual({ tokens: 3, signatures: 3 });
  });

  it('names the delegation of the moment in everything it signs, and none without one', () => {
    const clock = new ManualClock();
    let kid: string | undefined = 'K'.repeat(42) + 'A';
    const signer = createTokenSigner({ key, lattice: LATTICE, clock, kid: () => kid });
    const claims: string[] = [];
    const signAll = (): void => {
      const take = (kind: TokenKind) => (token: string) => claims.push((openToken(token, kind) as OpenToken).claimsText);
      signer.request(CALL, take('request'));
      signer.result({ request: 'A'.repeat(43), server: ECHO, status: 'ok', result: CALL.params }, take('result'));
      signer.accept({ request: 'A'.repeat(43), server: ECHO, inbox: '_INBOX.a' }, take('accept'));
      signer.flush();
    };
    signAll();
    for (const text of claims.splice(0)) expect(text).toContain(`"iss":"${key.publicKey}","kid":"${kid}",`);
    kid = undefined;
    signAll();
    for (const text of claims) expect(text).not.toContain('kid');
    expect(claims).toHaveLength(3);
  });

  it('keeps the largest token that it makes below what a verifier reads', () => {
    const world = createTrustWorld({ key });
    const subject = 's'.repeat(1400);
    const calls = signCalls(world.signer, MAX_BATCH, { subject, reply: 'r'.repeat(700) });
    expect(calls[0]!.token.length).toBeLessThanOrEqual(MAX_TOKEN_CHARS);
    expect(calls[0]!.token.length).toBeGreaterThan(3600);
    expect(openToken(calls[0]!.token, 'request')).toHaveProperty('claimsText');
  });

  it('draws ids that do not repeat', () => {
    const ids = new Set(Array.from({ length: 20_000 }, newTokenId));
    expect(ids.size).toBe(20_000);
    for (const id of ids) expect(id).toMatch(/^[\w-]{21}[AQgw]$/);
  });

  it('signs what belongs to streams if it is told of it, and nothing of it otherwise', () => {
    const { signer } = createTrustWorld({ key });
    const epk = 'E'.repeat(42) + 'A';
    const texts: string[] = [];
    const take = (kind: TokenKind) => (token: string) => texts.push((openToken(token, kind) as OpenToken).claimsText);
    const answer = { request: 'A'.repeat(43), server: ECHO, status: 'ok', result: CALL.params } as const;
    signer.request({ ...CALL, epk }, take('request'));
    signer.result({ ...answer, inbox: '_INBOX.a' }, take('result'));
    signer.accept({ ...answer, inbox: '_INBOX.a', epk, state: 'running' }, take('accept'));
    signer.request(CALL, take('request'));
    signer.result(answer, take('result'));
    signer.accept({ ...answer, inbox: '_INBOX.a' }, take('accept'));
    signer.flush();
    expect(texts.map((text) => /(?:"dig":"[^"]*"|"rs":"_INBOX.a"(?=,"epk"|\}$|,"run"))(.*)\}$/.exec(text)?.[1])).toEqual([
      `,"epk":"${epk}"`,
      ',"rs":"_INBOX.a"',
      `,"epk":"${epk}","run":1`,
      '',
      '',
      '',
    ]);
    expect(() => signer.result({ ...answer, inbox: 'a"b' }, () => undefined)).toThrow(TrellisError);
  });
});
