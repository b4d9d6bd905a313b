import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, createInbox, errors, type Msg, type NatsConnection } from 'nats';
import { TrellisError } from '../errors.ts';
import { parseJsonObject } from '../json-object.ts';
import { connectFailure, printable, requestFailure } from './connect-error.ts';
import { resolveEndpoints, type TlsSettings } from './endpoint.ts';

/** Where the servers are. */
export interface ServerAddress {
  /** `nats://host:port` or `tls://host:port`; without user, password or token. */
  readonly servers: readonly string[];
  readonly tls?: TlsSettings | undefined;
}

/** Who logs in. */
export interface UserLogin {
  readonly jwt: string;
  /** The user's key; `sign` gives the 64-byte Ed25519 signature. */
  readonly key: { readonly publicKey: string; sign(data: Uint8Array): Buffer };
}

/** What a server of the lattice answered on the system account. Text of the server is cut and made printable. */
export interface ClaimsAnswer {
  /** Name of the server. */
  readonly server: string;
  readonly ok: boolean;
  readonly message: string;
}

const CONNECT_MS = 5_000;
const REQUEST_MS = 5_000;
/** A cluster's servers answer one after the other; this long after the last answer no other is waited for. */
const LINGER_MS = 300;
const MAX_ANSWERS = 256;
const POLL_MS = 3;

/**
 * One connection of a user of the system account, to bring account JWTs to the servers' resolvers. It does not reconnect:
 * what it is for is over in seconds.
 */
export class SystemConnection implements AsyncDisposable {
  readonly #nc: NatsConnection;
  /** Servers that answered, as far as it is known. */
  #servers = 0;
  readonly #inboxPrefix: string;
  readonly #refused = new Set<string>();

  private constructor(nc: NatsConnection, inboxPrefix: string) {
    this.#nc = nc;
    this.#inboxPrefix = inboxPrefix;
    void this.#watch();
  }

  /** @throws TRELLIS_NATS_SERVERS_INVALID, TRELLIS_NATS_TLS_REQUIRED, TRELLIS_NATS_TLS_FAILED, TRELLIS_NATS_AUTH_REFUSED, TRELLIS_NATS_UNREACHABLE */
  static async connect(where: ServerAddress, login: UserLogin): Promise<SystemConnection> {
    const inbox = ownInbox(login);
    return new SystemConnection(await dial(where, login, 'system', inbox), inbox);
  }

  /**
   * Public keys of the accounts that the resolvers hold, or `undefined` if no server has a resolver that can be asked (it is a
   * memory or URL resolver). @throws TRELLIS_NATS_PERMISSION, TRELLIS_NATS_TIMEOUT, TRELLIS_NATS_CLOSED
   */
  async accounts(): Promise<string[] | undefined> {
    const answers = await this.#askAll('$SYS.REQ.CLAIMS.LIST', '', true);
    const lists = answers.map(({ data }) => data).filter((data) => Array.isArray(data)) as unknown[][];
    return answers.length === 0 ? undefined : [...new Set(lists.flat().map(String))].sort();
  }

  /** The JWT that the resolver holds of an account, or `undefined`. @throws as {@link accounts} */
  async lookup(account: string): Promise<string | undefined> {
    const subject = `$SYS.REQ.ACCOUNT.${account}.CLAIMS.LOOKUP`;
    const answer = await this.#ask(subject);
    return answer === undefined || answer.data.length === 0 ? undefined : answer.string().trim();
  }

  /** Hands an account JWT to all resolvers. An `ok` says that it is stored, not that it counts. @throws as {@link accounts} */
  async update(jwt: string): Promise<ClaimsAnswer[]> {
    return (await this.#askAll('$SYS.REQ.CLAIMS.UPDATE', jwt)).map(claimsAnswer);
  }

  /** Has all resolvers delete accounts. @param jwt what an operator key signed, naming them @throws as {@link accounts} */
  async delete(jwt: string): Promise<ClaimsAnswer[]> {
    return (await this.#askAll('$SYS.REQ.CLAIMS.DELETE', jwt)).map(claimsAnswer);
  }

  /**
   * The JWTs by which the servers go now for an account, one a server that has it loaded; `undefined` where a server says none.
   * @throws as {@link accounts}
   */
  async inUse(account: string): Promise<{ readonly server: string; readonly jwt: string | undefined }[]> {
    const answers = await this.#askAll(`$SYS.REQ.ACCOUNT.${account}.INFO`, '');
    return answers.map((answer) => {
      const { jwt } = (answer.data ?? {}) as { jwt?: unknown };
      return { server: claimsAnswer(answer).server, jwt: typeof jwt === 'string' ? jwt : undefined };
    });
  }

  /** JWTs of the operators that the servers trust, one list a server; none where that cannot be asked. Never throws. */
  async trustedOperators(): Promise<{ readonly server: string; readonly operators: readonly string[] }[]> {
    const answers = await this.#askAll('$SYS.REQ.SERVER.PING.VARZ', '', true).catch(() => []);
    return answers.flatMap((answer) => {
      const { trusted_operators_jwt: jwts } = (answer.data ?? {}) as { trusted_operators_jwt?: unknown };
      return Array.isArray(jwts) ? [{ server: claimsAnswer(answer).server, operators: jwts.map(String) }] : [];
    });
  }

  /**
   * Public keys that signed the users who are connected to an account now, but for this connection, each with their number; or
   * `undefined` where that cannot be asked.
   * @throws TRELLIS_NATS_CLOSED
   */
  async connectedSigners(account: string): Promise<ReadonlyMap<string, number> | undefined> {
    const query = JSON.stringify({ auth: true, acc: account, limit: 10_000 });
    const answers = await this.#askAll('$SYS.REQ.SERVER.PING.CONNZ', query, true).catch((error: unknown) => {
      if (error instanceof TrellisError && error.code === 'TRELLIS_NATS_PERMISSION') return undefined;
      throw error;
    });
    if (answers === undefined) return undefined;
    const signers = new Map<string, number>();
    const { server_id: ownServer, client_id: own } = this.#nc.info ?? {};
    for (const { data } of answers) {
      const { connections, server_id: server } = (data ?? {}) as { connections?: unknown; server_id?: unknown };
      for (const each of Array.isArray(connections) ? (connections as { issuer_key?: unknown; cid?: unknown }[]) : []) {
        if (server === ownServer && each.cid === own) continue;
        const key = textOf(each.issuer_key) ?? '';
        signers.set(key, (signers.get(key) ?? 0) + 1);
      }
    }
    return signers;
  }

  async #ask(subject: string): Promise<Msg | undefined> {
    try {
      return await this.#nc.request(subject, '', { timeout: REQUEST_MS });
    } catch (cause) {
      const error = requestFailure(cause, subject, REQUEST_MS);
      if (error.code === 'TRELLIS_NATS_NO_RESPONDERS') return undefined;
      throw error;
    }
  }

  /**
   * All answers to a request, parsed; none if nobody listens. It ends when no other answer comes; unless `everyone` shall be
   * heard, also when as many servers have answered as ever did. What is no JSON is left out.
   */
  async #askAll(subject: string, payload: string, everyone = false): Promise<ServerAnswer[]> {
    const answers: ServerAnswer[] = [];
    const inbox = createInbox(this.#inboxPrefix);
    let lastMs = performance.now() + REQUEST_MS;
    const noResponders = { told: false };
    const subscription = this.#nc.subscribe(inbox, {
      callback: (error, reply) => {
        if (error !== null) return;
        noResponders.told = reply.headers?.code === 503;
        const answer = noResponders.told ? undefined : parseJsonObject(reply.string());
        if (answer !== undefined && answers.push(answer) < MAX_ANSWERS) lastMs = performance.now() + LINGER_MS;
      },
    });
    this.#refused.delete(subject);
    this.#nc.publish(subject, payload, { reply: inbox });
    await this.#nc.flush();
    const enough = everyone || this.#servers === 0 ? MAX_ANSWERS : this.#servers;
    while (performance.now() < lastMs && !noResponders.told && answers.length < enough) {
      if (this.#refused.has(subject)) {
        subscription.unsubscribe();
        throw new TrellisError('TRELLIS_NATS_PERMISSION', { message: `the server refused publishing to ${subject}` });
      }
      if (this.#nc.isClosed()) throw new TrellisError('TRELLIS_NATS_CLOSED');
      await sleep(POLL_MS);
    }
    subscription.unsubscribe();
    if (answers.length === 0 && !noResponders.told) {
      const message = `no answer on ${subject} within ${REQUEST_MS} ms`;
      throw new TrellisError('TRELLIS_NATS_TIMEOUT', { message, details: { subject, timeoutMs: REQUEST_MS } });
    }
    this.#servers = Math.max(this.#servers, answers.length);
    return answers;
  }

  async #watch(): Promise<void> {
    for await (const status of this.#nc.status()) {
      if (status.type === 'error' && status.error instanceof errors.PermissionViolationError)
        this.#refused.add(status.error.subject);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nc.close();
  }
}

/** Whether a login works; the text says why not. */
export type LoginOutcome = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/**
 * Logs in once and leaves.
 * @throws TRELLIS_NATS_UNREACHABLE, TRELLIS_NATS_TLS_FAILED if that is not what the server says of the user
 */
export async function tryLogin(where: ServerAddress, login: UserLogin): Promise<LoginOutcome> {
  try {
    const nc = await dial(where, login, 'probe', ownInbox(login));
    // The server answers a ping only once it has let the user in.
    await nc.flush();
    await nc.close();
    return { ok: true };
  } catch (error) {
    if (error instanceof TrellisError && error.code === 'TRELLIS_NATS_AUTH_REFUSED')
      return { ok: false, reason: 'the login was refused' };
    // A limit of 0 connections closes the connection before the client has understood why.
    if (error instanceof TrellisError && error.message.includes('the server closed the connection')) {
      return { ok: false, reason: 'the server closed the connection' };
    }
    if (error instanceof errors.ProtocolError) return { ok: false, reason: printable(error.message) };
    throw error;
  }
}

const ownInbox = ({ key }: UserLogin): string => `_INBOX_SYS.${key.publicKey}.${randomBytes(16).toString('base64url')}`;

async function dial(where: ServerAddress, { jwt, key }: UserLogin, name: string, inboxPrefix: string): Promise<NatsConnection> {
  const endpoints = resolveEndpoints(where.servers, where.tls);
  try {
    return await connect({
      servers: [...endpoints.servers],
      name: `trellis auth (${name})`,
      inboxPrefix,
      timeout: CONNECT_MS,
      reconnect: false,
      ignoreClusterUpdates: true,
      ...(endpoints.tls === undefined ? {} : { tls: endpoints.tls }),
      authenticator: (nonce = '') => ({
        jwt,
        nkey: key.publicKey,
        sig: key.sign(Buffer.from(nonce)).toString('base64url'),
      }),
    });
  } catch (cause) {
    if (cause instanceof errors.ProtocolError && !(cause instanceof errors.AuthorizationError)) throw cause;
    throw connectFailure(cause, { partition: name, servers: endpoints.servers, tls: endpoints.tls !== undefined });
  }
}

interface ServerAnswer {
  readonly server?: unknown;
  readonly data?: unknown;
  readonly error?: unknown;
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

function claimsAnswer({ server, data, error }: ServerAnswer): ClaimsAnswer {
  const { name, id } = (server ?? {}) as { name?: unknown; id?: unknown };
  const { description } = (error ?? {}) as { description?: unknown };
  const { code, message } = (data ?? {}) as { code?: unknown; message?: unknown };
  return {
    server: printable(textOf(name) ?? textOf(id) ?? 'server'),
    ok: error === undefined && (code === undefined || code === 200),
    message: printable(textOf(description) ?? textOf(message) ?? ''),
  };
}
