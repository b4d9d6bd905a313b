import type { TrellisError } from '../errors.ts';

/** What a connection reports while it lives. */
export type ConnectionEvent =
  | { readonly type: 'disconnected' | 'reconnected' | 'lame-duck'; readonly server: string }
  /** The connection is on another line: new credentials, or another server. `wasDown`: it had been interrupted until then. */
  | { readonly type: 'moved'; readonly server: string; readonly reason: string; readonly wasDown: boolean }
  /** It should have moved and could not; it stays where it is. */
  | { readonly type: 'not-moved'; readonly reason: string; readonly error: TrellisError }
  /** A message was dropped: too much is waiting for a server that does not read. */
  | { readonly type: 'shed' }
  | { readonly type: 'error'; readonly error: TrellisError }
  | { readonly type: 'closed'; readonly error: TrellisError | undefined };

/** Counters since the connection was opened. */
export interface ConnectionStats {
  readonly messagesIn: number;
  readonly messagesOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly reconnects: number;
}

/** What {@link LatticeConnection.drain} takes. */
export interface DrainOptions {
  /** Resolves when everything that still has to publish has done so. */
  readonly pending?: () => Promise<unknown>;
  /** Longest time for each of the steps, milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
}

/** Who waits for refusals that are no surprise, see {@link LatticeConnection.watchRefusals}. */
export interface RefusalWatch {
  readonly subjects: ReadonlySet<string>;
  refused(action: 'publish' | 'subscribe', subject: string): void;
}
