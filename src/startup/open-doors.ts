import { remoteServers } from '../config/check-context.ts';
import type { HostConfig } from '../config/schema.ts';
import { TrellisError } from '../errors.ts';

/**
 * What no host may do beyond this computer, however it is started; `config/start-checks.ts` says it, and more, to those who
 * start one from a configuration. @throws TRELLIS_CONFIG_INVALID
 */
export function refuseOpenDoors(config: HostConfig): void {
  if (remoteServers(config).length === 0) return;
  const { clusterSeed, clusterSeedFile, delegationFile, issuerService, verify } = config.trust;
  if (verify === 'off') {
    throw new TrellisError('TRELLIS_CONFIG_INVALID', {
      message: 'verification is switched off on a lattice beyond this computer',
      remedy: 'Set trust.verify to enforce, or to observe while a lattice migrates.',
    });
  }
  if (clusterSeed === undefined && clusterSeedFile === undefined && delegationFile === undefined && !issuerService) {
    throw new TrellisError('TRELLIS_CONFIG_INVALID', {
      message: 'without a cluster seed this host would sign with an ad hoc key on a lattice beyond this computer',
      remedy:
        'Set trust.clusterSeedFile (make one with: trellis keys gen cluster --out FILE), trust.delegationFile or trust.issuerService.',
    });
  }
}
