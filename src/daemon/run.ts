import { EXIT, TrellisError } from '../errors.ts';
import type { HostConfig } from '../config/schema.ts';
import { startHost } from '../host.ts';
import type { Host } from '../host.ts';
import type { Logger } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { startAdmin } from './admin.ts';
import { serviceManager } from './service-manager.ts';
import { Stopping } from './stopping.ts';

/**
 * Runs a host until it is told to stop, and returns the exit code. What each signal does is in `docs/lifecycle.md`.
 *
 * @param onServing Called once the host is ready.
 */
export async function runHost(config: HostConfig, log: Logger, onServing: () => void): Promise<number> {
  const metrics = createMetrics();
  const manager = serviceManager(process.env, log);
  const starting = new AbortController();
  let host: Host | undefined;
  const stopping = new Stopping({ log, config, host: () => host, giveUpStart: () => starting.abort(), manager });
  const onSignal = (signal: NodeJS.Signals): void => stopping.onSignal(signal);
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  // Node would open a debugger port on this signal.
  process.on('SIGUSR1', ignore);

  const status = () => host?.status();
  const admin = config.admin.listen === false ? undefined : await startAdmin({ listen: config.admin.listen, metrics, status });
  try {
    const serving = (async (): Promise<number> => {
      if (admin !== undefined) log.info({ url: admin.url }, 'health and metrics');
      host = await startHost({ config, log, metrics, signal: starting.signal });
      onServing();
      manager.ready(`serving in lattice ${config.lattice}, components: ${config.components.length}`);
      const error = await host.closed;
      if (stopping.begun) return await stopping.ended;
      log.fatal({ err: error ?? new TrellisError('TRELLIS_INTERNAL') }, 'the lattice is lost');
      return EXIT.latticeLost;
    })();
    // A start that was given up fails; how the process ends is then the signal's matter.
    const asked = serving.catch((error: unknown) => {
      if (!stopping.begun) throw error;
      stopping.startEnded();
      return stopping.ended;
    });
    return await Promise.race([asked, stopping.ended]);
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
    process.off('SIGUSR1', ignore);
    await admin?.close();
    metrics.close();
  }
}

function ignore(): void {}
