import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ComponentId, LatticeName } from '../ids.ts';
import type { LatticeConnection } from './connection.ts';
import { askHubs, covers, type HubRights } from './hub-rights.ts';
import type { Partition } from './partition.ts';
import type { ProbeFinding } from './probe-finding.ts';

/** What a host does on its connections. */
export interface LeafNeeds {
  readonly lattice: LatticeName;
  /** Components that it serves. */
  readonly components: readonly ComponentId[];
  /** What they are linked to. */
  readonly targets: readonly ComponentId[];
  /** True if it reads and writes the trust bucket. */
  readonly usesBucket: boolean;
  /** True if it publishes audit records as events. */
  readonly sendsEvents: boolean;
  /** True if it asks whether another process runs under its identity. */
  readonly asksForTwins: boolean;
}

/** What {@link probeThroughLeaf} takes. */
export interface LeafProbeOptions extends LeafNeeds {
  readonly partition: Partition;
  readonly connection: LatticeConnection;
  /** For one answer from the hub, milliseconds. */
  readonly timeoutMs: number;
}

/** One thing that a host needs at the hub, as a subject without wildcards. */
interface Need {
  readonly action: ProbeFinding['action'];
  readonly subject: string;
  readonly about: string;
}

/** What was found out about one connection. */
export interface LeafFindings {
  /** The hubs that answered, for messages. Empty: the findings come from round trips alone. */
  readonly hubs: readonly HubRights[];
  readonly findings: readonly ProbeFinding[];
}

/** Longest wait for an answer that proves a subscription, milliseconds, where the hub does not tell its permissions. */
const ECHO_MS = 1_000;

/**
 * Finds out whether the user of a leaf node has at the hub what a host behind it needs. A leaf node drops what its hub refuses, and
 * says nothing; so the hub is asked for the permissions themselves ({@link askHubs}), and each need is held against them. A hub
 * that does not tell (before 2.10) is asked on control for answers to subjects of each kind, which come only where the subscription
 * has passed; what cannot be found out is `unknown`.
 *
 * @throws TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED
 */
export async function probeThroughLeaf(options: LeafProbeOptions): Promise<LeafFindings> {
  const { partition, connection, timeoutMs } = options;
  const found = (need: Need, verdict: ProbeFinding['verdict']): ProbeFinding => ({
    ...need,
    partition,
    expected: 'allowed',
    verdict,
  });
  const judged = (hubs: readonly HubRights[]): LeafFindings => {
    const needs = needsOf(options, hubs.find(({ domain }) => domain !== undefined)?.domain);
    const isAllowed = ({ action, subject }: Need): boolean => hubs.every((rights) => covers(rights[action], subject));
    return { hubs, findings: needs.map((need) => found(need, isAllowed(need) ? 'allowed' : 'refused')) };
  };
  const hubs = await askHubs(connection, timeoutMs);
  if (hubs.length > 0) return judged(hubs);
  const needs = needsOf(options, undefined);
  if (partition === 'rpc') return { hubs, findings: needs.map((need) => found(need, 'unknown')) };
  const findings = await Promise.all(needs.map(async (need) => found(need, await tryEcho(connection, need))));
  if (!findings.some(({ verdict }) => verdict === 'allowed')) return { hubs, findings };
  // There is a hub. The leaf node may have reached it only after it was asked.
  const later = await askHubs(connection, timeoutMs);
  return later.length > 0 ? judged(later) : { hubs, findings };
}

/**
 * Decides what trying left unknown, which is what a leaf node does with a refusal of its hub: by the permissions that the hubs tell
 * of its user. Where none tells, it stays unknown.
 *
 * @throws TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED
 */
export async function judgeThroughLeaf(
  findings: readonly ProbeFinding[],
  connection: LatticeConnection,
  timeoutMs: number,
): Promise<readonly ProbeFinding[]> {
  const { partition } = connection;
  const isOpen = (finding: ProbeFinding): boolean => finding.partition === partition && finding.verdict === 'unknown';
  if (!findings.some(isOpen)) return findings;
  const hubs = await askHubs(connection, timeoutMs);
  if (hubs.length === 0) return findings;
  return findings.map((finding) => {
    if (!isOpen(finding)) return finding;
    const isAllowed = hubs.every((rights) => covers(rights[finding.action], finding.subject));
    return { ...finding, verdict: isAllowed ? 'allowed' : 'refused' };
  });
}

/** JetStream answers to whatever subject it is told to; the answer arrives if the subscription to it reached the hub. */
async function tryEcho(connection: LatticeConnection, { action, subject }: Need): Promise<ProbeFinding['verdict']> {
  if (action === 'publish') return 'unknown';
  const giveUp = new AbortController();
  let arrived: () => void = () => {};
  const echo = new Promise<'allowed'>((resolve) => (arrived = () => resolve('allowed')));
  const subscription = connection.subscribe(subject, {}, () => arrived());
  try {
    await connection.flush();
    connection.publish('$JS.API.INFO', new Uint8Array(0), { reply: subject });
    const late = sleep(ECHO_MS, 'unknown' as const, { signal: giveUp.signal }).catch(() => 'unknown' as const);
    return await Promise.race([echo, late]);
  } finally {
    giveUp.abort();
    subscription.unsubscribe();
  }
}

function needsOf(options: LeafProbeOptions, domain: string | undefined): readonly Need[] {
  const { partition, connection, lattice, components, targets, usesBucket, sendsEvents, asksForTwins } = options;
  const nobody = `probe${randomBytes(12).toString('hex')}`;
  const publish = (subject: string, about: string): Need => ({ action: 'publish', subject, about });
  const subscribe = (subject: string, about: string): Need => ({ action: 'subscribe', subject, about });
  const inbox = `_INBOX_${partition.toUpperCase()}.${lattice}`;
  const answers = [
    subscribe(`${connection.inboxPrefix}.${nobody}`, 'its own answers'),
    publish(`${inbox}.${nobody}.x`, 'answers to others'),
  ];
  if (partition === 'rpc') {
    return [
      ...answers,
      ...components.map((id) => subscribe(`${lattice}.${id}.wrpc.0.0.1.${nobody}`, `calls of ${id}`)),
      ...targets.map((id) => publish(`${lattice}.${id}.wrpc.0.0.1.${nobody}`, `calls to ${id}`)),
    ];
  }
  const control = `wasmbus.ctl.v1.${lattice}`;
  const api = domain === undefined ? '$JS.API' : `$JS.${domain}.API`;
  const bucketNeeds = (kind: string, what: string): Need[] => {
    const bucket = `${kind}_${lattice}`;
    const key = `$KV.${bucket}.${nobody}`;
    return [
      publish(`${api}.STREAM.INFO.KV_${bucket}`, `the state of ${what}`),
      publish(`${api}.STREAM.MSG.GET.KV_${bucket}`, `reading ${what}`),
      publish(domain === undefined ? key : `${api}.${key}`, `writing to ${what}`),
    ];
  };
  return [
    ...answers,
    subscribe(`${control}.trust.${nobody}`, 'questions to hosts'),
    publish(`${control}.trust.${nobody}`, 'questions to other hosts'),
    ...components.map((id) => subscribe(`${control}.component.describe.${id}`, `questions about ${id}`)),
    ...(asksForTwins ? [publish(`${control}.host.instance.${nobody}`, 'who else runs under its identity')] : []),
    ...(sendsEvents ? [publish(`wasmbus.evt.${lattice}.${nobody}`, 'audit events')] : []),
    ...(usesBucket ? bucketNeeds('LATTICETRUST', 'the trust bucket') : []),
    ...bucketNeeds('LATTICEDATA', 'the links of the lattice'),
    ...bucketNeeds('CONFIGDATA', 'the configurations of the lattice'),
  ];
}
