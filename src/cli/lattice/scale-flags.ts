import { type Command, Option } from 'commander';
import { repeated, wholeNumber } from './connection-flags.ts';

/** How long a component may take to start when nobody says otherwise, milliseconds: an image may have to be fetched. */
const WAIT_MS = 60_000;

/** Flags of the commands that wait for a host to be done. */
export interface WaitFlags {
  readonly skipWait?: true;
  readonly waitTimeoutMs: string;
}

/** Flags of the commands that say how a component runs. */
export interface ScaleFlags extends WaitFlags {
  readonly maxInstances: string;
  readonly annotations?: readonly string[];
  readonly config?: readonly string[];
  readonly allowUpdate?: true;
}

/** Adds them. @param maxInstances The default. @param short A letter for it, as with wash. */
export function addScaleFlags(command: Command, maxInstances: string, short?: '-c'): Command {
  const about = 'calls that it may run at once; 4294967295 is without a limit';
  command
    .option(`${short === undefined ? '' : `${short}, `}--max-instances <number>`, about, maxInstances)
    .addOption(repeated('-a, --annotations <name=value>', 'annotation to keep with it (repeat for more)'))
    .addOption(
      repeated(
        '--config <name>',
        'named configuration that it gets (repeat for more; later ones win), in place of all it had; if none is named, it keeps what it has, except on a wasmCloud host, which takes it away',
      ),
    )
    .option('--allow-update', 'if it runs already with another image, replace that');
  // Older spellings of wash.
  for (const name of ['max-concurrent', 'max', 'count']) {
    const option = new Option(`--${name} <number>`).hideHelp();
    command.addOption(option).on(`option:${name}`, (value: string) => command.setOptionValue('maxInstances', value));
  }
  return addWaitFlags(command);
}

/** Adds the flags of waiting. */
export function addWaitFlags(command: Command): Command {
  return command
    .option('--skip-wait', 'be content with the answer of the host, and do not wait until it is done')
    .option('--wait-timeout-ms <number>', 'how long that may take', String(WAIT_MS));
}

/** How long to wait, milliseconds; 0 not at all. @throws TRELLIS_USAGE */
export function waitOf(flags: WaitFlags): number {
  return flags.skipWait === true ? 0 : wholeNumber(flags.waitTimeoutMs, '--wait-timeout-ms', 1, 86_400_000);
}

/** What to print when a command has ended: what is so, or what was only asked for. */
export function outcomeLine(done: boolean, is: string, asked: string): string {
  return done ? `${is}.` : `${asked}; not waited for.`;
}
