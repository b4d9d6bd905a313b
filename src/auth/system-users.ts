import { TrellisError } from '../errors.ts';
import { isToken, quote } from '../ids.ts';
import { SigningKey } from '../trust/nkey.ts';
import { userClaims } from './claims.ts';
import { signNatsJwt } from './nats-jwt.ts';
import { bindToUser, fillTemplate } from './permission-templates.ts';
import { replacementsIn } from './rotate-keys.ts';
import { type AuthStore, signersOf, SYSTEM_ACCOUNT } from './store.ts';

/** How long a login that is made for one command counts; longer than clocks differ. */
const COMMAND_LOGIN_MS = 3_600_000;

/**
 * A login at the system account for one command, of a user made for it that is written nowhere; `undefined` if no key of that account
 * is here. It works although the store's own user was revoked, has expired, or is what the command revokes.
 *
 * @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_AUTH_JWT_INVALID, TRELLIS_AUTH_STORE
 */
export function loginForCommand(store: AuthStore, nowMs: number): { readonly jwt: string; readonly key: SigningKey } | undefined {
  if (!store.hasAccount(SYSTEM_ACCOUNT)) return undefined;
  const account = store.account(SYSTEM_ACCOUNT);
  const plain = (account.nats.signing_keys ?? []).filter((key) => typeof key === 'string' && store.keys.has(key)) as string[];
  // Servers may not know yet the key that takes the place of another.
  const replaced = replacementsIn(store, SYSTEM_ACCOUNT).map(({ formerKey }) => formerKey);
  const signer = plain.find((each) => replaced.includes(each)) ?? plain[0];
  if (signer === undefined) return undefined;
  const key = SigningKey.generate('user');
  const rights = bindToUser(fillTemplate('resolver', {}, ['prune', 'connections']), key.publicKey);
  const claims = userClaims({
    user: key.publicKey,
    name: 'trellis-auth',
    issuerAccount: account.sub,
    rights,
    expiresMs: nowMs + COMMAND_LOGIN_MS,
    nowMs,
  });
  const iat = Math.max(claims.iat, (account.nats.revocations?.['*'] ?? 0) + 1);
  return { key, jwt: signNatsJwt({ ...claims, iat }, store.keys.read(signer)) };
}

/** What {@link addPusher} takes. Times are wall-clock milliseconds. */
export interface NewPusher {
  readonly name: string;
  /** It may delete accounts too. */
  readonly prune?: boolean | undefined;
  readonly nowMs: number;
  readonly expiresMs?: number | undefined;
}

/** A user of the system account. */
export interface SystemUser {
  readonly user: string;
  readonly publicKey: string;
  readonly credsFile: string;
}

/**
 * Makes a user of the system account that may bring accounts to resolvers, and nothing else there. Its rights stand in its own JWT,
 * so that no server has to be told. Must run inside {@link AuthStore.change}.
 *
 * @throws TRELLIS_ID_INVALID, TRELLIS_AUTH_EXISTS, TRELLIS_AUTH_KEY_MISSING
 */
export function addPusher(store: AuthStore, { name, prune = false, nowMs, expiresMs }: NewPusher): SystemUser {
  if (!isToken(name, 64)) throw new TrellisError('TRELLIS_ID_INVALID', { message: `name ${quote(name)} is not allowed` });
  if (store.hasUser(SYSTEM_ACCOUNT, name)) {
    throw new TrellisError('TRELLIS_AUTH_EXISTS', {
      message: `The system account has a user ${quote(name)} already`,
      remedy: `Choose another name; new credentials for what exists: trellis auth rotate ${name} --account ${SYSTEM_ACCOUNT}`,
    });
  }
  const { sub, nats } = store.account(SYSTEM_ACCOUNT);
  const signers = (nats.signing_keys ?? []).filter((key) => typeof key === 'string');
  const signer = signers.find((each) => store.keys.has(each)) ?? signers[0] ?? signersOf(nats.signing_keys)[0] ?? sub;
  const key = SigningKey.generate('user');
  const rights = bindToUser(fillTemplate('resolver', {}, prune ? ['prune'] : []), key.publicKey);
  const claims = userClaims({ user: key.publicKey, name, issuerAccount: sub, rights, expiresMs, nowMs });
  // Read first: without the key that signs nothing is to be written.
  store.keys.read(signer);
  store.keys.write(key);
  store.writeUser(SYSTEM_ACCOUNT, claims, signer);
  return { user: name, publicKey: key.publicKey, credsFile: store.credsFile(SYSTEM_ACCOUNT, name) };
}
