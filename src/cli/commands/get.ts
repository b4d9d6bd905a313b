import type { Command } from 'commander';
import { refusedBy } from '../../control/scaled.ts';
import type { ControlReply } from '../../lattice/control-replies.ts';
import { visible } from '../../telemetry/scrub.ts';
import { addConnectionFlags, type ConnectionFlags, wholeNumber } from '../lattice/connection-flags.ts';
import { hostsWithLinks } from '../lattice/file-links.ts';
import { hostName } from '../lattice/find-host.ts';
import { openLattice } from '../lattice/open-lattice.ts';
import { inventories } from '../lattice/running.ts';
import { untilStopped } from '../lattice/stop-signal.ts';
import { claimLines, hostLines, inventoryLines, linkLines } from '../lattice/tables.ts';
import { followInventories } from '../lattice/follow-inventories.ts';
import { examples, outputOf } from '../program.ts';

/** What {@link showLinks} shows. */
export const LINKS_ABOUT = 'list the links of the lattice, and those that Trellis hosts have in their configuration files';

/** `trellis get`: what there is in a lattice, as its hosts say. */
export function register(program: Command): void {
  const get = program
    .command('get')
    .description('show what there is in a lattice: hosts, what they run, links, claims')
    .addHelpText('after', examples('trellis get hosts', 'trellis get inventory', 'trellis get links --output json'));
  addConnectionFlags(get.command('hosts').description('list the hosts that answer'))
    .addHelpText('after', examples('trellis get hosts', 'trellis get hosts --lattice lab --timeout-ms 6000'))
    .action(async (flags: ConnectionFlags, command: Command) => {
      await using lattice = await openLattice(flags);
      const hosts = await lattice.client.ping();
      outputOf(command).result({ hosts }, (print) => {
        if (hosts.length === 0) print(`No host of lattice ${lattice.lattice} answers.`);
        else for (const line of hostLines(hosts)) print(line);
      });
    });
  addConnectionFlags(
    get
      .command('inventory')
      .alias('inventories')
      .description('list what hosts run')
      .argument('[host]', 'id of a host, the beginning of it, or a part of its friendly name; all hosts if left out')
      .option('-w, --watch [ms]', 'show it again every so often, 5000 ms if left out; Ctrl-C ends'),
  )
    .addHelpText('after', examples('trellis get inventory', 'trellis get inventory brave-otter', 'trellis get inventory --watch'))
    .action(async (host: string | undefined, flags: ConnectionFlags & { watch?: true | string }, command: Command) => {
      const output = outputOf(command);
      if (flags.watch !== undefined) {
        const everyMs = flags.watch === true ? 5_000 : wholeNumber(flags.watch, '--watch', 100, 3_600_000);
        const stop = untilStopped();
        await using followed = await openLattice(flags);
        await followInventories(followed, host, everyMs, output, stop);
        return;
      }
      await using lattice = await openLattice(flags);
      const { found, notes } = await inventories(lattice.client, host);
      if (output.format === 'text') for (const note of notes) output.progress(`note: ${visible(note)}`);
      output.result({ inventories: found, notes }, (print) => {
        if (found.length === 0 && notes.length === 0) print(`No host of lattice ${lattice.lattice} answers.`);
        for (const line of inventoryLines(found)) print(line);
      });
    });
  addConnectionFlags(get.command('links').description(LINKS_ABOUT))
    .addHelpText('after', examples('trellis get links', 'trellis get links --output json'))
    .action(showLinks);
  addConnectionFlags(get.command('claims').description('list the claims of components and providers'))
    .addHelpText('after', examples('trellis get claims'))
    .action(async (flags: ConnectionFlags, command: Command) => {
      await using lattice = await openLattice(flags);
      const claims = answerOf(await lattice.client.claims()) ?? [];
      outputOf(command).result({ claims }, (print) => {
        if (claims.length === 0) print(`Lattice ${lattice.lattice} has no claims.`);
        else for (const line of claimLines(claims)) print(line);
      });
    });
}

/** `trellis get links`, and `trellis link query`. */
export async function showLinks(flags: ConnectionFlags, command: Command): Promise<void> {
  const output = outputOf(command);
  await using lattice = await openLattice(flags);
  const { client } = lattice;
  const [reply, { hosts, notes }] = await Promise.all([client.links(), hostsWithLinks(client)]);
  const links = answerOf(reply) ?? [];
  for (const note of notes) output.progress(`note: ${visible(note)}`);
  const fileLinks = hosts.flatMap(({ host, links: own }) => own.map((link) => ({ host_id: host.id, ...link })));
  output.result({ links, file_links: fileLinks }, (print) => {
    if (links.length === 0) print(`Lattice ${lattice.lattice} has no links.`);
    else for (const line of linkLines(links)) print(line);
    for (const { host, links: own } of hosts) {
      print('');
      print(`In the configuration of ${hostName(host)}, for that host alone:`);
      for (const line of linkLines(own)) print(line);
    }
  });
}

/** What a host answers; `undefined` if that is nothing. @throws TRELLIS_CONTROL_REFUSED */
function answerOf<T>(reply: ControlReply<T>): T | undefined {
  if (!reply.success) throw refusedBy(reply);
  return reply.response;
}
