import { systemClock } from '../../clock.ts';
import { connectionAllowances } from '../../config/allowances.ts';
import type { HostConfig } from '../../config/schema.ts';
import { readSecretFile } from '../../config/secret-files.ts';
import { ControlClient } from '../../control/control-client.ts';
import { requestDelegation } from '../../control/delegate.ts';
import { type SignControl, signControl } from '../../control/sign-control.ts';
import { TrellisError } from '../../errors.ts';
import { clusterSeeds } from '../../identity/cluster-seeds.ts';
import { type LatticeName, latticeName } from '../../ids.ts';
import { connectPartition, type LatticeConnection } from '../../nats/connection.ts';
import type { Partition } from '../../nats/partition.ts';
import { createLogger } from '../../telemetry/log.ts';
import { SigningKey } from '../../trust/nkey.ts';
import { EVERYBODY } from '../../trust/scope.ts';
import { callerSettings, type CommandSigner } from '../caller-config.ts';
import { type ConnectionFlags, settingsOf, timeoutOf } from './connection-flags.ts';
import type { OpenLattice } from './open-lattice.ts';

/** How long the issuer service may take to give an operator its delegation, milliseconds. */
const ISSUER_MS = 5_000;

/** Opens the ctl connection that flags, contexts and settings lead to. @throws as `openLattice` */
export async function connectLattice(flags: ConnectionFlags): Promise<OpenLattice> {
  const { configFile: file, context, signSeedFile, signDelegationFile } = flags;
  const timeoutMs = timeoutOf(flags);
  const { config, signer } = callerSettings({ file, context, flags: settingsOf(flags) });
  const lattice = latticeName(config.lattice);
  const byFlag = signSeedFile === undefined ? undefined : { seedFile: signSeedFile, delegationFile: signDelegationFile };
  // Files that cannot be used are found out before anything is open.
  const signerFor = await signerOf(config, lattice, byFlag ?? signer);
  const ctl = await openPartition(config, 'ctl');
  const sign = signerFor?.(ctl);
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
    // For the person at the terminal, or for whoever reads what the command said; a program reads standard output.
    log: createLogger({ level: 'error', format: 'pretty' }),
  });
}

/**
 * The key that signs commands: the one that was named, else the cluster seed of the configuration, if there is one. Hosts that do not
 * ask for signatures do not look at them. An operator without a delegation asks the issuer service for one, at the first command.
 */
async function signerOf(
  config: HostConfig,
  lattice: LatticeName,
  signer: CommandSigner | undefined,
): Promise<((ctl: LatticeConnection) => SignControl) | undefined> {
  const common = { lattice, clock: systemClock };
  if (signer === undefined) {
    const { clusterSeed, clusterSeedFile } = config.trust;
    if ((clusterSeed ?? clusterSeedFile) === undefined) return undefined;
    const [key] = await clusterSeeds(config).read();
    return key === undefined ? undefined : () => signControl({ key, ...common });
  }
  const seed = textIn(signer.seedFile);
  // A cluster key speaks for itself, an operator's key by a delegation.
  const isCluster = seed.startsWith('SC');
  const key = SigningKey.fromSeed(seed, isCluster ? 'cluster' : 'user');
  if (isCluster) return () => signControl({ key, ...common });
  const text = signer.delegationFile === undefined ? undefined : textIn(signer.delegationFile);
  if (text !== undefined) return () => signControl({ key, delegation: () => Promise.resolve(text), ...common });
  const wish = { lattice, holder: key, org: '', tgt: '', commands: EVERYBODY, timeoutMs: ISSUER_MS };
  return (ctl) => signControl({ key, delegation: () => requestDelegation({ ctl, ...wish, nowMs: Date.now() }), ...common });
}

function textIn(file: string): string {
  const read = readSecretFile(file);
  if (read.ok) return read.text.trim();
  throw new TrellisError('TRELLIS_CLI_FILE', { message: `${file} ${read.reason}` });
}
