import type { Command } from 'commander';
import { refusedBy } from '../../control/scaled.ts';
import { TrellisError } from '../../errors.ts';
import { addConnectionFlags, type ConnectionFlags, pairsOf } from '../lattice/connection-flags.ts';
import { findHost, hostName } from '../lattice/find-host.ts';
import { openLattice } from '../lattice/open-lattice.ts';
import { examples, outputOf } from '../program.ts';

/** `trellis label`: labels of a host, until it stops. */
export function register(program: Command): void {
  addConnectionFlags(
    program
      .command('label')
      .description('put labels on a host, or take them off; they last until it stops')
      .argument('<host-id>', 'id of the host, the beginning of it, or a part of its friendly name')
      .argument('<label=value...>', 'labels; with --delete their names suffice')
      .option('--delete', 'take the labels off'),
  )
    .addHelpText('after', examples('trellis label brave-otter zone=eu disk=ssd', 'trellis label brave-otter zone --delete'))
    .action(async (argument: string, given: string[], flags: ConnectionFlags & { delete?: true }, command: Command) => {
      // As with wash, a comma parts labels too.
      const texts = given.flatMap((each) => each.split(',')).map((each) => each.trim());
      const removes = flags.delete === true;
      const labels = removes ? namesOf(texts) : pairsOf(texts, 'a label');
      await using lattice = await openLattice(flags);
      const host = await findHost(lattice.client, argument);
      const messages: string[] = [];
      for (const [key, value] of Object.entries(labels)) {
        const reply = removes
          ? await lattice.client.deleteLabel(host.id, key)
          : await lattice.client.putLabel(host.id, key, value);
        if (!reply.success) throw refusedBy(reply);
        messages.push(`${key}: ${reply.message}`);
      }
      outputOf(command).result(
        { host_id: host.id, ...(removes ? { deleted: Object.keys(labels) } : { put: labels }), messages },
        (print) => {
          for (const [key, value] of Object.entries(labels))
            print(removes ? `${hostName(host)} has no label ${key}.` : `${hostName(host)} has the label ${key}=${value}.`);
        },
      );
    });
}

function namesOf(texts: readonly string[]): Record<string, string> {
  const names = texts.map((text) => text.split('=')[0]!);
  if (names.every((name) => name !== '')) return Object.fromEntries(names.map((name) => [name, '']));
  throw new TrellisError('TRELLIS_USAGE', {
    message: 'a label without a name',
    remedy: 'Write trellis label HOST zone --delete.',
  });
}
