import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** What this process uses when all that nobody holds has been collected. */
export function heldMemory(): NodeJS.MemoryUsage {
  collect();
  return process.memoryUsage();
}
