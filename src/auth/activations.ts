import type { AccountClaims, ActivationClaims } from './claims-shape.ts';
import { readNatsJwt, signNatsJwt } from './nats-jwt.ts';
import { scopedKeysOf } from './roles.ts';
import type { AuthStore } from './store.ts';

/** Role of the key that signs activations. Users that it signs may do nothing. */
export const SHARING_ROLE = 'sharing';

/**
 * To whom an account has given what it exports: tags of its JWT, one for each activation. They grant nothing, an activation does; they
 * are for whoever looks after the account. Other tools write tags in lower case.
 */
const GRANT = 'trellis-share:';

/** An activation that an account has given and not taken back. */
export interface Grant {
  readonly importer: string;
  /** In lower case. */
  readonly subject: string;
  readonly expiresMs?: number;
}

/** The grants that an account's tags tell of; what other tools made of them counts for nothing. */
export function grantsIn({ nats }: AccountClaims): Grant[] {
  return (nats.tags ?? []).flatMap((tag) => {
    const match = /^trellis-share:([a-z2-7]{56}):([0-9]{1,12}):(.+)$/.exec(tag);
    if (match === null) return [];
    const expiry = match[2] === '0' ? {} : { expiresMs: Number(match[2]) * 1_000 };
    return [{ importer: match[1]!.toUpperCase(), subject: match[3]!, ...expiry }];
  });
}

/** True for the tag of a grant of `importer` that lies below `exported`, a subject that ends in `>`. */
export function isGrantOf(tag: string, importer: string, exported: string): boolean {
  const prefix = `${GRANT}${importer.toLowerCase()}:`;
  const below = exported.slice(0, -1).toLowerCase();
  return (
    tag.startsWith(prefix) &&
    tag
      .slice(prefix.length)
      .replace(/^[0-9]+:/, '')
      .startsWith(below)
  );
}

/** The tag of a grant. */
export function grantTag(importer: string, subject: string, expiresMs: number | undefined): string {
  const exp = expiresMs === undefined ? 0 : Math.floor(expiresMs / 1_000);
  return `${GRANT}${importer.toLowerCase()}:${exp}:${subject.toLowerCase()}`;
}

/**
 * Signs activations again that these keys of an account signed, in the imports of accounts of the same store. What they say stays, also when
 * they were issued: a new signature is no pardon. Must run inside {@link AuthStore.change}.
 *
 * @returns names of the accounts that changed
 */
export function moveActivations(
  store: AuthStore,
  exporter: string,
  replacements: readonly { readonly formerKey: string; readonly newKey: string }[],
): string[] {
  return importersOf(store, exporter).flatMap(({ name, claims, tokens }) => {
    const moved = new Map<string, string>();
    for (const [token, activation] of tokens) {
      const newKey = replacements.find(({ formerKey }) => formerKey === activation.iss)?.newKey;
      if (newKey !== undefined) moved.set(token, signNatsJwt(activation, store.keys.read(newKey)));
    }
    if (moved.size === 0) return [];
    const imports = (claims.nats.imports ?? []).map((each) =>
      each.token === undefined ? each : { ...each, token: moved.get(each.token) ?? each.token },
    );
    store.writeAccount({ ...claims, nats: { ...claims.nats, imports } });
    return [name];
  });
}

/** Who holds activations of an account by one of these keys: names of accounts of the store, and keys of those elsewhere that were given some. */
export function holdersOf(
  store: AuthStore,
  exporter: string,
  keys: ReadonlySet<string>,
): { readonly here: readonly string[]; readonly elsewhere: readonly string[] } {
  const claims = store.account(exporter);
  const own = new Set(store.accounts().flatMap((each) => (each.ok ? [each.claims.sub] : [])));
  const here = importersOf(store, exporter).filter(({ tokens }) => [...tokens.values()].some(({ iss }) => keys.has(iss)));
  const signs = scopedKeysOf(claims).some(({ role, key }) => role === SHARING_ROLE && keys.has(key));
  const elsewhere = signs ? new Set(grantsIn(claims).map(({ importer }) => importer)) : new Set<string>();
  return { here: here.map(({ name }) => name), elsewhere: [...elsewhere].filter((importer) => !own.has(importer)) };
}

interface Importer {
  readonly name: string;
  readonly claims: AccountClaims;
  /** Activations by the exporter among its imports. */
  readonly tokens: ReadonlyMap<string, ActivationClaims>;
}

function importersOf(store: AuthStore, exporter: string): Importer[] {
  const { sub } = store.account(exporter);
  return store.accounts().flatMap((each) => {
    if (!each.ok) return [];
    const tokens = new Map<string, ActivationClaims>();
    for (const { account, token } of each.claims.nats.imports ?? []) {
      const read = account !== sub || token === undefined ? undefined : readNatsJwt(token, 'activation');
      if (read?.ok === true) tokens.set(token!, read.claims);
    }
    return [{ name: each.name, claims: each.claims, tokens }];
  });
}
