import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { TrellisError } from '../errors.ts';
import type { ComponentId, LatticeName } from '../ids.ts';
import type { BusSubscription } from '../wrpc/bus.ts';
import type { LatticeConnection } from './connection.ts';
import { askBucket } from './bucket-probe.ts';
import type { Partition } from './partition.ts';
import type { ProbeFinding } from './probe-finding.ts';
import { ownSubjects, type Probe, probesOf, type ProbeNames } from './probe-subjects.ts';

/** What {@link probePermissions} takes. */
export interface ProbeOptions {
  readonly ctl: LatticeConnection;
  readonly rpc: LatticeConnection;
  readonly lattice: LatticeName;
  /** First tokens of the control subjects; `wasmbus.ctl` by default. */
  readonly controlPrefix?: string;
  /** Components that this host serves: their subjects must be allowed. */
  readonly components?: readonly ComponentId[];
  /** Connections to a leaf node, which says nothing of what its hub refuses. Logins as nobody count as such in any case. */
  readonly viaLeaf?: readonly Partition[];
  /**
   * How long the probed subjects are still listened to after the first verdict, milliseconds; 0 by default. Between the servers of a
   * cluster, and through a leaf node, interest spreads later than an answer comes.
   */
  readonly lingerMs?: number;
  /** Told of what arrived in that time: each is `allowed` after all. */
  readonly onLate?: (finding: ProbeFinding) => void;
}

const OTHER = { ctl: 'rpc', rpc: 'ctl' } as const;

/**
 * Tries what the two connections may do: what would undo the partition has to be refused, what the host needs has to be
 * allowed. Nothing comes of it: each subject has a random part that nobody subscribes to, a message to a bucket names a
 * stream that is not the bucket's, and what is asked of JetStream only reads.
 *
 * Where the server takes a message, the other connection listens for it: what does not arrive there left for another account
 * or another server, which is a partition too. Rejects when a connection is lost meanwhile: then nothing is known.
 *
 * @throws TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED
 */
export async function probePermissions(options: ProbeOptions): Promise<readonly ProbeFinding[]> {
  const probing = new Probing(options);
  try {
    return await probing.run();
  } finally {
    const { lingerMs = 0 } = options;
    if (lingerMs === 0) probing.end();
    else setTimeout(() => probing.end(), lingerMs).unref();
  }
}

class Probing {
  readonly #options: ProbeOptions;
  readonly #names: ProbeNames;
  /**
   * What each connection sends: whoever reads along on one of them learns the subjects, and could send on them what then seems to have
   * come from the other.
   */
  readonly #proofs = { ctl: randomBytes(16), rpc: randomBytes(16) };
  readonly #refused = new Set<string>();
  readonly #heard = new Set<string>();
  readonly #subscriptions: BusSubscription[] = [];
  readonly #unwatch: (() => void)[] = [];
  #judged: ReadonlyMap<string, Probe> | undefined;
  /** True once a connection was interrupted: what was sent may be lost, and its refusal with it. */
  #interrupted = false;

  constructor(options: ProbeOptions) {
    this.#options = options;
    const token = (): string => `probe${randomBytes(12).toString('hex')}`;
    this.#names = {
      lattice: options.lattice,
      controlPrefix: options.controlPrefix ?? 'wasmbus.ctl',
      nobody: token(),
      otherLattice: token(),
      otherUser: `U${randomBytes(20).toString('hex').toUpperCase()}`,
    };
  }

  async run(): Promise<readonly ProbeFinding[]> {
    const probes = probesOf(this.#names);
    for (const partition of ['ctl', 'rpc'] as const) {
      this.#watchRefusals(partition);
      this.#watchInterruptions(partition);
    }
    for (const probe of probes) {
      // Both sides listen: the one that must not hear, and the one that would show where a message went.
      if (probe.action === 'subscribe') this.#listen(probe.partition, probe, probe.subject);
      else if (probe.witnessed) this.#listen(OTHER[probe.partition], probe, probe.subject);
    }
    await this.#flush();
    for (const probe of probes) if (probe.action === 'publish') this.#send(probe.partition, probe);
    for (const probe of probes) {
      if (probe.action === 'subscribe' && probe.witnessed) this.#send(OTHER[probe.partition], probe);
    }
    const buckets = await this.#askBuckets();
    const own = await this.#tryOwn();
    await this.#flush();
    if (this.#interrupted) throw new TrellisError('TRELLIS_NATS_DISCONNECTED');
    const isolated = this.#isolated(probes);
    const verdicts = probes.map((probe) => finding(probe, this.#verdictOf(probe, isolated)));
    this.#judged = new Map(probes.filter((_, i) => verdicts[i]!.verdict === 'isolated').map((probe) => [keyOf(probe), probe]));
    return [
      ...verdicts,
      ...buckets.map((bucket) =>
        isolated && bucket.verdict === 'allowed' ? { ...bucket, verdict: 'isolated' as const } : bucket,
      ),
      ...own,
    ];
  }

  end(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    for (const unwatch of this.#unwatch) unwatch();
  }

  /** Two connections are isolated when something that was taken here and listened for there did not arrive, and nothing did. */
  #isolated(probes: readonly Probe[]): boolean {
    const crossing = probes.filter((probe) => probe.witnessed && probe.crosses);
    if (crossing.some((probe) => this.#heard.has(keyOf(probe)))) return false;
    return crossing.some((probe) => !this.#isRefused(probe.partition, probe) && !this.#isRefused(OTHER[probe.partition], probe));
  }

  #verdictOf(probe: Probe, isolated: boolean): ProbeFinding['verdict'] {
    const { partition } = probe;
    if (this.#isRefused(partition, probe)) return 'refused';
    if (this.#heard.has(keyOf(probe))) return 'allowed';
    if (probe.crosses) return isolated ? 'isolated' : 'allowed';
    const isSilent = this.#options[partition].userKey === undefined || this.#options.viaLeaf?.includes(partition) === true;
    return isolated && isSilent ? 'unknown' : 'allowed';
  }

  #watchRefusals(partition: Partition): void {
    const subjects = new Set(probesOf(this.#names).map(({ subject }) => subject));
    this.#unwatch.push(
      this.#options[partition].watchRefusals(subjects, (action, subject) =>
        this.#refused.add(`${partition} ${action} ${subject}`),
      ),
    );
  }

  #watchInterruptions(partition: Partition): void {
    this.#unwatch.push(
      this.#options[partition].onStatus(({ type }) => {
        this.#interrupted ||= type !== 'error' && type !== 'lame-duck';
      }),
    );
  }

  /** Whether the server refused what `partition` did with a probed subject: to try it, or to witness it. */
  #isRefused(partition: Partition, probe: Probe): boolean {
    const own = partition === probe.partition;
    const action = own === (probe.action === 'publish') ? 'publish' : 'subscribe';
    return this.#refused.has(`${partition} ${action} ${probe.subject}`);
  }

  #listen(partition: Partition, probe: Probe, subject: string): void {
    const proof = this.#proofs[probe.action === 'publish' ? probe.partition : OTHER[probe.partition]];
    const subscription = this.#options[partition].subscribe(subject, {}, ({ payload }) => {
      if (!proof.equals(payload)) return;
      const key = keyOf(probe);
      this.#heard.add(key);
      const late = this.#judged?.get(key);
      if (late !== undefined) this.#options.onLate?.(finding(late, 'allowed'));
    });
    this.#subscriptions.push(subscription);
  }

  #send(partition: Partition, { subject, isStored }: Probe): void {
    // A bucket's stream refuses what names another stream, so nothing is stored.
    const headers = isStored ? { headers: { entries: [['Nats-Expected-Stream', this.#names.nobody]] as const } } : {};
    this.#options[partition].publish(subject, this.#proofs[partition], headers);
  }

  async #askBuckets(): Promise<ProbeFinding[]> {
    const { rpc, lattice } = this.#options;
    return await askBucket(rpc, lattice, this.#names.nobody);
  }

  /** What the host needs: each is subscribed for a moment, and the inboxes are written to as well. */
  async #tryOwn(): Promise<ProbeFinding[]> {
    const { components = [] } = this.#options;
    const found: ProbeFinding[] = [];
    for (const partition of ['ctl', 'rpc'] as const) {
      const connection = this.#options[partition];
      const own = ownSubjects(partition, this.#names, components);
      const ownRefused = new Set<string>();
      // Not longer than this: the host subscribes to some of them itself, and has to hear of it when that is refused.
      const unwatchOwn = connection.watchRefusals(new Set(own.map(({ subject }) => subject)), (_, subject) =>
        ownRefused.add(subject),
      );
      const tried = own.map(({ subject }) => connection.subscribe(subject, {}, () => {}));
      const inbox = `${connection.inboxPrefix}.${this.#names.nobody}`;
      let arrived = false;
      this.#subscriptions.push(connection.subscribe(inbox, {}, () => (arrived = true)));
      const refused = new Set<string>();
      this.#unwatch.push(connection.watchRefusals(new Set([inbox]), (action) => refused.add(action)));
      try {
        connection.publish(inbox, new Uint8Array(0));
        await connection.flush();
        await nextTurn();
      } finally {
        for (const subscription of tried) subscription.unsubscribe();
        unwatchOwn();
      }
      const verdict = (action: ProbeFinding['action']): ProbeFinding['verdict'] =>
        refused.has(action) ? 'refused' : arrived || refused.size > 0 ? 'allowed' : 'unknown';
      // Callers write into inboxes. On ctl a user only replies to who asked, for which it has the right without naming any.
      for (const action of partition === 'rpc' ? (['publish', 'subscribe'] as const) : (['subscribe'] as const)) {
        found.push({
          partition,
          action,
          subject: inbox,
          about: 'its own answers',
          expected: 'allowed',
          verdict: verdict(action),
        });
      }
      for (const { subject, about } of own) {
        const verdictOfOwn = ownRefused.has(subject) ? 'refused' : 'allowed';
        found.push({ partition, action: 'subscribe', subject, about, expected: 'allowed', verdict: verdictOfOwn });
      }
    }
    return found;
  }

  /** What was sent has been judged, and what came of it has arrived: the second round is answered after the first was delivered. */
  async #flush(): Promise<void> {
    const { ctl, rpc } = this.#options;
    for (let round = 0; round < 2; round++) await Promise.all([ctl.flush(), rpc.flush()]);
    await nextTurn();
  }
}

const keyOf = ({ partition, action, subject }: Probe): string => `${partition} ${action} ${subject}`;

function finding({ partition, action, subject, about }: Probe, verdict: ProbeFinding['verdict']): ProbeFinding {
  return { partition, action, subject, about, expected: 'refused', verdict };
}
