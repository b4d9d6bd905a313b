import type { LatticeName } from '../ids.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Bus } from '../wrpc/bus.ts';
import { gatherTrustReports } from './trust-report.ts';

/** What decides whose calls and answers a host believes. Public facts only: keys are public keys. */
export interface OwnTrust {
  /** Public cluster key under which this host signs. */
  readonly delegatedBy: string;
  /** Public cluster keys it believes. */
  readonly issuers: readonly string[];
  readonly verify: string;
  readonly replay: string;
  /** Pairs that may stay unsigned. */
  readonly unsignedPairs: number;
  /** Wire forms it understands, such as `wRPC`. */
  readonly wireForms: readonly string[];
}

/** What another host says of itself. */
export interface PeerTrust {
  readonly host: string;
  readonly version: string;
  readonly verify: string;
  readonly delegatedBy: string;
  readonly issuers: readonly string[];
}

/** By host, whose calls count where. A host that does not enforce runs what it does not believe, and says so. */
export interface TalkingTo {
  readonly bothWays: readonly string[];
  /** They believe us, we do not believe them. */
  readonly onlyCalled: readonly string[];
  /** We believe them, they do not believe us. */
  readonly onlyCalling: readonly string[];
  readonly neither: readonly string[];
}

/** Who can talk to whom, as far as cluster keys decide: links and scopes come on top. */
export function talkingTo(own: OwnTrust, peers: readonly PeerTrust[]): TalkingTo {
  const groups = { bothWays: [] as string[], onlyCalled: [] as string[], onlyCalling: [] as string[], neither: [] as string[] };
  for (const { host, version, delegatedBy, issuers, verify } of peers) {
    const weBelieve = own.issuers.includes(delegatedBy);
    const theyBelieve = issuers.includes(own.delegatedBy);
    const group = weBelieve ? (theyBelieve ? 'bothWays' : 'onlyCalling') : theyBelieve ? 'onlyCalled' : 'neither';
    groups[group].push(`${host} (${version}${verify === 'enforce' ? '' : `, verify ${verify}`})`);
  }
  return groups;
}

// A lattice may have thousands of hosts; a line may not.
const MAX_NAMED = 10;

/** The line that a host logs at its start: own facts, and what comes of them with the hosts that answered. */
export function trustSummary(own: OwnTrust, peers: readonly PeerTrust[]): string {
  const { bothWays, onlyCalled, onlyCalling, neither } = talkingTo(own, peers);
  const named = (hosts: readonly string[]): string =>
    hosts.length <= MAX_NAMED ? hosts.join(', ') : `${hosts.slice(0, MAX_NAMED).join(', ')} and ${hosts.length - MAX_NAMED} more`;
  const parts = [
    `signs under ${own.delegatedBy}`,
    `believes ${own.issuers.length === 0 ? 'nobody' : own.issuers.join(', ')}`,
    `verify ${own.verify}`,
    `replay ${own.replay}`,
    `${own.unsignedPairs} unsigned pairs`,
    `understands ${own.wireForms.join(', ')}`,
  ];
  if (peers.length === 0) parts.push('no other host answered');
  if (bothWays.length > 0) parts.push(`both ways with ${named(bothWays)}`);
  if (onlyCalling.length > 0) parts.push(`can be called by, but is refused by ${named(onlyCalling)}`);
  if (onlyCalled.length > 0) parts.push(`can call, but refuses ${named(onlyCalled)}`);
  if (neither.length > 0) parts.push(`neither way with ${named(neither)}`);
  return parts.join('; ');
}

/** How long a host that starts listens for the others. */
const GATHER_MS = 500;

/** What {@link sayWhoTalks} takes. */
export interface WhoTalksOptions {
  readonly ctl: Bus;
  readonly lattice: LatticeName;
  /** Public key of this host. */
  readonly host: string;
  readonly own: OwnTrust;
  readonly log: Logger;
}

/** Asks the hosts of the lattice whom they believe, and logs in one line who can talk to whom. Never rejects. */
export async function sayWhoTalks({ ctl, lattice, host, own, log }: WhoTalksOptions): Promise<void> {
  try {
    const peers = (await gatherTrustReports(ctl, lattice, GATHER_MS)).filter((peer) => peer.host !== host);
    log.info({ lattice, hosts: peers.length }, `trust: ${trustSummary(own, peers)}`);
  } catch (err) {
    // The host may have stopped meanwhile; nothing depends on the line.
    log.debug({ err }, 'who can talk to whom could not be asked');
  }
}
