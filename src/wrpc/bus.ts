/**
 * What wRPC needs of a NATS connection. `src/nats` implements it; nothing below this line knows the client library.
 */

/** One message as it arrived. Byte arrays are views into the client's buffer: copy what outlives the callback. */
export interface BusMessage {
  /** Where it came in. Answers go back there: a server may allow them to that login alone, and they stay in order. */
  readonly line: BusLine;
  readonly subject: string;
  /** The reply subject, or `''` if there is none. */
  readonly reply: string;
  readonly payload: Uint8Array;
  /** The first value of a header (names are case-sensitive), or `undefined`. */
  header(name: string): string | undefined;
  /** Number of header entries; 0 for a message without a header block. */
  readonly headerCount: number;
  /** Status code of the header line (`503` no responders, `401` refused), or 0. */
  readonly status: number;
  /** Text beside the status code, or `''`. */
  readonly statusText: string;
}

/** A header block to send. */
export interface BusHeaders {
  readonly entries: readonly (readonly [name: string, value: string])[];
  /** Status code of the header line; 0 or absent for none. */
  readonly status?: number;
  readonly statusText?: string;
}

/** A live subscription. */
export interface BusSubscription {
  /** Stops new deliveries and resolves when what the server had already sent has been handed over. */
  drain(): Promise<void>;
  unsubscribe(): void;
}

/**
 * One login at one server. A connection moves from one line to the next when its credentials or its server change; a call stays
 * on the line it began on, so that its messages stay in order and its answers arrive where it asked for them.
 */
export interface BusLine {
  /**
   * Queues a message; the client coalesces writes of one turn. Throws TRELLIS_NATS_SUBJECT_INVALID for a subject or reply
   * that could not be one, and TRELLIS_NATS_PAYLOAD_TOO_LARGE when payload and headers exceed `maxPayloadBytes`.
   */
  publish(subject: string, payload: Uint8Array, options?: { reply?: string; headers?: BusHeaders }): void;
  subscribe(subject: string, options: { queue?: string }, onMessage: (message: BusMessage) => void): BusSubscription;
  /** This line's own unguessable inbox root, e.g. `_INBOX_RPC.default.x7…`; without a trailing dot. */
  readonly inboxPrefix: string;
  /** The server's current limit for payload plus header block, bytes. May change on reconnect. */
  readonly maxPayloadBytes: number;
  /** Keeps this line open until {@link release}, though not without end: see {@link LineHolder}. Holding it twice is holding it once. */
  hold(holder: LineHolder): void;
  release(holder: LineHolder): void;
}

/** What needs a line: a call. */
export interface LineHolder {
  /** The line ends now, because the connection moved on and has waited long enough: a last word may still be sent on it. */
  onLineEnding(): void;
}

/** Who uses every line of a connection, one after the other. */
export interface LineUser {
  /** A line that will be used soon: what is subscribed on it here is in force before anything is sent on it. */
  prepare(line: BusLine): void;
  /** The line is over; nothing comes of it any more. */
  ended(line: BusLine): void;
}

/**
 * A connection that wRPC can run on. What is published on it goes over the line in use; what is subscribed stays subscribed on
 * whatever line it moves to, and each message is handed over once.
 */
export interface Bus extends Omit<BusLine, 'hold' | 'release'> {
  /** The line in use. */
  readonly line: BusLine;
  /** Tells `user` of the line in use, now, and of each later one; the returned function ends that. */
  eachLine(user: LineUser): () => void;
  /** Resolves after a round trip to the server. */
  flush(): Promise<void>;
}

/** The bytes that a header block adds to a message on the wire (`wrpc-nats` §2.4). */
export function headerBlockBytes(headers: BusHeaders | undefined): number {
  if (headers === undefined || (headers.entries.length === 0 && !headers.status)) return 0;
  let bytes = 12;
  if (headers.status) bytes += 4 + (headers.statusText ? Buffer.byteLength(headers.statusText) + 1 : 0);
  for (const [name, value] of headers.entries) bytes += name.length + Buffer.byteLength(value) + 4;
  return bytes;
}
