import { setFlagsFromString } from 'node:v8';

/*
 * Imported before everything else. Code that runs once is not worth optimising, and its garbage is no reason for a large
 * young generation; V8 would keep the memory of both. A host at rest is some 15 MB smaller for it.
 */
const WHILE_STARTING = ['--optimize-for-size', '--semi-space-growth-factor=1', '--no-maglev', '--no-opt'];
const AFTERWARDS = ['--no-optimize-for-size', '--semi-space-growth-factor=2', '--maglev', '--opt'];

for (const flag of WHILE_STARTING) setFlagsFromString(flag);

/** From here on code is optimised as it gets hot. Call it once the host serves. */
export function startingIsOver(): void {
  for (const flag of AFTERWARDS) setFlagsFromString(flag);
}
