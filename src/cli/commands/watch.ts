import type { Command } from 'commander';
import { watchEvents } from '../../control/event-watch.ts';
import { TrellisError } from '../../errors.ts';
import { addConnectionFlags, type ConnectionFlags, repeated, wholeNumber } from '../lattice/connection-flags.ts';
import { eventLine, eventMatches } from '../lattice/event-lines.ts';
import { findHost } from '../lattice/find-host.ts';
import { openLattice } from '../lattice/open-lattice.ts';
import { sayGaps } from '../lattice/say-gaps.ts';
import { untilStopped } from '../lattice/stop-signal.ts';
import { jsonText } from '../output.ts';
import { examples, outputOf } from '../program.ts';

interface WatchFlags extends ConnectionFlags {
  readonly event?: readonly string[];
  readonly hostId?: string;
  readonly component?: readonly string[];
  readonly all?: true;
  readonly count?: string;
}

/** `trellis watch events`: what the hosts of a lattice say, as they say it. */
export function register(program: Command): void {
  const watch = program
    .command('watch')
    .description('follow what happens in a lattice')
    .addHelpText('after', examples('trellis watch events', 'trellis watch events --component hello --output json'));
  addConnectionFlags(
    watch
      .command('events')
      .description('print the events of a lattice as they come, until Ctrl-C; with --output json one document a line')
      .addOption(repeated('--event <name>', 'only events of this name, such as component_scaled (repeat for more)'))
      .option('--host-id <host>', 'only those of one host')
      .addOption(repeated('--component <id>', 'only those about this component or provider, links included (repeat for more)'))
      .option('--all', 'heartbeats and audit records too; without it they are left out, unless named by --event')
      .option('--count <number>', 'end after so many'),
  )
    .addHelpText(
      'after',
      examples(
        'trellis watch events',
        'trellis watch events --event component_scaled --event component_scale_failed',
        '# wait for the next link, as a program',
        'trellis watch events --event linkdef_set --count 1 --output json',
      ),
    )
    .action(async (flags: WatchFlags, command: Command) => {
      const output = outputOf(command);
      let left = flags.count === undefined ? Number.POSITIVE_INFINITY : wholeNumber(flags.count, '--count', 1, 1_000_000_000);
      const names = (flags.event ?? []).flatMap((each) => each.split(','));
      const wrong = names.find((name) => !/^[a-z][a-z0-9_]{0,63}$/.test(name));
      if (wrong !== undefined) {
        throw new TrellisError('TRELLIS_USAGE', {
          message: '--event must be the last part of the name',
          remedy: 'For com.wasmcloud.lattice.component_scaled write: --event component_scaled',
        });
      }
      const stop = untilStopped();
      await using lattice = await openLattice(flags);
      sayGaps(lattice.ctl, output);
      const host = flags.hostId === undefined ? undefined : await findHost(lattice.client, flags.hostId);
      const filter = {
        ...(host === undefined ? {} : { host: host.id }),
        components: flags.component ?? [],
        all: flags.all === true || names.length > 0,
      };
      const { promise: enough, resolve } = Promise.withResolvers<void>();
      const events = await watchEvents({
        ctl: lattice.ctl,
        lattice: lattice.lattice,
        ...(names.length === 0 ? {} : { names }),
        onEvent: (event) => {
          if (left <= 0 || !eventMatches(event, filter)) return;
          left -= 1;
          process.stdout.write(`${output.format === 'json' ? jsonText(event) : eventLine(event)}\n`);
          if (left <= 0) resolve();
        },
      });
      if (output.format === 'text') output.progress(`Listening to lattice ${lattice.lattice}; Ctrl-C ends.`);
      const stopped = new Promise<void>((ended) => {
        if (stop.aborted) ended();
        stop.addEventListener('abort', () => ended(), { once: true });
      });
      await Promise.race([enough, stopped, events.ended]);
      events.close();
    });
}
