import { isDeepStrictEqual } from 'node:util';
import { systemClock, type Clock } from './clock.ts';
import { connectionAllowances } from './config/allowances.ts';
import { trustBucketPlace } from './config/bucket-places.ts';
import type { HostConfig, PartitionConfig } from './config/schema.ts';
import { requestDelegation } from './control/delegate.ts';
import type { TrustFile } from './control/trust-file.ts';
import { startTrustSync, type TrustSync } from './control/trust-sync.ts';
import { latticeName, type LatticeName } from './ids.ts';
import { joinPassExchange } from './control/pass-exchange.ts';
import { clusterSeeds, type ClusterSeeds } from './identity/cluster-seeds.ts';
import { DelegationKeeper } from './identity/delegation-keeper.ts';
import type { DelegationSource, WantedScope } from './identity/delegation-source.ts';
import { FileSource } from './identity/file-source.ts';
import { SeedSource, type SeedSourceOptions } from './identity/seed-source.ts';
import { AnswerJudge } from './invocation/answer-judge.ts';
import { ForeignGates } from './invocation/foreign/gates.ts';
import { SharedInvoker } from './invocation/foreign/invoke.ts';
import { Introductions } from './invocation/introductions.ts';
import { Invoker } from './invocation/invoke.ts';
import type { LinkTable } from './invocation/link-table.ts';
import type { PathObserver } from './invocation/observer.ts';
import { UnsignedPairs } from './invocation/unsigned-pairs.ts';
import { joinWasmbus, type WasmbusMember } from './invocation/wasmbus/join.ts';
import { connectPartition, type LatticeConnection } from './nats/connection.ts';
import { ObjectBucket } from './nats/object-store.ts';
import type { Alarms } from './telemetry/alarms.ts';
import type { Logger } from './telemetry/log.ts';
import { WorkBudget } from './trust/work-budget.ts';
import type { SigningKey } from './trust/nkey.ts';
import { PassKeys } from './trust/pass-keys.ts';
import { ReplayWindow } from './trust/replay.ts';
import { RestartFence, type AheadStore } from './trust/restart-fence.ts';
import { scopeOf } from './trust/scope.ts';
import { SignatureChecker } from './trust/signatures.ts';
import { createTokenSigner, MAX_LIFETIME_MS, type TokenSigner } from './trust/signer.ts';
import { TrustState } from './trust/trust-state.ts';
import { TrustedTime } from './trust/trusted-time.ts';
import { type CommandVerifier, createCommandVerifier } from './trust/verify-command.ts';
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
  /** True if the cluster key was made at start, because none was configured. */
  readonly adHoc: boolean;
  /** Whom this member believes. */
  readonly trust: TrustState;
  /** The tie between that and the trust bucket. */
  readonly sync: TrustSync;
  /** The delegation this member signs under; its holder's key is the member's own. */
  readonly delegation: DelegationKeeper;
  readonly introductions: Introductions;
  readonly requests: RequestVerifier;
  /** Judges signed control messages. */
  readonly commands: CommandVerifier;
  /** Admission passes, as far as the lattice's control connection has given a key. */
  readonly passes: PassKeys;
  /** Bounds the answers to messages that are not let in. */
  readonly refusals: WorkBudget;
  /** Who may stay unsigned under `enforce`. */
  readonly unsigned: UnsignedPairs;
  readonly invoker: Invoker;
  /** Calls of components in other NATS accounts. */
  readonly shared: SharedInvoker;
  /** Judges calls from other NATS accounts. */
  readonly foreign: ForeignGates;
  /** What peers of wasmCloud 0.82 need. */
  readonly wasmbus: WasmbusMember;
  /**
   * Takes over what may change while it runs. @throws TRELLIS_NATS_*, TRELLIS_TRUST_ISSUER_INVALID, TRELLIS_KEY_INVALID; then nothing
   * has changed
   */
  reconfigure(config: HostConfig): Promise<void>;
  /** What the next delegation is to name. */
  wants(scope: WantedScope): void;
  /** Closes both connections; calls in flight end with TRELLIS_INVOKE_CANCELLED. */
  close(): Promise<void>;
}

/** How long the issuer service may take to sign. */
const ISSUER_SERVICE_MS = 5_000;

/** What joining a lattice takes. */
export interface JoinOptions {
  /** A seed from the environment is taken out of it. */
  readonly config: HostConfig;
  /** The key (`N…`) that signs for this member. */
  readonly key: SigningKey;
  readonly scope: WantedScope;
  readonly log: Logger;
  readonly links: LinkTable;
  readonly observer: PathObserver;
  /** Shown in the server's connection list, followed by the partition. */
  readonly name: string;
  /** Called when both connections are open, before anything is asked of the lattice; what it throws ends the attempt. */
  readonly connected?: (connections: Pick<Member, 'ctl' | 'rpc'>) => Promise<void>;
  /** Where the restart fence keeps its number; members that serve nothing need none. */
  readonly ahead?: AheadStore;
  /** Where issuer sets and revocations are kept; members that serve nothing need none. */
  readonly trustFile?: TrustFile;
  readonly clock?: Clock;
  /** Where the connections raise their alarms; the log alone if left out. */
  readonly alarms?: Alarms;
}

/** Answers to messages that are not let in, a second, once twice as many have gone out. */
const REFUSALS_PER_SECOND = 1_000;
/** Ids of commands that are remembered, each for a minute or so. */
const MAX_COMMAND_IDS = 100_000;

/**
 * Opens both connections and returns a member of the lattice.
 * @throws TRELLIS_NATS_*, TRELLIS_KEY_INVALID, TRELLIS_TRUST_ISSUER_INVALID, TRELLIS_DELEGATION_INVALID
 */
export async function joinLattice(options: JoinOptions): Promise<Member> {
  const { config, log, observer, key } = options;
  const clock = options.clock ?? systemClock;
  const lattice = latticeName(config.lattice);
  const { skewMs, bind, tokenLifetimeMs, batch, replayMaxEntries, verify, failedChecksPerSecond } = config.trust;
  let { scope } = options;
  const unlinkedOrigins = new Set(config.trust.unlinkedOrigins);
  const time = new TrustedTime(clock);
  const { delegationFile, issuerService } = config.trust;
  const seeds = delegationFile === undefined && !issuerService ? clusterSeeds(config) : undefined;
  let issuers = await believedIssuers(config.trust.clusterIssuers, seeds);
  const freshState = (): TrustState => new TrustState({ lattice, issuers, time, skewMs });
  const trust = freshState();

  const ctl = await connectPartition(partitionOptions('ctl', config.ctl, options));
  const rpc = await connectPartition(partitionOptions('rpc', config.rpc, options)).catch(async (error: unknown) => {
    await ctl.close();
    throw error;
  });

  await using joining = new AsyncDisposableStack();
  joining.defer(() => Promise.allSettled([rpc.close(), ctl.close()]).then(() => undefined));
  await options.connected?.({ ctl, rpc });
  // First the issuers of today: they decide which seed signs, and whether a delegation counts.
  const sync = await startTrustSync({
    ctl,
    lattice,
    state: trust,
    freshState,
    mode: config.trust.store,
    maxStaleMs: config.trust.maxStaleMs,
    place: trustBucketPlace(config),
    log,
    ...(options.trustFile === undefined ? {} : { file: options.trustFile }),
  });
  joining.defer(() => sync.close());
  const source = delegationSource(config, seeds, { state: trust, lattice, scope: () => scope, clock, log }, { ctl, key });
  const delegation = await DelegationKeeper.start({ key, source, state: trust, clock, log });
  joining.defer(() => delegation.close());
  const inbox = createInbox(rpc);
  const signer = createTokenSigner({ key, kid: () => delegation.held.kid, lattice, clock, lifetimeMs: tokenLifetimeMs, batch });
  const replay = new ReplayWindow({ clock, maxEntries: replayMaxEntries, skewMs });
  // Peers sign requests and results together: a batch root checked for one is checked for the other.
  const signatures = new SignatureChecker(MAX_LIFETIME_MS + 2 * skewMs);
  const fence = new RestartFence(time, skewMs, options.ahead);
  const passes = new PassKeys(() => clock.wallMs());
  const introductions = new Introductions({ state: trust, own: () => delegation.held, passes, clock });
  const leavePassExchange = await joinPassExchange({ ctl, lattice, keys: passes, holds: options.ahead !== undefined, clock });
  joining.defer(leavePassExchange);
  const requests = createRequestVerifier({
    lattice,
    signers: trust,
    time,
    replay,
    links: options.links,
    unlinkedOrigins,
    bind,
    skewMs,
    signatures,
    fence,
    passes,
    budget: new WorkBudget(time, failedChecksPerSecond, failedChecksPerSecond),
  });
  // A window of their own: whatever calls there are, a command finds room.
  const commandIds = new ReplayWindow({ clock, maxEntries: MAX_COMMAND_IDS, skewMs });
  const commands = createCommandVerifier({ lattice, trust, time, replay: commandIds, fence, skewMs });
  const results = createResultVerifier({
    lattice,
    signers: trust,
    time,
    skewMs,
    signatures,
    passes,
    budget: new WorkBudget(time, failedChecksPerSecond, failedChecksPerSecond),
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
    passes,
    answers: new AnswerJudge(results, introductions),
    introductions,
    speaksFor: (origin) => delegation.held.speaksFor(origin),
    observer,
    unsigned,
    maxResultBytes: config.limits.maxResultBytes,
    refusalGraceMs: config.trust.refusalGraceMs,
  });
  const common = { trust, own: () => delegation.held, time, clock, skewMs };
  const foreign = new ForeignGates({
    ...common,
    lattice,
    shares: config.trust.foreign,
    fence,
    bindsLogically: bind === 'logical',
  });
  const shared = new SharedInvoker({
    ...common,
    bus: rpc,
    inbox,
    lattice,
    signer,
    speaksFor: (origin) => delegation.held.speaksFor(origin),
    observer,
    maxResultBytes: config.limits.maxResultBytes,
    refusalGraceMs: config.trust.refusalGraceMs,
  });
  const wasmbus = await joinWasmbus({
    config,
    lattice,
    clock,
    signers: trust,
    time,
    replay,
    fence,
    links: options.links,
    bus: rpc,
    inbox,
    store: new ObjectBucket(rpc, lattice),
    observer,
  });
  let settings = config;
  /** Both connections or none: half a change would tear the host in two. */
  async function reconnect(now: HostConfig): Promise<void> {
    const moved: (() => Promise<void>)[] = [];
    try {
      for (const [partition, connection] of [
        ['ctl', ctl],
        ['rpc', rpc],
      ] as const) {
        const before = settings[partition];
        if (isDeepStrictEqual(before, now[partition])) continue;
        await connection.reconfigure(partitionOptions(partition, now[partition], options));
        moved.push(() => connection.reconfigure(partitionOptions(partition, before, options)));
      }
      settings = now;
    } catch (error) {
      for (const back of moved) await back();
      throw error;
    }
  }
  joining.move();
  const adHoc = seeds?.adHoc ?? false;
  log.debug({ lattice, host: key.publicKey, adHoc, issuers: trust.issuers }, 'joined the lattice');
  return {
    lattice,
    clock,
    ctl,
    rpc,
    inbox,
    signer,
    adHoc,
    trust,
    sync,
    delegation,
    introductions,
    requests,
    commands,
    passes,
    refusals: new WorkBudget(time, REFUSALS_PER_SECOND, 2 * REFUSALS_PER_SECOND),
    unsigned,
    invoker,
    shared,
    foreign,
    wasmbus,
    async reconfigure(now) {
      const { trust: next } = now;
      const believed = await believedIssuers(next.clusterIssuers, seeds);
      await reconnect(now);
      if (!isDeepStrictEqual(believed, issuers) && trust.configure(believed)) issuers = believed;
      unlinkedOrigins.clear();
      for (const origin of next.unlinkedOrigins) unlinkedOrigins.add(origin);
      unsigned.replace(next.unsigned);
      foreign.takeShares(next.foreign);
    },
    wants: (next) => void (scope = next),
    async close() {
      leavePassExchange();
      delegation.close();
      sync.close();
      invoker.close();
      shared.close();
      wasmbus.invoker?.close();
      await Promise.allSettled([rpc.close(), ctl.close()]);
    },
  };
}

/** The issuers of epoch 0: the list as it stands, also when this member's own is not on it; without a list the own ones. */
async function believedIssuers(clusterIssuers: readonly string[], seeds: ClusterSeeds | undefined): Promise<readonly string[]> {
  if (clusterIssuers.length > 0 || seeds === undefined) return [...new Set(clusterIssuers)];
  return (await seeds.read()).map(({ publicKey }) => publicKey);
}

function delegationSource(
  config: HostConfig,
  seeds: ClusterSeeds | undefined,
  parts: Omit<SeedSourceOptions, 'seeds' | 'lifetimeMs'>,
  asking: { readonly ctl: LatticeConnection; readonly key: SigningKey },
): DelegationSource {
  const { delegationFile, delegationLifetimeMs, issuerService } = config.trust;
  if (issuerService) {
    const { lattice, scope, clock } = parts;
    const scopes = () => ({ org: scopeOf(scope().origins), tgt: scopeOf(scope().targets) });
    const { ctl, key: holder } = asking;
    return {
      obtain: () => requestDelegation({ ctl, lattice, holder, ...scopes(), nowMs: clock.wallMs(), timeoutMs: ISSUER_SERVICE_MS }),
    };
  }
  if (seeds !== undefined) return new SeedSource({ ...parts, seeds, lifetimeMs: delegationLifetimeMs });
  return new FileSource(delegationFile!);
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
    name: settings.name ?? `${options.name} ${partition}`,
    log: options.log,
    ...connectionAllowances(options.config.allow),
    ...(options.clock === undefined ? {} : { clock: options.clock }),
    ...(options.alarms === undefined ? {} : { alarms: options.alarms }),
  };
}
