import type { Clock } from '../../../clock.ts';

/** `wasi:io/poll`, and what its waits hang on: the {@link Lifetime} of one instance. */

/** Ends with the instance: whatever still waits is rejected, whatever is open is closed. */
export class Lifetime {
  readonly clock: Clock;
  #stopped: Error | undefined;
  readonly #onStop = new Set<(reason: Error) => void>();
  readonly #onChange = new Set<() => void>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Why the instance ended, or `undefined` while it lives. */
  get stopped(): Error | undefined {
    return this.#stopped;
  }

  /** Calls `end` when the instance ends; the function returned takes that back. */
  onStop(end: (reason: Error) => void): () => void {
    this.#onStop.add(end);
    return () => this.#onStop.delete(end);
  }

  /** Ends it once; later calls do nothing. */
  stop(reason: Error): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = reason;
    for (const end of this.#onStop) end(reason);
    this.#onStop.clear();
  }

  /** Something other than time has moved on: whatever waits looks again. An instance runs one call, so few ever wait. */
  changed(): void {
    for (const wake of this.#onChange) wake();
  }

  /**
   * Resolves at `untilMs` (monotonic; may be infinite) or at the next change, whichever is first. Rejects when the instance
   * ends before: a wait that never settles is never freed.
   */
  wait(untilMs: number): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const leave = (): void => {
        clearTimeout(timer);
        this.#onChange.delete(wake);
        forget();
      };
      const wake = (): void => {
        leave();
        resolve();
      };
      const forget = this.onStop((reason) => {
        leave();
        reject(reason);
      });
      this.#onChange.add(wake);
      if (untilMs !== Infinity) {
        timer = setTimeout(wake, Math.min(Math.max(Math.ceil(untilMs - this.clock.monotonicMs()), 0), 2_147_483_647));
      }
    });
  }
}

/** Something a guest may wait for. */
export interface Awaited {
  ready(): boolean;
  /** Whose waiting it is; `undefined` while nothing could ever make it ready. */
  readonly lifetime: Lifetime | undefined;
  /** When it becomes ready by itself, monotonic; whoever changes it otherwise calls {@link Lifetime.changed}. */
  readonly atMs?: number;
}

/** Resolves when `awaited` is ready; rejects when the instance ends before, or if it could never be ready. */
export async function untilReady(awaited: Awaited): Promise<void> {
  // A timer may fire a fraction of a millisecond early, and changes may be of something else.
  while (!awaited.ready()) await lifetimeOf(awaited).wait(awaited.atMs ?? Infinity);
}

function lifetimeOf(awaited: Awaited): Lifetime {
  // Better a trap than a guest that hangs until its deadline.
  if (awaited.lifetime === undefined) throw new Error('the guest waits for something that cannot happen');
  return awaited.lifetime;
}

/** Returns a moment of the monotonic clock to wait for. */
export function timer(lifetime: Lifetime, atMs: number): Awaited {
  return { lifetime, atMs, ready: () => lifetime.clock.monotonicMs() >= atMs };
}

/** `wasi:io/poll` `pollable`: ready at once if it has nothing to wait for. */
export class Pollable {
  readonly #awaited: Awaited | undefined;

  constructor(awaited?: Awaited) {
    this.#awaited = awaited;
  }

  ready(): boolean {
    return this.#awaited === undefined || this.#awaited.ready();
  }

  block(): void | Promise<void> {
    if (!this.ready()) return untilReady(this.#awaited!);
  }

  /** What it waits for; `undefined` if nothing. */
  static awaited(pollable: Pollable): Awaited | undefined {
    return pollable.#awaited;
  }
}

/** More pollables than a guest of ours can have a use for. */
const MAX_POLLABLES = 10_000;

/** `wasi:io/poll` `poll`: indexes of the ready ones; waits for the first if none is. */
export function poll(list: readonly Pollable[]): Uint32Array | Promise<Uint32Array> {
  if (list.length === 0 || list.length > MAX_POLLABLES) throw new Error('poll was called with an unusable list');
  const ready = readyOf(list);
  return ready.length > 0 ? ready : waitAndPoll(list);
}

async function waitAndPoll(list: readonly Pollable[]): Promise<Uint32Array> {
  const all = list.map((pollable) => Pollable.awaited(pollable)!);
  const lifetime = lifetimeOf(all.find((awaited) => awaited.lifetime !== undefined) ?? all[0]!);
  const earliestMs = all.reduce((least, { atMs }) => Math.min(least, atMs ?? Infinity), Infinity);
  for (;;) {
    await lifetime.wait(earliestMs);
    const ready = readyOf(list);
    if (ready.length > 0) return ready;
  }
}

function readyOf(list: readonly Pollable[]): Uint32Array {
  const ready: number[] = [];
  for (const [index, pollable] of list.entries()) if (pollable.ready()) ready.push(index);
  return Uint32Array.from(ready);
}
