import type { Command } from 'commander';
import { registerAccept } from '../auth/accept.ts';
import { registerCa } from '../auth/ca.ts';
import { registerCheck } from '../auth/check.ts';
import { registerComponent } from '../auth/component.ts';
import { registerExport } from '../auth/export.ts';
import { registerHost } from '../auth/host.ts';
import { registerInit } from '../auth/init.ts';
import { registerProvider } from '../auth/provider.ts';
import { registerProvision } from '../auth/provision.ts';
import { registerPusher } from '../auth/pusher.ts';
import { registerRevoke } from '../auth/revoke.ts';
import { registerRotate } from '../auth/rotate.ts';
import { registerShare } from '../auth/share.ts';
import { registerPush } from '../auth/push.ts';
import { registerShow } from '../auth/show.ts';
import { registerTenant } from '../auth/tenant.ts';
import { registerUnshare } from '../auth/unshare.ts';
import { registerUser } from '../auth/user.ts';
import { examples } from '../program.ts';

/** `trellis auth`: operator, accounts and users of NATS; each verb is a file in `cli/auth/`. */
export function register(program: Command): void {
  const auth = program
    .command('auth')
    .description('Make and keep the operator, the accounts and the users with which NATS knows who is who.')
    .addHelpText(
      'after',
      examples(
        '# from nothing to a server with two hosts',
        'trellis auth init',
        'trellis auth tenant add acme --lattice lab',
        'trellis auth host add web-1 --tenant acme',
        'trellis auth host add web-2 --tenant acme',
        'trellis auth export --out nats',
        'nats-server -c nats/nats-server.conf',
      ),
    );
  registerInit(auth);
  registerTenant(auth);
  registerHost(auth);
  registerProvider(auth);
  registerUser(auth);
  registerComponent(auth);
  registerShare(auth);
  registerAccept(auth);
  registerUnshare(auth);
  registerShow(auth);
  registerExport(auth);
  registerProvision(auth);
  registerCheck(auth);
  registerCa(auth);
  registerPush(auth);
  registerPusher(auth);
  registerRotate(auth);
  registerRevoke(auth);
}
