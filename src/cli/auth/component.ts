import { Option } from 'commander';
import type { Command } from 'commander';
import { type ComponentRight, grantComponent } from '../../auth/grants.ts';
import { examples, outputOf } from '../program.ts';
import { openStore, type StoreFlags, withStore } from './store-option.ts';

interface GrantFlags extends StoreFlags {
  readonly tenant: string;
  readonly to: string;
  readonly right?: ComponentRight;
  readonly remove?: true;
}

/** `trellis auth component grant`: one component more for a host or provider that has a list of its own. */
export function registerComponent(auth: Command): void {
  const component = auth.command('component').description('Say which hosts serve and who calls a component.');
  withStore(component.command('grant'))
    .description('Let a host serve a component, or a host, caller or provider call it. Its credentials stay as they are.')
    .argument('<component>', 'id of the component')
    .requiredOption('--tenant <name>', 'tenant of the lattice')
    .requiredOption('--to <name>', 'name of the host or caller, or id of the provider')
    .addOption(new Option('--right <right>', 'serve for a host, call for others, if left out').choices(['serve', 'call']))
    .option('--remove', 'take the right away instead')
    .addHelpText(
      'after',
      examples(
        'trellis auth component grant till --tenant acme --to till-3',
        'trellis auth component grant stock --tenant acme --to till-3 --right call',
        'trellis auth component grant web --tenant acme --to http-server',
        'trellis auth component grant web --tenant acme --to http-server --remove',
      ),
    )
    .action(async (id: string, flags: GrantFlags, command: Command) => {
      const store = openStore(flags);
      const { tenant, to, right, remove } = flags;
      const outcome = await store.change(() => grantComponent(store, { tenant, component: id, to, right, remove }));
      const { account, role, subject, changed } = outcome;
      const facts = {
        tenant,
        component: id,
        to,
        right: outcome.right,
        account,
        role,
        subject,
        granted: remove !== true,
        changed,
      };
      outputOf(command).result(facts, (print) => {
        const may = remove === true ? 'may no longer' : 'may';
        print(`${to} ${may} ${outcome.right} ${id}${changed ? '' : ', as before; nothing changed'}.`);
        if (!changed) return;
        print(`Changed: account ${account}, role ${role}. A running server has to be told: trellis auth push`);
      });
    });
}
