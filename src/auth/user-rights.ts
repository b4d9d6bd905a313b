import type { SubjectRights, SubjectRules } from '../nats/subject-match.ts';
import type { AccountClaims, OperatorClaims, UserClaims, UserTemplate } from './claims-shape.ts';
import { scopedKeysOf } from './roles.ts';
import { signersOf } from './store.ts';

/** What {@link examineUser} looks at. Signatures have been checked; whether the signers may sign is said here. */
export interface ExaminedUser {
  readonly user: UserClaims;
  /** The account's claims, where they are known. */
  readonly account?: AccountClaims | undefined;
  readonly operator?: OperatorClaims | undefined;
  /** How it would connect: `STANDARD`, `LEAFNODE`, `WEBSOCKET`, … */
  readonly connectionType: string;
  readonly nowMs: number;
}

/** Why a server would refuse the login, and what helps. */
export interface LoginProblem {
  readonly why: string;
  readonly fix: string;
}

/** What a user may do, and whether it may log in at all. */
export interface UserExamination {
  readonly problems: readonly LoginProblem[];
  /** Where the rights stand: in the account, under a scoped key; in the user's JWT; or as the account's default. */
  readonly source: 'scoped key' | 'user' | 'account default' | 'unknown';
  /** Role of the scoped key. */
  readonly role?: string;
  /** `undefined` when they stand in an account that is not known. */
  readonly rights: SubjectRights | undefined;
  /** When the login ends, wall-clock milliseconds: the user's or the account's, whichever is first. */
  readonly expiresMs: number | undefined;
}

const NANOSECONDS_PER_MS = 1_000_000;
const ROTATE = 'Make new credentials: trellis auth rotate NAME --tenant TENANT';

/** Judges a user as the server will at its login. Pure. */
export function examineUser(examined: ExaminedUser): UserExamination {
  const { user, account } = examined;
  const scope = account === undefined ? undefined : scopedKeysOf(account).find(({ key }) => key === user.iss);
  const template = scope?.template ?? user.nats;
  const problems = [...timeProblems(examined), ...issuerProblems(examined), ...connectionProblems(examined, template)];
  if (scope !== undefined && hasRights(user.nats)) {
    problems.push({ why: 'it was signed by a scoped key and has rights of its own, which servers refuse', fix: ROTATE });
  }
  const ends = [user.exp, account?.exp].filter((exp): exp is number => exp !== undefined && exp > 0);
  const expiresMs = ends.length === 0 ? undefined : Math.min(...ends) * 1_000;
  // Without the account it cannot be told a scoped user, which says nothing itself, from one that may do anything.
  const unknown = account === undefined && !hasRights(user.nats) && user.iss !== user.nats.issuer_account;
  if (unknown) return { problems, source: 'unknown', rights: undefined, expiresMs };
  if (scope !== undefined && account !== undefined) {
    const rights = rightsOf(template, (list) => list?.flatMap((entry) => expandPlaceholders(entry, user, account)));
    return { problems, source: 'scoped key', role: scope.role, rights, expiresMs };
  }
  const fallback = (account?.nats['default_permissions'] ?? {}) as UserTemplate;
  const useDefault = !hasRights(user.nats) && hasRights(fallback);
  return {
    problems,
    source: useDefault ? 'account default' : 'user',
    rights: rightsOf(useDefault ? fallback : user.nats),
    expiresMs,
  };
}

function timeProblems({ user, account, nowMs }: ExaminedUser): LoginProblem[] {
  const isOver = (exp = 0): boolean => exp > 0 && exp * 1_000 <= nowMs;
  const at = (seconds: number): string => new Date(seconds * 1_000).toISOString();
  const problems: LoginProblem[] = [];
  if (isOver(user.exp)) problems.push({ why: `it expired at ${at(user.exp!)}`, fix: ROTATE });
  if ((user.nbf ?? 0) * 1_000 > nowMs)
    problems.push({ why: `it counts from ${at(user.nbf!)} on`, fix: 'Wait, or check the clock.' });
  if (account === undefined) return problems;
  if (isOver(account.exp)) problems.push({ why: `its account expired at ${at(account.exp!)}`, fix: 'Sign the account again.' });
  const revoked = account.nats.revocations ?? {};
  const until = Math.max(revoked[user.sub] ?? 0, revoked['*'] ?? 0);
  if (until > 0 && user.iat <= until) {
    const fix = 'If it shall count again: trellis auth revoke NAME --tenant TENANT --undo';
    problems.push({ why: `it was issued at ${at(user.iat)}, and its account revokes what was issued until ${at(until)}`, fix });
  }
  return problems;
}

function issuerProblems({ user, account, operator }: ExaminedUser): LoginProblem[] {
  if (account === undefined) return [];
  const { sub, nats } = account;
  if (user.iss === sub) {
    const strict = operator?.nats.strict_signing_key_usage === true;
    return strict ? [{ why: 'the identity key of its account signed it, and the operator wants signing keys', fix: ROTATE }] : [];
  }
  const problems: LoginProblem[] = [];
  if (!signersOf(nats.signing_keys).includes(user.iss)) {
    problems.push({ why: `its account does not list the key that signed it, ${user.iss}`, fix: ROTATE });
  }
  if (user.nats.issuer_account !== sub) problems.push({ why: 'it says it belongs to another account', fix: ROTATE });
  return problems;
}

function connectionProblems({ account, connectionType }: ExaminedUser, template: UserTemplate): LoginProblem[] {
  const problems: LoginProblem[] = [];
  const types = template.allowed_connection_types;
  if (types !== undefined && types.length > 0 && !types.some((type) => type.toUpperCase() === connectionType)) {
    const fix = types.includes('LEAFNODE')
      ? 'Let the leaf node log in with it (trellis leaf config).'
      : 'Connect in one of those ways.';
    problems.push({ why: `it may connect as ${types.join(', ')}, and not as ${connectionType}`, fix });
  }
  const limits = account?.nats.limits;
  if (template.bearer_token === true && limits?.['disallow_bearer'] === true) {
    problems.push({ why: 'it is a bearer token, and its account takes none', fix: ROTATE });
  }
  if (account !== undefined && (limits?.conn ?? 0) === 0) {
    problems.push({
      why: 'its account allows no connections: a limit that is not written out is 0',
      fix: 'Set limits.conn to -1.',
    });
  }
  return problems;
}

const hasRights = ({ pub, sub, resp }: UserTemplate): boolean =>
  [pub, sub].some((side) => (side?.allow?.length ?? 0) > 0 || (side?.deny?.length ?? 0) > 0) || resp !== undefined;

function rightsOf(
  { pub, sub, resp }: UserTemplate,
  expand: (list: string[] | undefined) => string[] | undefined = (list) => list,
): SubjectRights {
  const side = ({ allow, deny }: { allow?: string[] | undefined; deny?: string[] | undefined } = {}): SubjectRules => {
    const [allowed, denied] = [expand(allow?.length === 0 ? undefined : allow), expand(deny)];
    return { ...(allowed === undefined ? {} : { allow: allowed }), ...(denied === undefined ? {} : { deny: denied }) };
  };
  // Left out they are one reply within two minutes.
  const responses = resp === undefined ? undefined : { max: resp.max || 1, ttlMs: (resp.ttl || 120e9) / NANOSECONDS_PER_MS };
  return { publish: side(pub), subscribe: side(sub), ...(responses === undefined ? {} : { responses }) };
}

/**
 * A subject of a scoped key's template for one user: placeholders that are whole tokens are filled in, a tag that has several
 * values gives several subjects, and one that the user lacks gives none. What else stands in double braces stays as it is: Trellis
 * writes no such template, and servers do not treat it alike.
 */
export function expandPlaceholders(entry: string, user: UserClaims, account: AccountClaims): string[] {
  const values = (token: string): readonly string[] => {
    const [, name, key] = /^\{\{([a-z-]+)\(([^()]*)\)\}\}$/.exec(token) ?? [];
    const tagged = (tags: readonly string[] = []): string[] =>
      tags.filter((tag) => tag.startsWith(`${key!.toLowerCase()}:`)).map((tag) => tag.slice(key!.length + 1));
    switch (name) {
      case 'subject':
        return [user.sub];
      case 'name':
        return [user.name ?? ''];
      case 'account-subject':
        return [account.sub];
      case 'account-name':
        return [account.name ?? ''];
      case 'tag':
        return tagged(user.nats.tags);
      case 'account-tag':
        return tagged(account.nats.tags);
      default:
        return [token];
    }
  };
  let subjects = [''];
  for (const token of entry.split('.')) {
    subjects = subjects.flatMap((start) => values(token).map((value) => (start === '' ? value : `${start}.${value}`)));
  }
  return subjects;
}
