import { Option } from 'commander';
import type { Command } from 'commander';
import { addTenant, type Layout, ONE_ACCOUNT_WEAKNESS } from '../../auth/tenant.ts';
import { updateTenant } from '../../auth/update-tenant.ts';
import { TrellisError } from '../../errors.ts';
import { fieldLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { idsOf, openStore, type StoreFlags, withStore } from './store-option.ts';

interface TenantFlags extends StoreFlags {
  readonly lattice: string;
  readonly layout: Layout;
  readonly with?: string;
  readonly value: readonly string[];
}

/** `trellis auth tenant add` and `update`: the accounts of one lattice. */
export function registerTenant(auth: Command): void {
  const tenant = auth.command('tenant').description('Make and update the accounts of a lattice.');
  registerUpdate(tenant);
  withStore(tenant.command('add'))
    .description('Make a tenant: an account for control, with JetStream, and one for calls, without.')
    .argument('<name>', 'name of the tenant; its accounts are NAME-ctl and NAME-rpc')
    .requiredOption('--lattice <name>', 'the lattice of the tenant')
    .addOption(
      new Option('--layout <layout>', 'one-account puts control and calls into one account, which is weaker')
        .choices(['two-accounts', 'one-account'])
        .default('two-accounts'),
    )
    .option(
      '--with <extensions>',
      'extensions of the permission templates, separated by commas; make-buckets if left out, but none with one account; "" for none',
    )
    .option('--value <name=value>', 'value for a parameter of an extension; may be repeated', collect, [])
    .addHelpText(
      'after',
      examples(
        'trellis auth tenant add acme --lattice lab',
        'trellis auth tenant add acme --lattice lab --with make-buckets,jetstream-domain --value domain=hub',
        'trellis auth tenant add legacy --lattice old --with make-buckets,wasmbus,rust-peers',
        'trellis auth tenant add acme --lattice lab --layout one-account',
      ),
    )
    .action(async (name: string, flags: TenantFlags, command: Command) => {
      const store = openStore(flags);
      const extensions = idsOf(flags.with);
      const added = await store.change(() => {
        const { lattice, layout } = flags;
        return addTenant(store, { name, lattice, layout, extensions, values: valuesOf(flags.value), nowMs: Date.now() });
      });
      const accounts = [...new Set(Object.values(added.accounts))].map((account) => {
        const { sub } = store.account(account);
        return { name: account, publicKey: sub, identityFile: store.keys.path(sub) };
      });
      const weakness = added.layout === 'one-account' ? ONE_ACCOUNT_WEAKNESS : undefined;
      const { lattice, layout } = added;
      const facts = {
        tenant: name,
        lattice,
        layout,
        extensions: added.extensions,
        accounts,
        ...(weakness === undefined ? {} : { weakness }),
      };
      outputOf(command).result(facts, (print) => {
        for (const line of fieldLines([
          ['tenant', name],
          ['lattice', lattice],
          ...accounts.map((account) => ['account', `${account.name} ${account.publicKey}`] as const),
          ['extensions', added.extensions.join(', ') || 'none'],
        ]))
          print(line);
        print('');
        if (weakness !== undefined) print(`Weakness: ${weakness}\n`);
        print('Keep offline (nothing daily needs them):');
        for (const { identityFile } of accounts) print(`  ${identityFile}`);
        print('');
        if (!added.extensions.includes('make-buckets')) {
          print(`Its hosts make no buckets. Once the server runs: trellis auth provision --tenant ${name} --server URL`);
        }
        print(
          `Next: trellis auth host add HOST --tenant ${name}, then trellis auth export or, to a running server, trellis auth push`,
        );
      });
    });
}

function registerUpdate(tenant: Command): void {
  withStore(tenant.command('update'))
    .description('Fill the permission templates again: with other extensions, or after Trellis came with newer templates.')
    .argument('<name>', 'name of the tenant')
    .option('--with <extensions>', 'extensions from now on, separated by commas, "" for none; as they are if left out')
    .option('--value <name=value>', 'values from now on; may be repeated; as they are if left out', collect, [])
    .addHelpText(
      'after',
      examples('trellis auth tenant update acme', 'trellis auth tenant update acme --with make-buckets,wasmbus'),
    )
    .action(async (name: string, flags: StoreFlags & Pick<TenantFlags, 'with' | 'value'>, command: Command) => {
      const store = openStore(flags);
      const extensions = idsOf(flags.with);
      const values = flags.value.length === 0 ? undefined : valuesOf(flags.value);
      const updated = await store.change(() => updateTenant(store, { name, extensions, values }));
      const { lattice } = updated.tenant;
      const facts = { tenant: name, lattice, extensions: updated.tenant.extensions, changed: updated.changed };
      outputOf(command).result(facts, (print) => {
        if (updated.changed.length === 0) {
          print(`Tenant ${name} is as its templates say; nothing changed.`);
          return;
        }
        for (const { account, roles } of updated.changed)
          print(`Changed: account ${account}${roles.length === 0 ? ', but none of its roles' : `, roles ${roles.join(', ')}`}.`);
        print(
          'A running server has to be told: trellis auth push. It then ends the connections of these roles once; they come back.',
        );
      });
    });
}

const collect = (value: string, before: readonly string[]): string[] => [...before, value];

function valuesOf(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf('=');
      if (at > 0) return [entry.slice(0, at), entry.slice(at + 1)];
      throw new TrellisError('TRELLIS_USAGE', { message: '--value takes NAME=VALUE' });
    }),
  );
}
