import type { Problem } from '../../config/problems.ts';

/** How a check came out: `allowed` is wrong and accepted by name, `unknown` could not be found out. */
export type CheckVerdict = 'ok' | 'allowed' | 'unknown' | 'warning' | 'failed';

/** One measured number of a check. */
export interface CheckValue {
  /** `latency`, `credentials_left`. */
  readonly name: string;
  readonly value: number;
  readonly unit: 's' | 'ms' | '';
}

/** One check. Names are stable: monitoring goes by them. */
export interface Check {
  /** `ctl-connection`, `partition`. */
  readonly name: string;
  readonly verdict: CheckVerdict;
  /** What was found, in one line. */
  readonly found: string;
  /** What is wrong, each with its reason and fix. */
  readonly problems: readonly CheckProblem[];
  readonly values: readonly CheckValue[];
  readonly durationMs: number;
}

/** One thing that is wrong. */
export type CheckProblem = Pick<Problem, 'severity' | 'summary' | 'why' | 'fix' | 'allowance'> & {
  /** START or error code. */
  readonly code: string;
  readonly setting?: string;
};

/** What the checks of one run are put together from; a name that is not there has not been reached. */
export interface Examination {
  readonly lattice: string;
  readonly checks: readonly Check[];
  /** When it began, milliseconds since the epoch. */
  readonly startedMs: number;
  readonly durationMs: number;
}

/** From good to bad; `unknown` is worse than what is known to be accepted. */
const ORDER: readonly CheckVerdict[] = ['ok', 'allowed', 'unknown', 'warning', 'failed'];

/** The worst of several verdicts; `ok` for none. */
export function worst(verdicts: readonly CheckVerdict[]): CheckVerdict {
  return ORDER[Math.max(0, ...verdicts.map((verdict) => ORDER.indexOf(verdict)))]!;
}

/** The verdict that problems come to. */
export function verdictOf(problems: readonly CheckProblem[]): CheckVerdict {
  return worst(problems.map(({ severity }) => (severity === 'refused' ? 'failed' : severity)));
}
