import { readFile } from 'node:fs/promises';
import { systemClock, type Clock } from './clock.ts';
import type { HostConfig, PartitionConfig } from './config/schema.ts';
import { TrellisError } from './errors.ts';
import { latticeName, type LatticeName } from './ids.ts';
import { joinPassExchange } from './control/pass-exchange.ts';
import { Invoker } from './invocation/invoke.ts';
import type { LinkTable } from './invocation/link-table.ts';
import type { PathObserver } from './invocation/observer.ts';
import { UnsignedPairs } from './invocation/unsigned-pairs.ts';
import { joinWasmbus, type WasmbusMember } from './invocation/wasmbus/join.ts';
import { connectPartition, type LatticeConnection } from './nats/connection.ts';
import { ObjectBucket } from './nats/object-store.ts';
import type { Logger } from './telemetry/log.ts';
import { FailureBudget } from './trust/failure-budget.ts';
import { IssuerSet, issuersOnly } from './trust/issuers.ts';
import { SigningKey } from './trust/nkey.ts';
import { PassKeys } from './trust/pass-keys.ts';
import { ReplayWindow } from './trust/replay.ts';
import { RestartFence, type AheadStore } from './trust/restart-fence.ts';
import { SignatureChecker } from './trust/signatures.ts';
import { createTokenSigner, MAX_LIFETIME_MS, type TokenSigner } from './trust/signer.ts';
import { TrustedTime } from './trust/trusted-time.ts';
import { createRequestVerifier, type RequestVerifier } from './trust/verify-request.ts';
import { createResultVerifier } from './trust/verify-result.ts';
import { createInbox, type Inbox } from './wrpc/inbox.ts';

/**
 * What a host and a plain caller have in common: the two connections, a key to sign with, the issuers to believe, and
 * the sending half of the path.
 */
export interface Member {
  readonly lattice: LatticeName;
  readonly clock: Clock;
  readonly ctl: LatticeConnection;
  readonly rpc: LatticeConnection;
  readonly inbox: Inbox;
  readonly signer: TokenSigner;
  /** Public key this member signs with. */
  readonly issuer: string;
  /** True if the key was made at start, because none was configured. */
  readonly adHoc: boolean;
  readonly issuers: IssuerSet;
  readonly requests: RequestVerifier;
  /** Admission passes, as far as the lattice's control connection has given a key. */
  readonly passes: PassKeys;
  /** Bounds the answers to messages that are not let in. */
  readonly refusals: FailureBudget;
  /** Who may stay unsigned under `enforce`. */
  readonly unsigned: UnsignedPairs;
  readonly invoker: Invoker;
  /** What peers of wasmCloud 0.82 need. */
  readonly wasmbus: WasmbusMember;
  /** Closes both connections; calls in flight end with TRELLIS_INVOKE_CANCELLED. */
  close(): Promise<void>;
}

/** What joining a lattice takes. */
export interface JoinOptions {
  readonly config: HostConfig;
  readonly log: Logger;
  readonly links: LinkTable;
  readonly observer: PathObserver;
  /** Shown in the server's connection list, followed by the partition. */
  readonly name: string;
  /** Where the restart fence keeps its number; members that serve nothing need none. */
  readonly ahead?: AheadStore;
  readonly clock?: Clock;
}

/** Answers to messages that are not let in, a second, once twice as many have gone out. */
const REFUSALS_PER_SECOND = 1_000;

/** Opens both connections and returns a member of the lattice. @throws TRELLIS_NATS_*, TRELLIS_KEY_INVALID, TRELLIS_TRUST_ISSUER_INVALID */
export async function joinLattice(options: JoinOptions): Promise<Member> {
  const { config, log, observer } = options;
  const clock = options.clock ?? systemClock;
  const lattice = latticeName(config.lattice);
  const { key, adHoc } = await clusterKey(config);
  // The list stands as it is: a key that an operator took off it is refused, also when it is this member's own.
  const { clusterIssuers } = config.trust;
  const issuers = new IssuerSet(clusterIssuers.length === 0 ? [key.publicKey] : [...new Set(clusterIssuers)]);
  const time = new TrustedTime(clock);

  const ctl = await connectPartition(partitionOptions('ctl', config.ctl, options));
  const rpc = await connectPartition(partitionOptions('rpc', config.rpc, options)).catch(async (error: unknown) => {
    await ctl.close();
    throw error;
  });

  const { skewMs, bind, tokenLifetimeMs, batch, unlinkedOrigins, replayMaxEntries, verify, failedChecksPerSecond } = config.trust;
  const inbox = createInbox(rpc);
  const signer = createTokenSigner({ key, lattice, clock, lifetimeMs: tokenLifetimeMs, batch });
  const replay = new ReplayWindow({ clock, maxEntries: replayMaxEntries, skewMs });
  // Peers sign requests and results together: a batch root checked for one is checked for the other.
  const signers = issuersOnly(issuers);
  const signatures = new SignatureChecker(MAX_LIFETIME_MS + 2 * skewMs);
  const fence = new RestartFence(time, skewMs, options.ahead);
  const passes = new PassKeys(() => clock.wallMs());
  const leavePassExchange = await joinPassExchange({ ctl, lattice, keys: passes, holds: options.ahead !== undefined, clock });
  const requests = createRequestVerifier({
    lattice,
    signers,
    time,
    replay,
    links: options.links,
    unlinkedOrigins,
    bind,
    skewMs,
    signatures,
    fence,
    passes,
    budget: new FailureBudget(time, failedChecksPerSecond, failedChecksPerSecond),
  });
  const results = createResultVerifier({
    lattice,
    signers,
    time,
    skewMs,
    signatures,
    passes,
    budget: new FailureBudget(time, failedChecksPerSecond, failedChecksPerSecond),
  });
  const unsigned = new UnsignedPairs(config.trust.unsigned, (id, role) =>
    log.info({ id, role }, 'an id of trust.unsigned signs: in this role it must from now on'),
  );
  const invoker = new Invoker({
    bus: rpc,
    inbox,
    lattice,
    mode: verify,
    signer,
    results,
    passes,
    observer,
    unsigned,
    maxResultBytes: config.limits.maxResultBytes,
    refusalGraceMs: config.trust.refusalGraceMs,
  });
  const wasmbus = await joinWasmbus({
    config,
    lattice,
    clock,
    signers,
    time,
    replay,
    fence,
    links: options.links,
    bus: rpc,
    inbox,
    store: new ObjectBucket(rpc, lattice),
    observer,
  }).catch(async (error: unknown) => {
    await Promise.allSettled([rpc.close(), ctl.close()]);
    throw error;
  });
  log.debug({ lattice, issuer: key.publicKey, adHoc, issuers: issuers.list() }, 'joined the lattice');
  return {
    lattice,
    clock,
    ctl,
    rpc,
    inbox,
    signer,
    issuer: key.publicKey,
    adHoc,
    issuers,
    requests,
    passes,
    refusals: new FailureBudget(time, REFUSALS_PER_SECOND, 2 * REFUSALS_PER_SECOND),
    unsigned,
    invoker,
    wasmbus,
    async close() {
      leavePassExchange();
      invoker.close();
      wasmbus.invoker?.close();
      await Promise.allSettled([rpc.close(), ctl.close()]);
    },
  };
}

/** The key to sign with: configured, or made for this run (a lattice of one host). */
async function clusterKey(config: HostConfig): Promise<{ key: SigningKey; adHoc: boolean }> {
  const { clusterSeed, clusterSeedFile } = config.trust;
  if (clusterSeed !== undefined) return { key: SigningKey.fromSeed(clusterSeed, 'cluster'), adHoc: false };
  if (clusterSeedFile === undefined) return { key: SigningKey.generate('cluster'), adHoc: true };
  const seed = await readFile(clusterSeedFile).catch((cause: unknown) => {
    throw new TrellisError('TRELLIS_KEY_INVALID', {
      message: `the cluster seed file ${clusterSeedFile} could not be read`,
      remedy: 'Check trust.clusterSeedFile, or make one with: trellis keys gen cluster --out FILE',
      cause,
    });
  });
  return { key: SigningKey.fromSeed(seed, 'cluster'), adHoc: false };
}

function partitionOptions(
  partition: 'ctl' | 'rpc',
  settings: PartitionConfig,
  options: JoinOptions,
): Parameters<typeof connectPartition>[0] {
  return {
    ...settings,
    partition,
    lattice: latticeName(options.config.lattice),
    name: `${options.name} ${partition}`,
    log: options.log,
  };
}
