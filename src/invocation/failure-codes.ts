import type { CallFailure } from '../component/runner/frames.ts';
import type { ErrorCode } from '../errors.ts';
import type { ResultStatus } from '../trust/result-token.ts';

const FAILURE: Readonly<Record<Exclude<ResultStatus, 'ok'>, ErrorCode>> = {
  denied: 'TRELLIS_INVOKE_DENIED',
  busy: 'TRELLIS_INVOKE_BUSY',
  trap: 'TRELLIS_INVOKE_TRAP',
  timeout: 'TRELLIS_INVOKE_TARGET_TIMEOUT',
  'too-large': 'TRELLIS_PATH_TOO_LARGE',
  'bad-params': 'TRELLIS_INVOKE_BAD_PARAMS',
  'unsigned-values': 'TRELLIS_PATH_UNSIGNED_VALUES',
  frames: 'TRELLIS_VERIFY_FRAME',
  unavailable: 'TRELLIS_INVOKE_FAILED',
  error: 'TRELLIS_INVOKE_FAILED',
};

/** The code of a call that its target answered with `status`; `undefined` for `ok` and for what is no status. */
export function answeredFailure(status: string): ErrorCode | undefined {
  return Object.hasOwn(FAILURE, status) ? FAILURE[status as Exclude<ResultStatus, 'ok'>] : undefined;
}

/** The code of an unsigned refusal, by the status line an unmodified peer or the server itself sends. */
export function refusalFailure(status: number, text: string): [ErrorCode, string] {
  const detail = `status ${status} ${printableStatus(text)}`.trim();
  if (status === 503) return ['TRELLIS_INVOKE_NO_RESPONDERS', detail];
  if (status === 401 || status === 403) return ['TRELLIS_INVOKE_DENIED', detail];
  if (status === 429) return ['TRELLIS_INVOKE_BUSY', detail];
  if (status === 408 || status === 504) return ['TRELLIS_INVOKE_TARGET_TIMEOUT', detail];
  if (status === 400) return ['TRELLIS_INVOKE_BAD_PARAMS', detail];
  if (status === 422) return ['TRELLIS_PATH_UNSIGNED_VALUES', detail];
  if (status === 413) return ['TRELLIS_PATH_TOO_LARGE', detail];
  return ['TRELLIS_INVOKE_FAILED', detail];
}

/** What a peer says of a failure, fit for a log line. */
export function printableStatus(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 80);
}

/** A failure as a caller is told of it. */
export type Failure = Exclude<ResultStatus, 'ok'>;

/** The path's own code for each way a component can fail a call. */
export const RUN_FAILURE: Readonly<Record<CallFailure, readonly [Exclude<Failure, 'frames'>, ErrorCode]>> = {
  trap: ['trap', 'TRELLIS_INVOKE_TRAP'],
  timeout: ['timeout', 'TRELLIS_INVOKE_TARGET_TIMEOUT'],
  busy: ['busy', 'TRELLIS_PATH_BUSY'],
  'too-large': ['too-large', 'TRELLIS_PATH_TOO_LARGE'],
  'bad-params': ['bad-params', 'TRELLIS_INVOKE_BAD_PARAMS'],
  unavailable: ['unavailable', 'TRELLIS_INVOKE_FAILED'],
  'unsigned-values': ['unsigned-values', 'TRELLIS_PATH_UNSIGNED_VALUES'],
  error: ['error', 'TRELLIS_INVOKE_FAILED'],
};
