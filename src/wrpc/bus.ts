/**
 * What wRPC needs of a NATS connection. `src/nats` implements it; nothing below this line knows the client library.
 */

/** One message as it arrived. Byte arrays are views into the client's buffer: copy what outlives the callback. */
export interface BusMessage {
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

/** A connection that wRPC can run on. */
export interface Bus {
  /**
   * Queues a message; the client coalesces writes of one turn. Throws TRELLIS_NATS_SUBJECT_INVALID for a subject or reply
   * that could not be one, and TRELLIS_NATS_PAYLOAD_TOO_LARGE when payload and headers exceed `maxPayloadBytes`.
   */
  publish(subject: string, payload: Uint8Array, options?: { reply?: string; headers?: BusHeaders }): void;
  subscribe(subject: string, options: { queue?: string }, onMessage: (message: BusMessage) => void): BusSubscription;
  /** This connection's own unguessable inbox root, e.g. `_INBOX_RPC.default.x7…`; without a trailing dot. */
  readonly inboxPrefix: string;
  /** The server's current limit for payload plus header block, bytes. May change on reconnect. */
  readonly maxPayloadBytes: number;
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
