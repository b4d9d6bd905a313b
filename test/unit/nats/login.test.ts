import { createUser } from 'nkeys.js';
import { describe, expect, it } from 'vitest';
import type { UserCredentials } from '../../../src/nats/credentials.ts';
import { Login } from '../../../src/nats/login.ts';

const keys = createUser();
const userKey = keys.getPublicKey();
const none = { account: 'A', issuedMs: undefined, notBeforeMs: undefined, expiresMs: undefined };
const credentials = (digest: string, more: Partial<UserCredentials> = {}): UserCredentials => {
  return { digest, jwt: digest, keys, userKey, ...none, ...more };
};

describe('the login of a line', () => {
  it('takes renewed credentials of its own user at the next reconnect, and those of another never', () => {
    const login = new Login(credentials('old'));
    login.accepted();
    login.renew(credentials('other', { userKey: createUser().getPublicKey() }));
    expect(login.answer('nonce').jwt).toBe('old');
    login.accepted();
    login.renew(credentials('new'));
    expect([login.answer('nonce').jwt, login.credentials.digest]).toEqual(['new', 'old']);
    login.accepted();
    expect(login.credentials.digest).toBe('new');
  });

  it('that was refused is tried with the other of two, so that a bad renewal shuts out nobody', () => {
    const login = new Login(credentials('good'));
    login.accepted();
    login.renew(credentials('bad'));
    // The server ends a connection: no answer to a login.
    login.refused();
    expect(login.answer('n').jwt).toBe('bad');
    login.refused();
    expect(login.answer('n').jwt).toBe('good');
    login.refused();
    expect(login.answer('n').jwt).toBe('bad');
    login.refused();
    expect(login.answer('n').jwt).toBe('good');
    login.accepted();
    expect(login.credentials.digest).toBe('good');
  });

  it('answers the nonce with a signature of the user, and a server without one with none', () => {
    const login = new Login(credentials('x'));
    const sig = Buffer.from(login.answer('nonce').sig, 'base64url');
    expect(keys.verify(Buffer.from('nonce'), sig)).toBe(true);
    expect(login.answer(undefined).sig).toBe('');
    expect(keys.verify(Buffer.from('data'), login.sign(Buffer.from('data')))).toBe(true);
    expect(new Login(credentials('x', { jwt: undefined })).answer('n')).toEqual({ nkey: userKey, sig: expect.any(String) });
  });
});
