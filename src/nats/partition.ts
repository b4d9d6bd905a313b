import type { Clock } from '../clock.ts';
import type { Alarms } from '../telemetry/alarms.ts';
import type { Logger } from '../telemetry/log.ts';
import type { CredentialFiles } from './credentials.ts';
import type { TlsSettings } from './endpoint.ts';
import type { ReconnectTimes } from './reconnect-pace.ts';

/** Which half of the lattice a connection belongs to. */
export type Partition = 'ctl' | 'rpc';

/** What {@link connectPartition} takes. */
export interface PartitionOptions extends CredentialFiles, ReconnectTimes {
  readonly partition: Partition;
  readonly lattice: string;
  /** `nats://host:port` or `tls://host:port`; without user, password or token. */
  readonly servers: readonly string[];
  readonly tls?: TlsSettings | undefined;
  /**
   * Root of this connection's inboxes; must begin with `_INBOX`. 128 random bits are always added behind it.
   * Default `_INBOX_<CTL|RPC>.<lattice>`, followed by the user's public key when there are credentials.
   */
  readonly inboxPrefix?: string | undefined;
  /** Shown by the server's monitoring. */
  readonly name: string;
  readonly log: Logger;
  /** For one dial, login included, milliseconds. Default 5 000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Between two pings, milliseconds. Default 4 000. */
  readonly pingIntervalMs?: number | undefined;
  /** Pings that may stay unanswered before the connection counts as dead. Default 2. */
  readonly maxPingsOut?: number | undefined;
  /** Allows plain text beyond loopback. */
  readonly allowPlaintext?: boolean | undefined;
  /** Allows a login as nobody beyond loopback. */
  readonly allowAnonymous?: boolean | undefined;
  /** Where the connection raises its alarms; nobody but the log hears of them if left out. */
  readonly alarms?: Alarms | undefined;
  readonly clock?: Clock | undefined;
  /** How long calls may take to end on the login they began on after the connection has moved to a new one, milliseconds. Default 60 000. */
  readonly retireTimeoutMs?: number | undefined;
  /** How long a cluster takes to know of subscriptions on another server of it, milliseconds. Default 300. */
  readonly settleMs?: number | undefined;
  /** Between two looks at the credentials and TLS files, beside those that an event of the file system causes, milliseconds. Default 5 000. */
  readonly filesPollMs?: number | undefined;
}
