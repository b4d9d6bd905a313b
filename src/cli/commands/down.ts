import type { Command } from 'commander';
import { TrellisError } from '../../errors.ts';
import { addConnectionFlags, type ConnectionFlags } from '../lattice/connection-flags.ts';
import { chooseHost, hostName, nobodyThere, shortName } from '../lattice/find-host.ts';
import { openLattice } from '../lattice/open-lattice.ts';
import { addWaitFlags, outcomeLine, type WaitFlags, waitOf } from '../lattice/scale-flags.ts';
import { stopHosts } from '../lattice/stop-hosts.ts';
import { hostLines } from '../lattice/tables.ts';
import { confirm, showWaiting } from '../lattice/waiting.ts';
import { examples, outputOf } from '../program.ts';

interface DownFlags extends ConnectionFlags, WaitFlags {
  readonly hostId?: string;
  readonly all?: true;
  readonly yes?: true;
}

/** `trellis down`: stops the host of a lattice, or all of them where that is said. */
export function register(program: Command): void {
  addConnectionFlags(
    addWaitFlags(
      program
        .command('down')
        .description('stop the host of a lattice; of several, the one that is named, or all')
        .option('--host-id <host>', 'stop this one')
        .option('--all', 'stop every host of the lattice, after a question')
        .option('-y, --yes', 'ask nothing'),
    ),
  )
    .addHelpText('after', examples('trellis down', 'trellis down --all --yes --lattice lab'))
    .action(async (flags: DownFlags, command: Command) => {
      const output = outputOf(command);
      const waitMs = waitOf(flags);
      await using lattice = await openLattice(flags);
      const hosts = await lattice.client.ping();
      const chosen = flags.hostId !== undefined ? [chooseHost(lattice.client, hosts, flags.hostId)] : hosts;
      if (chosen.length === 0) throw nobodyThere(lattice.lattice);
      if (chosen.length > 1 && flags.all !== true) {
        throw new TrellisError('TRELLIS_HOST_AMBIGUOUS', {
          message: `lattice ${lattice.lattice} has ${chosen.length} hosts: ${chosen.map(hostName).join(', ')}`,
          remedy: 'Name one with --host-id, or say --all.',
        });
      }
      if (chosen.length > 1) {
        if (flags.yes !== true) for (const line of hostLines(chosen)) output.progress(line);
        await confirm(
          `Stop these ${chosen.length} hosts of lattice ${lattice.lattice} at ${lattice.ctl.server}?`,
          flags.yes === true,
        );
      }
      const stopped = await showWaiting(output, `stopping ${chosen.map(shortName).join(', ')}`, () =>
        stopHosts(lattice.client, chosen, { timeoutMs: undefined, waitMs }),
      );
      output.result({ stopped: stopped.map(({ host, done }) => ({ host_id: host.id, done })) }, (print) => {
        for (const { host, done } of stopped)
          print(outcomeLine(done, `${hostName(host)} has stopped`, `${hostName(host)} was told to stop`));
      });
    });
}
