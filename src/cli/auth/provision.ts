import type { Command } from 'commander';
import { provision } from '../../auth/provision.ts';
import { createLogger } from '../../telemetry/log.ts';
import { TrellisError } from '../../errors.ts';
import { examples, outputOf } from '../program.ts';
import { serverAddress, type ServerAddressFlags, withServerAddress } from './server-option.ts';
import { openStore, type StoreFlags, withStore } from './store-option.ts';

interface ProvisionFlags extends StoreFlags, ServerAddressFlags {
  readonly tenant: string;
}

/** `trellis auth provision`: the buckets that hosts of a tenant may not make themselves. */
export function registerProvision(auth: Command): void {
  withServerAddress(withStore(auth.command('provision')), 'address of a running server; several may be given')
    .description(
      'Make the buckets of a lattice on a running server (trust, links, configurations), for tenants without the extension make-buckets.',
    )
    .requiredOption('--tenant <name>', 'tenant of the lattice')
    .addHelpText(
      'after',
      examples(
        'trellis auth provision --tenant acme --server nats://127.0.0.1:4222',
        'trellis auth provision --tenant acme --server tls://nats.example:4222 --tls-ca ca.pem',
      ),
    )
    .action(async (flags: ProvisionFlags, command: Command) => {
      const { tenant } = flags;
      const where = serverAddress(flags);
      if (where === undefined) throw new TrellisError('TRELLIS_USAGE', { message: 'A running server is needed: --server URL' });
      const buckets = await provision(openStore(flags), {
        ...where,
        tenant,
        nowMs: Date.now(),
        log: createLogger({ level: 'error' }),
      });
      outputOf(command).result({ tenant, buckets }, (print) => {
        for (const bucket of buckets) print(`The bucket ${bucket} is there.`);
      });
    });
}
