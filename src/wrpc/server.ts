import type { Bus, BusHeaders, BusLine, BusMessage, BusSubscription, LineHolder } from './bus.ts';
import { headerBlockBytes } from './bus.ts';
import { type FrameSealer, sendChunks, sendFrames } from './chunks.ts';
import type { Inbox, InboxReceiver } from './inbox.ts';
import { framePath, frameSuffix, isInboxSubject } from './subjects.ts';

/** Header with which a caller asks for a one-message reply. */
export const REPLY_HEADER = 'Lattice-Reply';
/** Its value. */
export const REPLY_UNARY = 'unary';

const EMPTY = new Uint8Array(0);

/** What {@link serveFunction} takes. */
export interface ServeOptions {
  readonly bus: Bus;
  readonly inbox: Inbox;
  /** Exact invocation subject of one function. */
  readonly subject: string;
  /** Queue group; without one every server answers. */
  readonly queue?: string;
  /** Gets each invocation. Must not throw. */
  onInvocation(invocation: IncomingInvocation): void;
}

/**
 * Serves one function. What cannot be answered is dropped and counted: messages without a reply subject, with one that is
 * not an inbox, and messages that a stream or consumer redirected here (their subject is not the one subscribed to).
 */
export function serveFunction(options: ServeOptions): BusSubscription {
  const { bus, inbox, subject, queue, onInvocation } = options;
  return bus.subscribe(subject, queue === undefined ? {} : { queue }, (message) => {
    const { reply } = message;
    if (reply === '') inbox.stats.withoutReply++;
    else if (message.subject !== subject || !isInboxSubject(reply)) inbox.stats.malformed++;
    else onInvocation(new IncomingInvocation(inbox, subject, reply, message));
  });
}

/**
 * Gets parameter bytes that did not fit the first message; `path` `''` is the root. An empty payload is the end of its path; the
 * root's comes once, unless it carries headers: those may tell a genuine one from one that a stranger made up.
 */
export type ParamsListener = (
  path: string,
  payload: Uint8Array,
  eof: boolean,
  header: (name: string) => string | undefined,
) => void;

/**
 * One invocation as the server sees it. Nothing is sent until one of the sending methods is called, and none of them throws:
 * if the connection is down the answer is lost, as it would be on the wire, and counted.
 */
export class IncomingInvocation implements InboxReceiver {
  /** Subject of the subscription it came in on, which is also the subject of the message. */
  readonly subject: string;
  /** Where answers go: the caller's inbox (`Rc`). */
  readonly reply: string;
  #payload: Uint8Array;
  readonly #inbox: Inbox;
  readonly #message: BusMessage;
  /** The line it came in on, and is answered on. */
  readonly #line: BusLine;
  #closed = false;
  #rs: string | undefined;
  #accepted = false;
  #rootEnded = false;
  #sealer: FrameSealer | undefined;
  #onParams: ParamsListener | undefined;
  #onGone: (() => void) | undefined;
  #onCut: LineHolder | undefined;

  constructor(inbox: Inbox, subject: string, reply: string, message: BusMessage) {
    this.#inbox = inbox;
    this.#message = message;
    this.subject = subject;
    this.reply = reply;
    this.#payload = message.payload;
    this.#line = message.line;
    this.#line.hold(this);
  }

  /** Root parameters, or their beginning. A view into the client's buffer: {@link keep} it, or copy what outlives this turn. */
  get payload(): Uint8Array {
    return this.#payload;
  }

  /** The payload is looked at again after this turn. */
  keep(): void {
    this.#payload = new Uint8Array(this.#payload);
  }

  /** First value of a header of the first message, or `undefined`. Only this message carries headers. */
  header(name: string): string | undefined {
    return this.#message.header(name);
  }

  get headerCount(): number {
    return this.#message.headerCount;
  }

  /** True if the caller understands a one-message reply. */
  get unary(): boolean {
    return this.#message.header(REPLY_HEADER) === REPLY_UNARY;
  }

  /** True after {@link accept}. */
  get accepted(): boolean {
    return this.#accepted;
  }

  /** This invocation's own inbox (`Rs`); opened at the first call, not announced before {@link accept}. */
  inbox(): string {
    return (this.#rs ??= this.#inbox.open(this));
  }

  /**
   * Acknowledges: an empty message to the caller with `Rs` as its reply subject. Further calls without headers do nothing; with
   * headers they say more to a Trellis caller.
   */
  accept(headers?: BusHeaders): void {
    if (this.#accepted && headers === undefined) return;
    this.#accepted = true;
    this.#publish(this.reply, EMPTY, headers, this.inbox());
  }

  /** Sets who gets further parameters. Set it before {@link accept}: what arrives without a listener is dropped and counted. */
  onParams(listener: ParamsListener): void {
    this.#onParams = listener;
  }

  /** Sets who hears that nobody holds the caller's inbox any more (the broker's answer to an {@link accept}). */
  onGone(listener: () => void): void {
    this.#onGone = listener;
  }

  /** Sets who hears that the connection has moved on and can wait no longer for this invocation: answer it now, or not at all. */
  onCut(listener: LineHolder): void {
    this.#onCut = listener;
  }

  /**
   * Refuses with a status line, e.g. `401 invocation denied`. Before {@link accept} an unmodified Rust caller fails at
   * once and shows the text; after it only Trellis callers look at it.
   */
  refuse(status: number, text: string, headers?: BusHeaders): void {
    this.#publish(this.reply, EMPTY, { entries: headers?.entries ?? [], status, statusText: text });
  }

  /** The server's current limit for payload plus header block of an answer, bytes. */
  get maxReplyBytes(): number {
    return this.#line.maxPayloadBytes;
  }

  /** Answers with the one-message form; false, and nothing sent, if the result with its headers does not fit one message. */
  replyUnary(result: Uint8Array, headers: BusHeaders): boolean {
    if (result.length + headerBlockBytes(headers) > this.#line.maxPayloadBytes) return false;
    this.#publish(this.reply, result, headers);
    return true;
  }

  /**
   * Sends the root result in the 1.x form: chunks on `.results` and the empty end, which carries `eofHeaders`. An empty
   * `bytes` with an end is what a function without results sends, and what a failed call looks like to a 1.x caller.
   */
  sendRoot(bytes: Uint8Array, eofHeaders?: BusHeaders): void {
    const subject = `${this.reply}.results`;
    sendChunks(bytes, 0, this.#line.maxPayloadBytes, (piece) => this.#publish(subject, piece));
    this.#publish(subject, EMPTY, eofHeaders);
  }

  /** From now on frames of pending results carry their proof. */
  sealFrames(sealer: FrameSealer): void {
    this.#sealer = sealer;
  }

  /**
   * Sends bytes of a pending value on its path, in chunks; `eof` sends the empty end after them. A `path` that is none is
   * dropped and counted (it may come from a component).
   */
  sendPath(path: string, bytes: Uint8Array, eof: boolean): void {
    const suffix = frameSuffix('.results', path);
    if (suffix === undefined) {
      this.#inbox.stats.malformed++;
      return;
    }
    const subject = this.reply + suffix;
    const frame = { path, bytes, eof };
    const sealer = path === '' ? undefined : this.#sealer;
    sendFrames(frame, sealer, this.#line.maxPayloadBytes, (piece, headers) => this.#publish(subject, piece, headers));
  }

  /** Ends the invocation on this side: later parameters are dropped and counted. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#line.release(this);
    this.#onParams = undefined;
    this.#onGone = undefined;
    this.#onCut = undefined;
    if (this.#rs !== undefined) this.#inbox.close(this.#rs);
  }

  /** @internal */
  onLineEnding(): void {
    if (this.#onCut === undefined) this.close();
    else this.#onCut.onLineEnding();
  }

  /** @internal A message on `Rs` or below it. */
  onInboxMessage(tail: string, message: BusMessage): void {
    const path = framePath(tail, '.params');
    if (path !== undefined && this.#onParams !== undefined && !(path === '' && this.#rootEnded && message.headerCount === 0)) {
      const { payload } = message;
      // Callers may repeat the end; nothing can follow it.
      if (payload.length === 0 && path === '' && message.headerCount === 0) this.#rootEnded = true;
      this.#onParams(path, payload, payload.length === 0, (name) => message.header(name));
    } else if (path !== undefined) {
      this.#inbox.stats.late++;
    } else if (tail === '' && message.status === 503) {
      this.#onGone?.();
    } else {
      this.#inbox.stats.malformed++;
    }
  }

  #publish(subject: string, payload: Uint8Array, headers?: BusHeaders, reply?: string): void {
    try {
      if (reply === undefined) this.#line.publish(subject, payload, headers === undefined ? undefined : { headers });
      else this.#line.publish(subject, payload, headers === undefined ? { reply } : { reply, headers });
    } catch {
      this.#inbox.stats.undeliverable++;
    }
  }
}
