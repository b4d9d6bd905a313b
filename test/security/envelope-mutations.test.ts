import { describe, expect, it } from 'vitest';
import { SigningKey } from '../../src/trust/nkey.ts';
import { readRequestClaims, type RequestClaims, writeRequestClaims } from '../../src/trust/request-token.ts';
import type { ReceivedRequest } from '../../src/trust/verify-request.ts';
import { createRandom, type Random } from '../support/random.ts';
import { createTrustWorld, run, type SignedCall, signCalls } from '../support/trust.ts';

/**
 * ENV-10: one million altered messages, none of which may be accepted. TRELLIS_TEST_SEED plays another million.
 */
const MUTATIONS = 1_000_000;

const key = SigningKey.generate('cluster');
const TEXTS = ['token', 'subject', 'reply', 'target', 'instance', 'func', 'sourceId', 'linkName'] as const;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Flips one to three different bits anywhere in the message: token, subjects, names, plain headers or payload. */
function flipBits(random: Random, message: ReceivedRequest): ReceivedRequest {
  const texts = TEXTS.map((name) => message[name] ?? '');
  const bytes = Buffer.concat([Buffer.from(texts.join(''), 'latin1'), message.params]);
  const flips = new Set<number>();
  const wanted = 1 + random.below(3);
  while (flips.size < wanted) flips.add(random.below(bytes.length * 8));
  for (const flip of flips) bytes[flip >> 3]! ^= 1 << (flip & 7);
  const changed: Record<string, unknown> = {};
  let at = 0;
  for (const [n, name] of TEXTS.entries()) {
    const end = at + texts[n]!.length;
    changed[name] = bytes.toString('latin1', at, end);
    at = end;
  }
  return { ...(changed as unknown as ReceivedRequest), params: bytes.subarray(at) };
}

/** Changes one character of the token into another one of the alphabet, so that the spelling stays plausible. */
function changeLetter(random: Random, message: ReceivedRequest): ReceivedRequest {
  const token = message.token!;
  const at = random.below(token.length);
  return { ...message, token: token.slice(0, at) + LETTERS[random.below(64)]! + token.slice(at + 1) };
}

/** Cuts, doubles or moves a piece of the token. */
function movePiece(random: Random, message: ReceivedRequest): ReceivedRequest {
  const token = message.token!;
  const from = random.below(token.length);
  const to = from + 1 + random.below(8);
  const into = random.below(token.length);
  const piece = token.slice(from, to);
  const rest = random.below(2) === 0 ? token : token.slice(0, from) + token.slice(to);
  return { ...message, token: random.below(3) === 0 ? rest : rest.slice(0, into) + piece + rest.slice(into) };
}

/** Puts parts of two good tokens together. */
function splice(random: Random, message: ReceivedRequest, others: readonly SignedCall[]): ReceivedRequest {
  const parts = message.token!.split('.');
  const donor = others[random.below(others.length)]!.token.split('.');
  const part = random.below(3);
  parts[part] = donor[part]!;
  return { ...message, token: parts.join('.') };
}

/** Gives one claim another well-formed value, in the one spelling, and presents it where it then belongs. */
function changeClaim(random: Random, message: ReceivedRequest): ReceivedRequest {
  const [header, claims, proof] = message.token!.split('.') as [string, string, string];
  const c = readRequestClaims(Buffer.from(claims, 'base64url').toString('latin1'))!;
  const digits = (text: string): string => {
    const at = random.below(text.length - 1);
    return text.slice(0, at) + LETTERS[random.below(64)]! + text.slice(at + 1);
  };
  const name = `n${random.below(1e9)}`;
  const choices: [Partial<RequestClaims>, Partial<ReceivedRequest>][] = [
    [{ jti: digits(c.jti) }, {}],
    [{ iat: c.iat - random.below(3) - 1 }, {}],
    [{ exp: c.exp + random.below(20_000) + 1 }, {}],
    [{ org: name }, { sourceId: name }],
    [{ lnk: name }, { linkName: name }],
    [{ tgt: name }, { target: name }],
    [{ ins: name }, { instance: name }],
    [{ fun: name }, { func: name }],
    [{ sub: name }, { subject: name }],
    [{ rpl: name }, { reply: name }],
    [{ dig: digits(c.dig) }, {}],
    [{ len: random.below(1e6) }, {}],
    [{ lat: name }, {}],
  ];
  const [change, place] = choices[random.below(choices.length)]!;
  const text = writeRequestClaims({ ...c, ...change });
  return { ...message, ...place, token: `${header}.${Buffer.from(text).toString('base64url')}.${proof}` };
}

function isSame(a: ReceivedRequest, b: ReceivedRequest): boolean {
  return TEXTS.every((name) => a[name] === b[name]) && Buffer.compare(a.params, b.params) === 0;
}

describe('ENV-10 mutated envelopes', () => {
  it.each([
    ['single', 1],
    ['batched', 11],
  ] as const)('ENV-10 half a million mutations of the %s form, none accepted', (_, together) => {
    const random = createRandom();
    const world = createTrustWorld({ key, links: { allows: () => true }, maxEntries: 100 });
    const batches = Array.from({ length: 12 }, () => signCalls(world.signer, together));
    const calls = batches.map((batch, n) => batch[n % together]!);
    // Another token of each batch has run before, so that its root is remembered while its siblings are altered.
    for (const [n, batch] of batches.entries())
      if (together > 1) expect(run(world, batch[(n + 1) % together]!.message)).toBe('ran');
    const accepted: string[] = [];
    const refusals = new Map<string, number>();
    for (let n = 0; n < MUTATIONS / 2;) {
      const { message } = calls[n % calls.length]!;
      const way = random.below(20);
      const mutated =
        way < 12
          ? flipBits(random, message)
          : way < 15
            ? changeLetter(random, message)
            : way < 17
              ? movePiece(random, message)
              : way < 19
                ? splice(random, message, calls)
                : changeClaim(random, message);
      if (isSame(mutated, message)) continue;
      n++;
      const code = run(world, mutated);
      refusals.set(code, (refusals.get(code) ?? 0) + 1);
      if (code === 'ran') accepted.push(JSON.stringify(mutated));
    }
    expect(accepted, `seed ${random.seed}`).toEqual([]);
    // The verifier refused for many reasons, never because it failed itself.
    expect(refusals.has('TRELLIS_VERIFY_FAILED')).toBe(false);
    expect(refusals.size).toBeGreaterThan(8);
    // The control: what was mutated is accepted as it was, once.
    for (const { message } of calls) expect(run(world, message)).toBe('ran');
  });
});
