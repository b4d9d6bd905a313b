/** What is known of a call that a lost runner had. */
export interface LostCall {
  readonly id: number;
  /** All root parameters were sent with it. */
  readonly complete: boolean;
  /** Its caller has its end already. */
  readonly over: boolean;
  /** Root parameters, if they were kept. */
  readonly root: Uint8Array | undefined;
}

/** What is known of the runner. */
export interface LostRunner {
  /** Number of the last `began` frame, or 0. */
  readonly began: number;
  /** Its component's code never waits, so calls ran one after the other. */
  readonly sync: boolean;
  /** What a guest did ended it. */
  readonly byGuest: boolean;
}

/** What becomes of the calls of a lost runner. */
export interface SortedCalls<Call> {
  /** The call that ended the runner. */
  readonly trapped: Call[];
  /** May have begun: they must not run again. */
  readonly begun: Call[];
  /** Have not begun: another runner may have them. */
  readonly unbegun: Call[];
}

/**
 * Decides which calls of a lost runner may run elsewhere, given in the order they were sent. A runner announces complete
 * calls before it begins them, except one at a time: the first that is neither announced nor answered (`runner/calls.ts`).
 * Incomplete calls begin when their parameters are there, unannounced.
 */
export function sortLost<Call extends LostCall>(calls: readonly Call[], runner: LostRunner): SortedCalls<Call> {
  const sorted: SortedCalls<Call> = { trapped: [], begun: [], unbegun: [] };
  let inDoubt = true;
  let ranNow = runner.byGuest && runner.sync;
  for (const call of calls) {
    // Numbers wrap at 2^32.
    const announced = runner.began !== 0 && ((call.id - runner.began) | 0) <= 0;
    const mayHaveBegun = !call.complete || announced || inDoubt;
    const trapped = ranNow && call.complete;
    if (call.complete) {
      ranNow = false;
      if (!announced) inDoubt = false;
    }
    if (call.over) continue;
    if (trapped) sorted.trapped.push(call);
    else if (mayHaveBegun || call.root === undefined) sorted.begun.push(call);
    else sorted.unbegun.push(call);
  }
  return sorted;
}
