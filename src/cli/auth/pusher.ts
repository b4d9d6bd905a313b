import type { Command } from 'commander';
import { DEFAULT_LIFETIME, parseLifetime } from '../../auth/lifetime.ts';
import { addPusher } from '../../auth/system-users.ts';
import { fieldLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { openStore, type StoreFlags, withStore } from './store-option.ts';

interface PusherFlags extends StoreFlags {
  readonly expires: string;
  readonly prune?: true;
}

/** `trellis auth pusher add`: a user of the system account that may push, and nothing else. */
export function registerPusher(auth: Command): void {
  const pusher = auth.command('pusher').description('Make users that may push accounts to servers, and nothing else there.');
  withStore(pusher.command('add'))
    .description('Make a user of the system account for trellis auth push: it sees no traffic and administers no server.')
    .argument('<name>', 'name of the user')
    .option('--expires <lifetime>', 'how long its credentials count, such as 12h or 30d, or never', DEFAULT_LIFETIME)
    .option('--prune', 'let it delete accounts too (auth push --prune)')
    .addHelpText(
      'after',
      examples(
        'trellis auth pusher add pipeline --expires 90d',
        'trellis auth push --server tls://nats.example:4222 --tls-ca ca.pem --system-creds pipeline.creds',
      ),
    )
    .action(async (name: string, { expires, prune, ...flags }: PusherFlags, command: Command) => {
      const store = openStore(flags);
      const lifetimeMs = parseLifetime(expires);
      const nowMs = Date.now();
      const expiresMs = lifetimeMs === undefined ? undefined : nowMs + lifetimeMs;
      const added = await store.change(() => addPusher(store, { name, prune, nowMs, expiresMs }));
      outputOf(command).result({ ...added, expiresMs: expiresMs ?? null, prune: prune === true }, (print) => {
        for (const line of fieldLines([
          ['user', `${added.user} ${added.publicKey}`],
          ['ends', expiresMs === undefined ? 'never' : new Date(expiresMs).toISOString()],
          ['may', prune === true ? 'push and delete accounts' : 'push accounts'],
          ['credentials', added.credsFile],
        ]))
          print(line);
      });
    });
}
