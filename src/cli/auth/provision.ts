import type { Command } from 'commander';
import { provision } from '../../auth/provision.ts';
import { createLogger } from '../../telemetry/log.ts';
import { examples, outputOf } from '../program.ts';
import { openStore, type StoreFlags, withStore } from './store-option.ts';

interface ProvisionFlags extends StoreFlags {
  readonly tenant: string;
  readonly servers: string;
  readonly tlsCa?: string;
}

/** `trellis auth provision`: the bucket that hosts of a tenant may not make themselves. */
export function registerProvision(auth: Command): void {
  withStore(auth.command('provision'))
    .description('Make the trust bucket of a lattice on a running server, for tenants without the extension make-buckets.')
    .requiredOption('--tenant <name>', 'tenant of the lattice')
    .requiredOption('--servers <urls>', 'addresses of the server, separated by commas')
    .option('--tls-ca <file>', 'authority of the server certificate; makes TLS mandatory')
    .addHelpText(
      'after',
      examples(
        'trellis auth provision --tenant acme --servers nats://127.0.0.1:4222',
        'trellis auth provision --tenant acme --servers tls://nats.example:4222 --tls-ca ca.pem',
      ),
    )
    .action(async (flags: ProvisionFlags, command: Command) => {
      const { tenant, tlsCa } = flags;
      const bucket = await provision(openStore(flags), {
        tenant,
        servers: flags.servers.split(',').map((server) => server.trim()),
        tls: tlsCa === undefined ? undefined : { caFile: tlsCa },
        nowMs: Date.now(),
        log: createLogger({ level: 'error' }),
      });
      outputOf(command).result({ tenant, bucket }, (print) => {
        print(`The bucket ${bucket} is there.`);
      });
    });
}
