import { createLogger, type Logger } from '../../src/telemetry/log.ts';

/** A log that keeps what it was told, at every level, as parsed lines. */
export function recordedLog(): { readonly log: Logger; readonly logged: Record<string, unknown>[] } {
  const logged: Record<string, unknown>[] = [];
  const log = createLogger({
    level: 'debug',
    format: 'json',
    maxLinesPerSecond: 1_000_000,
    destination: { write: (line) => void logged.push(JSON.parse(line) as Record<string, unknown>) },
  });
  return { log, logged };
}
