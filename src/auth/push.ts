import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Clock, systemClock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import { type LoginOutcome, type ServerAddress, SystemConnection, tryLogin, type UserLogin } from '../nats/system-connection.ts';
import { replaceFile } from '../replace-file.ts';
import { SigningKey } from '../trust/nkey.ts';
import { accountChanges } from './account-changes.ts';
import { accountFault, operatorKeys, type TrustedOperators } from './account-faults.ts';
import { userClaims } from './claims.ts';
import type { AccountClaims } from './claims-shape.ts';
import { readNatsJwt, signNatsJwt } from './nats-jwt.ts';
import { type AuthStore, signersOf, SYSTEM_ACCOUNT } from './store.ts';

/** What is, or would be, done with an account. */
export type PushAction = 'add' | 'update' | 'none' | 'refuse' | 'delete' | 'leave';

/** What came of it. `restored`: the server did not go by the new JWT and has the former one again. */
export type PushOutcome = 'done' | 'unchanged' | 'planned' | 'refused' | 'restored' | 'failed' | 'left';

/** One account, in the store, at the server, or both. Times are wall-clock milliseconds. */
export interface PushRow {
  /** Name in the store; of an account that only the server has, the name in its JWT. */
  readonly name: string;
  readonly key: string;
  readonly action: PushAction;
  readonly outcome: PushOutcome;
  readonly storeIssuedMs?: number;
  readonly serverIssuedMs?: number;
  /** Why it was refused, what failed, or what the server said. */
  readonly detail?: string;
  /** What is or would be otherwise than at the server. */
  readonly changes?: readonly string[];
}

/** What {@link pushAccounts} takes. */
export interface PushOptions {
  readonly store: AuthStore;
  readonly where: ServerAddress;
  /** A user of the system account. */
  readonly login: UserLogin;
  /** Names of accounts; all when left out. */
  readonly accounts?: readonly string[] | undefined;
  /** Say what would be done, and do nothing. */
  readonly dryRun?: boolean;
  /** Delete accounts that the server has and the store has not. */
  readonly prune?: boolean;
  /** Replace what somebody else brought to the server later. */
  readonly force?: boolean;
  readonly clock?: Clock;
}

const PROBE_LIFETIME_MS = 60_000;
/** A server takes a JWT over before it answers; others of a cluster need a moment. */
const IN_USE_MS = 3_000;

/**
 * Brings the accounts of a store to the resolvers of running servers. Each is verified before, compared with what is there, and
 * proved after: a short-lived user of the account must get in, and every server that has the account loaded must go by the new
 * JWT. Servers store what they then refuse to use, and go on with the old until they restart; so where the proof fails, the
 * former JWT is put back at once.
 *
 * @returns one row an account, those of the store first
 * @throws TRELLIS_AUTH_RESOLVER if no server has a resolver to push to; TRELLIS_NATS_*; TRELLIS_AUTH_UNKNOWN
 */
export async function pushAccounts(options: PushOptions): Promise<PushRow[]> {
  await using system = await SystemConnection.connect(options.where, options.login);
  return await new Push(options, system).run();
}

class Push {
  readonly #options: PushOptions;
  readonly #store: AuthStore;
  readonly #system: SystemConnection;
  readonly #clock: Clock;
  /** Named servers that could not be reached. */
  readonly #away = new Set<string>();

  constructor(options: PushOptions, system: SystemConnection) {
    this.#options = options;
    this.#store = options.store;
    this.#system = system;
    this.#clock = options.clock ?? systemClock;
  }

  async run(): Promise<PushRow[]> {
    const { accounts: wanted, prune } = this.#options;
    const known = await this.#system.accounts();
    if (known === undefined) throw new TrellisError('TRELLIS_AUTH_RESOLVER');
    const trusted = await this.#system.trustedOperators();
    const all = this.#store.accounts();
    const missing = wanted?.find((name) => !all.some((account) => account.name === name));
    if (missing !== undefined) throw new TrellisError('TRELLIS_AUTH_UNKNOWN', { message: `There is no account ${missing}` });
    const chosen = all.filter(({ name }) => wanted?.includes(name) ?? true);
    const rows: PushRow[] = [];
    // The system account last: it is the one by which all others are put right.
    for (const account of chosen.toSorted((a, b) => rank(a.name) - rank(b.name))) {
      if (account.ok) rows.push(await this.#account(account, trusted, known));
      else rows.push({ name: account.name, key: '', action: 'refuse', outcome: 'refused', detail: account.reason });
    }
    if (wanted !== undefined) return rows;
    const mine = new Set(all.flatMap((account) => (account.ok ? [account.claims.sub] : [])));
    // An account that cannot be read may be one of these.
    const unsound = all.some((account) => !account.ok);
    for (const key of known.filter((each) => !mine.has(each))) rows.push(await this.#stranger(key, prune === true && !unsound));
    return rows;
  }

  async #account(
    { name, claims, jwt }: { readonly name: string; readonly claims: AccountClaims; readonly jwt: string },
    trusted: readonly TrustedOperators[],
    known: readonly string[],
  ): Promise<PushRow> {
    // Servers before 2.10 leave the question for an account that they do not have without an answer.
    const former = known.includes(claims.sub) ? await this.#system.lookup(claims.sub) : undefined;
    const read = former === undefined ? undefined : readNatsJwt(former, 'account');
    const serverIat = read?.ok === true ? read.claims.iat : undefined;
    const row = {
      name,
      key: claims.sub,
      storeIssuedMs: claims.iat * 1_000,
      ...(serverIat === undefined ? {} : { serverIssuedMs: serverIat * 1_000 }),
    };
    const fault = accountFault(claims, trusted, this.#clock.wallMs());
    if (fault !== undefined) return { ...row, action: 'refuse', outcome: 'refused', detail: fault };
    if (former === jwt) return await this.#unchanged(row, claims, jwt);
    const { force = false, dryRun = false } = this.#options;
    const isOlder = serverIat !== undefined && serverIat > claims.iat;
    if (isOlder && !force) {
      const detail = 'the server has a later one, which came from another store or another command: compare, then --force';
      return { ...row, action: 'refuse', outcome: 'refused', detail };
    }
    const action = former === undefined ? 'add' : 'update';
    const changes = read?.ok === true ? { changes: accountChanges(read.claims, claims) } : {};
    if (dryRun) return { ...row, ...changes, action, outcome: 'planned' };
    // Servers of a cluster settle on the latest among themselves.
    const next = isOlder ? await this.#signLater(claims, serverIat) : { claims, jwt };
    return { ...row, ...changes, action, ...(await this.#replace(next.claims, next.jwt, former)) };
  }

  /** What is stored is not always what is used; a push that was interrupted shows here. */
  async #unchanged(row: Omit<PushRow, 'action' | 'outcome'>, claims: AccountClaims, jwt: string): Promise<PushRow> {
    const used = await this.#system.inUse(claims.sub);
    const other = used.find((each) => each.jwt !== undefined && each.jwt !== jwt);
    if (other === undefined) return { ...row, action: 'none', outcome: 'unchanged' };
    const detail = `the server ${other.server} stores it, and goes by another one: it refuses it`;
    return { ...row, action: 'none', outcome: 'failed', detail };
  }

  async #replace(claims: AccountClaims, jwt: string, former: string | undefined): Promise<Pick<PushRow, 'outcome' | 'detail'>> {
    const answers = await this.#system.update(jwt);
    const bad = answers.find(({ ok }) => !ok);
    let why =
      answers.length === 0 ? 'no server answered' : bad === undefined ? undefined : `server ${bad.server}: ${bad.message}`;
    why ??= await this.#unproven(claims, jwt);
    if (why === undefined) {
      const away = [...this.#away].map((server) => `${server} cannot be reached, and was not asked`);
      return { outcome: 'done', ...(away.length === 0 ? {} : { detail: away.join('; ') }) };
    }
    return await this.#putBack(claims, former, why);
  }

  /** Why the servers do not go by a JWT that they took, or `undefined` if they do. */
  async #unproven(claims: AccountClaims, jwt: string): Promise<string | undefined> {
    const login = this.#probeUser(claims);
    if (login !== undefined) {
      for (const server of this.#options.where.servers) {
        const outcome = await this.#tryLogin(server, login);
        if (outcome?.ok === false) return `a user of the account could not log in: ${outcome.reason}`;
      }
    }
    const end = this.#clock.monotonicMs() + IN_USE_MS;
    for (;;) {
      const used = await this.#system.inUse(claims.sub);
      const other = used.find((each) => each.jwt !== jwt);
      if (other === undefined && used.length > 0) return undefined;
      if (this.#clock.monotonicMs() >= end) {
        return other === undefined
          ? 'no server says by which JWT it goes'
          : `server ${other.server} stores it and does not go by it`;
      }
      await sleep(100);
    }
  }

  /** A server that is away proves nothing, and is no reason to leave, or to take back, what the others may need: a revocation, say. */
  async #tryLogin(server: string, login: UserLogin): Promise<LoginOutcome | undefined> {
    try {
      return await tryLogin({ ...this.#options.where, servers: [server] }, login);
    } catch (error) {
      if (!(error instanceof TrellisError) || error.code !== 'TRELLIS_NATS_UNREACHABLE') throw error;
      this.#away.add(server);
      return undefined;
    }
  }

  /** A user for one login, signed by a key of the account that is here; `undefined` if none is. */
  #probeUser({ sub, nats }: AccountClaims): UserLogin | undefined {
    const signers = (nats.signing_keys ?? []).filter((key) => this.#store.keys.has(typeof key === 'string' ? key : key.key));
    const isForClients = (types: readonly string[] = []): boolean => types.length === 0 || types.includes('STANDARD');
    const signer = signers.find((key) => typeof key === 'string' || isForClients(key.template.allowed_connection_types));
    if (signer === undefined) return undefined;
    const key = SigningKey.generate('user');
    const nowMs = this.#clock.wallMs();
    const claims = userClaims({
      user: key.publicKey,
      name: 'trellis-probe',
      issuerAccount: sub,
      expiresMs: nowMs + PROBE_LIFETIME_MS,
      nowMs,
      // It does nothing but log in; a scoped user must have no rights of its own.
      ...(typeof signer === 'string' ? { rights: NOTHING } : {}),
    });
    const everyone = nats.revocations?.['*'] ?? 0;
    const issued = { ...claims, iat: Math.max(claims.iat, everyone + 1) };
    return { key, jwt: signNatsJwt(issued, this.#store.keys.read(signersOf([signer])[0]!)) };
  }

  async #putBack(claims: AccountClaims, former: string | undefined, why: string): Promise<Pick<PushRow, 'outcome' | 'detail'>> {
    if (former === undefined) {
      const removed = await this.#delete(claims.sub).catch(() => false);
      const state = removed ? 'it was taken away again' : 'it could not be taken away again';
      return { outcome: removed ? 'restored' : 'failed', detail: `${why}; ${state}` };
    }
    const answers = await this.#system.update(former).catch(() => []);
    const read = readNatsJwt(former, 'account');
    const unproven =
      answers.length === 0 || answers.some(({ ok }) => !ok) || !read.ok ? 'no answer' : await this.#unproven(read.claims, former);
    if (unproven === undefined) return { outcome: 'restored', detail: `${why}; the former JWT is back and in use` };
    const dir = join(this.#store.dir, 'former');
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const file = join(dir, `${claims.sub}.jwt`);
    replaceFile(file, former);
    return { outcome: 'failed', detail: `${why}; the former JWT could not be put back (${unproven}) and is in ${file}` };
  }

  async #stranger(key: string, remove: boolean): Promise<PushRow> {
    const jwt = await this.#system.lookup(key);
    const read = jwt === undefined ? undefined : readNatsJwt(jwt, 'account');
    const claims = read?.ok === true ? read.claims : undefined;
    const row = {
      name: claims?.name ?? '',
      key,
      ...(claims === undefined ? {} : { serverIssuedMs: claims.iat * 1_000 }),
    };
    const isOurs = claims !== undefined && operatorKeys(this.#store.operator()).includes(claims.iss);
    // A server may trust several operators, and takes a deletion by any of them.
    if (!isOurs && this.#options.force !== true) {
      return {
        ...row,
        action: 'leave',
        outcome: 'left',
        detail: 'only the server has it, and the operator of this store has not signed it',
      };
    }
    if (!remove) return { ...row, action: 'leave', outcome: 'left', detail: 'only the server has it; --prune deletes it' };
    if (this.#options.dryRun === true) return { ...row, action: 'delete', outcome: 'planned' };
    const done = await this.#delete(key);
    return {
      ...row,
      action: 'delete',
      outcome: done ? 'done' : 'failed',
      ...(done ? {} : { detail: 'the server did not delete it' }),
    };
  }

  /** True if every server says that it has deleted the account. @throws TRELLIS_AUTH_KEY_MISSING */
  async #delete(account: string): Promise<boolean> {
    const answers = await this.#system.delete(this.#store.signDeletion([account], this.#clock.wallMs()));
    return answers.length > 0 && answers.every(({ ok }) => ok);
  }

  async #signLater(claims: AccountClaims, after: number): Promise<{ claims: AccountClaims; jwt: string }> {
    const { name = '' } = claims;
    const jwt = await this.#store.change(() => this.#store.writeAccount({ ...claims, iat: after + 1 }));
    return { claims: this.#store.account(name), jwt };
  }
}

const NOTHING = { publish: { allow: [] }, subscribe: { allow: [] } };
const rank = (name: string): number => (name === SYSTEM_ACCOUNT ? 1 : 0);
