import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { parseLifetime } from '../../auth/lifetime.ts';
import { writeShare } from '../../auth/share-file.ts';
import { foreignSetting } from '../../auth/share-settings.ts';
import { shareComponent } from '../../auth/sharing.ts';
import { replaceFile } from '../../replace-file.ts';
import { fieldLines } from '../output.ts';
import { EXIT, TrellisError } from '../../errors.ts';
import { examples, outputOf } from '../program.ts';
import { allWell, changedLines, pushChanged } from './push.ts';
import { type ServerFlags, systemLogin, withServer } from './server-option.ts';
import { idsOf, openStore, type StoreFlags, withStore } from './store-option.ts';

interface ShareFlags extends StoreFlags, ServerFlags {
  readonly tenant: string;
  readonly with: string;
  readonly interface: string;
  readonly functions?: string;
  readonly callers?: string;
  readonly issuers?: string;
  readonly callerIssuers?: string;
  readonly expires: string;
  readonly out: string;
}

/** `trellis auth share`: an interface of a component for another tenant. */
export function registerShare(auth: Command): void {
  withServer(withStore(auth.command('share')), 'running servers to tell at once')
    .description('Let another tenant call one interface of a component, and write the file that it accepts.')
    .argument('<component>', 'id of the component')
    .requiredOption('--interface <name>', 'with its version, as the component exports it: ns:pkg/iface@1.0.0')
    .requiredOption('--tenant <name>', 'tenant that runs the component')
    .requiredOption('--with <tenant>', 'tenant that may call, or the public key of its account for calls (A…)')
    .requiredOption('--out <file>', 'file for the other tenant')
    .option('--functions <names>', 'only these functions, separated by commas')
    .option('--callers <ids>', 'ids of the components of the other lattice that are meant; for the settings of both sides')
    .option('--issuers <keys>', "public keys of this lattice's cluster issuers (C…); for the settings of the other side")
    .option('--caller-issuers <keys>', "public keys of the other lattice's cluster issuers; for the settings of this side")
    .option('--expires <lifetime>', 'how long it counts, such as 90d', 'never')
    .addHelpText(
      'after',
      examples(
        'trellis auth share hello --interface trellis-samples:hello/greeting@0.1.0 --tenant acme --with globex --out hello.share',
        'trellis auth share stock --interface shop:stock/levels@1.2.0 --functions look-up --tenant acme --with globex --expires 90d --out stock.share',
      ),
    )
    .action(async (component: string, flags: ShareFlags, command: Command) => {
      const store = openStore(flags);
      systemLogin(flags, store);
      const file = resolve(flags.out);
      if (!existsSync(dirname(file)))
        throw new TrellisError('TRELLIS_CLI_FILE', { message: `There is no folder ${dirname(file)}` });
      const lifetimeMs = parseLifetime(flags.expires);
      const nowMs = Date.now();
      const made = await store.change(() =>
        shareComponent(store, {
          ...flags,
          component,
          functions: idsOf(flags.functions) ?? [],
          callers: idsOf(flags.callers) ?? [],
          issuers: idsOf(flags.issuers) ?? [],
          expiresMs: lifetimeMs === undefined ? undefined : nowMs + lifetimeMs,
          nowMs,
        }),
      );
      const { share, account, changed } = made;
      writeTo(file, writeShare(share));
      const issuers = idsOf(flags.callerIssuers) ?? [];
      const settings = { trust: { foreign: [foreignSetting(share, { lattice: made.callerLattice, issuers })] } };
      const accounts = changed ? [account] : [];
      const pushed = await pushChanged(store, flags, accounts);
      const facts = {
        file,
        account,
        changed,
        importer: share.importer,
        until: share.until ?? null,
        settings,
        pushed: pushed ?? null,
      };
      outputOf(command).result(facts, (print) => {
        for (const line of fieldLines([
          ['shared', `${share.interface} of ${component}, lattice ${share.lattice}`],
          ['functions', share.functions.join(', ') || 'all'],
          ['with', share.importer],
          ['until', share.until ?? 'it is taken back'],
          ['file', file],
        ]))
          print(line);
        print('');
        for (const line of changedLines(accounts, pushed)) print(line);
        print('The other tenant runs: trellis auth accept FILE --tenant THEIRS --as ID');
        print('');
        print(`On the hosts that run ${component}:`);
        print('');
        print(stringify(settings).trimEnd());
      });
      if (pushed !== undefined && !allWell(pushed)) process.exitCode = EXIT.denied;
    });
}

function writeTo(file: string, text: string): void {
  try {
    replaceFile(file, text);
  } catch (cause) {
    throw new TrellisError('TRELLIS_CLI_FILE', {
      message: `${file} cannot be written (${String((cause as NodeJS.ErrnoException).code)})`,
      cause,
    });
  }
}
