import * as fc from 'fast-check';
import { createUser } from 'nkeys.js';
import { describe, expect, it } from 'vitest';
import { TrellisError } from '../../../src/errors.ts';
import { parseCredentials, type UserCredentials } from '../../../src/nats/credentials.ts';

const keys = createUser();
const userKey = keys.getPublicKey();
const seed = Buffer.from(keys.getSeed()).toString('ascii');
const FILES = { credsFile: '/run/rpc.creds' };

const jwtOf = (claims: unknown): string =>
  ['{"typ":"JWT"}', JSON.stringify(claims), 'sig'].map((part) => Buffer.from(part).toString('base64url')).join('.');
const userJwt = (more: object = {}, nats: object = {}): string =>
  jwtOf({ sub: userKey, iss: 'ASIGNER', ...more, nats: { type: 'user', ...nats } });
const fileOf = (jwt: string, its = seed): string =>
  `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${its}\n------END USER NKEY SEED------\n`;

/** What a text parses to, or the message it is refused with. */
function parsed(text: string): UserCredentials | string {
  try {
    return parseCredentials(text, FILES);
  } catch (error) {
    expect(error).toBeInstanceOf(TrellisError);
    expect(error).toMatchObject({ code: 'TRELLIS_NATS_CREDENTIALS_INVALID' });
    expect(JSON.stringify(error)).not.toContain(seed.slice(2, 30));
    return (error as TrellisError).message;
  }
}

describe('credentials', () => {
  it('say whose they are and how long they count', () => {
    const times = { iat: 1_000, nbf: 2_000, exp: 3_000 };
    expect(parsed(fileOf(userJwt(times, { issuer_account: 'ACCOUNT' })))).toMatchObject({
      userKey,
      account: 'ACCOUNT',
      issuedMs: 1_000_000,
      notBeforeMs: 2_000_000,
      expiresMs: 3_000_000,
    });
    const never = { account: 'ASIGNER', expiresMs: undefined, issuedMs: undefined };
    for (const exp of [0, -1, 1e13, 1e300, '5', null]) expect(parsed(fileOf(userJwt({ exp })))).toMatchObject(never);
  });

  it.each([
    ['', /holds no user seed/],
    [`${seed}\n`, /holds no user JWT/],
    [fileOf(userJwt(), `${seed.slice(0, 20)}${seed[20] === 'A' ? 'B' : 'A'}${seed.slice(21)}`), /is damaged/],
    [fileOf(userJwt({ sub: 'UOTHER' })), /for another user than the seed/],
    [fileOf(jwtOf({ sub: userKey, iss: 'A', nats: { type: 'account' } })), /not a user JWT/],
    [fileOf(jwtOf(null)), /not a user JWT/],
  ])('are refused when they cannot be right: %#', (text, why) => {
    expect(parsed(text)).toMatch(why);
  });

  it('CRD-04 cut off or changed anywhere are taken as they were or refused, and nothing of the seed is said', () => {
    const whole = fileOf(userJwt({ exp: 4_000_000_000 }));
    fc.assert(
      fc.property(fc.nat(whole.length), fc.string({ maxLength: 8 }), (at, with_) => {
        for (const text of [whole.slice(0, at), whole.slice(0, at) + with_ + whole.slice(at + with_.length)]) {
          const outcome = parsed(text);
          if (typeof outcome !== 'string') expect(outcome.userKey).toBe(userKey);
        }
      }),
    );
  });

  it('that are any text at all, with any claims, never throw anything else', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 2_000 }), fc.jsonValue(), (text, claims) => {
        parsed(text);
        parsed(fileOf(jwtOf(claims)));
        parsed(fileOf(userJwt({}, typeof claims === 'object' && claims !== null ? claims : {})));
      }),
    );
  });
});
