import { isatty } from 'node:tty';
import { systemClock } from '../clock.ts';
import { EXIT } from '../errors.ts';
import type { HostConfig } from '../config/schema.ts';
import { startHost } from '../host.ts';
import type { Host } from '../host.ts';
import type { Logger } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { startAdmin } from './admin.ts';
import type { CheckedConfig } from './checked-config.ts';
import { Reloading } from './reloading.ts';
import { watchStalls } from './stall-watch.ts';
import { serviceManager } from './service-manager.ts';
import { Stopping } from './stopping.ts';

/** What {@link runHost} takes. */
export interface RunOptions {
  readonly config: HostConfig;
  readonly log: Logger;
  /** Reads the configuration again, for a reload; `undefined` if it cannot be. */
  readonly readAgain: () => CheckedConfig | undefined;
  /** Called once the host is ready. */
  readonly onServing: () => void;
}

/** Runs a host until it is told to stop, and returns the exit code. What each signal does is in `docs/lifecycle.md`. */
export async function runHost({ config, log, readAgain, onServing }: RunOptions): Promise<number> {
  const metrics = createMetrics();
  const manager = serviceManager(process.env, log);
  const starting = new AbortController();
  let host: Host | undefined;
  const stopping = new Stopping({ log, config, host: () => host, giveUpStart: () => starting.abort(), manager });
  const reloading = new Reloading({ log, metrics, host: () => host, read: readAgain, manager });
  const hadTerminal = isatty(0);
  const onSignal = (signal: NodeJS.Signals): void => {
    // A terminal that was closed says HUP as well, and whoever started the host there does not mean a reload. On Windows nothing else does.
    const isClosed = process.platform === 'win32' || (hadTerminal && !isatty(0));
    const isReload = signal === 'SIGHUP' && !isClosed;
    if (!isReload) stopping.onSignal(signal);
    else if (stopping.begun) log.info({ signal }, 'already stopping');
    else reloading.request();
  };
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  // Node would open a debugger port on this signal.
  process.on('SIGUSR1', ignore);

  let endStallWatch = ignore;
  const status = () => host?.status();
  const admin = config.admin.listen === false ? undefined : await startAdmin({ listen: config.admin.listen, metrics, status });
  try {
    const serving = (async (): Promise<number> => {
      if (admin !== undefined) log.info({ url: admin.url }, 'health and metrics');
      host = await startHost({ config, log, metrics, signal: starting.signal });
      onServing();
      endStallWatch = watchStalls({ clock: systemClock, alarms: host.alarms, metrics });
      manager.ready(`serving in lattice ${config.lattice}, components: ${config.components.length}`);
      const error = await host.closed;
      if (stopping.begun) return await stopping.ended;
      // Without a reason it ended as the lattice asked (`host.stop`).
      if (error === undefined) return EXIT.ok;
      if (error.exitCode === EXIT.config) return error.exitCode;
      log.fatal({ err: error }, 'the lattice is lost');
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
    endStallWatch();
    await admin?.close();
    metrics.close();
  }
}

function ignore(): void {}
