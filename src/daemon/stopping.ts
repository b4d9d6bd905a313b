import { constants } from 'node:os';
import type { HostConfig } from '../config/schema.ts';
import { EXIT } from '../errors.ts';
import type { Host } from '../host.ts';
import type { Logger } from '../telemetry/log.ts';
import type { ServiceManager } from './service-manager.ts';

/** A stop that waits for nothing; should even that hang, the process ends after this. */
const STOP_NOW_MS = 900;
/** A drain has its own limit; this is for one that does not keep it. Supervisors should wait longer (TimeoutStopSec). */
const DRAIN_SLACK_MS = 5_000;

/** What {@link Stopping} is made of. */
export interface StoppingOptions {
  readonly log: Logger;
  readonly config: Pick<HostConfig, 'drainTimeoutMs' | 'lameDuckMs'>;
  /** `undefined` while it starts. */
  readonly host: () => Host | undefined;
  /** Ends a start that is under way. */
  readonly giveUpStart: () => void;
  readonly manager: ServiceManager;
}

/**
 * What signals do to a host: USR2 lets it finish in its own time, TERM and INT drain it, another one stops it at once. Each step
 * is shorter than the one before, and none is taken back.
 */
export class Stopping {
  /** Resolves to the exit code once the process should end. */
  readonly ended: Promise<number>;
  readonly #options: StoppingOptions;
  #step: 'none' | 'lame-duck' | 'drain' | 'now' = 'none';
  #end: (code: number) => void = () => {};
  #guard: NodeJS.Timeout | undefined;

  constructor(options: StoppingOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  /** True once a signal has asked for an end. */
  get begun(): boolean {
    return this.#step !== 'none';
  }

  onSignal(signal: NodeJS.Signals): void {
    const { log, host, manager, giveUpStart } = this.#options;
    const { drainTimeoutMs, lameDuckMs } = this.#options.config;
    const running = host();
    if (running === undefined) {
      if (this.begun) return this.#now(Promise.resolve(), 128 + constants.signals[signal]);
      this.#step = 'drain';
      log.warn({ signal }, 'stopped before the host was ready');
      manager.stopping('stopping before it was ready');
      giveUpStart();
      this.#guarded(STOP_NOW_MS, EXIT.ok);
      return;
    }
    if (signal === 'SIGUSR2') {
      if (this.begun) return log.info({ signal }, 'already stopping');
      this.#step = 'lame-duck';
      log.info({ signal, lameDuckMs }, 'lame duck: takes nothing new and ends when all is done; TERM hurries it');
      // No stop yet: systemd would end in TimeoutStopSec what may take lameDuckMs.
      manager.status('lame duck: finishing what is in flight');
      this.#await(running.lameDuck(), lameDuckMs);
    } else if (this.#step === 'none' || this.#step === 'lame-duck') {
      this.#step = 'drain';
      log.info({ signal, drainTimeoutMs }, 'stopping; a second signal stops at once');
      manager.stopping('draining');
      this.#await(running.drain(), drainTimeoutMs);
    } else {
      log.warn({ signal }, 'second signal: stopping now');
      this.#now(running.stop(), 128 + constants.signals[signal]);
    }
  }

  /** A start that was given up is over, and has left nothing behind. */
  startEnded(): void {
    this.#end(EXIT.ok);
  }

  #await(stopped: Promise<void>, limitMs: number): void {
    const { log } = this.#options;
    this.#guarded(limitMs + DRAIN_SLACK_MS, EXIT.unexpected);
    stopped.then(
      () => {
        // After a second signal the code says so.
        if (this.#step !== 'now') this.#end(EXIT.ok);
      },
      (err: unknown) => {
        log.error({ err }, 'the host did not stop in order');
        this.#end(EXIT.unexpected);
      },
    );
  }

  #now(stopped: Promise<void>, code: number): void {
    this.#step = 'now';
    this.#guarded(STOP_NOW_MS, code);
    void stopped.catch(() => {}).finally(() => this.#end(code));
  }

  #guarded(withinMs: number, code: number): void {
    clearTimeout(this.#guard);
    this.#guard = setTimeout(() => {
      this.#options.log.error({ withinMs }, 'the host did not stop in time and is ended');
      this.#end(code);
    }, withinMs);
  }
}
