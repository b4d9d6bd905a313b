import type { CatalogueEntry, ErrorCategory } from './errors/entry.ts';
import { ARTIFACT_ERRORS } from './errors/artifacts.ts';
import { AUTH_ERRORS } from './errors/auth.ts';
import { COMMAND_ERRORS } from './errors/commands.ts';
import { COMPONENT_ERRORS } from './errors/components.ts';
import { CONTROL_ERRORS } from './errors/control.ts';
import { HOST_ERRORS } from './errors/host.ts';
import { INVOCATION_ERRORS } from './errors/invocation.ts';
import { LATTICE_ERRORS } from './errors/lattice.ts';
import { NATS_ERRORS } from './errors/nats.ts';
import { SETTINGS_ERRORS } from './errors/settings.ts';
import { VERIFICATION_ERRORS } from './errors/verification.ts';
import { WIT_ERRORS } from './errors/wit.ts';

export { EXIT, type ErrorCategory } from './errors/entry.ts';

/**
 * Every error Trellis can report: one class, stable codes, one catalogue, a file a subject in `errors/`. `docs/errors.md` is generated
 * from it, in this order. Codes are stable: a code is never reused for another meaning.
 */
export const CATALOGUE = {
  ...SETTINGS_ERRORS,
  ...CONTROL_ERRORS,
  ...NATS_ERRORS,
  ...WIT_ERRORS,
  ...VERIFICATION_ERRORS,
  ...LATTICE_ERRORS,
  ...ARTIFACT_ERRORS,
  ...COMPONENT_ERRORS,
  ...INVOCATION_ERRORS,
  ...HOST_ERRORS,
  ...AUTH_ERRORS,
  ...COMMAND_ERRORS,
} as const satisfies Record<string, CatalogueEntry>;

/** A stable error code, `TRELLIS_<AREA>_<REASON>`. */
export type ErrorCode = keyof typeof CATALOGUE;

/** What {@link TrellisError} takes beside its code. */
export interface TrellisErrorOptions {
  /** What happened here; the catalogue's meaning when left out. Never a secret, never a peer's raw bytes. */
  readonly message?: string;
  /** What to do about it here; the catalogue's remedy when left out. */
  readonly remedy?: string;
  /** Facts for the log: names, sizes, counts. Never a secret or a payload. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

const KIND = Symbol.for('trellis.error');

/** The one error class. `instanceof` also holds across two copies of the package. */
export class TrellisError extends Error {
  readonly code: ErrorCode;
  readonly category: ErrorCategory;
  readonly retryable: boolean;
  readonly exitCode: number;
  readonly remedy: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly [KIND] = true;

  constructor(code: ErrorCode, options: TrellisErrorOptions = {}) {
    const known = CATALOGUE[code];
    super(options.message ?? known.meaning, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'TrellisError';
    this.code = code;
    this.category = known.category;
    this.retryable = known.retryable;
    this.exitCode = known.exitCode;
    this.remedy = options.remedy ?? known.remedy;
    this.details = options.details ?? {};
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[KIND] === true;
  }

  /** The fields a log line or `--output json` shows. */
  toJSON(): {
    code: ErrorCode;
    category: ErrorCategory;
    message: string;
    remedy: string;
    retryable: boolean;
    details: Readonly<Record<string, unknown>>;
  } {
    return {
      code: this.code,
      category: this.category,
      message: this.message,
      remedy: this.remedy,
      retryable: this.retryable,
      details: this.details,
    };
  }
}
