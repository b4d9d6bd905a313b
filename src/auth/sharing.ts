import { TrellisError } from '../errors.ts';
import { componentId, functionName, instanceName, quote } from '../ids.ts';
import { publicKeyKind, SigningKey } from '../trust/nkey.ts';
import { activationClaims, scopedKey } from './claims.ts';
import { grantTag, isGrantOf, SHARING_ROLE } from './activations.ts';
import type { AccountClaims, AccountExport, AccountImport } from './claims-shape.ts';
import { signNatsJwt } from './nats-jwt.ts';
import { scopedKeyOf, scopedKeysOf } from './roles.ts';
import { type Share, type SharedSubject, subjectsOf } from './share-file.ts';
import type { AuthStore } from './store.ts';
import { type Tenant, tenantOf } from './tenant.ts';

/** What {@link shareComponent} takes. */
export interface NewShare {
  readonly tenant: string;
  readonly component: string;
  /** `ns:pkg/iface@1.0.0`: with its version, as the component exports it. */
  readonly interface: string;
  /** Functions of it by their wire names; all if empty. */
  readonly functions: readonly string[];
  /** A tenant of the same store, or the public key of an account. */
  readonly with: string;
  /** Cluster issuers of this tenant's lattice, for the other side. */
  readonly issuers: readonly string[];
  readonly callers: readonly string[];
  /** Never when left out. */
  readonly expiresMs?: number | undefined;
  readonly nowMs: number;
}

/** What {@link shareComponent} made. */
export interface MadeShare {
  readonly share: Share;
  /** The account that exports now. */
  readonly account: string;
  /** The lattice that may call, if it is one of this store. */
  readonly callerLattice: string | undefined;
  /** False if the account exported the interface already to others or this one, so that no server has to be told. */
  readonly changed: boolean;
}

/**
 * Lets another account import an interface of a component: a private export for all of it, and activations for what is meant. Private,
 * for then only who was given an activation for its own account can import; that it is that lattice which calls, the tokens prove.
 * Must run inside {@link AuthStore.change}.
 *
 * @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_ID_INVALID, TRELLIS_AUTH_EXISTS for a public export of the same, TRELLIS_USAGE, TRELLIS_AUTH_KEY_MISSING
 */
export function shareComponent(store: AuthStore, options: NewShare): MadeShare {
  const { tenant, importer, callerLattice } = partiesOf(store, options);
  const { issuers, callers, expiresMs, nowMs } = options;
  for (const issuer of issuers) {
    if (publicKeyKind(issuer) === 'cluster') continue;
    throw new TrellisError('TRELLIS_USAGE', { message: '--issuers takes public keys of cluster issuers (C…)' });
  }
  const account = tenant.accounts.rpc;
  const before = store.account(account);
  if (before.sub === importer) throw new TrellisError('TRELLIS_USAGE', { message: 'A tenant shares nothing with itself' });
  const wanted = {
    lattice: tenant.lattice as string,
    component: componentId(options.component) as string,
    interface: instanceName(options.interface) as string,
    functions: options.functions.map((name) => functionName(name) as string),
  };
  if (wanted.interface === '') throw new TrellisError('TRELLIS_USAGE', { message: '--interface names no interface' });
  const exported = exportSubject(wanted);
  const known = (before.nats.exports ?? []).find(({ type, subject }) => type === 'service' && subject === exported);
  if (known !== undefined && known.token_req !== true) {
    throw new TrellisError('TRELLIS_AUTH_EXISTS', {
      message: `Account ${quote(account)} exports ${exported} to everybody`,
      remedy: 'Remove that export with the tool that made it, then share.',
    });
  }
  const claims = withExport(store, before, exported, known);
  const given = subjectsOf(wanted).map(({ subject }) => grantTag(importer, subject, expiresMs));
  const tags = (claims.nats.tags ?? []).filter((tag) => !isGrantOf(tag, importer, exported));
  store.writeAccount({ ...claims, nats: { ...claims.nats, tags: [...tags, ...given] } });
  const key = scopedKeyOf(claims, SHARING_ROLE)!.key;
  const revokedMs = Math.max(known?.revocations?.[importer] ?? 0, known?.revocations?.['*'] ?? 0) * 1_000;
  const activations = subjectsOf(wanted).map(({ subject }) =>
    signNatsJwt(
      // Issued later than whatever was taken back before.
      activationClaims({
        importer,
        exporter: claims.sub,
        name: `${wanted.component} of ${wanted.lattice}`,
        subject,
        kind: 'service',
        expiresMs,
        nowMs: Math.max(nowMs, revokedMs + 1_000),
      }),
      store.keys.read(key),
    ),
  );
  const until = expiresMs === undefined ? {} : { until: new Date(Math.floor(expiresMs / 1_000) * 1_000).toISOString() };
  const share: Share = {
    format: 'trellis-share-1',
    ...wanted,
    exporter: claims.sub,
    importer,
    issuers: [...issuers],
    callers: callers.map((id) => componentId(id) as string),
    ...until,
    activations,
  };
  return { share, account, callerLattice, changed: claims !== before };
}

function withExport(store: AuthStore, before: AccountClaims, subject: string, known: AccountExport | undefined): AccountClaims {
  let claims = before;
  if (known === undefined) {
    const added: AccountExport = { name: subject, subject, type: 'service', response_type: 'Singleton', token_req: true };
    claims = { ...claims, nats: { ...claims.nats, exports: [...(claims.nats.exports ?? []), added] } };
  }
  if (scopedKeyOf(claims, SHARING_ROLE) !== undefined) return claims;
  const key = SigningKey.generate('account');
  const nothing = { publish: { allow: [] }, subscribe: { allow: [] } };
  const scoped = scopedKey(key.publicKey, SHARING_ROLE, nothing, 'signs activations; its users may do nothing');
  store.keys.write(key);
  return { ...claims, nats: { ...claims.nats, signing_keys: [...(claims.nats.signing_keys ?? []), scoped] } };
}

/** What {@link acceptShare} did. */
export interface AcceptedShare {
  readonly tenant: Tenant;
  readonly account: string;
  /** The component's id in the tenant's lattice. */
  readonly as: string;
  readonly localSubjects: readonly string[];
  /** False if the account had these very imports. */
  readonly changed: boolean;
}

/**
 * Imports what was shared, as a component of the tenant's lattice. What is there under the same name from the same account is replaced. Must
 * run inside {@link AuthStore.change}.
 *
 * @throws TRELLIS_AUTH_SHARE for a share that is for another account, or signed by a key that is none of its account's;
 *   TRELLIS_AUTH_EXISTS if the name is taken, TRELLIS_AUTH_UNKNOWN, TRELLIS_ID_INVALID
 */
export function acceptShare(
  store: AuthStore,
  options: {
    readonly share: Share;
    readonly subjects: readonly SharedSubject[];
    readonly tenant: string;
    /** Its id in the tenant's lattice; no component of its own may have it. */
    readonly as: string;
  },
): AcceptedShare {
  const { share, subjects } = options;
  const tenant = tenantOf(store, options.tenant);
  const account = tenant.accounts.rpc;
  const before = store.account(account);
  if (share.importer !== before.sub) {
    throw new TrellisError('TRELLIS_AUTH_SHARE', {
      message: `The share is for account ${share.importer}, and not for ${quote(account)}`,
    });
  }
  checkSigners(store, share, subjects);
  const as = componentId(options.as);
  refuseOwn(tenant, before, as);
  const added = subjects.map(({ subject, rest, activation }): AccountImport => ({
    name: `${share.component} of ${share.lattice}`,
    subject,
    account: share.exporter,
    token: activation,
    local_subject: `${tenant.lattice}.${as}.wrpc.0.0.1.${rest}`,
    type: 'service',
  }));
  const imports = before.nats.imports ?? [];
  const prefix = `${tenant.lattice}.${as}.wrpc.`;
  const under = imports.filter((each) => each.local_subject?.startsWith(prefix) === true);
  const other = under.find((each) => each.account !== share.exporter || componentIn(each.subject) !== share.component);
  if (other !== undefined) {
    throw new TrellisError('TRELLIS_AUTH_EXISTS', {
      message: `Account ${quote(account)} imports another component as ${as}`,
      remedy: 'Choose another name: --as ID',
    });
  }
  const ofInterface = `${prefix}0.0.1.${share.interface}.`;
  const kept = imports.filter((each) => each.local_subject?.startsWith(ofInterface) !== true);
  const replaced = imports.filter((each) => each.local_subject?.startsWith(ofInterface) === true);
  const same = JSON.stringify(replaced.map(({ token }) => token)) === JSON.stringify(added.map(({ token }) => token));
  if (!same) store.writeAccount({ ...before, nats: { ...before.nats, imports: [...kept, ...added] } });
  return { tenant, account, as, localSubjects: added.map((each) => each.local_subject!), changed: !same };
}

/** A server hands a message to whoever subscribes here and to the import: the other tenant would get a copy of each call. */
function refuseOwn({ lattice }: Tenant, claims: AccountClaims, as: string): void {
  const subject = `${lattice}.${as}.wrpc.>`;
  const serving = scopedKeysOf(claims).find(({ template }) => template.sub?.allow?.includes(subject) === true);
  if (serving === undefined) return;
  throw new TrellisError('TRELLIS_AUTH_EXISTS', {
    message: `${as} is a component of this lattice (role ${serving.role}), and the other tenant would get a copy of every call of it`,
    remedy: 'Choose another name: --as ID',
  });
}

const componentIn = (subject: string): string | undefined => subject.split('.')[1];

/** Where the exporting account is in the store, its keys are known; a server would refuse the importer's whole account for a wrong one. */
function checkSigners(store: AuthStore, { exporter }: Share, subjects: readonly SharedSubject[]): void {
  const entry = store.accounts().find((each) => each.ok && each.claims.sub === exporter);
  if (entry?.ok !== true) return;
  const { sub, nats } = entry.claims;
  const keys = [sub, ...(nats.signing_keys ?? []).map((key) => (typeof key === 'string' ? key : key.key))];
  if (subjects.every(({ signer }) => keys.includes(signer))) return;
  throw new TrellisError('TRELLIS_AUTH_SHARE', {
    message: `The share is signed by a key that account ${quote(entry.name)} does not list`,
    remedy: 'Ask for a new one: trellis auth share',
  });
}

/** What {@link unshareComponent} did. */
export interface Unshared {
  readonly account: string;
  readonly importer: string;
  readonly subject: string;
}

/**
 * Takes back all activations of an interface for one account that exist now. The export stays, for others may have it. Must run
 * inside {@link AuthStore.change}.
 *
 * @throws TRELLIS_AUTH_UNKNOWN if the interface is not shared at all
 */
export function unshareComponent(
  store: AuthStore,
  options: Pick<NewShare, 'tenant' | 'component' | 'interface' | 'with' | 'nowMs'>,
): Unshared {
  const { tenant, importer } = partiesOf(store, options);
  const account = tenant.accounts.rpc;
  const claims = store.account(account);
  const subject = exportSubject({
    lattice: tenant.lattice,
    component: componentId(options.component),
    interface: instanceName(options.interface),
  });
  const exports = claims.nats.exports ?? [];
  const known = exports.find((each) => each.type === 'service' && each.subject === subject);
  if (known === undefined) {
    const shared = exports.filter((each) => each.token_req === true).map((each) => each.subject);
    throw new TrellisError('TRELLIS_AUTH_UNKNOWN', {
      message: `Account ${quote(account)} does not export ${subject}`,
      remedy: shared.length === 0 ? 'It shares nothing.' : `It shares: ${shared.join(', ')}.`,
    });
  }
  // A share made in this very second, or by a clock ahead of this one after an earlier unshare, is meant as well.
  const at = Math.max(Math.floor(options.nowMs / 1_000), (known.revocations?.[importer] ?? 0) + 1);
  const revoked: AccountExport = { ...known, revocations: { ...known.revocations, [importer]: at } };
  const tags = (claims.nats.tags ?? []).filter((tag) => !isGrantOf(tag, importer, subject));
  store.writeAccount({
    ...claims,
    nats: { ...claims.nats, exports: exports.map((each) => (each === known ? revoked : each)), tags },
  });
  return { account, importer, subject };
}

/** One export for an interface, however much of it an activation gives: exports must not overlap. */
function exportSubject(of: { readonly lattice: string; readonly component: string; readonly interface: string }): string {
  return subjectsOf({ ...of, functions: [] })[0]!.subject;
}

function partiesOf(
  store: AuthStore,
  options: Pick<NewShare, 'tenant' | 'with'>,
): { readonly tenant: Tenant; readonly importer: string; readonly callerLattice: string | undefined } {
  const tenant = tenantOf(store, options.tenant);
  if (publicKeyKind(options.with) === 'account') {
    return { tenant, importer: options.with, callerLattice: undefined };
  }
  const other = tenantOf(store, options.with);
  return { tenant, importer: store.account(other.accounts.rpc).sub, callerLattice: other.lattice };
}
