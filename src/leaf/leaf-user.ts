import { readCreds, unverifiedClaims } from '../config/secret-files.ts';
import { TrellisError } from '../errors.ts';

/** What a sidecar's configuration needs to know of one of its users at the hub. */
export interface LeafUser {
  /** `U…`; the inboxes of whoever is behind the leaf lie below it. */
  readonly publicKey: string;
  /** `A…` */
  readonly account: string;
  /** Milliseconds since the epoch; `undefined` if its JWT does not expire. */
  readonly expiresMs: number | undefined;
  /** Key that signed its JWT: the account, or one of its signing keys. */
  readonly issuer: string;
  /** Kinds of connections that its JWT names; `undefined` if none, which may mean all, or what its signing key says. */
  readonly connectionTypes: unknown;
}

const USER = /^U[A-Z2-7]{55}$/;
const ACCOUNT = /^A[A-Z2-7]{55}$/;

/**
 * Reads the user of a creds file. Only the hub can say whether its JWT counts; here it has to be one that a leaf can log in with.
 *
 * @param what the file, as messages name it; nothing of the text is repeated
 * @throws TRELLIS_LEAF_INPUT
 */
export function readLeafUser(what: string, text: string): LeafUser {
  const { jwt, seed } = readCreds(text.replaceAll('\r\n', '\n'));
  if (jwt === undefined || seed === undefined) throw refuse(`${what} holds no user JWT with its seed`);
  const claims = unverifiedClaims(jwt);
  const nats = claims?.['nats'] as Record<string, unknown> | undefined;
  const account = nats?.['issuer_account'] ?? claims?.['iss'];
  const { sub, exp } = claims ?? {};
  if (
    nats?.['type'] !== 'user' ||
    typeof sub !== 'string' ||
    !USER.test(sub) ||
    typeof account !== 'string' ||
    !ACCOUNT.test(account)
  ) {
    throw refuse(`the JWT in ${what} is not one of a user`);
  }
  const kinds = nats['allowed_connection_types'];
  if (!admits(kinds, 'LEAFNODE')) {
    throw new TrellisError('TRELLIS_LEAF_INPUT', {
      message: `the user in ${what} may not log in as a leaf node`,
      remedy: 'Make a user of its own for the leaf: trellis auth host add NAME --tenant TENANT --leaf.',
    });
  }
  return {
    publicKey: sub,
    account,
    expiresMs: typeof exp === 'number' && exp > 0 ? exp * 1_000 : undefined,
    issuer: String(claims?.['iss']),
    connectionTypes: kinds,
  };
}

/** Whether a user may log in on a kind of connection (`STANDARD`, `LEAFNODE`), by its JWT and by that of its account. */
export function mayLogIn(user: LeafUser, accountJwt: string, kind: string): boolean {
  const nats = unverifiedClaims(accountJwt)?.['nats'] as Record<string, unknown> | undefined;
  const keys = Array.isArray(nats?.['signing_keys']) ? (nats['signing_keys'] as unknown[]) : [];
  const scope = keys.find((key) => (key as { key?: unknown } | null)?.key === user.issuer) as { template?: unknown } | undefined;
  const template = scope?.template as Record<string, unknown> | null | undefined;
  return admits(user.connectionTypes, kind) && admits(template?.['allowed_connection_types'], kind);
}

/** Whether a list of kinds of connections admits one; no list admits all. */
function admits(kinds: unknown, kind: string): boolean {
  if (!Array.isArray(kinds) || kinds.length === 0) return true;
  return kinds.some((each) => typeof each === 'string' && each.toUpperCase() === kind);
}

/** The public key and kind that a JWT is about (`O…`, `A…`); `undefined` if it is none. */
export function readJwtSubject(jwt: string): string | undefined {
  const sub = unverifiedClaims(jwt)?.['sub'];
  return typeof sub === 'string' && /^[OA][A-Z2-7]{55}$/.test(sub) ? sub : undefined;
}

/** The system account that an operator JWT names; `undefined` if none. */
export function readSystemAccount(operatorJwt: string): string | undefined {
  const nats = unverifiedClaims(operatorJwt)?.['nats'] as Record<string, unknown> | undefined;
  const named = nats?.['system_account'];
  return typeof named === 'string' && ACCOUNT.test(named) ? named : undefined;
}

function refuse(message: string): TrellisError {
  return new TrellisError('TRELLIS_LEAF_INPUT', { message });
}
