import { styleText } from 'node:util';
import { TrellisError } from '../errors.ts';
import { visible, visibleJson } from '../telemetry/scrub.ts';

/** How results are printed: for people, or one JSON document for programs. */
export type OutputFormat = 'text' | 'json';

/** Where results go: data on standard output, everything else on standard error. */
export interface Output {
  readonly format: OutputFormat;
  /** Prints `data` as JSON, or calls `text` for a person. Exactly once per command. */
  result(data: unknown, text: (print: (line: string) => void) => void): void;
  /** Says what is going on; never part of the result. */
  progress(line: string): void;
}

/** Streams of an {@link Output}; a test passes its own. */
export interface OutputStreams {
  readonly out: { write(text: string): void };
  readonly err: { write(text: string): void };
}

/** Returns the output of one command. */
export function createOutput(
  format: OutputFormat,
  streams: OutputStreams = { out: process.stdout, err: process.stderr },
): Output {
  return {
    format,
    result(data, text) {
      if (format === 'json') streams.out.write(`${jsonText(data, 2)}\n`);
      else text((line) => streams.out.write(`${line}\n`));
    },
    progress(line) {
      streams.err.write(`${line}\n`);
    },
  };
}

/** A value as JSON for programs, which people look at on terminals as well. */
export function jsonText(value: unknown, indent?: number): string {
  return visibleJson(JSON.stringify(value, jsonValue, indent));
}

/** Values JSON does not know, as the documents of Trellis write them. */
function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
}

/** Returns `name  value` lines with aligned values; a value of several lines is indented below its name. */
export function fieldLines(fields: readonly (readonly [name: string, value: string])[]): string[] {
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  return fields.flatMap(([name, value]) => {
    const [first = '', ...rest] = value.split('\n');
    return [
      `${paint('gray', name.padEnd(width))}  ${visible(first)}`,
      ...rest.map((line) => `${' '.repeat(width)}  ${visible(line)}`),
    ];
  });
}

/** Returns a table without borders: a head, then rows, columns as wide as their longest cell. Numbers align right. */
export function tableLines(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = rows.map((row) => row.map((cell) => visible(String(cell))));
  const widths = head.map((name, i) => Math.max(name.length, ...cells.map((row) => (row[i] ?? '').length)));
  const right = head.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === 'number'));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (right[i] === true ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [paint('bold', line(head)), ...cells.map(line)];
}

/** Colors `text` when standard output is a terminal that wants color (`NO_COLOR` is honoured). */
export function paint(style: Parameters<typeof styleText>[0], text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/**
 * Reports an error the way the format asks for (`{"error": {code, message, why?, hint}}` on standard output, or text on standard
 * error) and returns the exit code.
 */
export function reportError(
  error: unknown,
  format: OutputFormat,
  streams: OutputStreams = { out: process.stdout, err: process.stderr },
): number {
  const known = error instanceof TrellisError ? error : undefined;
  const fault = known ?? new TrellisError('TRELLIS_INTERNAL', { cause: error });
  const cause = fault.cause instanceof Error ? fault.cause.message : '';
  // Most messages say their reason themselves.
  const why = cause === '' || fault.message.includes(cause) ? undefined : cause;
  if (format === 'json') {
    const { code, message, remedy } = fault;
    streams.out.write(`${jsonText({ error: { code, message, why, hint: remedy } }, 2)}\n`);
    return fault.exitCode;
  }
  const lines = [`error: ${visible(fault.message)}`];
  if (known === undefined)
    lines.push(
      ...(error instanceof Error ? (error.stack ?? error.message) : String(error))
        .split('\n')
        .map((line) => `  ${visible(line)}`),
    );
  else if (why !== undefined) lines.push(`  why   ${visible(why)}`);
  lines.push(`  fix   ${visible(fault.remedy)}`, `  code  ${fault.code}`);
  streams.err.write(`${lines.join('\n')}\n`);
  return fault.exitCode;
}
