import type { Command } from 'commander';
import { examples } from '../program.ts';
import { type MemberFlags, runAddMember, withMemberFlags } from './member.ts';

/** `trellis auth provider add`: the one user of a capability provider. */
export function registerProvider(auth: Command): void {
  const provider = auth.command('provider').description('Make the credentials of capability providers.');
  withMemberFlags(provider.command('add'))
    .description('Make the user of a provider: calls only, its own subjects, and the components it is linked to.')
    .argument('<id>', 'id of the provider')
    .option('--calls <ids>', 'components it is linked to and may call, separated by commas; none if left out')
    .option('--xkey <key>', 'public curve key for which secrets in its links are sealed')
    .addHelpText(
      'after',
      examples(
        'trellis auth provider add http-server --tenant acme --calls web',
        'trellis auth provider add keyvalue --tenant acme --expires 12h',
      ),
    )
    .action((id: string, flags: MemberFlags, command: Command) => runAddMember('provider', id, flags, command));
}
