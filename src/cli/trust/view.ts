import { systemClock } from '../../clock.ts';
import { trustBucketPlace } from '../../config/bucket-places.ts';
import type { HostConfig } from '../../config/schema.ts';
import { readSecretFile } from '../../config/secret-files.ts';
import type { BucketMember, LatticeTrust } from '../../control/rotation.ts';
import { gatherTrustReports } from '../../control/trust-report.ts';
import { startTrustSync, type TrustSync } from '../../control/trust-sync.ts';
import { TrellisError } from '../../errors.ts';
import { clusterSeeds } from '../../identity/cluster-seeds.ts';
import { type LatticeName, latticeName } from '../../ids.ts';
import { connectPartition, type LatticeConnection } from '../../nats/connection.ts';
import type { TrustBucket } from '../../nats/trust-bucket.ts';
import { createLogger, type Logger } from '../../telemetry/log.ts';
import { openDelegation } from '../../trust/delegation.ts';
import { type IssuerSetClaims, signIssuerSet } from '../../trust/issuer-set.ts';
import { SigningKey } from '../../trust/nkey.ts';
import { TrustState } from '../../trust/trust-state.ts';
import { TrustedTime } from '../../trust/trusted-time.ts';

/** Least level that a command logs. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** How long hosts may take to report, milliseconds. */
const REPORT_MS = 500;

/** The key in a cluster or server seed file. @throws TRELLIS_CLI_FILE, TRELLIS_KEY_INVALID */
export function readSeedFile(file: string, kind: 'cluster' | 'server'): SigningKey {
  const read = readSecretFile(file);
  if (!read.ok) throw new TrellisError('TRELLIS_CLI_FILE', { message: `${file} ${read.reason}` });
  return SigningKey.fromSeed(read.text.trim(), kind);
}

/** The configured issuers: the list, or the keys of the configured seeds where the list is empty. */
async function configuredIssuers(config: HostConfig): Promise<readonly string[]> {
  if (config.trust.clusterIssuers.length > 0) return config.trust.clusterIssuers;
  const seeds = clusterSeeds(config);
  if (!seeds.adHoc) return (await seeds.read()).map((key) => key.publicKey);
  throw new TrellisError('TRELLIS_CONFIG_INVALID', {
    message: 'no cluster issuer is configured, so nothing in the trust bucket can be believed',
    remedy: 'Set trust.clusterIssuers (WASMCLOUD_CLUSTER_ISSUERS) to the public keys that the hosts are configured with.',
  });
}

/** The trust of a lattice, seen from its ctl connection. */
export class TrustView implements AsyncDisposable {
  readonly config: HostConfig;
  readonly ctl: LatticeConnection;
  readonly lattice: LatticeName;
  readonly state: TrustState;
  readonly sync: TrustSync;
  readonly bucket: TrustBucket;
  readonly log: Logger;
  /** How far clocks may differ, milliseconds. */
  readonly skewMs: number;

  private constructor(parts: Pick<TrustView, 'config' | 'ctl' | 'lattice' | 'state' | 'sync' | 'bucket' | 'log' | 'skewMs'>) {
    this.config = parts.config;
    this.ctl = parts.ctl;
    this.lattice = parts.lattice;
    this.state = parts.state;
    this.sync = parts.sync;
    this.bucket = parts.bucket;
    this.log = parts.log;
    this.skewMs = parts.skewMs;
  }

  /**
   * Connects, and reads the bucket.
   * @param file configuration file; see `callerConfig` for what is taken without one
   * @throws TRELLIS_NATS_*, TRELLIS_TRUST_STORE, TRELLIS_CONFIG_INVALID
   */
  static async open(file: string | undefined, level: LogLevel, name: string): Promise<TrustView> {
    // Loaded here: `keys gen` needs neither the schema nor its 50 ms.
    const { callerConfig } = await import('../caller-config.ts');
    const config = callerConfig({ file });
    const log = createLogger({ level });
    const lattice = latticeName(config.lattice);
    const issuers = await configuredIssuers(config);
    const freshState = (): TrustState =>
      new TrustState({
        lattice,
        issuers,
        time: new TrustedTime(systemClock),
        skewMs: config.trust.skewMs,
      });
    const { maxStaleMs, skewMs } = config.trust;
    const state = freshState();
    const ctl = await connectPartition({ ...config.ctl, partition: 'ctl', lattice, name, log });
    try {
      const place = trustBucketPlace(config);
      const sync = await startTrustSync({ ctl, lattice, state, freshState, mode: 'auto', maxStaleMs, place, log });
      if (sync.bucket === undefined) throw new TrellisError('TRELLIS_TRUST_STORE');
      return new TrustView({ config, ctl, lattice, state, sync, bucket: sync.bucket, log, skewMs });
    } catch (error) {
      await ctl.close();
      throw error;
    }
  }

  /** The bucket and the hosts as they are now. Takes {@link REPORT_MS}. @throws TRELLIS_TRUST_STORE, TRELLIS_NATS_* */
  async look(): Promise<LatticeTrust> {
    await this.sync.check();
    const [reports, entries] = await Promise.all([
      gatherTrustReports(this.ctl, this.lattice, REPORT_MS),
      this.bucket.list('delegation'),
    ]);
    const nowMs = Date.now();
    const members: BucketMember[] = [];
    for (const { text } of entries) {
      const claims = openDelegation(text ?? '');
      if (claims === undefined || claims.exp < nowMs) continue;
      members.push({ host: claims.sub, delegatedBy: claims.iss, expiresMs: claims.exp });
    }
    const { epoch, issuers, active } = this.state;
    return { epoch, issuers, active, reports, members };
  }

  /**
   * Publishes the next issuer set and takes it. Somebody who published one at the same time wins, and this fails.
   * @throws TRELLIS_ROTATION_STATE, TRELLIS_TRUST_STORE
   */
  async publish(signer: SigningKey, next: { issuers: readonly string[]; active: string; minEpoch?: number }): Promise<number> {
    const epoch = this.state.epoch + 1;
    const claims: IssuerSetClaims = {
      v: 2,
      iat: Date.now(),
      lat: this.lattice,
      iss: signer.publicKey,
      epc: epoch,
      min: next.minEpoch ?? this.state.minEpoch,
      act: next.active,
      set: [...next.issuers].toSorted().join(','),
    };
    const text = signIssuerSet(signer, claims);
    // Taken first: what this state refuses, every host would refuse too.
    const verdict = this.state.takeIssuerSet(text);
    if (typeof verdict !== 'string') {
      throw new TrellisError('TRELLIS_ROTATION_STATE', { message: `the new issuer set would be refused: ${verdict.detail}` });
    }
    if (await this.bucket.create(`issuers.${epoch}`, text)) return epoch;
    throw new TrellisError('TRELLIS_ROTATION_STATE', {
      message: `somebody else published epoch ${epoch} at the same time`,
      remedy: 'Run the command again: it begins with what is there now.',
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sync.close();
    await this.ctl.close();
  }
}
