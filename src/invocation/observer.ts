import type { ErrorCode } from '../errors.ts';
import type { Audit, AuditEvent } from '../telemetry/audit.ts';
import type { Logger } from '../telemetry/log.ts';
import type { InvocationOutcome, Metrics } from '../telemetry/metrics.ts';

/** What the log and the metrics learn of one invocation's end. No payload, no token, no secret. */
export interface InvocationEnd {
  readonly component: string;
  /** `instance/function`, or the function alone for one of the world. */
  readonly operation: string;
  /** `ok`, or how it left the path. */
  readonly outcome: InvocationOutcome;
  /** The code that the log line and the metric carry; absent when ok. */
  readonly code?: ErrorCode;
  /** For the log: printable, bounded. */
  readonly detail?: string;
  /** The caller, signed or by its own word. */
  readonly origin: string | undefined;
  /** The lattice of the caller, if it called from another NATS account; proven as far as the origin is. */
  readonly originLattice?: string | undefined;
  /** Of a refusal, and of nothing else: the id that the caller was given. */
  readonly correlation?: string;
  /** Of a refusal: the public key that the token named, if it could be read. */
  readonly signer?: string | undefined;
  /** Let in without a signature, because the operator listed the pair in `trust.unsigned`. */
  readonly unsigned?: boolean;
  /** True if the invocation was proven authentic. */
  readonly verified: boolean;
  readonly durationMs: number;
  readonly traceparent: string | undefined;
}

/** Where the path reports to: one call per invocation that leaves it, by whichever exit. */
export interface PathObserver {
  ended(end: InvocationEnd): void;
  /** `observe` let through what `enforce` would have refused. */
  wouldDeny(code: ErrorCode, detail: string, component: string, operation: string): void;
  /**
   * An invocation of a listed pair ran here unsigned (`in`), or its unsigned answer was taken (`out`).
   * @param withStreams - Its function has streams or futures: they are carried as unproven as the rest.
   */
  unsigned(direction: 'in' | 'out', pair: string, withStreams: boolean): void;
  /** A reply, or a part of one or of parameters, was dropped because it was not authentic. */
  dropped(reason: string, code?: ErrorCode): void;
}

/**
 * Reports to log, metrics and audit: one line and one count per exit, at the level its kind deserves, and a record per refusal.
 * @param audit - A host's; a plain caller has none.
 */
export function createObserver(log: Logger, metrics: Metrics, audit?: Audit): PathObserver {
  return {
    ended(end) {
      metrics.invocation(end.component, end.operation).record(end.outcome, end.durationMs);
      if (end.outcome === 'ok') {
        if (log.enabled('debug')) log.debug({ ...end }, 'invocation');
        return;
      }
      if (end.code !== undefined && (end.outcome === 'denied' || end.code === 'TRELLIS_VERIFY_FLOODED')) metrics.denied(end.code);
      if (end.correlation !== undefined) audit?.record(refusalOf(end));
      log.warn({ ...end }, end.outcome === 'denied' ? 'invocation denied' : 'invocation failed');
    },
    wouldDeny(code, detail, component, operation) {
      metrics.observed(code);
      log.warn({ code, detail, component, operation }, 'enforce would deny this invocation');
    },
    unsigned(direction, pair, withStreams) {
      metrics.unsigned(direction, pair);
      if (withStreams) metrics.unsignedStreams(pair);
    },
    dropped(reason, code = 'TRELLIS_INVOKE_UNAUTHENTICATED') {
      metrics.denied(code);
      audit?.record({ kind: 'dropped', code, detail: reason });
      log.debug({ code, reason }, 'dropped what is not authentic');
    },
  };
}

function refusalOf(end: InvocationEnd): AuditEvent {
  const { code = 'TRELLIS_INTERNAL', detail, origin, originLattice, verified, signer, component, operation, correlation } = end;
  return { kind: 'refused', code, detail, origin, originLattice, proven: verified, signer, component, operation, correlation };
}
