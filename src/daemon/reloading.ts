import { TrellisError } from '../errors.ts';
import type { Host } from '../host.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { CheckedConfig } from './checked-config.ts';
import type { ServiceManager } from './service-manager.ts';

/** What {@link Reloading} is made of. */
export interface ReloadingOptions {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly manager: ServiceManager;
  /** `undefined` while it starts. */
  readonly host: () => Host | undefined;
  /** Reads the configuration again; `undefined` if a secret came by the environment, which is read once. */
  readonly read: () => CheckedConfig | undefined;
}

/** What HUP does: the configuration and the files it names are read again, and count as far as a running host can take them over. */
export class Reloading {
  readonly #options: ReloadingOptions;
  #running: Promise<void> | undefined;
  #again = false;

  constructor(options: ReloadingOptions) {
    this.#options = options;
  }

  /** Reloads now, or once more after the reload that is under way. */
  request(): void {
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    this.#running = this.#reload().finally(() => {
      this.#running = undefined;
      if (!this.#again) return;
      this.#again = false;
      this.request();
    });
  }

  async #reload(): Promise<void> {
    const { log, metrics, manager, host, read } = this.#options;
    const running = host();
    const checked = read();
    if (running === undefined || checked === undefined) {
      const err =
        running === undefined
          ? new TrellisError('TRELLIS_HOST_BUSY')
          : new TrellisError('TRELLIS_RELOAD_REFUSED', {
              message: 'a seed or a password of this host came by the environment, which can be read once only',
              remedy: 'Put it into a file, or restart the host.',
            });
      log.error({ code: err.code, err }, 'the configuration is not read again');
      metrics.reloaded('refused');
      return;
    }
    manager.reloading();
    const startedMs = performance.now();
    for (const { code, severity, setting, source, summary, fix } of checked.problems)
      log[severity === 'refused' ? 'error' : 'warn']({ code, setting, source, fix }, summary);
    // What is accepted by name is said at the start and shown to the lattice, so that it takes a start.
    const accepted = running.status().allowed;
    const newlyAllowed = checked.problems.filter(
      ({ severity, allowance }) => severity === 'allowed' && allowance !== undefined && !accepted.includes(allowance),
    );
    for (const { code, setting, allowance } of newlyAllowed)
      log.error({ code, setting }, `allow: ${allowance} counts from the next start, and this needs it now`);
    const errors = checked.problems.filter(({ severity }) => severity === 'refused').length + newlyAllowed.length;
    const outcome =
      checked.config === undefined || checked.refused || newlyAllowed.length > 0
        ? { errors: [] as TrellisError[] }
        : await running.reload(checked.config);
    if ('errors' in outcome) {
      for (const err of outcome.errors) log.error({ code: err.code, err }, err.message);
      const problems = errors + outcome.errors.length;
      log.error({ code: 'TRELLIS_RELOAD_REFUSED', problems }, 'the new configuration is NOT applied; the one before stays');
      metrics.reloaded('refused');
    } else {
      const { applied, needsRestart, added, changed, removed } = outcome;
      if (needsRestart.length > 0)
        log.warn({ code: 'TRELLIS_RELOAD_RESTART', settings: needsRestart }, `needs a restart: ${needsRestart.join(', ')}`);
      const tookMs = Math.round(performance.now() - startedMs);
      log.info({ applied, added, changed, removed, needsRestart, tookMs }, 'configuration applied');
      metrics.reloaded('applied');
    }
    const { lattice, components } = running.status();
    manager.ready(`serving in lattice ${lattice}, components: ${components.length}`);
  }
}
