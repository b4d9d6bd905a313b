/**
 * Every error Trellis can report: one class, stable codes, one catalogue. `docs/errors.md` is generated from here.
 *
 * - `user`: the caller or operator can fix it (settings, arguments, a component that cannot be loaded).
 * - `denied`: refused on purpose (trust, permissions, policy).
 * - `peer`: another process or machine misbehaved or is away.
 * - `system`: this host could not do its part.
 */
export type ErrorCategory = 'user' | 'denied' | 'peer' | 'system';

/** Process exit codes the commands and the daemon use. */
export const EXIT = {
  ok: 0,
  unexpected: 1,
  usage: 2,
  notFound: 3,
  denied: 4,
  unreachable: 5,
  timeout: 6,
  componentFailed: 7,
  latticeLost: 69,
  config: 78,
} as const;

interface CatalogueEntry {
  readonly category: ErrorCategory;
  /** True if the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;
  readonly exitCode: number;
  /** One sentence: what happened. */
  readonly meaning: string;
  /** One sentence: the command or setting that fixes it. */
  readonly remedy: string;
}

const entry = (
  category: ErrorCategory,
  exitCode: number,
  retryable: boolean,
  meaning: string,
  remedy: string,
): CatalogueEntry => ({ category, retryable, exitCode, meaning, remedy });

/** The catalogue, in the order of the path. Codes are stable: a code is never reused for another meaning. */
export const CATALOGUE = {
  // --- names and settings
  TRELLIS_ID_INVALID: entry(
    'user',
    EXIT.usage,
    false,
    'A name holds characters that cannot be part of a NATS subject, or is too long.',
    'Use A-Z, a-z, 0-9, _ and - only.',
  ),
  TRELLIS_USAGE: entry('user', EXIT.usage, false, 'The command line could not be understood.', 'Run the command with --help.'),
  TRELLIS_INTERNAL: entry(
    'system',
    EXIT.unexpected,
    false,
    'Trellis met a state it did not expect.',
    'Report it with the log lines around it.',
  ),
  // --- config
  // --- nats
  // --- wrpc
  // --- wit
  // --- trust (verification)
  // --- component
  // --- invocation
  // --- cli
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
