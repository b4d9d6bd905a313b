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
  TRELLIS_NATS_SERVER_MISSING: entry(
    'user',
    EXIT.notFound,
    false,
    'No nats-server program was found on this machine.',
    'Run npm start in a clone, which fetches one, or set NATS_SERVER to the path of one (2.9.10 or later).',
  ),
  TRELLIS_NATS_SERVER_FAILED: entry(
    'system',
    EXIT.unreachable,
    true,
    'The nats-server that Trellis started did not run as asked.',
    'Read the end of its log in the message; free the port or correct the configuration it names.',
  ),
  // --- wrpc
  // --- wit
  // --- trust (verification)
  // --- component
  // --- invocation
  TRELLIS_LINK_CONFLICT: entry(
    'user',
    EXIT.config,
    false,
    'Two links of the same source, name and interface lead to different targets.',
    'Remove one of them, or give it another link name.',
  ),
  TRELLIS_LINK_MISSING: entry(
    'user',
    EXIT.notFound,
    false,
    'A component called an interface that no link serves.',
    'Add a link with this source, link name and interface to the host configuration.',
  ),
  TRELLIS_PATH_BUSY: entry(
    'system',
    EXIT.unexpected,
    true,
    'The host has as many invocations in flight as it admits for this component or origin.',
    "Try again, or raise limits.maxInFlight or the component's maxInstances.",
  ),
  TRELLIS_PATH_MALFORMED: entry(
    'peer',
    EXIT.usage,
    false,
    'An invocation was not shaped as the wire form asks.',
    'Check the calling peer; the log line says what was wrong.',
  ),
  TRELLIS_PATH_TOO_LARGE: entry(
    'user',
    EXIT.usage,
    false,
    'The parameters or the result are larger than this host accepts.',
    'Raise limits.maxParamsBytes or limits.maxResultBytes, or send less.',
  ),
  TRELLIS_PATH_PARAMS_TIMEOUT: entry(
    'peer',
    EXIT.timeout,
    true,
    'A caller announced parameters and did not send them in time.',
    'Check the caller and its connection.',
  ),
  TRELLIS_PATH_UNSIGNED_VALUES: entry(
    'denied',
    EXIT.denied,
    false,
    'A stream or future would travel outside the signed bytes, which verify: enforce refuses.',
    'Send the value inline (a non-empty list in the root), or set trust.verify to observe.',
  ),
  TRELLIS_INVOKE_DENIED: entry(
    'denied',
    EXIT.denied,
    false,
    'The target refused the invocation.',
    "Check that the caller's cluster key is among the target's issuers and that a link or trust.unlinkedOrigins allows it; the target's log has the reason.",
  ),
  TRELLIS_INVOKE_NO_RESPONDERS: entry(
    'peer',
    EXIT.unreachable,
    true,
    'Nobody in the lattice serves this function.',
    'Start the target component, and check lattice, component id, interface and version.',
  ),
  TRELLIS_INVOKE_TIMEOUT: entry(
    'peer',
    EXIT.timeout,
    true,
    'No valid answer came before the deadline.',
    "Raise the timeout, or look at the target's log.",
  ),
  TRELLIS_INVOKE_UNAUTHENTICATED: entry(
    'denied',
    EXIT.denied,
    false,
    'The answer was not signed by a trusted issuer.',
    'Let the target join the same cluster issuers, or set trust.verify to observe while migrating.',
  ),
  TRELLIS_INVOKE_TRAP: entry(
    'peer',
    EXIT.componentFailed,
    false,
    'The target component trapped.',
    "Look at the target host's log for the trap and the guest's own output.",
  ),
  TRELLIS_INVOKE_FAILED: entry(
    'peer',
    EXIT.componentFailed,
    false,
    'The target could not complete the invocation.',
    "Look at the target host's log.",
  ),
  TRELLIS_INVOKE_BUSY: entry(
    'peer',
    EXIT.unreachable,
    true,
    'The target has no room for another invocation.',
    "Try again, or raise the target's maxInstances or maxQueue.",
  ),
  TRELLIS_INVOKE_BAD_PARAMS: entry(
    'user',
    EXIT.usage,
    false,
    'The target could not read the parameters as its own types.',
    'Compare the WIT of both sides with trellis inspect.',
  ),
  TRELLIS_INVOKE_TARGET_TIMEOUT: entry(
    'peer',
    EXIT.timeout,
    true,
    'The target component ran past its deadline and was stopped.',
    'Raise its timeoutMs or shorten the work.',
  ),
  TRELLIS_INVOKE_CANCELLED: entry(
    'system',
    EXIT.unexpected,
    true,
    'The call was given up, because its caller ended or the host stops.',
    'Nothing to do; call again.',
  ),
  TRELLIS_CALL_DEPTH: entry(
    'user',
    EXIT.componentFailed,
    false,
    'Components called each other deeper than limits.maxCallDepth.',
    'Break the cycle, or raise limits.maxCallDepth.',
  ),
  // --- host
  TRELLIS_HOST_START: entry(
    'system',
    EXIT.unexpected,
    false,
    'The host could not start.',
    'Look at the cause; trellis host --check-config lists configuration problems.',
  ),
  TRELLIS_HOST_COMPONENT: entry(
    'user',
    EXIT.config,
    false,
    'A configured component could not be started.',
    'Run trellis inspect on its file.',
  ),
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
