import type { Logger } from '../telemetry/log.ts';
import type { CredentialFiles } from './credentials.ts';
import type { TlsSettings } from './endpoint.ts';

/** Which half of the lattice a connection belongs to. */
export type Partition = 'ctl' | 'rpc';

/** What {@link connectPartition} takes. */
export interface PartitionOptions extends CredentialFiles {
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
  /** Between two pings, milliseconds; a dead connection is noticed after three of them. Default 4 000. */
  readonly pingIntervalMs?: number | undefined;
  /** Allows plain text and anonymous logins beyond loopback. */
  readonly allowInsecure?: boolean | undefined;
}
