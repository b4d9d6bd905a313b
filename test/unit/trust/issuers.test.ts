import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { TrellisError } from '../../../src/errors.ts';
import { IssuerSet } from '../../../src/trust/issuers.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';

const [a, b] = [SigningKey.generate('cluster'), SigningKey.generate('cluster')];

function failure(entries: readonly string[]): TrellisError {
  try {
    return new IssuerSet(entries) as never;
  } catch (error) {
    return error as TrellisError;
  }
}

describe('issuer set', () => {
  it('holds several keys, in order, each once, blanks ignored', () => {
    const set = new IssuerSet([a.publicKey, ` ${b.publicKey}\n`, a.publicKey]);
    expect(set.list()).toEqual([a.publicKey, b.publicKey]);
    expect(set.has(b.publicKey)).toBe(true);
    expect(set.keyFor(b.publicKey)?.asymmetricKeyType).toBe('ed25519');
    expect(set.has(SigningKey.generate('cluster').publicKey)).toBe(false);
    for (const text of ['', ' ', a.publicKey.toLowerCase(), ` ${a.publicKey}`, '__proto__', 'constructor']) {
      expect(set.keyFor(text)).toBeUndefined();
    }
  });

  it.each([
    ['another kind of key', SigningKey.generate('account').publicKey, 'kind account'],
    ['a seed', b.exportSeed().reveal(), 'secret seed'],
    ['a mistyped key', `${b.publicKey.slice(0, -1)}${b.publicKey.endsWith('A') ? 'B' : 'A'}`, 'mistyped'],
    ['nothing', '', 'characters'],
    ['two keys in one', `${a.publicKey},${b.publicKey}`, 'characters'],
  ])('refuses %s, naming its position and not its text', (_, entry, reason) => {
    const error = failure([a.publicKey, entry]);
    expect(error).toBeInstanceOf(TrellisError);
    expect(error.code).toBe('TRELLIS_TRUST_ISSUER_INVALID');
    expect(error.message).toContain('number 2');
    expect(error.message).toContain(reason);
    if (entry !== '') expect(inspect(error, { depth: 9 })).not.toContain(entry.slice(0, 20));
  });

  it('says what to do about a seed, and about nothing else', () => {
    const seed = failure([a.publicKey, a.publicKey, b.exportSeed().reveal()]);
    expect(seed).toMatchObject({
      message: 'Cluster issuer number 3 is a secret seed, not a public key',
      remedy: 'Replace it by its public key, and replace the key itself if this setting is not secret.',
      details: { position: 3 },
    });
    const account = failure([SigningKey.generate('account').publicKey]);
    expect(account).toMatchObject({
      message: 'Cluster issuer number 1 is a public key of kind account, not cluster',
      details: { position: 1 },
    });
    expect(account.remedy).toBe(failure(['']).remedy);
    expect(account.remedy).not.toBe(seed.remedy);
  });
});
