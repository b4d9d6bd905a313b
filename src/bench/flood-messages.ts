import type { FloodKind } from './flood-rows.ts';

/** What the valid caller is started with, as its one argument in JSON. */
export interface FloodCallerSetup {
  readonly url: string;
  readonly lattice: string;
  readonly clusterSeedFile: string;
  readonly target: string;
  readonly instance: string;
  readonly func: string;
}

/** What the valid caller is asked; it answers each with {@link CallerFigures} of the time since the last answer. */
export type CallerOrder =
  /** Keeps `inFlight` calls going for `durationMs`. */
  | { readonly order: 'closed-loop'; readonly inFlight: number; readonly durationMs: number }
  /** From now on begins so many calls a second, whatever becomes of them; 0 stops. */
  | { readonly order: 'rate'; readonly perSecond: number }
  | { readonly order: 'report' };

/** What became of the valid calls in a stretch of time. */
export interface CallerFigures {
  readonly elapsedMs: number;
  readonly ok: number;
  /** Calls that failed, by code. */
  readonly failures: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** What the attacker is started with, as its one argument in JSON. */
export interface AttackerSetup {
  readonly port: number;
  readonly lattice: string;
}

/** What the attacker is asked. */
export type AttackerOrder =
  /** Reads genuine messages and makes its own from them; answers with how many it has. */
  | { readonly order: 'prepare'; readonly kind: FloodKind; readonly subject: 'genuine' | 'nobody' }
  /** Sends what it prepared, over and over, at a rate; answers with how many it sent. */
  | { readonly order: 'flood'; readonly perSecond: number; readonly durationMs: number };

/** The attacker's answer. */
export interface AttackerFigures {
  readonly messages: number;
  readonly elapsedMs: number;
}
