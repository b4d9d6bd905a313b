import { TrellisError } from '../errors.ts';
import { publicKeyKind } from '../trust/nkey.ts';
import type {
  AccountClaims,
  AccountExport,
  AccountImport,
  AccountLimits,
  ActivationClaims,
  NatsPermission,
  OperatorClaims,
  ScopedKey,
  Unsigned,
  UserClaims,
  UserTemplate,
} from './claims-shape.ts';

/** No limit, as NATS writes it. */
const UNLIMITED = -1;

const NANOSECONDS_PER_MS = 1_000_000;

/** Ways in which a user may connect: as a client, or as the remote of a leaf node. */
export type ConnectionType = 'STANDARD' | 'LEAFNODE';

/** What a user may publish and subscribe, before it is written into a JWT. */
export interface UserRights {
  readonly publish: { readonly allow: readonly string[]; readonly deny?: readonly string[] | undefined };
  readonly subscribe: { readonly allow: readonly string[]; readonly deny?: readonly string[] | undefined };
  /** Messages to a reply subject that came in a message, for how long. */
  readonly responses?: { readonly max: number; readonly ttlMs: number } | undefined;
  /** All when left out. */
  readonly connectionTypes?: readonly ConnectionType[] | undefined;
}

const seconds = (ms: number): number => Math.floor(ms / 1_000);

/** An operator that signs with signing keys alone, so that its identity key can be kept offline. */
export function operatorClaims(options: {
  readonly operator: string;
  readonly name: string;
  readonly signingKeys: readonly string[];
  readonly systemAccount: string;
  readonly nowMs: number;
}): Unsigned<OperatorClaims> {
  return {
    iat: seconds(options.nowMs),
    name: options.name,
    sub: options.operator,
    nats: {
      signing_keys: [...options.signingKeys],
      system_account: options.systemAccount,
      strict_signing_key_usage: true,
      type: 'operator',
      version: 2,
    },
  };
}

/** What turns JetStream on in the limits of an account, without a limit of its own. */
export const JETSTREAM_LIMITS = {
  mem_storage: UNLIMITED,
  disk_storage: UNLIMITED,
  streams: UNLIMITED,
  consumer: UNLIMITED,
} as const;

/** The limits of an account, all of them written out: one left out would be 0. Storage has no limit of its own with JetStream on. */
export function accountLimits(jetstream: boolean): AccountLimits {
  return {
    subs: UNLIMITED,
    data: UNLIMITED,
    payload: UNLIMITED,
    imports: UNLIMITED,
    exports: UNLIMITED,
    wildcards: true,
    // Without it a JWT alone, which a server sees in each login, would be a login.
    disallow_bearer: true,
    conn: UNLIMITED,
    leaf: UNLIMITED,
    ...(jetstream ? JETSTREAM_LIMITS : {}),
  };
}

/** An account. Lists left out are empty. */
export function accountClaims(options: {
  readonly account: string;
  readonly name: string;
  readonly jetstream: boolean;
  readonly signingKeys: readonly (string | ScopedKey)[];
  readonly exports?: readonly AccountExport[] | undefined;
  readonly imports?: readonly AccountImport[] | undefined;
  /** User, or `*` for all → Unix seconds; JWTs issued until then do not count. */
  readonly revocations?: Readonly<Record<string, number>> | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly nowMs: number;
}): Unsigned<AccountClaims> {
  const { exports = [], imports = [], revocations = {}, tags = [] } = options;
  return {
    iat: seconds(options.nowMs),
    name: options.name,
    sub: options.account,
    nats: {
      ...(imports.length > 0 ? { imports: [...imports] } : {}),
      ...(exports.length > 0 ? { exports: [...exports] } : {}),
      limits: accountLimits(options.jetstream),
      signing_keys: [...options.signingKeys],
      ...(Object.keys(revocations).length > 0 ? { revocations: { ...revocations } } : {}),
      default_permissions: { pub: {}, sub: {} },
      ...(tags.length > 0 ? { tags: [...tags] } : {}),
      type: 'account',
      version: 2,
    },
  };
}

/**
 * A signing key that gives its users these rights and no others. Of the placeholders only `{{subject()}}` is taken: the values of
 * all others are chosen by whoever holds the key, and a name or tag of `>` would widen the grant.
 *
 * @throws TRELLIS_AUTH_CLAIMS for another placeholder, or one that is only part of a token and would not be filled in
 */
export function scopedKey(key: string, role: string, rights: UserRights, description = ''): ScopedKey {
  for (const subject of subjectsOf(rights)) {
    for (const token of subject.split('.')) {
      if (!token.includes('{{') || token === '{{subject()}}') continue;
      throw new TrellisError('TRELLIS_AUTH_CLAIMS', {
        message: `The template of role ${role} holds a placeholder in ${JSON.stringify(subject)} that is not the whole token {{subject()}}`,
      });
    }
  }
  return { kind: 'user_scope', key, role, template: userTemplate(rights), description };
}

function subjectsOf({ publish, subscribe }: UserRights): string[] {
  return [publish, subscribe].flatMap(({ allow, deny = [] }) => [...allow, ...deny]);
}

/** Rights as a JWT writes them, without limits on messages and subscriptions. */
export function userTemplate(rights: UserRights): UserTemplate {
  const { responses, connectionTypes } = rights;
  return {
    pub: permission(rights.publish),
    sub: permission(rights.subscribe),
    ...(responses === undefined ? {} : { resp: { max: responses.max, ttl: responses.ttlMs * NANOSECONDS_PER_MS } }),
    subs: UNLIMITED,
    data: UNLIMITED,
    payload: UNLIMITED,
    ...(connectionTypes === undefined ? {} : { allowed_connection_types: [...connectionTypes] }),
  };
}

function permission({ allow, deny = [] }: UserRights['publish']): NatsPermission {
  // To NATS an empty list allows everything; whoever may do nothing is refused everything.
  if (allow.length === 0) return { deny: ['>'] };
  return { allow: [...allow], ...(deny.length > 0 ? { deny: [...deny] } : {}) };
}

/**
 * A user. Without `rights` it is for a scoped key, whose template then says what it may do; such a user must have none of its own.
 *
 * @param options.expiresMs wall-clock milliseconds; never, when left out
 */
export function userClaims(options: {
  readonly user: string;
  readonly name: string;
  /** The account, when a signing key of it signs. */
  readonly issuerAccount: string;
  readonly rights?: UserRights | undefined;
  readonly expiresMs?: number | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly nowMs: number;
}): Unsigned<UserClaims> {
  const { rights, expiresMs, tags = [] } = options;
  return {
    ...(expiresMs === undefined ? {} : { exp: seconds(expiresMs) }),
    iat: seconds(options.nowMs),
    name: options.name,
    sub: options.user,
    nats: {
      ...(rights === undefined ? { pub: {}, sub: {} } : userTemplate(rights)),
      issuer_account: options.issuerAccount,
      ...(tags.length > 0 ? { tags: [...tags] } : {}),
      type: 'user',
      version: 2,
    },
  };
}

/**
 * The right of one account to import a subject that another exports with `token_req`.
 *
 * @throws TRELLIS_AUTH_CLAIMS if `importer` or `exporter` is no public key of an account
 */
export function activationClaims(options: {
  readonly importer: string;
  readonly exporter: string;
  readonly name: string;
  readonly subject: string;
  readonly kind: 'stream' | 'service';
  readonly expiresMs?: number | undefined;
  readonly nowMs: number;
}): Unsigned<ActivationClaims> {
  for (const key of [options.importer, options.exporter]) {
    if (publicKeyKind(key) === 'account') continue;
    throw new TrellisError('TRELLIS_AUTH_CLAIMS', {
      message: 'An activation is between two accounts, and one of the keys is no public key of an account',
    });
  }
  return {
    ...(options.expiresMs === undefined ? {} : { exp: seconds(options.expiresMs) }),
    iat: seconds(options.nowMs),
    name: options.name,
    sub: options.importer,
    nats: { subject: options.subject, kind: options.kind, issuer_account: options.exporter, type: 'activation', version: 2 },
  };
}
