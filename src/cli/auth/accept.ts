import type { Command } from 'commander';
import { stringify } from 'yaml';
import { readShare } from '../../auth/share-file.ts';
import { linkSettings } from '../../auth/share-settings.ts';
import { acceptShare } from '../../auth/sharing.ts';
import { EXIT } from '../../errors.ts';
import { fieldLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { readTextFile } from '../text-file.ts';
import { allWell, changedLines, pushChanged } from './push.ts';
import { type ServerFlags, systemLogin, withServer } from './server-option.ts';
import { openStore, type StoreFlags, withStore } from './store-option.ts';

interface AcceptFlags extends StoreFlags, ServerFlags {
  readonly tenant: string;
  readonly as: string;
}

/** `trellis auth accept`: the import of what another tenant shares. */
export function registerAccept(auth: Command): void {
  withServer(withStore(auth.command('accept')), 'running servers to tell at once')
    .description('Import what another tenant shares, as a component of this one.')
    .argument('<file>', 'what trellis auth share wrote')
    .requiredOption('--tenant <name>', 'tenant that is to call')
    .requiredOption('--as <id>', "id for the component in this tenant's lattice, which no component of its own has")
    .addHelpText('after', examples('trellis auth accept hello.share --tenant globex --as acme-hello'))
    .action(async (file: string, flags: AcceptFlags, command: Command) => {
      const store = openStore(flags);
      systemLogin(flags, store);
      const read = readShare(readTextFile(file), Date.now());
      const { share } = read;
      const accepted = await store.change(() => acceptShare(store, { ...read, tenant: flags.tenant, as: flags.as }));
      const { account, as, localSubjects, changed } = accepted;
      const settings = { links: linkSettings(share, as) };
      const { lattice } = accepted.tenant;
      const accounts = changed ? [account] : [];
      const pushed = await pushChanged(store, flags, accounts);
      const facts = {
        pushed: pushed ?? null,
        account,
        changed,
        as,
        lattice,
        localSubjects,
        until: share.until ?? null,
        settings,
      };
      outputOf(command).result(facts, (print) => {
        for (const line of fieldLines([
          ['imported', `${share.interface} of ${share.component}, lattice ${share.lattice}`],
          ['from', share.exporter],
          ['as', `${as}, lattice ${lattice}`],
          ['until', share.until ?? 'it is taken back'],
        ]))
          print(line);
        print('');
        if (!changed) print(`Account ${account} had it already; nothing changed.`);
        for (const line of changedLines(accounts, pushed)) print(line);
        print(`No component of ${lattice} may have the id ${as}: the other tenant would get a copy of every call of it.`);
        print(
          `Hosts with a list of calls of their own: trellis auth component grant ${as} --tenant ${flags.tenant} --to HOST --right call`,
        );
        print('');
        print('On the hosts that run the callers:');
        print('');
        print(stringify(settings).trimEnd());
      });
      if (pushed !== undefined && !allWell(pushed)) process.exitCode = EXIT.denied;
    });
}
