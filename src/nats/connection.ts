import type { Socket } from 'node:net';
import { connect, errors, type MsgHdrs, type NatsConnection, type Status } from 'nats';
import { TrellisError } from '../errors.ts';
import { latticeName } from '../ids.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Bus, BusHeaders, BusMessage, BusSubscription } from '../wrpc/bus.ts';
import { connectFailure, requestFailure, runtimeError } from './connect-error.ts';
import type { ConnectionEvent, ConnectionStats, DrainOptions, RefusalWatch } from './connection-events.ts';
import { type Credentials, exposedFiles, openCredentials } from './credentials.ts';
import { resolveEndpoints } from './endpoint.ts';
import { encodeHeaders, OutgoingHeaders } from './headers.ts';
import { ownInboxPrefix } from './inbox-prefix.ts';
import { NatsMessage } from './message.ts';
import type { Partition, PartitionOptions } from './partition.ts';
import { ReconnectPace } from './reconnect-pace.ts';
import { isPublishSubject, isQueueName, isSubscribeSubject, subjectError } from './subject.ts';
import { NatsSubscription } from './subscription.ts';

const MAX_PINGS_OUT = 2;
const DEFAULT_MAX_PAYLOAD_BYTES = 1024 * 1024;
/** Most bytes that wait for a server which does not read, before messages are refused. */
const MAX_BACKLOG_BYTES = 128 * 1024 * 1024;

/**
 * Opens one of a host's two connections. Once it is open it stays: interruptions, expired credentials and refused logins are
 * retried for ever (and reported), only {@link LatticeConnection.close} ends it.
 *
 * @throws TRELLIS_NATS_SERVERS_INVALID, TRELLIS_NATS_TLS_REQUIRED, TRELLIS_NATS_TLS_INVALID, TRELLIS_NATS_CREDENTIALS_REQUIRED,
 *   TRELLIS_NATS_CREDENTIALS_INVALID, TRELLIS_NATS_SUBJECT_INVALID before dialling; TRELLIS_NATS_UNREACHABLE,
 *   TRELLIS_NATS_TLS_FAILED, TRELLIS_NATS_AUTH_REFUSED when no server lets us in.
 */
export async function connectPartition(options: PartitionOptions): Promise<LatticeConnection> {
  const { partition, servers, tls, name, log } = options;
  const lattice = latticeName(options.lattice);
  const endpoints = resolveEndpoints(servers, tls, options.allowPlaintext);
  const fields = { partition, servers: endpoints.servers };
  const credentials = openCredentials(options, {
    secret: (text) => log.scrubber.register(text),
    kept: (reason) =>
      log.error({ ...fields, code: 'TRELLIS_NATS_CREDENTIALS_KEPT' }, `the new credentials are not used: ${reason}`),
  });
  if (credentials === undefined && tls?.certFile === undefined && !endpoints.loopback && options.allowAnonymous !== true) {
    throw new TrellisError('TRELLIS_NATS_CREDENTIALS_REQUIRED', {
      message: `the ${partition} connection to ${endpoints.servers.join(', ')} has no credentials`,
    });
  }
  for (const file of exposedFiles(options)) {
    log.warn({ ...fields, file }, 'other users of this machine can read this credentials file; chmod 600 it');
  }
  const inboxPrefix = ownInboxPrefix({ partition, lattice, userKey: credentials?.userKey, configured: options.inboxPrefix });
  const pace = new ReconnectPace(options);
  let nc: NatsConnection;
  try {
    nc = await connect({
      servers: [...endpoints.servers],
      name,
      inboxPrefix,
      timeout: options.connectTimeoutMs ?? 5_000,
      pingInterval: options.pingIntervalMs ?? 4_000,
      maxPingOut: options.maxPingsOut ?? MAX_PINGS_OUT,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectDelayHandler: () => pace.nextDelayMs(),
      // Without it the client gives up for good at the second refused login in a row, which expired credentials are.
      ignoreAuthErrorAbort: true,
      // A server, or who plays one, must not add addresses to dial.
      ignoreClusterUpdates: true,
      // Spares a stack capture per request: 46 % more requests a second.
      noAsyncTraces: true,
      ...(endpoints.tls === undefined ? {} : { tls: endpoints.tls }),
      ...(credentials === undefined ? {} : { authenticator: (nonce?: string) => credentials.login(nonce) }),
    });
  } catch (cause) {
    throw connectFailure(cause, { ...fields, tls: endpoints.tls !== undefined });
  }
  log.info({ ...fields, server: nc.getServer(), tls: endpoints.tls !== undefined }, 'connected');
  return new LatticeConnection(nc, inboxPrefix, pace, options, credentials);
}

/** One of the two connections of a host, checked on the way in: every subject and header that leaves has passed this class. */
export class LatticeConnection implements Bus {
  readonly partition: Partition;
  readonly lattice: string;
  readonly inboxPrefix: string;
  /** Resolves when the connection has ended: with the error that ended it, or `undefined` after {@link close} or {@link drain}. */
  readonly closed: Promise<TrellisError | undefined>;
  readonly #nc: NatsConnection;
  readonly #log: Logger;
  readonly #pace: ReconnectPace;
  readonly #credentials: Credentials | undefined;
  readonly #listeners = new Set<(event: ConnectionEvent) => void>();
  readonly #refusalWatches = new Set<RefusalWatch>();
  readonly #services = new Set<NatsSubscription>();
  // The same objects for all messages: the client copies what it needs before `publish` returns.
  readonly #block = new OutgoingHeaders();
  readonly #plainOptions = { reply: '' };
  readonly #headerOptions = { reply: '', headers: this.#block as unknown as MsgHdrs };
  #state: 'connected' | 'disconnected' | 'closed' = 'connected';
  #maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES;
  #reconnects = 0;
  #ending = false;

  /** @internal Use {@link connectPartition}. */
  constructor(
    nc: NatsConnection,
    inboxPrefix: string,
    pace: ReconnectPace,
    options: PartitionOptions,
    credentials: Credentials | undefined,
  ) {
    this.#nc = nc;
    this.#pace = pace;
    this.#credentials = credentials;
    this.partition = options.partition;
    this.lattice = options.lattice;
    this.inboxPrefix = inboxPrefix;
    this.#log = options.log.child({ partition: options.partition });
    this.closed = this.#whenClosed();
    void this.#watch();
  }

  get state(): 'connected' | 'disconnected' | 'closed' {
    return this.#state;
  }

  /** @internal The client itself, for the other files of src/nats. */
  get client(): NatsConnection {
    return this.#nc;
  }

  /** Public key of the user this connection logs in as (`U…`); `undefined` without credentials. */
  get userKey(): string | undefined {
    return this.#credentials?.userKey;
  }

  /** The 64-byte Ed25519 signature of that user's key over `data`; `undefined` without credentials. */
  signAsUser(data: Uint8Array): Buffer | undefined {
    return this.#credentials?.sign(data);
  }

  /** The server in use, `host:port`. */
  get server(): string {
    return this.#nc.getServer();
  }

  /** What the server said about itself when it was last connected; `undefined` while disconnected. */
  get serverInfo():
    | { readonly serverId: string; readonly serverName: string; readonly version: string; readonly jetstream: boolean }
    | undefined {
    const info = this.#nc.info;
    if (info === undefined) return undefined;
    return { serverId: info.server_id, serverName: info.server_name, version: info.version, jetstream: info.jetstream === true };
  }

  /** When the credentials in use expire, milliseconds since the epoch; `undefined` if never. */
  get credentialsExpireMs(): number | undefined {
    return this.#credentials?.expiresMs;
  }

  get stats(): ConnectionStats {
    const { inMsgs, outMsgs, inBytes, outBytes } = this.#nc.stats();
    return { messagesIn: inMsgs, messagesOut: outMsgs, bytesIn: inBytes, bytesOut: outBytes, reconnects: this.#reconnects };
  }

  get maxPayloadBytes(): number {
    // The client forgets the server's greeting while it dials; the last known limit holds until the next one.
    const known = this.#nc.info?.max_payload;
    if (known !== undefined) this.#maxPayloadBytes = known;
    return this.#maxPayloadBytes;
  }

  publish(subject: string, payload: Uint8Array, options?: { reply?: string; headers?: BusHeaders }): void {
    if (this.#state !== 'connected') throw this.#stateError();
    if (!isPublishSubject(subject)) throw subjectError('subject', subject);
    const reply = options?.reply ?? '';
    if (reply !== '' && !isPublishSubject(reply)) throw subjectError('reply subject', reply);
    const block = options?.headers === undefined ? undefined : encodeHeaders(options.headers);
    const bytes = payload.length + (block?.length ?? 0);
    if (bytes > this.maxPayloadBytes) {
      throw new TrellisError('TRELLIS_NATS_PAYLOAD_TOO_LARGE', {
        message: `a message of ${bytes} bytes with its headers is larger than the server's limit of ${this.#maxPayloadBytes}`,
        details: { bytes, maxPayloadBytes: this.#maxPayloadBytes },
      });
    }
    const out = block === undefined ? this.#plainOptions : this.#headerOptions;
    out.reply = reply;
    if (block !== undefined) this.#block.block = block;
    if ((this.#socket()?.writableLength ?? 0) > MAX_BACKLOG_BYTES) throw new TrellisError('TRELLIS_NATS_BACKLOG');
    try {
      this.#nc.publish(subject, payload, out);
    } catch (cause) {
      // Closing or draining; everything else has been checked above.
      throw new TrellisError('TRELLIS_NATS_CLOSED', { cause });
    }
  }

  subscribe(subject: string, options: { queue?: string }, onMessage: (message: BusMessage) => void): BusSubscription {
    if (this.#state === 'closed' || this.#ending) throw new TrellisError('TRELLIS_NATS_CLOSED');
    if (!isSubscribeSubject(subject)) throw subjectError('subscription', subject);
    const { queue } = options;
    if (queue !== undefined && !isQueueName(queue)) throw subjectError('queue group', queue);
    const subscription = this.#nc.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        // A refused subscription arrives here too; the status stream reports it.
        if (error !== null) return;
        try {
          onMessage(new NatsMessage(message));
        } catch (thrown) {
          // An exception would end the client's reader and with it the connection.
          this.#log.error({ code: 'TRELLIS_INTERNAL', subject, err: thrown }, 'a message handler failed');
        }
      },
    });
    const service = new NatsSubscription(subscription, () => this.#services.delete(service));
    // Our own inboxes stay open while the services drain: their answers still have to arrive.
    if (!subject.startsWith(this.inboxPrefix)) this.#services.add(service);
    return service;
  }

  /**
   * Sends a request and resolves with the first answer.
   *
   * @throws TRELLIS_NATS_NO_RESPONDERS, TRELLIS_NATS_TIMEOUT, TRELLIS_NATS_PERMISSION, TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED,
   *   TRELLIS_NATS_SUBJECT_INVALID, TRELLIS_NATS_HEADER_INVALID, TRELLIS_NATS_PAYLOAD_TOO_LARGE.
   */
  async request(subject: string, payload: Uint8Array, options: { timeoutMs: number; headers?: BusHeaders }): Promise<BusMessage> {
    if (this.#state !== 'connected') throw this.#stateError();
    if (!isPublishSubject(subject)) throw subjectError('subject', subject);
    const block = options.headers === undefined ? undefined : encodeHeaders(options.headers);
    if (payload.length + (block?.length ?? 0) > this.maxPayloadBytes) {
      throw new TrellisError('TRELLIS_NATS_PAYLOAD_TOO_LARGE', {
        details: { bytes: payload.length, maxPayloadBytes: this.#maxPayloadBytes },
      });
    }
    const { timeoutMs } = options;
    try {
      const headers = block === undefined ? {} : { headers: new OutgoingHeaders(block) as unknown as MsgHdrs };
      return new NatsMessage(await this.#nc.request(subject, payload, { timeout: timeoutMs, ...headers }));
    } catch (cause) {
      throw requestFailure(cause, subject, timeoutMs);
    }
  }

  async flush(): Promise<void> {
    if (this.#state !== 'connected') throw this.#stateError();
    try {
      await this.#nc.flush();
    } catch (cause) {
      throw new TrellisError(this.#nc.isClosed() ? 'TRELLIS_NATS_CLOSED' : 'TRELLIS_NATS_DISCONNECTED', { cause });
    }
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
    await within(timeoutMs, Promise.all([...this.#services].map((service) => service.drain())));
    if (pending !== undefined) await within(timeoutMs, pending());
    if (this.#state === 'connected') await within(timeoutMs, this.#nc.flush());
    await this.close();
  }

  /** Ends the connection now. May be called again. */
  async close(): Promise<void> {
    this.#ending = true;
    await this.#nc.close();
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The client's socket. Private there; the version is pinned and a test watches what depends on it. */
  #socket(): Socket | undefined {
    return (this.#nc as unknown as { protocol?: { transport?: { socket?: Socket } } }).protocol?.transport?.socket;
  }

  #stateError(): TrellisError {
    return new TrellisError(this.#state === 'closed' ? 'TRELLIS_NATS_CLOSED' : 'TRELLIS_NATS_DISCONNECTED');
  }

  async #whenClosed(): Promise<TrellisError | undefined> {
    const cause = await this.#nc.closed();
    this.#state = 'closed';
    const error =
      cause instanceof Error
        ? connectFailure(cause, { partition: this.partition, servers: [this.server], tls: this.#nc.info?.tls_required === true })
        : undefined;
    if (error === undefined) this.#log.info({}, 'connection closed');
    else this.#log.error({ code: error.code }, `connection lost for good: ${error.message}`);
    this.#emit({ type: 'closed', error });
    return error;
  }

  async #watch(): Promise<void> {
    for await (const status of this.#nc.status()) this.#onClientStatus(status);
  }

  #onClientStatus(status: Status): void {
    switch (status.type) {
      case 'disconnect':
        if (this.#state === 'connected') this.#state = 'disconnected';
        this.#log.warn({ code: 'TRELLIS_NATS_DISCONNECTED', server: status.server }, 'connection interrupted');
        this.#emit({ type: 'disconnected', server: status.server });
        break;
      case 'reconnect':
        if (this.#state === 'disconnected') this.#state = 'connected';
        this.#reconnects++;
        this.#pace.connected();
        this.#log.info({ server: status.server, reconnects: this.#reconnects }, 'connection restored');
        this.#emit({ type: 'reconnected', server: status.server });
        break;
      case 'staleConnection':
        // The client now waits for its last bytes to leave, which a dead peer with full buffers never lets happen.
        this.#socket()?.destroy();
        break;
      case 'reconnecting':
        this.#pace.attempted();
        break;
      case 'ldm':
        this.#log.warn({ server: status.server }, 'the server is about to shut down');
        this.#emit({ type: 'lame-duck', server: status.server });
        break;
      case 'error': {
        if (this.#isExpected(status.error)) break;
        const error = runtimeError(status.error);
        if (error.code === 'TRELLIS_NATS_AUTH_REFUSED') this.#pace.loginRefused();
        this.#log.error({ code: error.code, ...error.details }, error.message);
        this.#emit({ type: 'error', error });
        break;
      }
      default:
        break;
    }
  }

  #isExpected(error: Error): boolean {
    if (!(error instanceof errors.PermissionViolationError)) return false;
    const { subject, operation } = error;
    const watches = [...this.#refusalWatches].filter(({ subjects }) => subjects.has(subject));
    for (const watch of watches) watch.refused(operation === 'publish' ? 'publish' : 'subscribe', subject);
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

async function within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  // A step that fails has nothing left to wait for.
  await Promise.race([work.catch(() => undefined), expired]);
  clearTimeout(timer);
}
