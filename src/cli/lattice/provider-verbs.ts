import type { Command } from 'commander';
import { TrellisError } from '../../errors.ts';

/** A word for people who type what wash has and Trellis has not: it is in no help and no completion. */
export function registerProviderVerb(parent: Command, verb: 'start' | 'stop'): void {
  parent
    .command('provider', { hidden: true })
    .argument('[words...]')
    .allowUnknownOption()
    .action(() => {
      throw new TrellisError('TRELLIS_PROVIDERS_UNSUPPORTED', {
        message: `trellis ${verb} provider does not exist: Trellis hosts run no providers yet`,
      });
    });
}
