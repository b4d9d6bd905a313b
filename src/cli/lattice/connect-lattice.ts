import { systemClock } from '../../clock.ts';
import { connectionAllowances } from '../../config/allowances.ts';
import type { HostConfig } from '../../config/schema.ts';
import { readSecretFile } from '../../config/secret-files.ts';
import { ControlClient } from '../../control/control-client.ts';
import { type SignControl, signControl } from '../../control/sign-control.ts';
import { TrellisError } from '../../errors.ts';
import { clusterSeeds } from '../../identity/cluster-seeds.ts';
import { type LatticeName, latticeName } from '../../ids.ts';
import { connectPartition, type LatticeConnection } from '../../nats/connection.ts';
import type { Partition } from '../../nats/partition.ts';
import { createLogger } from '../../telemetry/log.ts';
import { SigningKey } from '../../trust/nkey.ts';
import { callerSettings, type CommandSigner } from '../caller-config.ts';
import { type ConnectionFlags, settingsOf, timeoutOf } from './connection-flags.ts';
import type { OpenLattice } from './open-lattice.ts';

/** Opens the ctl connection that flags, contexts and settings lead to. @throws as `openLattice` */
export async function connectLattice(flags: ConnectionFlags): Promise<OpenLattice> {
  const { configFile: file, context, signSeedFile, signDelegationFile } = flags;
  const timeoutMs = timeoutOf(flags);
  const { config, signer } = callerSettings({ file, context, flags: settingsOf(flags) });
  const lattice = latticeName(config.lattice);
  const byFlag = signSeedFile === undefined ? undefined : { seedFile: signSeedFile, delegationFile: signDelegationFile };
  const sign = await signerOf(config, lattice, byFlag ?? signer);
  const ctl = await openPartition(config, 'ctl');
  const { prefix } = config.control;
  const client = new ControlClient({ ctl, lattice, prefix, timeoutMs, ...(sign === undefined ? {} : { sign }) });
  return { config, lattice, ctl, client, [Symbol.asyncDispose]: () => ctl.close() };
}

/** Opens one connection of a command. @throws TRELLIS_NATS_* */
export function openPartition(config: HostConfig, partition: Partition): Promise<LatticeConnection> {
  return connectPartition({
    ...config[partition],
    ...connectionAllowances(config.allow),
    partition,
    lattice: config.lattice,
    name: config[partition].name ?? `trellis command line ${partition}`,
    log: createLogger({ level: 'error' }),
  });
}

/**
 * The key that signs commands: the one that was named, else the cluster seed of the configuration, if there is one. Hosts that do not
 * ask for signatures do not look at them.
 */
async function signerOf(
  config: HostConfig,
  lattice: LatticeName,
  signer: CommandSigner | undefined,
): Promise<SignControl | undefined> {
  if (signer === undefined) {
    const { clusterSeed, clusterSeedFile } = config.trust;
    if ((clusterSeed ?? clusterSeedFile) === undefined) return undefined;
    const [key] = await clusterSeeds(config).read();
    return key === undefined ? undefined : signControl({ key, lattice, clock: systemClock });
  }
  const seed = textIn(signer.seedFile);
  // A cluster key speaks for itself, an operator's key by a delegation.
  const key = SigningKey.fromSeed(seed, seed.startsWith('SC') ? 'cluster' : 'user');
  const { delegationFile } = signer;
  const delegation = delegationFile === undefined ? {} : { delegation: textIn(delegationFile) };
  return signControl({ key, lattice, clock: systemClock, ...delegation });
}

function textIn(file: string): string {
  const read = readSecretFile(file);
  if (read.ok) return read.text.trim();
  throw new TrellisError('TRELLIS_CLI_FILE', { message: `${file} ${read.reason}` });
}
