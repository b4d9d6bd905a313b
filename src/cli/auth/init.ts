import type { Command } from 'commander';
import { AuthStore, SYSTEM_ACCOUNT, SYSTEM_USER } from '../../auth/store.ts';
import { fieldLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { storeDir, withStore, type StoreFlags } from './store-option.ts';

/** `trellis auth init`: an operator with its system account, in a new store. */
export function registerInit(auth: Command): void {
  withStore(auth.command('init'), false)
    .description('Make a store: an operator that signs with signing keys only, the system account, and a user in it.')
    .option('--name <name>', 'name of the operator', 'trellis')
    .addHelpText(
      'after',
      examples(
        'trellis auth init',
        'trellis auth init --name example --store /srv/trellis/auth',
        'nsc -H /srv/trellis/auth describe operator',
      ),
    )
    .action(async (flags: StoreFlags & { name: string }, command: Command) => {
      const store = await AuthStore.create(storeDir(flags), { operator: flags.name });
      const { sub, nats } = store.operator();
      const identity = [sub, store.account(SYSTEM_ACCOUNT).sub].map((key) => ({ key, file: store.keys.path(key) }));
      const systemCreds = store.credsFile(SYSTEM_ACCOUNT, SYSTEM_USER);
      const facts = {
        store: store.dir,
        operator: { name: flags.name, publicKey: sub, signingKeys: nats.signing_keys },
        systemAccount: { publicKey: nats.system_account, credsFile: systemCreds },
        keepOffline: identity,
      };
      outputOf(command).result(facts, (print) => {
        for (const line of fieldLines([
          ['store', store.dir],
          ['operator', `${flags.name} ${sub}`],
          ['system account', `${SYSTEM_ACCOUNT} ${String(nats.system_account)}`],
          ['system user', systemCreds],
        ]))
          print(line);
        print('');
        print('Keep offline (copy them to a safe medium, then remove them here; nothing daily needs them):');
        for (const { file } of identity) print(`  ${file}`);
        print('');
        print('Next: trellis auth tenant add NAME --lattice LATTICE');
      });
    });
}
