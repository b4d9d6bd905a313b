import { pino, stdTimeFunctions } from 'pino';
import type { Logger as Pino } from 'pino';
import { systemClock } from '../clock.ts';
import type { Clock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import { LineLimiter } from './line-limiter.ts';
import { LineSink } from './line-sink.ts';
import { prettyLine } from './pretty.ts';
import { REDACTED, Scrubber } from './scrub.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

/** Least level that is logged. */
export type LogLevel = (typeof LEVELS)[number];

/** Facts beside a message. Names, counts, sizes, codes; never a secret or a payload. */
export interface LogFields {
  /** Stable code; lines with one are limited to 60 a second together, and 3 for each code at the least. */
  readonly code?: string | undefined;
  /** A {@link TrellisError} shows code, message and remedy; other errors their stack. */
  readonly err?: unknown;
  readonly [name: string]: unknown;
}

/** Writes one log line: `log.info({ component }, 'started')` or `log.info('started')`. */
export interface LogWrite {
  (fields: LogFields, message: string): void;
  (message: string): void;
}

/** A structured log. Never throws. */
export interface Logger {
  readonly trace: LogWrite;
  readonly debug: LogWrite;
  readonly info: LogWrite;
  readonly warn: LogWrite;
  readonly error: LogWrite;
  readonly fatal: LogWrite;
  /** A log that adds `bindings` to each line. */
  child(bindings: Readonly<Record<string, unknown>>): Logger;
  /** Whether a line of this level would be written; ask before building costly fields. */
  enabled(level: LogLevel): boolean;
  /** Changes the least level, of this log and of all that came from the same {@link createLogger}. */
  setLevel(level: LogLevel): void;
  /** Secrets this log must not show; register each one where it is read. */
  readonly scrubber: Scrubber;
  /** Hands everything to the operating system now; for the last moment before an exit. */
  flush(): void;
}

/** What {@link createLogger} takes. */
export interface LoggerOptions {
  /** @defaultValue 'info' */
  readonly level?: LogLevel;
  /** `auto` is pretty when standard error is a terminal. @defaultValue 'auto' */
  readonly format?: 'auto' | 'json' | 'pretty';
  /** Where lines go; standard error if left out. */
  readonly destination?: { write(line: string): void };
  readonly scrubber?: Scrubber;
  readonly clock?: Clock;
  /** Lines with a code a second; more are counted and reported once, and each code has 3 for itself. @defaultValue 60 */
  readonly maxLinesPerSecond?: number;
}

const SECRET_FIELDS = [
  'seed',
  'clusterSeed',
  'hostSeed',
  'privateKey',
  'password',
  'pass',
  'token',
  'jwt',
  'creds',
  'authorization',
  'params',
  'payload',
];
const REDACT_PATHS = SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

// A reader that stops reading must not stop the host, nor make it hold the whole log: beyond this, lines are dropped.
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;
// How long an exit waits for a reader that is there and does not read.
const FLUSH_MS = 500;
const STANDARD_ERROR = 2;

/** Returns a log: JSON lines (or text on a terminal), secrets removed by name and by value, one line per event. */
export function createLogger(options: LoggerOptions = {}): Logger {
  const scrubber = options.scrubber ?? new Scrubber();
  const pretty =
    options.format === 'pretty' || ((options.format ?? 'auto') === 'auto' && !options.destination && process.stderr.isTTY);
  const color = pretty && !options.destination && process.stderr.isTTY && process.stderr.hasColors();
  const ownStream =
    options.destination === undefined ? new LineSink({ fd: STANDARD_ERROR, maxBufferedBytes: MAX_BUFFERED_BYTES }) : undefined;
  const stream = options.destination ?? ownStream!;
  const root = pino(
    {
      // Children keep the level they were made with; the one that counts is shared, see `wrap`.
      level: 'trace',
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: errorFields },
      redact: { paths: REDACT_PATHS, censor: REDACTED },
      hooks: {
        streamWrite: (line) => {
          const clean = scrubber.scrubJson(line);
          return pretty ? prettyLine(clean, color) : clean;
        },
      },
    },
    stream,
  );
  const limiter = new LineLimiter({
    clock: options.clock ?? systemClock,
    maxPerSecond: options.maxLinesPerSecond ?? 60,
    report: (code, suppressed) => root.warn({ code, suppressed }, 'lines of this code were left out'),
  });
  const flush = (): void => {
    limiter.flush();
    ownStream?.flushSync(FLUSH_MS);
  };
  return wrap(root, { level: options.level ?? 'info' }, limiter, scrubber, flush);
}

/** A log that writes nothing. */
export function silentLogger(): Logger {
  return createLogger({ destination: { write: () => {} }, format: 'json' });
}

function wrap(log: Pino, least: { level: LogLevel }, limiter: LineLimiter, scrubber: Scrubber, flush: () => void): Logger {
  const enabled = (level: LogLevel): boolean => LEVELS.indexOf(level) >= LEVELS.indexOf(least.level);
  const write =
    (level: LogLevel): LogWrite =>
    (first: LogFields | string, message?: string) => {
      if (!enabled(level)) return;
      if (typeof first === 'string') {
        log[level](first);
        return;
      }
      const code = first.code ?? (first.err instanceof TrellisError ? first.err.code : undefined);
      if (code !== undefined && !limiter.allows(code)) return;
      log[level](first, message ?? '');
    };
  return {
    trace: write('trace'),
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    fatal: write('fatal'),
    child: (bindings) => wrap(log.child(bindings), least, limiter, scrubber, flush),
    enabled,
    setLevel: (level) => void (least.level = level),
    scrubber,
    flush,
  };
}

/** What a log line shows of an error: code, message and remedy of ours, the stack of what nobody expected. */
function errorFields(error: unknown): unknown {
  const expected = error instanceof TrellisError && error.category !== 'system';
  return errorAt(error, !expected, 0);
}

function errorAt(error: unknown, withStack: boolean, depth: number): unknown {
  if (!(error instanceof Error)) return typeof error === 'object' ? { type: 'object' } : error;
  const fields: Record<string, unknown> = { type: error.name, message: error.message };
  if (error instanceof TrellisError) {
    fields['code'] = error.code;
    fields['remedy'] = error.remedy;
    if (Object.keys(error.details).length > 0) fields['details'] = error.details;
  }
  if (withStack) fields['stack'] = error.stack;
  if (error.cause !== undefined && depth < 3) fields['cause'] = errorAt(error.cause, withStack, depth + 1);
  return fields;
}
