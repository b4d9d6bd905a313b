import type { Command } from 'commander';
import { unshareComponent } from '../../auth/sharing.ts';
import { EXIT } from '../../errors.ts';
import { examples, outputOf } from '../program.ts';
import { allWell, changedLines, pushChanged } from './push.ts';
import { type ServerFlags, systemLogin, withServer } from './server-option.ts';
import { openStore, type StoreFlags, withStore } from './store-option.ts';

interface UnshareFlags extends StoreFlags, ServerFlags {
  readonly tenant: string;
  readonly with: string;
  readonly interface: string;
}

/** `trellis auth unshare`: takes back what was shared. */
export function registerUnshare(auth: Command): void {
  withServer(withStore(auth.command('unshare')), 'running servers to tell at once')
    .description('Take back what another tenant was given of an interface; a later share counts again.')
    .argument('<component>', 'id of the component')
    .requiredOption('--interface <name>', 'as it was shared: ns:pkg/iface@1.0.0')
    .requiredOption('--tenant <name>', 'tenant that runs the component')
    .requiredOption('--with <tenant>', 'tenant that shall call no more, or the public key of its account (A…)')
    .addHelpText(
      'after',
      examples('trellis auth unshare hello --interface trellis-samples:hello/greeting@0.1.0 --tenant acme --with globex'),
    )
    .action(async (component: string, flags: UnshareFlags, command: Command) => {
      const store = openStore(flags);
      systemLogin(flags, store);
      const unshared = await store.change(() => unshareComponent(store, { ...flags, component, nowMs: Date.now() }));
      const { account, importer } = unshared;
      const pushed = await pushChanged(store, flags, [account]);
      outputOf(command).result({ ...unshared, pushed: pushed ?? null }, (print) => {
        print(
          `${importer} may call ${flags.interface} of ${component} no more${pushed === undefined ? ', once the server knows' : ''}.`,
        );
        for (const line of changedLines([account], pushed)) print(line);
        print(
          `Remove its entry from trust.foreign on the hosts that run ${component}, too: each of the two closes the way by itself.`,
        );
      });
      if (pushed !== undefined && !allWell(pushed)) process.exitCode = EXIT.denied;
    });
}
