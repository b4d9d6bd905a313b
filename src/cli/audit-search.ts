import { readFileSync } from 'node:fs';
import { type Explanation, readExplanation } from '../control/explain.ts';
import { TrellisError } from '../errors.ts';

const MAX_FILES = 1_000;

/**
 * The refusals with a correlation id in an audit file and the older ones beside it, oldest first.
 * @throws TRELLIS_CLI_FILE if the file itself cannot be read
 */
export function searchAuditFiles(path: string, correlation: string): Explanation[] {
  const found: Explanation[] = [];
  for (let at = 0; at < MAX_FILES; at++) {
    const text = read(at === 0 ? path : `${path}.${at}`, at === 0);
    if (text === undefined) break;
    const inFile = text
      .split('\n')
      .filter((line) => line.includes(correlation))
      .map((line) => refusalIn(line, correlation))
      .filter((refusal) => refusal !== undefined);
    found.unshift(...inFile);
  }
  return found;
}

function read(path: string, needed: boolean): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (!needed && code === 'ENOENT') return undefined;
    throw new TrellisError('TRELLIS_CLI_FILE', { message: `${path} cannot be read (${String(code)})`, cause });
  }
}

function refusalIn(line: string, correlation: string): Explanation | undefined {
  try {
    const record: unknown = JSON.parse(line);
    const { kind, correlation: id } = record as { kind?: unknown; correlation?: unknown };
    return kind === 'refused' && id === correlation ? readExplanation(record) : undefined;
  } catch {
    return undefined;
  }
}
