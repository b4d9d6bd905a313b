import { Option } from 'commander';
import type { Command } from 'commander';
import { TrellisError } from '../../errors.ts';
import { examples } from '../program.ts';
import { type MemberFlags, runAddMember, withMemberFlags } from './member.ts';

const KINDS = ['caller', 'operator', 'issuer', 'provisioning', 'wadm'] as const;

interface UserFlags extends MemberFlags {
  readonly kind: (typeof KINDS)[number];
}

/** `trellis auth user add`: users for people and for the services of a lattice. */
export function registerUser(auth: Command): void {
  const user = auth.command('user').description('Make the credentials of people and services.');
  withMemberFlags(user.command('add'))
    .description('Make users for a caller, a person who controls the lattice, the issuer service, provisioning or wadm.')
    .argument('<name>', 'name of the person or service')
    .addOption(
      new Option(
        '--kind <kind>',
        'caller: calls. operator: controls and calls. issuer: trellis issuer. provisioning: makes buckets.',
      )
        .choices(KINDS)
        .makeOptionMandatory(),
    )
    .option('--spies', 'caller, operator: may overhear all calls of the lattice, with what they carry (trellis spy)')
    .option('--calls <ids>', 'caller, operator: components and providers it may call; any if left out, none if empty')
    .addHelpText(
      'after',
      examples(
        'trellis auth user add ada --kind operator --tenant acme --expires 12h',
        'trellis auth user add smoke-test --kind caller --tenant acme --calls hello',
        'trellis auth user add oncall --kind operator --tenant acme --spies --expires 4h',
        'trellis auth user add issuer --kind issuer --tenant acme',
      ),
    )
    .action((name: string, flags: UserFlags, command: Command) => {
      if (flags.calls !== undefined && flags.kind !== 'caller' && flags.kind !== 'operator') {
        throw new TrellisError('TRELLIS_USAGE', { message: `--calls is not for the kind ${flags.kind}, which calls nobody` });
      }
      if (flags.spies === true && flags.kind !== 'caller' && flags.kind !== 'operator') {
        throw new TrellisError('TRELLIS_USAGE', { message: `--spies is not for the kind ${flags.kind}` });
      }
      return runAddMember(flags.kind, name, flags, command);
    });
}
