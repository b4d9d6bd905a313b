import type { NatsConnection } from 'nats';
import { TrellisError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Bus, BusHeaders, BusLine, BusMessage, BusSubscription, LineUser } from '../wrpc/bus.ts';
import { connectFailure } from './connect-error.ts';
import { watchConnection } from './connection-alarms.ts';
import type { ConnectionEvent, ConnectionStats, DrainOptions, RefusalWatch } from './connection-events.ts';
import { heldInbox } from './held-inbox.ts';
import type { Line, RequestOptions } from './line.ts';
import { Lines } from './lines.ts';
import type { LoginFiles } from './login-files.ts';
import { Moves } from './moves.ts';
import { type ConnectionParts, partsOf } from './open-parts.ts';
import type { Partition, PartitionOptions } from './partition.ts';
import { within } from '../within.ts';

/** How long a subscription on another server takes to be known to the rest of a cluster, with room to spare. */
const SETTLE_MS = 300;
/** How long calls may take to end on the line they began on. */
const RETIRE_MS = 60_000;

/**
 * Opens one of a host's two connections. Once it is open it stays: interruptions, expired credentials and refused logins are
 * retried for ever (and reported), only {@link LatticeConnection.close} ends it. It moves to new credentials, new certificates and
 * away from a server that shuts down by itself, and loses nothing over it.
 *
 * @throws TRELLIS_NATS_SERVERS_INVALID, TRELLIS_NATS_TLS_REQUIRED, TRELLIS_NATS_TLS_INVALID, TRELLIS_NATS_CREDENTIALS_REQUIRED,
 *   TRELLIS_NATS_CREDENTIALS_INVALID, TRELLIS_NATS_SUBJECT_INVALID before dialling; TRELLIS_NATS_UNREACHABLE,
 *   TRELLIS_NATS_TLS_FAILED, TRELLIS_NATS_AUTH_REFUSED when no server lets us in.
 */
export async function connectPartition(options: PartitionOptions): Promise<LatticeConnection> {
  let connection: LatticeConnection | undefined;
  const parts = partsOf(options, (line, event) => connection?.onLineEvent(line, event));
  const { endpoints, first } = parts;
  const line = await parts.dial(first);
  options.log.info(
    {
      partition: options.partition,
      servers: endpoints.servers,
      server: line.client.getServer(),
      tls: endpoints.tls !== undefined,
    },
    'connected',
  );
  connection = new LatticeConnection(parts, line);
  return connection;
}

/** One of the two connections of a host. */
export class LatticeConnection implements Bus {
  readonly partition: Partition;
  readonly lattice: string;
  /** Resolves when the connection has ended: with the error that ended it, or `undefined` after {@link close} or {@link drain}. */
  readonly closed: Promise<TrellisError | undefined>;
  #parts: ConnectionParts;
  readonly #log: Logger;
  #files: LoginFiles;
  readonly #moves: Moves;
  readonly #lines: Lines;
  readonly #listeners = new Set<(event: ConnectionEvent) => void>();
  readonly #refusalWatches = new Set<RefusalWatch>();
  readonly #resolveClosed: (error: TrellisError | undefined) => void;
  #closedFor: { readonly error: TrellisError | undefined } | undefined;
  #reconnects = 0;
  #ending = false;

  /** @internal Use {@link connectPartition}. */
  constructor(parts: ConnectionParts, line: Line) {
    const { options } = parts;
    this.#parts = parts;
    this.partition = options.partition;
    this.lattice = options.lattice;
    this.#log = options.log.child({ partition: options.partition });
    const { promise, resolve } = Promise.withResolvers<TrellisError | undefined>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    this.#lines = new Lines({
      first: line,
      retireTimeoutMs: () => this.#parts.options.retireTimeoutMs ?? RETIRE_MS,
      settleMs: options.settleMs ?? SETTLE_MS,
      log: this.#log,
      isEnding: () => this.#ending,
    });
    this.#endWith(line);
    watchConnection({ connection: this, alarms: parts.alarms });
    this.#moves = new Moves({
      move: (reason) => this.#move(reason),
      wanted: () => this.#wanted(),
      failed: (reason, error) => this.#emit({ type: 'not-moved', reason, error }),
      settled: () => parts.alarms.clear('TRELLIS_ALARM_ROTATION_FAILED', this.partition),
    });
    this.#files = parts.files(() => this.#onFilesLooked());
  }

  get #line(): Line {
    return this.#lines.current;
  }

  get state(): 'connected' | 'disconnected' | 'closed' {
    return this.#closedFor === undefined ? this.#line.state : 'closed';
  }

  get line(): BusLine {
    return this.#line;
  }

  /** Root of the inboxes on the line in use. */
  get inboxPrefix(): string {
    return this.#line.inboxPrefix;
  }

  /** @internal Runs `work` with the client itself, which stays open for it. For the other files of src/nats. */
  withClient<T>(work: (client: NatsConnection) => Promise<T>): Promise<T> {
    const line = this.#line;
    return line.holding(() => work(line.client));
  }

  /** Public key of the user this connection is logged in as (`U…`); `undefined` without credentials. */
  get userKey(): string | undefined {
    return this.#line.login?.credentials.userKey;
  }

  /** The 64-byte Ed25519 signature of that user's key over `data`; `undefined` without credentials. */
  signAsUser(data: Uint8Array): Buffer | undefined {
    return this.#line.login?.sign(data);
  }

  /** The server in use, `host:port`. */
  get server(): string {
    return this.#line.client.getServer();
  }

  /** What the server said about itself when it was last connected; `undefined` while disconnected. */
  get serverInfo():
    | {
        readonly serverId: string;
        readonly serverName: string;
        readonly version: string;
        readonly jetstream: boolean;
        /** True if it lets nobody in without a login. */
        readonly wantsLogin: boolean;
      }
    | undefined {
    const info = this.#line.client.info;
    if (info === undefined) return undefined;
    return {
      serverId: info.server_id,
      serverName: info.server_name,
      version: info.version,
      jetstream: info.jetstream === true,
      wantsLogin: info.auth_required === true,
    };
  }

  /** When the credentials in use expire, milliseconds since the epoch; `undefined` if never. */
  get credentialsExpireMs(): number | undefined {
    return this.#line.login?.credentials.expiresMs;
  }

  get stats(): ConnectionStats {
    return { ...this.#lines.stats, reconnects: this.#reconnects };
  }

  get maxPayloadBytes(): number {
    return this.#line.maxPayloadBytes;
  }

  publish(subject: string, payload: Uint8Array, options?: { reply?: string; headers?: BusHeaders }): void {
    this.#line.publish(subject, payload, options);
  }

  /** As {@link Bus.subscribe}; an inbox below {@link inboxPrefix} stays on the line it is on, and holds it. */
  subscribe(subject: string, options: { queue?: string }, onMessage: (message: BusMessage) => void): BusSubscription {
    if (this.state === 'closed' || this.#ending) throw new TrellisError('TRELLIS_NATS_CLOSED');
    const line = this.#line;
    if (typeof subject === 'string' && subject.startsWith(`${line.inboxPrefix}.`)) return heldInbox(line, subject, onMessage);
    return this.#lines.subscribe(subject, options.queue, onMessage);
  }

  eachLine(user: LineUser): () => void {
    return this.#lines.eachLine(user);
  }

  /**
   * Sends a request and resolves with the first answer.
   *
   * @throws TRELLIS_NATS_NO_RESPONDERS, TRELLIS_NATS_TIMEOUT, TRELLIS_NATS_PERMISSION, TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED,
   *   TRELLIS_NATS_SUBJECT_INVALID, TRELLIS_NATS_HEADER_INVALID, TRELLIS_NATS_PAYLOAD_TOO_LARGE.
   */
  request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<BusMessage> {
    return this.#line.request(subject, payload, options);
  }

  async flush(): Promise<void> {
    const retiring = this.#lines.retiring.filter(({ state }) => state === 'connected');
    // What a line that was left still has to say counts too, but it may end meanwhile.
    await Promise.all([this.#line.flush(), ...retiring.map((line) => line.flush().catch(() => undefined))]);
  }

  /** Calls `listener` for every event from now on; the returned function ends that. */
  onStatus(listener: (event: ConnectionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Tells `refused` when the server refuses one of exactly these subjects, which is then expected: it is neither logged nor an
   * event. The returned function ends that.
   */
  watchRefusals(subjects: ReadonlySet<string>, refused: RefusalWatch['refused']): () => void {
    const watch = { subjects, refused };
    this.#refusalWatches.add(watch);
    return () => this.#refusalWatches.delete(watch);
  }

  /**
   * Moves to a new line now, with the credentials and certificates that the files hold now: new calls go over it, and what is in
   * flight ends on the old one. Nothing is lost, unless it takes longer than `retireTimeoutMs`; such calls end with
   * TRELLIS_INVOKE_MOVED. Resolves when the new line is in use.
   *
   * @param reason For the log.
   * @throws what {@link connectPartition} throws when no server lets us in, TRELLIS_NATS_PERMISSION when the new credentials may not
   *   subscribe what the old ones may, TRELLIS_NATS_CLOSED; the connection then stays where it is.
   */
  async rotate(reason: string): Promise<void> {
    await this.#files.look();
    await this.#moves.now(reason);
  }

  /**
   * Moves to where other settings lead, as {@link rotate} does: other servers, files or TLS settings. Partition, lattice and name stay.
   *
   * @throws as {@link rotate}, and what {@link connectPartition} throws before dialling; the connection then keeps its settings.
   */
  async reconfigure(options: PartitionOptions): Promise<void> {
    const [parts, files] = [this.#parts, this.#files];
    this.#parts = partsOf(options, parts.onEvent);
    this.#files = this.#parts.files(() => this.#onFilesLooked());
    try {
      await this.#moves.now('new settings');
    } catch (error) {
      this.#files.close();
      [this.#parts, this.#files] = [parts, files];
      throw error;
    }
    files.close();
  }

  /**
   * Looks at the credentials and TLS files now; the connection then moves by itself if there is something new. Without it, it hears of
   * a change within seconds. Never rejects.
   */
  async lookAtFiles(): Promise<void> {
    await this.#files.look();
  }

  /**
   * Ends the connection without losing an answer: drains all subscriptions but the own inboxes, waits for `pending`, flushes,
   * closes. (The client's own drain does not wait for handlers that are still at work; their answers would be lost.)
   * Resolves in any case, at the latest after three times `timeoutMs`.
   */
  async drain(options: DrainOptions = {}): Promise<void> {
    const { pending, timeoutMs = 10_000 } = options;
    if (this.#ending) {
      await this.closed;
      return;
    }
    this.#ending = true;
    await within(timeoutMs, this.#lines.drain());
    if (pending !== undefined) await within(timeoutMs, pending());
    if (this.state === 'connected') await within(timeoutMs, this.flush());
    await this.close();
  }

  /** Ends the connection now. May be called again. */
  async close(): Promise<void> {
    this.#ending = true;
    this.#moves.end();
    this.#files.close();
    await this.#lines.close();
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal What happens to a line. Of others than the one in use only what the server complains of matters to anybody. */
  onLineEvent(line: Line, event: ConnectionEvent): void {
    if (this.#isExpected(event)) return;
    if (line !== this.#line) {
      if (event.type === 'error' && event.error.code === 'TRELLIS_NATS_AUTH_REFUSED') this.#lines.hurry(line);
      else if (event.type === 'error') {
        this.#complain(event.error);
        this.#emit(event);
      } else if (event.type === 'shed') this.#emit(event);
      return;
    }
    switch (event.type) {
      case 'disconnected':
        this.#log.warn({ code: 'TRELLIS_NATS_DISCONNECTED', server: event.server }, 'connection interrupted');
        // Whoever replaced the file may have revoked what it held before.
        void this.#files.look();
        break;
      case 'reconnected':
        this.#reconnects++;
        this.#log.info({ server: event.server, reconnects: this.#reconnects }, 'connection restored');
        break;
      case 'lame-duck':
        this.#log.warn({ server: event.server }, 'the server is about to shut down');
        break;
      case 'error':
        this.#complain(event.error);
        break;
      default:
        break;
    }
    this.#emit(event);
    if (event.type === 'lame-duck' || event.type === 'reconnected') this.#moves.look();
  }

  #complain(error: TrellisError): void {
    // Of these two there is an alarm, once; the server says them again and again.
    const level = error.code === 'TRELLIS_NATS_PERMISSION' || error.code === 'TRELLIS_NATS_AUTH_REFUSED' ? 'warn' : 'error';
    this.#log[level]({ code: error.code, ...error.details }, error.message);
  }

  /** Whether the connection should be on another line than it is. */
  #wanted(): { readonly reason: string; readonly where: string } | undefined {
    const { login, tlsDigest, lameDuck } = this.#line;
    const digests = [this.#files.credentials?.digest, this.#files.tls?.digest];
    const where = digests.join(' ');
    if (digests[0] !== login?.credentials.digest) return { reason: 'new credentials', where };
    if (digests[1] !== tlsDigest) return { reason: 'new certificates', where };
    return lameDuck ? { reason: 'server shuts down', where: `${where} ${this.server}` } : undefined;
  }

  #onFilesLooked(): void {
    const { credentials } = this.#files;
    if (credentials !== undefined) this.#line.login?.renew(credentials);
    this.#moves.look();
  }

  async #move(reason: string): Promise<void> {
    const old = this.#line;
    const next = await this.#parts.dial({
      credentials: this.#files.credentials,
      tls: this.#files.tls,
      ...(old.lameDuck ? { servers: without(this.#parts.endpoints.servers, this.server) } : {}),
    });
    await this.#lines.moveTo(next);
    this.#endWith(next);
    this.#log.info({ reason, server: this.server, user: this.userKey }, 'moved to a new connection');
    this.#emit({ type: 'moved', server: this.server, reason, wasDown: old.state !== 'connected' });
  }

  /** The connection ends with the line it uses. */
  #endWith(line: Line): void {
    void line.closed.then((cause) => {
      if (line !== this.#line) return;
      const tls = this.#parts.endpoints.tls !== undefined;
      const error =
        cause === undefined ? undefined : connectFailure(cause, { partition: this.partition, servers: [this.server], tls });
      if (error === undefined) this.#log.info({}, 'connection closed');
      else this.#log.error({ code: error.code }, `connection lost for good: ${error.message}`);
      this.#closedFor = { error };
      this.#moves.end();
      this.#files.close();
      this.#emit({ type: 'closed', error });
      this.#resolveClosed(error);
    });
  }

  #isExpected(event: ConnectionEvent): boolean {
    if (event.type !== 'error' || event.error.code !== 'TRELLIS_NATS_PERMISSION') return false;
    const { subject, operation } = event.error.details;
    const watches = [...this.#refusalWatches].filter(({ subjects }) => subjects.has(String(subject)));
    for (const watch of watches) watch.refused(operation === 'publish' ? 'publish' : 'subscribe', String(subject));
    return watches.length > 0;
  }

  #emit(event: ConnectionEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (thrown) {
        // Nobody else may miss an event for it.
        this.#log.error({ code: 'TRELLIS_INTERNAL', err: thrown }, 'a connection listener failed');
      }
    }
  }
}

/** The servers to try when one of them shuts down; the same again when there is no other: its name may stand for several. */
function without(servers: readonly string[], server: string): readonly string[] {
  const others = servers.filter((each) => each !== server);
  return others.length === 0 ? servers : others;
}
