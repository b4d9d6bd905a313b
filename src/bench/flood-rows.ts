/** What the attacker of a row sends. All of it is made from genuine messages that it read on the rpc connection. */
export type FloodKind = 'bad-signature' | 'unknown-issuer' | 'garbage' | 'replay';

/** One attack, and how much of the valid traffic it may cost. */
export interface FloodRow {
  readonly name: string;
  readonly kind: FloodKind;
  /** Messages a second that the attacker tries to send. */
  readonly perSecond: number;
  /** Most of the valid calls a second that may be lost against the control, percent. */
  readonly maxLostPercent: number;
}

/** The attacks in the order they are measured. */
export const FLOOD_ROWS: readonly FloodRow[] = [
  { name: 'bad-2k', kind: 'bad-signature', perSecond: 2_000, maxLostPercent: 10 },
  { name: 'bad-5k', kind: 'bad-signature', perSecond: 5_000, maxLostPercent: 25 },
  { name: 'bad-10k', kind: 'bad-signature', perSecond: 10_000, maxLostPercent: 50 },
  { name: 'unknown-20k', kind: 'unknown-issuer', perSecond: 20_000, maxLostPercent: 20 },
  { name: 'garbage-20k', kind: 'garbage', perSecond: 20_000, maxLostPercent: 20 },
  { name: 'replay-10k', kind: 'replay', perSecond: 10_000, maxLostPercent: 10 },
];

/** Longest recovery to 95 % of the undisturbed rate, milliseconds. */
export const MAX_RECOVERY_MS = 5_000;
/** Most memory that a flood may add to the host, bytes. */
export const MAX_RSS_GROWTH_BYTES = 64 * 1024 * 1024;
/** Most log lines a second. */
export const MAX_LOG_LINES_PER_SECOND = 100;
/** Below this share of the asked rate a row says nothing: the attacker did not get to send its flood. */
const LEAST_SENT = 0.9;

/** What one row measured. Rates are a second; `lost…` are percent, negative when more came through. */
export interface FloodFigures extends FloodRow {
  /** Calls a second that the valid caller begins. */
  readonly offered: number;
  readonly floodSent: number;
  readonly validAlone: number;
  readonly validControl: number;
  readonly validFlood: number;
  readonly lostToControl: number;
  readonly lostToAlone: number;
  /** Valid calls that failed during the flood, by code. */
  readonly failures: Readonly<Record<string, number>>;
  readonly p99AloneMs: number;
  readonly p99ControlMs: number;
  readonly p99FloodMs: number;
  /** `undefined`: not within the time it was watched. */
  readonly recoveryMs: number | undefined;
  /** CPU of the host process, percent of one core. */
  readonly hostCpuControl: number;
  readonly hostCpuFlood: number;
  /** CPU of the host beyond the control's for each message of the flood, microseconds; means little when valid calls were lost. */
  readonly hostCpuUsPerMessage: number;
  readonly rssGrowthBytes: number;
  readonly logLinesPerSecond: number;
  /** Codes in the host's log lines during the flood: for what the forgeries were refused. */
  readonly codes: readonly string[];
}

/** What a row missed, in words; empty when it passed. */
export function missedTargets(row: FloodFigures): string[] {
  const missed: string[] = [];
  if (row.floodSent < row.perSecond * LEAST_SENT) missed.push('not all was sent');
  if (row.lostToControl > row.maxLostPercent) missed.push(`lost > ${row.maxLostPercent} %`);
  if (row.recoveryMs === undefined || row.recoveryMs > MAX_RECOVERY_MS) missed.push('recovery > 5 s');
  if (row.rssGrowthBytes > MAX_RSS_GROWTH_BYTES) missed.push('memory > 64 MB');
  if (row.logLinesPerSecond > MAX_LOG_LINES_PER_SECOND) missed.push('log > 100 lines/s');
  return missed;
}

/**
 * How long after a flood the valid traffic was back: the first moment from which it made 95 % of `undisturbed` a second for one
 * second; `undefined` if it did not within the samples.
 *
 * @param samples Calls that ended well in each stretch after the end of the flood, with the stretch's length in milliseconds.
 */
export function recoveredAfterMs(
  samples: readonly { readonly ok: number; readonly elapsedMs: number }[],
  undisturbed: number,
): number | undefined {
  let startMs = 0;
  for (let first = 0; first < samples.length; first++) {
    let ok = 0;
    let elapsedMs = 0;
    for (let at = first; at < samples.length && elapsedMs < 1_000; at++) {
      ok += samples[at]!.ok;
      elapsedMs += samples[at]!.elapsedMs;
    }
    if (elapsedMs < 1_000) return undefined;
    if (ok / (elapsedMs / 1_000) >= 0.95 * undisturbed) return startMs;
    startMs += samples[first]!.elapsedMs;
  }
  return undefined;
}
