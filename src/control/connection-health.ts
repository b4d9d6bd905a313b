import type { Clock } from '../clock.ts';
import type { LatticeConnection } from '../nats/connection.ts';
import type { Health } from '../telemetry/health.ts';
import type { Metrics } from '../telemetry/metrics.ts';

const INTERRUPTED = {
  rpc: 'the rpc connection is interrupted: no invocation comes in or goes out',
  ctl: 'the ctl connection is interrupted: invocations go on; control commands and news of trust do not arrive',
} as const;

/** What {@link reportConnection} takes. */
export interface ReportOptions {
  readonly connection: LatticeConnection;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly clock: Clock;
  /** The host is on its way out: an interruption is no news any more. */
  readonly stopping: () => boolean;
}

/** Lets health and metrics of a host say how one of its connections is. */
export function reportConnection({ connection, metrics, health, clock, stopping }: ReportOptions): void {
  const { partition } = connection;
  connection.onStatus((event) => {
    switch (event.type) {
      case 'disconnected':
        if (!stopping()) health.set(partition, INTERRUPTED[partition]);
        break;
      case 'reconnected':
        metrics.natsReconnected(partition);
        // Only a round trip says that the server has the subscriptions again; an interruption ends the wait with an error.
        connection.flush().then(
          () => health.set(partition, undefined),
          () => {},
        );
        break;
      case 'moved':
        metrics.natsRotated(partition, 'done');
        health.set(partition, undefined);
        break;
      case 'not-moved':
        metrics.natsRotated(partition, 'failed');
        break;
      case 'shed':
        metrics.natsShed(partition);
        break;
      default:
        break;
    }
  });
  metrics.credentialsExpireIn(partition, () => {
    const expiresMs = connection.credentialsExpireMs;
    return expiresMs === undefined ? undefined : expiresMs - clock.wallMs();
  });
}
