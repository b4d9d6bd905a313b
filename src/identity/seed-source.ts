import type { Clock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import type { LatticeName } from '../ids.ts';
import type { Logger } from '../telemetry/log.ts';
import { mintDelegation } from '../trust/delegation.ts';
import { EVERYBODY } from '../trust/scope.ts';
import type { TrustState } from '../trust/trust-state.ts';
import type { ClusterSeeds } from './cluster-seeds.ts';
import type { DelegationSource, WantedScope } from './delegation-source.ts';

/** What {@link SeedSource} is made of. */
export interface SeedSourceOptions {
  readonly seeds: ClusterSeeds;
  readonly state: Pick<TrustState, 'active' | 'issuers'>;
  readonly lattice: LatticeName;
  /** What to ask for; asked anew each time. */
  readonly scope: () => WantedScope;
  readonly lifetimeMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Mints with a cluster seed at hand: of the issuer that should sign now, or else of one that counts. */
export class SeedSource implements DelegationSource {
  readonly #options: SeedSourceOptions;

  constructor(options: SeedSourceOptions) {
    this.#options = options;
  }

  async obtain(subject: string, epoch: number): Promise<string> {
    const { seeds, state, lattice, lifetimeMs, clock, log } = this.#options;
    const scope = this.#options.scope();
    const keys = await seeds.read();
    const key =
      keys.find(({ publicKey }) => publicKey === state.active) ??
      keys.find(({ publicKey }) => state.issuers.includes(publicKey)) ??
      keys[0]!;
    const common = { lattice, subject, epoch, nowMs: clock.wallMs(), lifetimeMs };
    try {
      return mintDelegation(key, { ...common, ...scope });
    } catch (error) {
      if (!(error instanceof TrellisError)) throw error;
      // Who holds the seed could take any scope; a list is to keep mistakes small.
      log.warn({ components: scope.targets.length }, 'too many component names for one delegation: it names all of the lattice');
      return mintDelegation(key, { ...common, origins: EVERYBODY, targets: EVERYBODY });
    }
  }
}
