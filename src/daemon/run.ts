import { constants } from 'node:os';
import { EXIT, TrellisError } from '../errors.ts';
import type { HostConfig } from '../config/schema.ts';
import { startHost } from '../host.ts';
import type { Host } from '../host.ts';
import type { Logger } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { startAdmin } from './admin.ts';

// A second signal stops the host without waiting; should even that hang, the process ends after this.
const STOP_NOW_MS = 900;
// A drain has its own limit; this is for one that does not keep it. Supervisors should wait longer (TimeoutStopSec).
const DRAIN_SLACK_MS = 5_000;

/**
 * Runs a host until it is told to stop, and returns the exit code. TERM, INT or HUP drain it; a second one stops it at
 * once with 128 + the signal's number.
 *
 * @param onServing Called once the host is ready.
 */
export async function runHost(config: HostConfig, log: Logger, onServing: () => void): Promise<number> {
  const metrics = createMetrics();
  let host: Host | undefined;
  let stopping = false;
  const status = () => host?.status();

  let endNow: (code: number) => void = () => {};
  const endedNow = new Promise<number>((resolve) => (endNow = resolve));
  const onSignal = (signal: NodeJS.Signals): void => {
    const code = 128 + constants.signals[signal];
    if (host === undefined || stopping) {
      log.warn({ signal }, host === undefined ? 'stopped before the host was ready' : 'second signal: stopping now');
      const late = setTimeout(() => endNow(code), STOP_NOW_MS);
      void (host?.stop() ?? Promise.resolve()).finally(() => {
        clearTimeout(late);
        endNow(code);
      });
      return;
    }
    stopping = true;
    log.info({ signal }, 'stopping; a second signal stops at once');
    setTimeout(() => {
      log.error({ drainTimeoutMs: config.drainTimeoutMs }, 'the host did not stop in time and is ended');
      endNow(EXIT.unexpected);
    }, config.drainTimeoutMs + DRAIN_SLACK_MS).unref();
    host.drain().then(
      () => endNow(EXIT.ok),
      (err: unknown) => {
        log.error({ err }, 'the host did not stop in order');
        endNow(EXIT.unexpected);
      },
    );
  };
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  // Node would open a debugger port on this signal.
  process.on('SIGUSR1', ignore);

  const admin = config.admin.listen === false ? undefined : await startAdmin({ listen: config.admin.listen, metrics, status });
  try {
    const serving = (async (): Promise<number> => {
      if (admin !== undefined) log.info({ url: admin.url }, 'health and metrics');
      host = await startHost({ config, log, metrics });
      onServing();
      const error = await host.closed;
      if (stopping) return await endedNow;
      log.fatal({ err: error ?? new TrellisError('TRELLIS_INTERNAL') }, 'the lattice is lost');
      return EXIT.latticeLost;
    })();
    return await Promise.race([serving, endedNow]);
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
    process.off('SIGUSR1', ignore);
    await admin?.close();
    metrics.close();
  }
}

function ignore(): void {}
