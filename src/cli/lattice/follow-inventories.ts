import { setTimeout as sleep } from 'node:timers/promises';
import { visible } from '../../telemetry/scrub.ts';
import { jsonText, type Output } from '../output.ts';
import type { OpenLattice } from './open-lattice.ts';
import { inventories } from './running.ts';
import { untilStopped } from './stop-signal.ts';
import { inventoryLines } from './tables.ts';

/** Shows what hosts run again and again until Ctrl-C: in place on a terminal, one JSON document a line for programs. */
export async function followInventories(
  { client, lattice }: OpenLattice,
  host: string | undefined,
  everyMs: number,
  output: Output,
): Promise<void> {
  const stop = untilStopped();
  const isScreen = output.format === 'text' && process.stdout.isTTY;
  while (!stop.aborted) {
    const { found, notes } = await inventories(client, host);
    if (output.format === 'json') {
      process.stdout.write(`${jsonText({ time: new Date().toISOString(), inventories: found })}\n`);
    } else {
      const lines = found.length === 0 ? [`No host of lattice ${lattice} answers.`] : inventoryLines(found);
      const text = [new Date().toISOString(), ...lines, ...notes.map((note) => `note: ${visible(note)}`), ''].join('\n');
      process.stdout.write(`${isScreen ? '\u001B[H\u001B[2J' : ''}${text}\n`);
    }
    await sleep(everyMs, undefined, { signal: stop }).catch(() => undefined);
  }
}
