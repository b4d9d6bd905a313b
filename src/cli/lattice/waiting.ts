import { createInterface } from 'node:readline/promises';
import { TrellisError } from '../../errors.ts';
import { visible } from '../../telemetry/scrub.ts';
import type { Output } from '../output.ts';

const EVERY_MS = 200;

/** Shows on a terminal what a command waits for, and how long it has; nothing is shown elsewhere. */
export async function showWaiting<T>(output: Output, text: string, work: () => Promise<T>): Promise<T> {
  if (output.format === 'json' || !process.stderr.isTTY) return work();
  const beganMs = performance.now();
  const show = (): void => {
    const seconds = Math.floor((performance.now() - beganMs) / 1_000);
    const line = `${visible(text)} …${seconds < 1 ? '' : ` ${seconds} s`}`;
    process.stderr.write(`\r${line.slice(0, Math.max(20, (process.stderr.columns || 80) - 1))}\u001B[K`);
  };
  show();
  const timer = setInterval(show, EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    process.stderr.write('\r\u001B[K');
  }
}

/**
 * Asks whoever sits at the terminal; resolves if the answer is yes.
 * @param anyway The flag that answers beforehand was given.
 * @throws TRELLIS_USAGE if the answer is no, or nobody sits there
 */
export async function confirm(question: string, anyway: boolean): Promise<void> {
  if (anyway) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new TrellisError('TRELLIS_USAGE', { message: `${question} Nobody is there to answer`, remedy: 'Say so with --yes.' });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${visible(question)} [y/N] `).finally(() => terminal.close());
  if (/^y(?:es)?$/i.test(answer.trim())) return;
  throw new TrellisError('TRELLIS_USAGE', { message: 'not done', remedy: 'Answer y to go on.' });
}
