import type { Bus, BusHeaders, BusLine, BusMessage } from './bus.ts';
import { firstMessageLimit, type FrameSealer, type PathFrame, sendChunks, sendFrames } from './chunks.ts';
import type { Inbox, InboxReceiver } from './inbox.ts';
import { REPLY_HEADER, REPLY_UNARY } from './server.ts';
import { framePath, frameSuffix, isInboxSubject } from './subjects.ts';

/** First value of a header of the message that caused the event. */
export type HeaderLookup = (name: string) => string | undefined;

/** What happens to an outgoing call. Every event may come more than once: a forger can be faster than the server. */
export interface OutgoingEvents {
  /**
   * The server acknowledged and wants further parameters on its inbox `rs`. Return `false` to withhold them (not proven
   * authentic, or not yet: see {@link OutgoingCall.allowParams}); anything else sends what remains and the end.
   */
  accepted(header: HeaderLookup, rs: string): boolean | void;
  /** The result in the one-message form; only for calls sent with `unary`. */
  unary(payload: Uint8Array, header: HeaderLookup, status: number, statusText: string): void;
  /**
   * Refused: by the broker (503, nobody listens), by the server (its status and text), by this side (503 and a text of our
   * own when the connection is down or the message cannot be sent), or with status 0 for an answer that breaks the protocol.
   */
  refused(status: number, text: string, header: HeaderLookup): void;
  /** Result bytes of a path (`''` is the root, `0.1` a pending value). An empty payload is the path's end. A view: copy what outlives the turn. */
  result(path: string, payload: Uint8Array, eof: boolean, header: HeaderLookup): void;
  /** The connection has moved on and can wait no longer: nothing more will come of this call. */
  lineEnding(): void;
}

/** What {@link OutgoingCall.send} takes. */
export interface OutgoingMessage {
  /** Invocation subject. */
  readonly subject: string;
  /** All root parameters. Not copied: leave them alone until the call is over. */
  readonly params: Uint8Array;
  readonly headers: BusHeaders['entries'];
  /** Asks for a one-message reply; a 1.x server ignores it and answers the long way, which this side understands too. */
  readonly unary: boolean;
}

/**
 * What is to be done with an acknowledgement that comes when the call has been given up: the sealer for the ends of pending
 * values, `undefined` to send them without, `null` to do nothing, because it is not the server's.
 */
export type LateAcceptance = (header: HeaderLookup, rs: string) => FrameSealer | undefined | null;

const EMPTY = new Uint8Array(0);
const NO_HEADER: HeaderLookup = () => undefined;
/** Most bytes of pending values kept for a server that has not acknowledged yet. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024;
/** How long a call that was given up still waits for its acknowledgement, to end the parameters. */
const ABANDONED_MS = 30_000;
/** Pause before the end of the parameters is sent a second time; it doubles from then on. */
const REPEAT_END_MS = 100;

/** Opens a call: its reply address exists before anything is sent, because the request token signs it. */
export function prepareCall(options: { readonly bus: Bus; readonly inbox: Inbox }): OutgoingCall {
  return new OutgoingCall(options.bus, options.inbox);
}

/** One invocation as the caller sees it. It stays open, and keeps hearing answers, until {@link cancel}. */
export class OutgoingCall implements InboxReceiver {
  /** The call's own inbox (`Rc`). */
  readonly reply: string;
  /** The line that the call begins on, and stays on. */
  readonly #bus: BusLine;
  readonly #inbox: Inbox;
  #events: OutgoingEvents | undefined;
  #params: Uint8Array = EMPTY;
  #sentBytes = 0;
  #unary = false;
  #answered = false;
  #rs: string | undefined;
  #queue: PathFrame[] | undefined;
  #queuedBytes = 0;
  #repeat: NodeJS.Timeout | undefined;
  #sealer: FrameSealer | undefined;
  #late: LateAcceptance | undefined;
  /** Goes with the end of the root parameters. */
  #endHeaders: BusHeaders | undefined;

  constructor(bus: Bus, inbox: Inbox) {
    this.#bus = bus.line;
    this.#inbox = inbox;
    this.reply = inbox.open(this);
  }

  /**
   * Sends the invocation: as much of the parameters as fits one message; the rest and the end follow the
   * acknowledgement. May be called again, with other headers, as long as there was none: it is the same call.
   */
  send(message: OutgoingMessage, events: OutgoingEvents): void {
    this.#events = events;
    this.#params = message.params;
    this.#unary = message.unary;
    this.#answered = false;
    const headers: BusHeaders = {
      entries: message.unary ? [...message.headers, [REPLY_HEADER, REPLY_UNARY]] : message.headers,
    };
    const limit = firstMessageLimit(this.#bus.maxPayloadBytes, this.reply, headers);
    const first = message.params.length <= limit ? message.params : message.params.subarray(0, limit);
    this.#sentBytes = first.length;
    try {
      this.#bus.publish(
        message.subject,
        first,
        headers.entries.length === 0 ? { reply: this.reply } : { reply: this.reply, headers },
      );
    } catch (error) {
      this.#answered = true;
      const text = error instanceof Error ? error.message : 'could not be sent';
      // Not in this turn: the caller may not have kept the call yet.
      queueMicrotask(() => this.#events?.refused(503, text, NO_HEADER));
    }
  }

  /** True if the first message held all root parameters. */
  get paramsSent(): boolean {
    return this.#sentBytes >= this.#params.length;
  }

  /** True once parameters may flow: an acknowledgement was accepted. */
  get paramsAllowed(): boolean {
    return this.#rs !== undefined;
  }

  /** From now on frames of pending parameters carry their proof; call before parameters are allowed. */
  sealFrames(sealer: FrameSealer): void {
    this.#sealer = sealer;
  }

  /**
   * Sends the remaining root parameters, their end and what {@link sendPath} queued to `rs`: for acknowledgements that were
   * proven authentic after the event. The first `rs` stands. False if `rs` is not an inbox.
   *
   * @param endHeaders go with the end of the root parameters
   */
  allowParams(rs: string, endHeaders?: BusHeaders): boolean {
    if (this.#rs !== undefined) return this.#rs === rs;
    if (!isInboxSubject(rs)) {
      this.#inbox.stats.malformed++;
      return false;
    }
    this.#rs = rs;
    this.#endHeaders = endHeaders;
    const subject = `${rs}.params`;
    sendChunks(this.#params, this.#sentBytes, this.#bus.maxPayloadBytes, (piece) => this.#publish(subject, piece));
    this.#sentBytes = this.#params.length;
    this.#params = EMPTY;
    // Always the end, even when the first message held everything: a Rust server with no parameters waits for it.
    this.#publish(subject, EMPTY, endHeaders);
    if (this.#events !== undefined) this.#repeatEnd(subject, REPEAT_END_MS);
    const queued = this.#queue;
    this.#queue = undefined;
    if (queued !== undefined) for (const frame of queued) this.#sendFrames(rs, frame);
    return true;
  }

  /**
   * Sends bytes of a pending parameter on its path; `eof` sends the empty end after them. Before the acknowledgement they are
   * copied and kept, up to 4 MiB; false when there is no more room, or `path` is none.
   */
  sendPath(path: string, bytes: Uint8Array, eof: boolean): boolean {
    if (this.#rs !== undefined) return this.#sendFrames(this.#rs, { path, bytes, eof });
    if (this.#events === undefined || this.#queuedBytes + bytes.length > MAX_QUEUED_BYTES) return false;
    this.#queuedBytes += bytes.length;
    // Not `bytes.slice()`: of a Buffer that is a view.
    (this.#queue ??= []).push({ path, bytes: new Uint8Array(bytes), eof });
    return true;
  }

  /**
   * Closes the call; no event comes afterwards. There is no cancellation on the wire. But a call given up before its
   * acknowledgement still answers one with the end of the parameters, because a Rust server serves nobody else with this
   * function until it has it; and with `last`, the ends of pending values that the server would wait for, if `late` has them sent.
   */
  cancel(last?: readonly PathFrame[], late?: LateAcceptance): void {
    const waiting = this.#events !== undefined && !this.#answered && this.#rs === undefined;
    this.#events = undefined;
    this.#stopRepeating();
    this.#queue = waiting && last !== undefined ? [...last] : undefined;
    this.#late = late;
    this.#params = EMPTY;
    this.#sentBytes = 0;
    if (waiting) this.#inbox.closeLater(this.reply, ABANDONED_MS);
    else this.#inbox.close(this.reply);
  }

  /** @internal */
  onLineEnding(): void {
    if (this.#events === undefined) this.#inbox.close(this.reply);
    else this.#events.lineEnding();
  }

  /** @internal A message on `Rc` or below it. */
  onInboxMessage(tail: string, message: BusMessage): void {
    if (tail === '') {
      this.#onAnswer(message);
      return;
    }
    const path = framePath(tail, '.results');
    if (path === undefined) {
      this.#inbox.stats.malformed++;
    } else if (this.#events === undefined) {
      this.#inbox.stats.late++;
    } else {
      const { payload } = message;
      this.#stopRepeating();
      this.#events.result(path, payload, payload.length === 0, (name) => message.header(name));
    }
  }

  /**
   * Sends the end of the root parameters again while no answer comes, ever more rarely. Rust 1.9.2 servers now and then lose
   * the first one, when it arrives before they have registered for it, and then serve nobody with this function any more.
   * A duplicate is harmless.
   */
  #repeatEnd(subject: string, delayMs: number): void {
    this.#repeat = setTimeout(() => {
      this.#publish(subject, EMPTY, this.#endHeaders);
      this.#repeatEnd(subject, delayMs * 2);
    }, delayMs).unref();
  }

  #stopRepeating(): void {
    if (this.#repeat === undefined) return;
    clearTimeout(this.#repeat);
    this.#repeat = undefined;
  }

  #onAnswer(message: BusMessage): void {
    const { reply, status } = message;
    const events = this.#events;
    const header: HeaderLookup = (name) => message.header(name);
    const refused = status !== 0 && (status < 200 || status > 299);
    if (events === undefined) {
      this.#onLateAnswer(refused, reply, header);
      return;
    }
    if (refused) {
      this.#answered = true;
      events.refused(status, message.statusText, header);
    } else if (reply !== '') {
      if (!isInboxSubject(reply)) this.#inbox.stats.malformed++;
      else if (events.accepted(header, reply) !== false) this.allowParams(reply);
    } else if (this.#unary) {
      this.#answered = true;
      events.unary(message.payload, header, status, message.statusText);
    } else {
      events.refused(0, 'the answer has no reply subject', header);
    }
  }

  /** The call was given up. Whoever acknowledges it now shall not wait for parameters. */
  #onLateAnswer(refused: boolean, reply: string, header: HeaderLookup): void {
    this.#inbox.stats.late++;
    if (!refused && reply !== '') {
      const sealer = this.#late?.(header, reply);
      // Some stranger's acknowledgement: the server's may follow.
      if (sealer === null) return;
      this.#sealer = sealer;
      this.allowParams(reply);
    }
    this.#inbox.close(this.reply);
  }

  #sendFrames(rs: string, frame: PathFrame): boolean {
    const suffix = frameSuffix('.params', frame.path);
    if (suffix === undefined) {
      this.#inbox.stats.malformed++;
      return false;
    }
    const subject = rs + suffix;
    sendFrames(frame, this.#sealer, this.#bus.maxPayloadBytes, (bytes, headers) => this.#publish(subject, bytes, headers));
    return true;
  }

  #publish(subject: string, payload: Uint8Array, headers?: BusHeaders): void {
    try {
      this.#bus.publish(subject, payload, headers === undefined ? undefined : { headers });
    } catch {
      this.#inbox.stats.undeliverable++;
    }
  }
}
