import { z } from 'zod';

/**
 * What NATS JWTs of version 2 say, as far as Trellis reads it. Fields it does not know are kept as they are: an account that
 * another tool wrote is signed again without losing anything.
 */

const wholeNumber = z.number().int();
const subjects = z.array(z.string());
const permission = z.looseObject({ allow: subjects.optional(), deny: subjects.optional() });

/** Subjects a user may publish or subscribe; a list left out says nothing. */
export type NatsPermission = z.infer<typeof permission>;

const permissions = {
  pub: permission.optional(),
  sub: permission.optional(),
  /** `ttl` in nanoseconds. */
  resp: z.looseObject({ max: wholeNumber, ttl: wholeNumber }).optional(),
};

/** What a user may do and how much; what a scoped key's template says for all of its users. A limit left out is 0, which is none. */
const userPermissionLimits = {
  ...permissions,
  src: z.union([z.array(z.string()), z.string()]).optional(),
  subs: wholeNumber.optional(),
  data: wholeNumber.optional(),
  payload: wholeNumber.optional(),
  bearer_token: z.boolean().optional(),
  allowed_connection_types: z.array(z.string()).optional(),
};
const template = z.looseObject(userPermissionLimits);

/** What a scoped signing key grants. */
export type UserTemplate = z.infer<typeof template>;

const scopedKey = z.looseObject({
  kind: z.literal('user_scope'),
  key: z.string(),
  role: z.string(),
  template,
  description: z.string().optional(),
});

/** A signing key of an account whose users all have the rights of `template`, and none of their own. */
export type ScopedKey = z.infer<typeof scopedKey>;

const revocations = z.record(z.string(), wholeNumber);

const accountExport = z.looseObject({
  name: z.string().optional(),
  subject: z.string(),
  type: z.enum(['stream', 'service']),
  token_req: z.boolean().optional(),
  /** Account → Unix seconds; activations issued until then do not count. */
  revocations: revocations.optional(),
  response_type: z.string().optional(),
  account_token_position: wholeNumber.optional(),
});

/** Subjects that an account lets others import. */
export type AccountExport = z.infer<typeof accountExport>;

const accountImport = z.looseObject({
  name: z.string().optional(),
  subject: z.string(),
  account: z.string(),
  /** The activation, where the export asks for one. */
  token: z.string().optional(),
  local_subject: z.string().optional(),
  type: z.enum(['stream', 'service']),
});

/** Subjects of another account, as they appear in this one. */
export type AccountImport = z.infer<typeof accountImport>;

/** Limits of an account; all that Trellis writes are written out, for one left out is 0. -1 is no limit. */
const accountLimits = z.looseObject({
  subs: wholeNumber.optional(),
  data: wholeNumber.optional(),
  payload: wholeNumber.optional(),
  imports: wholeNumber.optional(),
  exports: wholeNumber.optional(),
  wildcards: z.boolean().optional(),
  conn: wholeNumber.optional(),
  leaf: wholeNumber.optional(),
  mem_storage: wholeNumber.optional(),
  disk_storage: wholeNumber.optional(),
  streams: wholeNumber.optional(),
  consumer: wholeNumber.optional(),
});

/** Limits of an account, storage in bytes. */
export type AccountLimits = z.infer<typeof accountLimits>;

const ofAll = { version: z.literal(2), tags: z.array(z.string()).optional() };

const operatorBody = z.looseObject({
  ...ofAll,
  type: z.literal('operator'),
  signing_keys: z.array(z.string()).optional(),
  system_account: z.string().optional(),
  strict_signing_key_usage: z.boolean().optional(),
  account_server_url: z.string().optional(),
  operator_service_urls: z.array(z.string()).optional(),
});

const accountBody = z.looseObject({
  ...ofAll,
  type: z.literal('account'),
  limits: accountLimits.optional(),
  signing_keys: z.array(z.union([z.string(), scopedKey])).optional(),
  /** User, or `*` for all → Unix seconds; JWTs issued until then do not count. */
  revocations: revocations.optional(),
  exports: z.array(accountExport).optional(),
  imports: z.array(accountImport).optional(),
  description: z.string().optional(),
});

const userBody = z.looseObject({
  ...ofAll,
  ...userPermissionLimits,
  type: z.literal('user'),
  issuer_account: z.string().optional(),
});

const activationBody = z.looseObject({
  ...ofAll,
  type: z.literal('activation'),
  subject: z.string(),
  kind: z.enum(['stream', 'service']),
  issuer_account: z.string().optional(),
});

const genericBody = z.looseObject({ ...ofAll, type: z.literal('generic') });

const envelope = <Body extends z.ZodType>(nats: Body) =>
  z.looseObject({
    aud: z.string().optional(),
    exp: wholeNumber.optional(),
    jti: z.string().optional(),
    iat: wholeNumber,
    iss: z.string(),
    name: z.string().optional(),
    nbf: wholeNumber.optional(),
    sub: z.string(),
    nats,
  });

/** The claims of each kind of NATS JWT. */
export const CLAIMS_SHAPES = {
  operator: envelope(operatorBody),
  account: envelope(accountBody),
  user: envelope(userBody),
  activation: envelope(activationBody),
  generic: envelope(genericBody),
} as const;

/** What a NATS JWT is about. */
export type ClaimsKind = keyof typeof CLAIMS_SHAPES;

/** What every JWT says beside its body. Times are Unix seconds. */
interface OuterClaims {
  readonly aud?: string | undefined;
  /** Absent or 0: never. */
  readonly exp?: number | undefined;
  readonly jti?: string | undefined;
  readonly iat: number;
  /** Public key of whoever signed. */
  readonly iss: string;
  readonly name?: string | undefined;
  readonly nbf?: number | undefined;
  /** Public key of whom it is about. */
  readonly sub: string;
}

/** Claims of one kind, as they stand in a JWT. */
export type ClaimsOf<Kind extends ClaimsKind> = {
  readonly [Each in Kind]: OuterClaims & { readonly nats: z.infer<(typeof CLAIMS_SHAPES)[Each]>['nats'] };
}[Kind];
export type OperatorClaims = ClaimsOf<'operator'>;
export type AccountClaims = ClaimsOf<'account'>;
export type UserClaims = ClaimsOf<'user'>;
export type ActivationClaims = ClaimsOf<'activation'>;
/** Claims of any kind. */
export type NatsClaims = ClaimsOf<ClaimsKind>;
/** Claims before they are signed: who signs, and the digest, are filled in then. */
export type Unsigned<Claims extends NatsClaims> = Omit<OuterClaims, 'iss' | 'jti'> & {
  readonly iss?: string;
  readonly jti?: string | undefined;
  readonly nats: Claims['nats'];
};
