import type { Clock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import type { ComponentLog } from './component.ts';
import { printable } from './guest-log.ts';
import { FrameReader, type OnFrame } from './runner/frame-reader.ts';
import { FRAME, FrameWriter } from './runner/frames.ts';
import type { RunnerStart } from './runner/start.ts';
import { startRunnerProcess, type RunnerProcess, type RunnerProcessOptions } from './runner-process.ts';

/** A runner that served shorter than this counts towards the back-off. How long it took to start says nothing: the machine may be busy. */
const SHORT_LIFE_MS = 2_000;
const MAX_BACKOFF_MS = 5_000;
/** Back-off from which on nobody should be kept waiting. */
export const LONG_BACKOFF_MS = 500;
/** Ends that the engine brings about itself: no memory left for values, or a fault in compiled code. */
const CRASHES: ReadonlySet<string> = new Set(['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGTRAP', 'SIGFPE']);
const MAX_REASON = 500;
/** How long the last bytes of a dead runner may take. */
const LAST_BYTES_MS = 1_000;

/** What a supervisor is made of. */
export interface SupervisorOptions {
  readonly component: string;
  readonly process: RunnerProcessOptions;
  /** What the next runner is told. */
  readonly start: () => RunnerStart;
  /** Largest frame body a runner may send, bytes. */
  readonly maxFrameBytes: number;
  /** From spawn to ready. */
  readonly startTimeoutMs: number;
  /** Resident memory from which on the runner is replaced, bytes. */
  readonly maxRssBytes: () => number;
  readonly clock: Clock;
  readonly log: ComponentLog;
}

/** What a supervisor tells its owner. */
export interface SupervisorEvents {
  /** A runner takes frames, through this writer. */
  ready(writer: FrameWriter): void;
  readonly frame: OnFrame;
  /**
   * That runner is gone, and all it sent has been handed over. A replacement comes after `delayMs`. `byGuest`: what its
   * guest did ended it.
   */
  lost(reason: string, delayMs: number, byGuest: boolean): void;
}

/**
 * Keeps one runner process alive: starts it, replaces it when it dies or is killed (at once at first, with growing delays
 * when it keeps dying), and ends it. Every byte from a runner is distrusted: one malformed frame and it is replaced.
 */
export class RunnerSupervisor {
  readonly #options: SupervisorOptions;
  readonly #events: SupervisorEvents;
  #runner: RunnerProcess | undefined;
  /** Ends when the current process has gone and been accounted for. */
  #gone: Promise<void> = Promise.resolve();
  #killReason: string | undefined;
  #blameless = false;
  #byGuest = false;
  #stopped = false;
  #shortLives = 0;
  #timer: NodeJS.Timeout | undefined;
  #restarts = 0;

  constructor(options: SupervisorOptions, events: SupervisorEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** Replacements so far. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Process id of the current runner, if there is one. */
  get pid(): number | undefined {
    return this.#runner?.pid;
  }

  /** Resident memory of the current runner, bytes; 0 if unknown. */
  rssBytes(): number {
    return this.#runner?.rssBytes() ?? 0;
  }

  /**
   * Starts the first runner and resolves when it is ready.
   * @throws TRELLIS_COMPONENT_START with the runner's reason, TRELLIS_RUNNER_START if the process failed or took too long
   */
  start(): Promise<void> {
    return this.#launch();
  }

  /** Replaces the runner if it uses more memory than it may. */
  checkMemory(): void {
    const runner = this.#runner;
    if (runner === undefined || this.#killReason !== undefined) return;
    const rss = runner.rssBytes();
    const maxRssBytes = this.#options.maxRssBytes();
    if (rss <= maxRssBytes) return;
    this.kill(`it used ${rss} bytes of memory, more than ${maxRssBytes}`);
    this.#byGuest = true;
  }

  /**
   * Kills the runner; a replacement follows. `reason` says what it did. `blameless`: the component as such is well (it
   * met a deadline), so the replacement comes at once, however often that happens.
   */
  kill(reason: string, blameless = false): void {
    if (this.#runner === undefined || this.#killReason !== undefined) return;
    this.#killReason = reason;
    this.#blameless = blameless;
    this.#options.log.warn({ component: this.#options.component, pid: this.#runner.pid, reason }, 'runner killed');
    this.#runner.kill();
  }

  /** Ends the runner for good and resolves when its process is gone. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#killReason ??= 'the component was stopped';
    this.#runner?.kill();
    await this.#gone;
  }

  #launch(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { component, log, clock } = this.#options;
    const startedMs = clock.monotonicMs();
    this.#killReason = undefined;
    this.#blameless = false;
    this.#byGuest = false;
    const runner = startRunnerProcess(this.#options.process);
    if ('failed' in runner) {
      this.#gone = Promise.resolve();
      this.#ended(runner.failed, undefined);
      reject(
        new TrellisError('TRELLIS_RUNNER_START', { message: `the runner of ${component} could not start: ${runner.failed}` }),
      );
      return promise;
    }
    this.#runner = runner;
    const writer = new FrameWriter(runner.pipe);
    let readyAtMs: number | undefined;
    let unusable: string | undefined;
    const timeout = setTimeout(
      () => this.kill(`it was not ready after ${this.#options.startTimeoutMs} ms`),
      this.#options.startTimeoutMs,
    );
    const reader = new FrameReader(this.#options.maxFrameBytes, (type, id, body) => {
      if (readyAtMs !== undefined) {
        this.#events.frame(type, id, body);
      } else if (type === FRAME.ready) {
        readyAtMs = clock.monotonicMs();
        clearTimeout(timeout);
        log.debug({ component, pid: runner.pid, readyMs: Math.round(readyAtMs - startedMs) }, 'runner ready');
        resolve();
        this.#events.ready(writer);
      } else if (type === FRAME.unusable) {
        unusable = printable(body.toString('utf8', 0, MAX_REASON), MAX_REASON);
        runner.kill();
      } else if (type === FRAME.log) {
        this.#events.frame(type, id, body);
      } else {
        this.kill('it sent a frame before it was ready');
      }
    });
    runner.pipe.on('data', (chunk: Buffer) => {
      try {
        if (!reader.push(chunk)) this.kill('it sent a malformed frame');
      } catch (error) {
        // A fault of this host that something in the runner brought about. It costs the runner, not the host.
        const reason = printable(error instanceof Error ? error.message : String(error), MAX_REASON);
        log.error({ component, code: 'TRELLIS_INTERNAL', reason }, 'a frame of a runner could not be handled');
        this.kill('one of its frames could not be handled');
      }
    });
    // Writing to a runner that has just died fails; its end is reported by `exited`.
    runner.pipe.on('error', () => {});
    const closed = new Promise<void>((done) => void runner.pipe.once('close', () => done()));
    const start = Buffer.from(JSON.stringify(this.#options.start()));
    writer.open(FRAME.start, 0, start.length);
    writer.bytes(start);
    writer.flush();

    this.#gone = runner.exited.then(async (exit) => {
      clearTimeout(timeout);
      // What it wrote before it died is still in the pipe, and tells which calls have an answer.
      const last = setTimeout(() => runner.pipe.destroy(), LAST_BYTES_MS);
      await closed;
      clearTimeout(last);
      writer.close();
      this.#runner = undefined;
      if (exit.signal !== null && CRASHES.has(exit.signal)) this.#byGuest = true;
      const how = exit.signal === null ? `it exited with code ${exit.code}` : `it ended by ${exit.signal}`;
      const reason = this.#killReason ?? unusable ?? (exit.complaint === '' ? how : `${how}: ${exit.complaint}`);
      if (readyAtMs === undefined) {
        const failed = `the runner of ${component} did not start: ${reason}`;
        const code = unusable === undefined ? 'TRELLIS_RUNNER_START' : 'TRELLIS_COMPONENT_START';
        reject(new TrellisError(code, { message: unusable === undefined ? failed : `${component} cannot run: ${unusable}` }));
      }
      this.#ended(reason, readyAtMs);
    });
    return promise;
  }

  #ended(reason: string, readyAtMs: number | undefined): void {
    if (this.#stopped) {
      this.#events.lost('the component was stopped', 0, false);
      return;
    }
    // A first start that fails is the owner's to judge: nothing is restarted until it once was ready.
    if (readyAtMs === undefined && this.#restarts === 0) return;
    const servedMs = readyAtMs === undefined ? 0 : this.#options.clock.monotonicMs() - readyAtMs;
    if (!this.#blameless) this.#shortLives = servedMs < SHORT_LIFE_MS ? this.#shortLives + 1 : 0;
    const delayMs = this.#blameless || this.#shortLives <= 2 ? 0 : Math.min(MAX_BACKOFF_MS, 100 * 2 ** (this.#shortLives - 3));
    this.#options.log.warn({ component: this.#options.component, reason, delayMs }, 'runner lost');
    this.#events.lost(reason, delayMs, this.#byGuest);
    this.#timer = setTimeout(() => {
      this.#restarts += 1;
      this.#launch().catch((error: unknown) => {
        if (this.#stopped) return;
        this.#options.log.error({ component: this.#options.component, reason: String(error) }, 'runner not replaced');
      });
    }, delayMs);
  }
}
