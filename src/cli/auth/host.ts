import type { Command } from 'commander';
import { examples } from '../program.ts';
import { type MemberFlags, runAddMember, withMemberFlags } from './member.ts';

/** `trellis auth host add`: the two users of a host. */
export function registerHost(auth: Command): void {
  const host = auth.command('host').description('Make the credentials of hosts.');
  withMemberFlags(host.command('add'))
    .description('Make a control user and a calling user for a host, each with a creds file and an inbox of its own.')
    .argument('<name>', 'name of the host, for people')
    .option('--components <ids>', 'components it may serve, separated by commas; any if left out, none if empty')
    .option('--calls <ids>', 'components and providers it may call; any if left out, none if empty')
    .option('--leaf', 'the users are for the leaf node beside the host: only a leaf node can log in with them')
    .option('--leaf-and-host', 'as --leaf, and the host logs in at it with the same users (a leaf node in operator mode)')
    .option(
      '--wasmcloud',
      'it is a host of wasmCloud 1.x, which needs the default inbox, and with it reads what others there are answered',
    )
    .addHelpText(
      'after',
      examples(
        'trellis auth host add web-1 --tenant acme',
        'trellis auth host add till-3 --tenant acme --components till --calls stock,prices --expires 7d',
        'trellis auth host add pod-7 --tenant acme --leaf',
        'trellis auth host add old-1 --tenant acme --wasmcloud',
      ),
    )
    .action((name: string, flags: MemberFlags, command: Command) => runAddMember('host', name, flags, command));
}
