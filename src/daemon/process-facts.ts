import { readFileSync } from 'node:fs';
import inspector from 'node:inspector';
import type { ProcessFacts } from '../config/check-context.ts';

/** What this process is, for the checks at start. */
export function processFacts(): ProcessFacts {
  return {
    uid: process.geteuid?.(),
    inspectorOpen: inspector.url() !== undefined,
    dumpsCore: dumpsCore(),
    unconfined: unconfined(),
    nowMs: Date.now(),
  };
}

/** True if a core file is allowed and would hold memory. Where /proc does not say, the operator's limit is what there is. */
function dumpsCore(): boolean {
  try {
    const limit = /^Max core file size\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    if (limit === undefined || limit === '0') return false;
    // The daemon sets it to 0 at its start: a core file then has no memory in it.
    return Number.parseInt(readFileSync('/proc/self/coredump_filter', 'latin1'), 16) !== 0;
  } catch {
    return false;
  }
}

/** Runners are confined by these flags of Node; one that does not know them would not start with them, or not be confined. */
function unconfined(): string | undefined {
  const missing = ['--permission', '--allow-net', '--disallow-code-generation-from-strings'].filter(
    (flag) => !process.allowedNodeEnvironmentFlags.has(flag),
  );
  return missing.length === 0 ? undefined : `Node ${process.versions.node} does not know ${missing.join(' and ')}`;
}
