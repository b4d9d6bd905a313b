import { connect, type NatsConnection } from 'nats';
import type { Logger } from '../telemetry/log.ts';
import { connectFailure } from './connect-error.ts';
import type { ConnectionEvent } from './connection-events.ts';
import type { UserCredentials } from './credentials.ts';
import type { Endpoints } from './endpoint.ts';
import { ownInboxPrefix } from './inbox-prefix.ts';
import { Line } from './line.ts';
import { Login } from './login.ts';
import type { PartitionOptions } from './partition.ts';
import { ReconnectPace } from './reconnect-pace.ts';
import type { TlsMaterial } from './tls-files.ts';

const MAX_PINGS_OUT = 2;

/** What {@link dial} takes. */
export interface DialOptions {
  readonly partition: PartitionOptions;
  readonly endpoints: Endpoints;
  /** `host:port` of the servers to try, in this order after the client's shuffling; those of `endpoints` if left out. */
  readonly servers?: readonly string[];
  readonly credentials: UserCredentials | undefined;
  readonly tls: TlsMaterial | undefined;
  readonly log: Logger;
  readonly onEvent: (line: Line, event: ConnectionEvent) => void;
}

/** Opens a line. @throws TRELLIS_NATS_UNREACHABLE, TRELLIS_NATS_TLS_FAILED, TRELLIS_NATS_AUTH_REFUSED */
export async function dial(options: DialOptions): Promise<Line> {
  const { endpoints, credentials, tls, log, onEvent } = options;
  const { partition, lattice, name, inboxPrefix: configured, connectTimeoutMs, pingIntervalMs, maxPingsOut } = options.partition;
  const servers = options.servers ?? endpoints.servers;
  const login = credentials === undefined ? undefined : new Login(credentials);
  // Each line has inboxes of its own: what was asked on one is answered on that one.
  const inboxPrefix = ownInboxPrefix({ partition, lattice, userKey: credentials?.userKey, configured });
  const pace = new ReconnectPace(options.partition);
  let client: NatsConnection;
  try {
    client = await connect({
      servers: [...servers],
      name,
      inboxPrefix,
      timeout: connectTimeoutMs ?? 5_000,
      pingInterval: pingIntervalMs ?? 4_000,
      maxPingOut: maxPingsOut ?? MAX_PINGS_OUT,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectDelayHandler: () => pace.nextDelayMs(),
      // Without it the client gives up for good at the second refused login in a row, which expired credentials are.
      ignoreAuthErrorAbort: true,
      // A server, or who plays one, must not add addresses to dial.
      ignoreClusterUpdates: true,
      // Spares a stack capture per request: 46 % more requests a second.
      noAsyncTraces: true,
      ...(endpoints.tls === undefined ? {} : { tls: tlsOptions(endpoints, tls) }),
      ...(login === undefined ? {} : { authenticator: (nonce?: string) => login.answer(nonce) }),
    });
  } catch (cause) {
    throw connectFailure(cause, { partition, servers, tls: endpoints.tls !== undefined });
  }
  login?.accepted();
  return new Line({ client, inboxPrefix, login, tlsDigest: tls?.digest, pace, log, onEvent });
}

/** The settings with what the files held when they were last good: the client would read them again at each dial, good or not. */
function tlsOptions(endpoints: Endpoints, material: TlsMaterial | undefined): object {
  const { caFile: _ca, certFile: _cert, keyFile: _key, ...settings } = endpoints.tls ?? {};
  const { ca, cert, key } = material ?? {};
  return {
    ...settings,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}
