import { setTimeout as sleep } from 'node:timers/promises';
import { TrellisError } from '../../errors.ts';
import { visible } from '../../telemetry/scrub.ts';
import { jsonText, type Output } from '../output.ts';
import type { OpenLattice } from './open-lattice.ts';
import { type Inventories, inventories } from './running.ts';
import { inventoryLines } from './tables.ts';

/**
 * Shows what hosts run again and again until it is told to stop: in place on a terminal, one JSON document a line for programs. A look that
 * fails and may succeed later is said and not the end, unless it is the first one.
 * @throws what `inventories` throws
 */
export async function followInventories(
  { client, lattice }: OpenLattice,
  host: string | undefined,
  everyMs: number,
  output: Output,
  stop: AbortSignal,
): Promise<void> {
  const isScreen = output.format === 'text' && process.stdout.isTTY;
  for (let looks = 0; !stop.aborted; looks++) {
    const { found, notes } = await inventories(client, host).catch((error: unknown): Inventories => {
      if (looks === 0 || !(error instanceof TrellisError) || !error.retryable) throw error;
      return { found: [], notes: [error.message] };
    });
    const time = new Date().toISOString();
    if (output.format === 'json') {
      process.stdout.write(`${jsonText({ time, inventories: found, notes })}\n`);
    } else {
      const lines = found.length === 0 && notes.length === 0 ? [`No host of lattice ${lattice} answers.`] : inventoryLines(found);
      const text = [time, ...lines, ...notes.map((note) => `note: ${visible(note)}`), ''].join('\n');
      process.stdout.write(`${isScreen ? '\u001B[H\u001B[2J' : ''}${text}\n`);
    }
    await sleep(everyMs, undefined, { signal: stop }).catch(() => undefined);
  }
}
