import type { MsgHdrs, NatsConnection, Status, Subscription } from 'nats';
import { TrellisError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import type { BusHeaders, BusLine, BusMessage, BusSubscription, LineHolder } from '../wrpc/bus.ts';
import { giveUpDial, hearErrors, socketOf } from './client-inside.ts';
import { requestFailure, runtimeError } from './connect-error.ts';
import type { ConnectionEvent } from './connection-events.ts';
import { encodeHeaders, OutgoingHeaders } from './headers.ts';
import type { Login } from './login.ts';
import { NatsMessage } from './message.ts';
import type { ReconnectPace } from './reconnect-pace.ts';
import { isPublishSubject, isQueueName, isSubscribeSubject, subjectError } from './subject.ts';
import { NatsSubscription } from './subscription.ts';

const DEFAULT_MAX_PAYLOAD_BYTES = 1024 * 1024;
/** Most bytes that wait for a server which does not read, before messages are refused. */
const MAX_BACKLOG_BYTES = 128 * 1024 * 1024;

/** What a {@link Line} is made of. */
export interface LineParts {
  readonly client: NatsConnection;
  readonly inboxPrefix: string;
  readonly login: Login | undefined;
  /** Digest of the TLS files it was dialled with. */
  readonly tlsDigest: string | undefined;
  readonly pace: ReconnectPace;
  readonly log: Logger;
  /** Hears what happens to it. `closed` is not among it: see {@link Line.closed}. */
  readonly onEvent: (line: Line, event: ConnectionEvent) => void;
}

/** What a request takes. */
export interface RequestOptions {
  readonly timeoutMs: number;
  readonly headers?: BusHeaders;
  /** Where the answer shall go, below the own inbox root and used for nothing else; made up if left out. */
  readonly reply?: string;
}

/**
 * One client of the NATS library: one login at one server, and after an interruption the same login at the next. Every subject
 * and header that leaves has passed this class.
 */
export class Line implements BusLine {
  readonly inboxPrefix: string;
  readonly login: Login | undefined;
  readonly tlsDigest: string | undefined;
  /** Resolves when the client has ended, with the error that ended it if one did. */
  readonly closed: Promise<Error | undefined>;
  /** Subjects that the server refused to let this line subscribe to; an own inbox without its root. */
  readonly refused = new Set<string>();
  /** What subscribes again what was refused: after a reconnect the user may have the right. */
  readonly #renewals = new Set<() => void>();
  /** The server has said that it is about to shut down. */
  lameDuck = false;
  readonly #nc: NatsConnection;
  readonly #log: Logger;
  readonly #pace: ReconnectPace;
  readonly #onEvent: (line: Line, event: ConnectionEvent) => void;
  readonly #holders = new Set<LineHolder>();
  /** What waits for the server and learns by these that it waits in vain. */
  readonly #waiting = new Set<(reason: Error) => void>();
  // The same objects for all messages: the client copies what it needs before `publish` returns.
  readonly #block = new OutgoingHeaders();
  readonly #plainOptions = { reply: '' };
  readonly #headerOptions = { reply: '', headers: this.#block as unknown as MsgHdrs };
  #state: 'connected' | 'disconnected' | 'closed' = 'connected';
  #maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES;
  #whenIdle: (() => void) | undefined;
  /** The connection has moved on: what is still asked of this line is asked too late, and not of a closed connection. */
  #left = false;

  constructor(parts: LineParts) {
    this.#nc = parts.client;
    this.inboxPrefix = parts.inboxPrefix;
    this.login = parts.login;
    this.tlsDigest = parts.tlsDigest;
    this.#pace = parts.pace;
    this.#log = parts.log;
    this.#onEvent = parts.onEvent;
    this.closed = this.#nc.closed().then((cause) => {
      this.#state = 'closed';
      for (const reject of this.#waiting) reject(new Error('closed'));
      return cause instanceof Error ? cause : undefined;
    });
    void this.#watch();
  }

  get state(): 'connected' | 'disconnected' | 'closed' {
    return this.#state;
  }

  get client(): NatsConnection {
    return this.#nc;
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
    this.#checkSize(payload.length + (block?.length ?? 0));
    const out = block === undefined ? this.#plainOptions : this.#headerOptions;
    out.reply = reply;
    if (block !== undefined) this.#block.block = block;
    if ((socketOf(this.#nc)?.writableLength ?? 0) > MAX_BACKLOG_BYTES) {
      this.#onEvent(this, { type: 'shed' });
      throw new TrellisError('TRELLIS_NATS_BACKLOG');
    }
    try {
      this.#nc.publish(subject, payload, out);
    } catch (cause) {
      // Closing or draining; everything else has been checked above.
      throw new TrellisError(this.#closedCode, { cause });
    }
  }

  subscribe(subject: string, options: { queue?: string }, onMessage: (message: BusMessage) => void): BusSubscription {
    if (this.#state === 'closed') throw new TrellisError(this.#closedCode);
    if (!isSubscribeSubject(subject)) throw subjectError('subscription', subject);
    const { queue } = options;
    if (queue !== undefined && !isQueueName(queue)) throw subjectError('queue group', queue);
    const name = subject.startsWith(this.inboxPrefix) ? subject.slice(this.inboxPrefix.length) : subject;
    const start = (): Subscription =>
      this.#nc.subscribe(subject, {
        ...(queue === undefined ? {} : { queue }),
        callback: (error, message) => {
          if (error !== null) {
            // The status stream reports it, too. The client forgets the subscription.
            this.refused.add(name);
            this.#renewals.add(renew);
            return;
          }
          try {
            onMessage(new NatsMessage(message, this));
          } catch (thrown) {
            // An exception would end the client's reader and with it the connection.
            this.#log.error({ code: 'TRELLIS_INTERNAL', subject, err: thrown }, 'a message handler failed');
          }
        },
      });
    const subscription = new NatsSubscription(start(), {
      ended: () => {
        this.refused.delete(name);
        this.#renewals.delete(renew);
      },
      drained: (work) => this.#orClosed(work),
    });
    const renew = (): void => {
      this.refused.delete(name);
      subscription.renew(start());
    };
    return subscription;
  }

  /** Sends a request and resolves with the first answer; for the errors see `LatticeConnection.request`. */
  async request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<BusMessage> {
    if (this.#state !== 'connected') throw this.#stateError();
    if (!isPublishSubject(subject)) throw subjectError('subject', subject);
    const { reply } = options;
    if (reply !== undefined && !reply.startsWith(`${this.inboxPrefix}.`)) throw subjectError('reply subject', reply);
    const block = options.headers === undefined ? undefined : encodeHeaders(options.headers);
    this.#checkSize(payload.length + (block?.length ?? 0));
    const { timeoutMs } = options;
    const headers = block === undefined ? {} : { headers: new OutgoingHeaders(block) as unknown as MsgHdrs };
    const inbox = reply === undefined ? {} : { reply, noMux: true };
    try {
      return await this.holding(async () => {
        return new NatsMessage(await this.#nc.request(subject, payload, { timeout: timeoutMs, ...headers, ...inbox }), this);
      });
    } catch (cause) {
      throw requestFailure(cause, subject, timeoutMs, this.#closedCode);
    }
  }

  async flush(): Promise<void> {
    if (this.#state !== 'connected') throw this.#stateError();
    try {
      await this.#orClosed(this.#nc.flush());
    } catch (cause) {
      throw new TrellisError(this.#nc.isClosed() ? this.#closedCode : 'TRELLIS_NATS_DISCONNECTED', { cause });
    }
  }

  /** The client forgets the flushes that are under way when it is closed: their promises stay as they are for ever. */
  async #orClosed(work: Promise<void>): Promise<void> {
    const { promise: closed, reject } = Promise.withResolvers<never>();
    this.#waiting.add(reject);
    try {
      await Promise.race([work, closed]);
    } finally {
      this.#waiting.delete(reject);
    }
  }

  hold(holder: LineHolder): void {
    this.#holders.add(holder);
  }

  release(holder: LineHolder): void {
    if (this.#holders.delete(holder) && this.#holders.size === 0) this.#whenIdle?.();
  }

  /** Runs `work`, for which the line is kept. */
  async holding<T>(work: () => Promise<T>): Promise<T> {
    const holder: LineHolder = { onLineEnding: () => {} };
    this.hold(holder);
    try {
      return await work();
    } finally {
      this.release(holder);
    }
  }

  /** The connection uses another line from now on. */
  leave(): void {
    this.#left = true;
  }

  /** Resolves when nothing needs this line any more. */
  idle(): Promise<void> {
    if (this.#holders.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#whenIdle = resolve));
  }

  /** Tells all that still need this line that they cannot have it. Returns how many there were. */
  endHolders(): number {
    const holders = [...this.#holders];
    for (const holder of holders) holder.onLineEnding();
    return holders.length;
  }

  /** Ends it now. */
  async close(): Promise<void> {
    hearErrors(this.#nc);
    await this.#nc.close();
    await this.closed;
  }

  get #closedCode(): 'TRELLIS_NATS_CLOSED' | 'TRELLIS_NATS_DISCONNECTED' {
    return this.#left ? 'TRELLIS_NATS_DISCONNECTED' : 'TRELLIS_NATS_CLOSED';
  }

  #stateError(): TrellisError {
    return new TrellisError(this.#state === 'closed' ? this.#closedCode : 'TRELLIS_NATS_DISCONNECTED');
  }

  #checkSize(bytes: number): void {
    if (bytes <= this.maxPayloadBytes) return;
    throw new TrellisError('TRELLIS_NATS_PAYLOAD_TOO_LARGE', {
      message: `a message of ${bytes} bytes with its headers is larger than the server's limit of ${this.#maxPayloadBytes}`,
      details: { bytes, maxPayloadBytes: this.#maxPayloadBytes },
    });
  }

  #renew(): void {
    const renewals = [...this.#renewals];
    this.#renewals.clear();
    for (const renew of renewals) renew();
  }

  async #watch(): Promise<void> {
    for await (const status of this.#nc.status()) this.#onStatus(status);
  }

  #onStatus(status: Status): void {
    switch (status.type) {
      case 'disconnect':
        if (this.#state === 'disconnected') giveUpDial(this.#nc);
        if (this.#state !== 'connected') break;
        this.#state = 'disconnected';
        this.#onEvent(this, { type: 'disconnected', server: status.server });
        break;
      case 'reconnect':
        // The client says it once more for each dial that was given up.
        if (this.#state !== 'disconnected') break;
        this.#state = 'connected';
        this.lameDuck = false;
        this.#pace.connected();
        this.login?.accepted();
        this.#renew();
        this.#onEvent(this, { type: 'reconnected', server: status.server });
        break;
      case 'staleConnection':
        // The client now waits for its last bytes to leave, which a dead peer with full buffers never lets happen.
        socketOf(this.#nc)?.destroy();
        break;
      case 'reconnecting':
        this.#pace.attempted();
        break;
      case 'ldm':
        this.lameDuck = true;
        this.#onEvent(this, { type: 'lame-duck', server: status.server });
        break;
      case 'error': {
        const error = runtimeError(status.error);
        if (error.code === 'TRELLIS_NATS_AUTH_REFUSED') {
          this.#pace.loginRefused();
          this.login?.refused();
        }
        this.#onEvent(this, { type: 'error', error });
        break;
      }
      default:
        break;
    }
  }
}
