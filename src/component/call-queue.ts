import type { PendingCall } from './pending-call.ts';

/**
 * Calls that wait for a runner, in the order of their arrival, and the bytes that they hold. One that has ended keeps its place until its
 * turn, and is passed over then.
 */
export class CallQueue {
  #calls: PendingCall[] = [];
  #count = 0;
  #bytes = 0;

  /** How many wait. */
  get count(): number {
    return this.#count;
  }

  /** Bytes that those hold. */
  get bytes(): number {
    return this.#bytes;
  }

  /** True if nobody is passed by who does not wait. */
  get isEmpty(): boolean {
    return this.#calls.length === 0;
  }

  /** Takes a call in, which holds so many bytes. */
  add(call: PendingCall, bytes: number): void {
    this.#calls.push(call);
    this.#count += 1;
    this.hold(call, bytes);
  }

  /** A call that waits holds so many bytes more. */
  hold(call: PendingCall, bytes: number): void {
    call.queuedBytes += bytes;
    this.#bytes += bytes;
  }

  /** A call that waited does so no longer. */
  leave(call: PendingCall): void {
    this.#count -= 1;
    this.#bytes -= call.queuedBytes;
    call.queuedBytes = 0;
  }

  /** Gives calls to `take`, the longest waiting first, while `mayTake` says so. */
  pump(mayTake: () => boolean, take: (call: PendingCall) => void): void {
    let taken = 0;
    while (taken < this.#calls.length && mayTake()) {
      const call = this.#calls[taken++]!;
      if (call.over) continue;
      this.leave(call);
      take(call);
    }
    if (taken > 0) this.#calls = taken === this.#calls.length ? [] : this.#calls.slice(taken);
  }

  /** Puts calls before all others: they had left, and have to wait again. */
  putBack(calls: readonly PendingCall[]): void {
    for (const call of calls) this.hold(call, call.root?.length ?? 0);
    this.#count += calls.length;
    this.#calls = [...calls, ...this.#calls];
  }

  /** Those whose time is over. */
  overdue(nowMs: number): readonly PendingCall[] {
    return this.#count === 0 ? [] : this.#calls.filter((call) => !call.over && nowMs >= call.deadlineMs);
  }

  /** Takes all out, in their order; each waits until it is said to {@link leave}. */
  empty(): readonly PendingCall[] {
    const calls = this.#calls;
    this.#calls = [];
    return calls;
  }
}
