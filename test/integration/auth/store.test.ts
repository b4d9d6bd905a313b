import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { accountClaims, scopedKey, userClaims } from '../../../src/auth/claims.ts';
import { readNatsJwt, signNatsJwt } from '../../../src/auth/nats-jwt.ts';
import { AuthStore } from '../../../src/auth/store.ts';
import { lockStore } from '../../../src/auth/store-lock.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';

const root = mkdtempSync(join(tmpdir(), 'trellis-test-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let stores = 0;
const nowMs = 1_795_680_823_000;
const clock = { wallMs: () => nowMs, monotonicMs: () => nowMs };
const newDir = (): string => join(root, `store-${++stores}`);
const newStore = (): Promise<AuthStore> => AuthStore.create(newDir(), { operator: 'lab', clock });
const rights = { publish: { allow: ['lab.>'] }, subscribe: { allow: ['lab.>'] } };

/** An account with one scoped key and one user. */
async function addAccount(store: AuthStore, name = 'acme'): Promise<{ account: string; signer: string; user: string }> {
  const [account, signer, user] = [SigningKey.generate('account'), SigningKey.generate('account'), SigningKey.generate('user')];
  await store.change(() => {
    for (const key of [account, signer, user]) store.keys.write(key);
    const signingKeys = [scopedKey(signer.publicKey, 'host', rights)];
    store.writeAccount(accountClaims({ account: account.publicKey, name, jetstream: true, signingKeys, nowMs }));
    const claims = userClaims({ user: user.publicKey, name: 'h1', issuerAccount: account.publicKey, nowMs });
    store.writeUser(name, claims, signer.publicKey);
  });
  return { account: account.publicKey, signer: signer.publicKey, user: user.publicKey };
}

function filesIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort();
}

describe('a new store', () => {
  it('has an operator that signs with its signing key alone, a system account and a user in it', async () => {
    const store = await newStore();
    const { sub, nats } = store.operator();
    expect(nats).toMatchObject({ strict_signing_key_usage: true, system_account: store.account('SYS').sub });
    expect(nats.signing_keys).toHaveLength(1);
    expect(nats.signing_keys).not.toContain(sub);
    expect(store.account('SYS').iss).toBe(nats.signing_keys![0]);
    expect(store.user('SYS', 'sys').nats.issuer_account).toBe(store.account('SYS').sub);
    expect(existsSync(store.credsFile('SYS', 'sys'))).toBe(true);
  });

  it('has files and folders that only their owner can use', async () => {
    const store = await newStore();
    for (const name of ['', ...filesIn(store.dir)]) {
      const stat = statSync(join(store.dir, name));
      expect([name, (stat.mode & 0o777).toString(8)]).toEqual([name, stat.isDirectory() ? '700' : '600']);
    }
  });

  it('is not made twice', async () => {
    const store = await newStore();
    await expect(AuthStore.create(store.dir, { operator: 'other' })).rejects.toMatchObject({ code: 'TRELLIS_AUTH_EXISTS' });
    expect(AuthStore.open(store.dir).operatorName).toBe('lab');
  });

  it.each(['', '../up', 'a b', 'x'.repeat(65)])('has no operator called "%s"', async (operator) => {
    await expect(AuthStore.create(newDir(), { operator })).rejects.toMatchObject({ code: 'TRELLIS_ID_INVALID' });
  });
});

describe('accounts and users', () => {
  it('are kept, and read again by whoever opens the store', async () => {
    const store = await newStore();
    const { account, user } = await addAccount(store);
    const again = AuthStore.open(store.dir);
    expect(again.accounts().map(({ name, ok }) => [name, ok])).toEqual([
      ['SYS', true],
      ['acme', true],
    ]);
    expect(again.account('acme').sub).toBe(account);
    expect(again.users('acme')).toMatchObject([{ name: 'h1', ok: true, claims: { sub: user } }]);
    const creds = readFileSync(again.credsFile('acme', 'h1'), 'utf8');
    expect(creds).toContain(again.users('acme').map((entry) => (entry.ok ? entry.jwt : ''))[0]);
    expect(creds).toContain(again.keys.read(user).exportSeed().reveal());
  });

  it('need no identity key once they are made', async () => {
    const store = await newStore();
    const { account, signer } = await addAccount(store);
    store.keys.remove(store.operator().sub);
    store.keys.remove(account);
    const user = SigningKey.generate('user');
    await store.change(() => {
      store.writeAccount(store.account('acme'));
      store.writeUser('acme', userClaims({ user: user.publicKey, name: 'h2', issuerAccount: account, nowMs }), signer);
    });
    expect(store.user('acme', 'h2').sub).toBe(user.publicKey);
    expect(() => store.writeOperator(store.operator())).toThrow(/private key of O[A-Z2-7]{55} is not in the store/);
    store.keys.remove(store.operator().nats.signing_keys![0]!);
    await expect(store.change(() => store.writeAccount(store.account('acme')))).rejects.toMatchObject({
      code: 'TRELLIS_AUTH_KEY_MISSING',
    });
  });

  it('are written later than before, and than their revocation', async () => {
    const store = await newStore();
    const { account, signer, user } = await addAccount(store);
    const revocations = { [user]: nowMs / 1_000 + 30 };
    await store.change(() => {
      const before = store.account('acme');
      store.writeAccount({ ...before, nats: { ...before.nats, revocations } });
      store.writeUser('acme', userClaims({ user, name: 'h1', issuerAccount: account, nowMs }), signer);
    });
    expect(store.account('acme').iat).toBe(nowMs / 1_000 + 1);
    expect(store.user('acme', 'h1').iat).toBe(nowMs / 1_000 + 31);
  });

  it('are written with the time of the change, not of what they were made from', async () => {
    let ms = nowMs;
    const clock = { wallMs: () => ms, monotonicMs: () => ms };
    const store = await AuthStore.create(newDir(), { operator: 'lab', clock });
    await addAccount(store);
    ms += 3_600_000;
    await store.change(() => store.writeAccount(store.account('acme')));
    expect(store.account('acme').iat).toBe(nowMs / 1_000 + 3_600);
  });

  it('keep what another tool wrote into them', async () => {
    const store = await newStore();
    await addAccount(store);
    const trace = { dest: 'traces.acme', sampling: 50 };
    await store.change(() => {
      const before = store.account('acme');
      store.writeAccount({ ...before, nats: { ...before.nats, trace } });
      store.writeAccount(store.account('acme'));
    });
    expect(store.account('acme').nats).toMatchObject({ trace });
  });

  it('are signed by keys of their own account only', async () => {
    const store = await newStore();
    const { account, user } = await addAccount(store);
    const other = await addAccount(store, 'beta');
    const claims = userClaims({ user, name: 'h3', issuerAccount: account, nowMs });
    await expect(store.change(() => store.writeUser('acme', claims, other.signer))).rejects.toMatchObject({
      code: 'TRELLIS_AUTH_UNKNOWN',
    });
  });

  it('that others signed, or that were moved to another name, do not count', async () => {
    const store = await newStore();
    const { account, signer, user } = await addAccount(store);
    const accountFile = join(store.dir, 'lab/accounts/acme/acme.jwt');
    const sound = readFileSync(accountFile, 'utf8');
    const usersDir = join(store.dir, 'lab/accounts/acme/users');
    const claims = userClaims({ user, name: 'h1', issuerAccount: account, nowMs });
    writeFileSync(join(usersDir, 'identity.jwt'), signNatsJwt({ ...claims, name: 'identity' }, store.keys.read(account)));
    writeFileSync(join(usersDir, 'renamed.jwt'), signNatsJwt(claims, store.keys.read(signer)));
    writeFileSync(join(usersDir, 'damaged.jwt'), 'nothing');
    expect(store.users('acme').map((entry) => [entry.name, entry.ok ? '' : entry.reason.replace(/^.*\.jwt /, '')])).toEqual([
      ['damaged', 'does not have three parts'],
      ['h1', ''],
      ['identity', 'is not signed by a key that its account lists'],
      ['renamed', 'is for a user of another name'],
    ]);
    const read = readNatsJwt(sound, 'account');
    if (!read.ok) throw new Error(read.reason);
    writeFileSync(accountFile, signNatsJwt(read.claims, SigningKey.generate('operator')));
    expect(() => store.account('acme')).toThrow('is not signed by a key that the operator lists');
    writeFileSync(accountFile, signNatsJwt(read.claims, store.keys.read(store.operator().sub)));
    expect(() => store.account('acme')).toThrow('is not signed by a key that the operator lists');
  });

  it.each(['../x', 'a/b', '.hidden', '', 'nul\u0000'])(
    'are never looked for outside of the store, as with "%s"',
    async (name) => {
      const store = await newStore();
      expect(() => store.account(name)).toThrow(/There can be no account called/);
      expect(() => store.hasUser('SYS', name)).toThrow(/There can be no user called/);
    },
  );
});

describe('private keys', () => {
  it('are refused when others could have read them', async () => {
    const store = await newStore();
    const { signer } = await addAccount(store);
    chmodSync(store.keys.path(signer), 0o644);
    expect(() => store.keys.read(signer)).toThrow(/Other users of this machine can read the private key/);
  });

  it('are those of the file they are in', async () => {
    const store = await newStore();
    const { signer, account } = await addAccount(store);
    writeFileSync(store.keys.path(signer), readFileSync(store.keys.path(account)));
    expect(() => store.keys.read(signer)).toThrow(/holds the seed of another key/);
    writeFileSync(store.keys.path(signer), 'x'.repeat(2_000));
    expect(() => store.keys.read(signer)).toThrow(/holds no seed/);
  });

  it('show in no print of a store', async () => {
    const store = await newStore();
    await addAccount(store);
    const seeds = store.keys.list().map((key) => store.keys.read(key).exportSeed().reveal());
    expect(seeds).toHaveLength(8);
    const shown = inspect(store, { depth: 20, showHidden: true }) + JSON.stringify(store);
    for (const seed of seeds) expect(shown).not.toContain(seed);
  });
});

describe('a store that is in use', () => {
  it('is changed by one at a time', async () => {
    const store = await newStore();
    let inside = 0;
    const work = async (): Promise<void> => {
      expect(++inside).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inside--;
    };
    await Promise.all([store, ...Array.from({ length: 4 }, () => AuthStore.open(store.dir))].map((each) => each.change(work)));
  });

  it('is taken over from a process that is gone', async () => {
    const store = await newStore();
    // The second is this process' own number, as a container gives it to each process that it starts.
    for (const owner of [4_194_303, process.pid]) {
      writeFileSync(join(store.dir, '.lock'), `${owner}\n`);
      await store.change(() => {});
      expect(existsSync(join(store.dir, '.lock'))).toBe(false);
    }
  });

  it('is not taken from a living one', async () => {
    const store = await newStore();
    writeFileSync(join(store.dir, '.lock'), `${process.ppid}\n`);
    await expect(lockStore(store.dir, 100)).rejects.toMatchObject({ code: 'TRELLIS_AUTH_STORE_BUSY' });
    expect(existsSync(join(store.dir, '.lock'))).toBe(true);
  });

  it('is not written without that', async () => {
    const store = await newStore();
    expect(() => store.writeAccount(store.account('SYS'))).toThrow(/outside of change/);
  });

  it('is refused when others could change it', async () => {
    const store = await newStore();
    chmodSync(store.dir, 0o770);
    expect(() => AuthStore.open(store.dir)).toThrow(/Other users of this machine can change the store/);
  });

  it('is named when it is not there', () => {
    expect(() => AuthStore.open(join(root, 'nowhere'))).toThrow(/There is no store at/);
    expect(() => AuthStore.open(root)).toThrow(/There is no store at/);
  });
});
