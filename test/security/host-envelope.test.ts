import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SigningKey } from '../../src/trust/nkey.ts';
import { writeRequestClaims } from '../../src/trust/request-token.ts';
import { HEADERS, paramsDigest } from '../../src/trust/token.ts';
import { Attacker, PARAMS, ShiftedClock, VICTIM, type Forged } from '../support/attacker.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { sealClaims } from '../support/trust.ts';

/** The order of the group that Ed25519 signatures live in, little endian, to make the second spelling of a signature. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

/**
 * The attacks of the plan against a real host: NATS server, TLS-less loopback, real runner. For each one it is asserted what the attacker
 * is told, what the metric counts, what the log says, and that no guest code ran.
 */
describe('a host under forged envelopes', () => {
  const clock = new ShiftedClock();
  let test: TestLattice;
  let attacker: Attacker;
  let key: SigningKey;
  const answers = new Set<string>();

  beforeAll(async () => {
    test = await startTestLattice({}, clock);
    attacker = new Attacker(test);
    key = SigningKey.fromSeed(readFileSync(join(test.lattice.config.stateDir, 'cluster.seed'), 'utf8').trim(), 'cluster');
  });
  afterAll(() => test[Symbol.asyncDispose]());

  /** Sends it and asserts all four: answer, metric, log, no guest. */
  async function refused(code: string, forged: Forged): Promise<void> {
    const before = {
      runs: test.runs(VICTIM.target),
      metric: await test.metric('trellis_denials_total', `code="${code}"`),
      lines: test.logged.length,
    };
    const { text: answer, correlation } = await attacker.send(forged);
    expect(answer).toBe(forged.token === undefined ? '401 invocation not signed' : '401 invocation denied');
    if (forged.token !== undefined) answers.add(answer);
    expect(await test.metric('trellis_denials_total', `code="${code}"`)).toBe(before.metric + 1);
    const lines = test.logged.slice(before.lines).filter((line) => line['msg'] === 'invocation denied');
    expect(lines).toMatchObject([{ code, outcome: 'denied', verified: false, component: VICTIM.target, correlation }]);
    expect(correlation).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect(test.runs(VICTIM.target)).toBe(before.runs);
  }
  const sendText = async (forged: Forged): Promise<string> => (await attacker.send(forged)).text;

  /** A genuine token for the reply subject it will be sent with, with changes. */
  function genuine(changes: Parameters<Attacker['claims']>[2] = {}): { token: string; reply: string } {
    const reply = attacker.reply();
    return { token: attacker.token(key, clock, { rpl: reply, ...changes }), reply };
  }

  it('runs the genuine message, so that what follows is refused for its one flaw', async () => {
    const runs = test.runs(VICTIM.target);
    expect(await sendText(genuine())).toBe('\u0006attack');
    expect(test.runs(VICTIM.target)).toBe(runs + 1);
  });

  it('ENV-01 no envelope', () => refused('TRELLIS_VERIFY_UNSIGNED', {}));
  it('ENV-02 alg none', () =>
    refused('TRELLIS_VERIFY_FORM', { token: `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.` }));
  it('ENV-03 an HMAC keyed with the public key', () =>
    refused('TRELLIS_VERIFY_FORM', { token: `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.e30.AAAA` }));
  it('ENV-04 random signature', () => {
    const { token, reply } = genuine();
    return refused('TRELLIS_VERIFY_SIGNATURE', {
      token: token.slice(0, token.lastIndexOf('.') + 1) + Buffer.alloc(64, 7).toString('base64url'),
      reply,
    });
  });
  it('ENV-05 unknown cluster key', () => {
    const reply = attacker.reply();
    return refused('TRELLIS_VERIFY_ISSUER', {
      token: attacker.token(SigningKey.generate('cluster'), clock, { rpl: reply }),
      reply,
    });
  });
  it('ENV-06 a trusted issuer named, another key signed', () => {
    const reply = attacker.reply();
    return refused('TRELLIS_VERIFY_SIGNATURE', {
      token: attacker.token(SigningKey.generate('cluster'), clock, { rpl: reply, iss: key.publicKey }),
      reply,
    });
  });
  it.each(['account', 'server', 'user', 'module'] as const)('ENV-07 an issuer that is a key of kind %s', (kind) => {
    const reply = attacker.reply();
    return refused('TRELLIS_VERIFY_ISSUER', { token: attacker.token(SigningKey.generate(kind), clock, { rpl: reply }), reply });
  });
  it('ENV-08 the second spelling of a signature (S + L)', () => {
    const { token, reply } = genuine();
    const proof = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url');
    const s = BigInt(`0x${Buffer.from(proof.subarray(32).toReversed()).toString('hex')}`) + L;
    proof.set(Buffer.from(s.toString(16).padStart(64, '0'), 'hex').toReversed(), 32);
    return refused('TRELLIS_VERIFY_SIGNATURE', {
      token: token.slice(0, token.lastIndexOf('.') + 1) + proof.toString('base64url'),
      reply,
    });
  });
  it('ENV-09 padded base64', () => {
    const { token, reply } = genuine();
    return refused('TRELLIS_VERIFY_MALFORMED', { token: `${token}=`, reply });
  });
  it('ENV-11 expired by a second more than the leeway', () => {
    const { token, reply } = genuine();
    clock.pass(36_000);
    return refused('TRELLIS_VERIFY_EXPIRED', { token, reply });
  });
  it('ENV-11 a life longer than a minute', () =>
    refused('TRELLIS_VERIFY_LIFETIME', genuine({ exp: Math.floor(clock.wallMs()) + 61_000 })));
  it('ENV-12 issued in the future', () => {
    const iat = Math.floor(clock.wallMs()) + 60_000;
    return refused('TRELLIS_VERIFY_EARLY', genuine({ iat, exp: iat + 10_000 }));
  });
  it('ENV-13 a clock 4 s ahead is taken, one 6 s ahead is not', async () => {
    const at = (aheadMs: number) => ({
      iat: Math.floor(clock.wallMs()) + aheadMs,
      exp: Math.floor(clock.wallMs()) + aheadMs + 10_000,
    });
    expect(await sendText(genuine(at(4_000)))).toBe('\u0006attack');
    await refused('TRELLIS_VERIFY_EARLY', genuine(at(6_000)));
    expect(test.logged.findLast((line) => line['code'] === 'TRELLIS_VERIFY_EARLY')?.['detail']).toMatch(/5000|skew/);
  });
  it.each(['"1800000000000"', '1.5', '1e309', '-1', 'null'])('ENV-14 exp written as %s', (exp) => {
    const reply = attacker.reply();
    const text = writeRequestClaims(attacker.claims(key, clock, { rpl: reply })).replace(/"exp":\d+/, `"exp":${exp}`);
    return refused('TRELLIS_VERIFY_MALFORMED', { token: sealClaims(key, text), reply });
  });
  it('ENV-15 one bit of the payload changed', () => {
    const params = Buffer.from(PARAMS);
    params[3]! ^= 1;
    return refused('TRELLIS_VERIFY_PAYLOAD', { ...genuine(), params });
  });
  it('ENV-16 payload emptied: never run, and its place is freed when the rest does not come', async () => {
    const runs = test.runs(VICTIM.target);
    const reply = await attacker.send({ ...genuine(), params: new Uint8Array(0) });
    expect(reply.kind).toBe('accepted');
    test.caller.member.rpc.publish(`${reply.text}.params`, new Uint8Array(0));
    await expect.poll(() => test.lattice.host.status().inFlight).toBe(0);
    expect(test.runs(VICTIM.target)).toBe(runs);
    expect(test.logged.at(-1)).toMatchObject({ code: 'TRELLIS_PATH_PARAMS_TIMEOUT' });
  });
  it('ENV-17 payload appended to', () =>
    refused('TRELLIS_VERIFY_PAYLOAD', { ...genuine(), params: Buffer.concat([PARAMS, PARAMS]) }));
  it('ENV-18 origin changed in the plain header', () =>
    refused('TRELLIS_VERIFY_HEADERS', {
      ...genuine(),
      headers: [
        ['source-id', 'somebody-else'],
        ['link-name', 'default'],
      ],
    }));
  it.each([
    ['ENV-18 origin', '"org":"trellis-cli"', '"org":"trellis-cla"'],
    ['ENV-22 length', `"len":${PARAMS.length}`, '"len":6'],
  ])('%s changed in the claims', (_title, from, to) => {
    const { token, reply } = genuine();
    const [header, claims, proof] = token.split('.') as [string, string, string];
    const text = Buffer.from(claims, 'base64url').toString('latin1').replace(from, to);
    const code = to.startsWith('"len"') ? 'TRELLIS_VERIFY_PAYLOAD' : 'TRELLIS_VERIFY_HEADERS';
    return refused(code, { token: `${header}.${Buffer.from(text).toString('base64url')}.${proof}`, reply });
  });
  it('ENV-19 a token for another component', () => refused('TRELLIS_VERIFY_TARGET', genuine({ tgt: 'hello' })));
  it('ENV-20 a token for another function', () => refused('TRELLIS_VERIFY_TARGET', genuine({ fun: 'echo-bytes' })));
  it('ENV-21 a second id beside the first', () => {
    const reply = attacker.reply();
    const text = writeRequestClaims(attacker.claims(key, clock, { rpl: reply })).replace('"iat":', '"id":"other","iat":');
    return refused('TRELLIS_VERIFY_MALFORMED', { token: sealClaims(key, text), reply });
  });
  it('ENV-22 another reply subject', () =>
    refused('TRELLIS_VERIFY_BINDING', { token: genuine().token, reply: attacker.reply() }));
  it('ENV-23 a field boundary shifted', () =>
    refused('TRELLIS_VERIFY_TARGET', genuine({ ins: `${VICTIM.instance}.echo`, fun: 'string' })));
  it('ENV-24 duplicate keys', () => {
    const reply = attacker.reply();
    const text = writeRequestClaims(attacker.claims(key, clock, { rpl: reply })).replace('"org":', '"org":"admin","org":');
    return refused('TRELLIS_VERIFY_MALFORMED', { token: sealClaims(key, text), reply });
  });
  it('ENV-24 claims of 100 KB', () =>
    refused('TRELLIS_VERIFY_MALFORMED', { token: `${HEADERS.request.single}.${'A'.repeat(100_000)}.AAAA` }));
  it('ENV-25 a homoglyph in an id', () => refused('TRELLIS_VERIFY_MALFORMED', genuine({ org: 'trellis-cl\u0131' })));
  it('ENV-26 a valid envelope for one component on the subject of another', () =>
    refused('TRELLIS_VERIFY_TARGET', genuine({ tgt: 'hello', ins: 'trellis-samples:hello/greeting@0.1.0', fun: 'greet' })));
  it('ENV-27 the same key in another lattice', () => refused('TRELLIS_VERIFY_LATTICE', genuine({ lat: 'other' })));
  it('ENV-28 an origin that no link names, refused before any signature is checked', async () => {
    const reply = attacker.reply();
    const token = attacker.token(SigningKey.generate('cluster'), clock, { rpl: reply, iss: key.publicKey, org: 'stranger' });
    await refused('TRELLIS_VERIFY_LINK', { token, reply, headers: [] });
  });
  it('ENV-29 a provider key that speaks for another origin', () => {
    const reply = attacker.reply();
    return refused('TRELLIS_VERIFY_ISSUER', {
      token: attacker.token(SigningKey.generate('service'), clock, { rpl: reply }),
      reply,
    });
  });
  it('ENV-30 a NATS user JWT as envelope', () =>
    refused('TRELLIS_VERIFY_FORM', {
      token: `${Buffer.from('{"typ":"JWT","alg":"ed25519-nkey"}').toString('base64url')}.e30.${'A'.repeat(86)}`,
    }));
  it('ENV-31 the second half of a long body swapped after signing', async () => {
    const body = Buffer.alloc(64, 0x61);
    body[0] = 63;
    const runs = test.runs(VICTIM.target);
    const reply = attacker.reply();
    const token = attacker.token(key, clock, { rpl: reply, len: 64, dig: paramsDigest(body) });
    const accepted = await attacker.send({ token, reply, params: body.subarray(0, 32) });
    expect(accepted.kind).toBe('accepted');
    const before = test.logged.length;
    test.caller.member.rpc.publish(`${accepted.text}.params`, Buffer.alloc(32, 0x62));
    await expect.poll(() => test.logged.slice(before).some((line) => line['code'] === 'TRELLIS_VERIFY_PAYLOAD')).toBe(true);
    expect(test.runs(VICTIM.target)).toBe(runs);
  });
  it('ENV-33 tells everybody who sends a token the same, whichever check refused it', () =>
    expect([...answers]).toEqual(['401 invocation denied']));

  it('names a refusal by the id of its token, if that could be read, and else by a new one', async () => {
    const reply = attacker.reply();
    const claims = attacker.claims(SigningKey.generate('cluster'), clock, { rpl: reply });
    const { correlation } = await attacker.send({ token: sealClaims(key, writeRequestClaims(claims)), reply });
    expect(correlation).toBe(claims.jti);
    expect(test.logged.findLast((line) => line['correlation'] === claims.jti)).toMatchObject({ signer: claims.iss });
    const first = (await attacker.send({ token: 'garbage' })).correlation;
    expect(first).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect((await attacker.send({ token: 'garbage' })).correlation).not.toBe(first);
  });
});
