import type { ComponentId, LatticeName } from '../ids.ts';
import type { Partition } from './partition.ts';
import type { ProbeFinding } from './probe-finding.ts';

/** Names of one round of probes that nobody else has. */
export interface ProbeNames {
  readonly lattice: LatticeName;
  /** First tokens of the control subjects. */
  readonly controlPrefix: string;
  /** A token in the place of an id. */
  readonly nobody: string;
  /** A lattice that does not exist. */
  readonly otherLattice: string;
  /** A user that does not exist. */
  readonly otherUser: string;
}

/** One thing that must be refused. */
export interface Probe {
  readonly partition: Partition;
  readonly action: ProbeFinding['action'];
  readonly subject: string;
  readonly about: string;
  /** True if it is harmless where the two connections do not reach each other at all. */
  readonly crosses: boolean;
  /** True if the other connection takes part, to see whether something arrives. */
  readonly witnessed: boolean;
  /** True if a stream may keep what is published there. */
  readonly isStored: boolean;
}

interface Pattern {
  readonly about: string;
  /** The subject for a token that nobody uses. */
  subject(token: string): string;
  readonly actions?: readonly ProbeFinding['action'][];
  readonly crosses?: boolean;
  readonly isStored?: boolean;
}

/** Everything that must be refused to one of the two connections, the most telling one first. */
export function probesOf(names: ProbeNames): readonly Probe[] {
  return [...probesFor('rpc', refusedToRpc(names), names), ...probesFor('ctl', refusedToCtl(names), names)];
}

/** What a host subscribes to, apart from its inboxes. */
export function ownSubjects(
  partition: Partition,
  { lattice, controlPrefix, nobody }: ProbeNames,
  components: readonly ComponentId[],
): readonly { readonly subject: string; readonly about: string }[] {
  if (partition === 'ctl') {
    return [
      { subject: `wasmbus.ctl.v1.${lattice}.trust.report`, about: 'questions to hosts' },
      { subject: `${controlPrefix}.v1.${lattice}.host.ping`, about: 'commands' },
    ];
  }
  return components.map((id) => ({ subject: `${lattice}.${id}.wrpc.0.0.1.${nobody}`, about: `calls of ${id}` }));
}

function probesFor(partition: Partition, patterns: readonly Pattern[], { nobody }: ProbeNames): Probe[] {
  return patterns.flatMap(({ about, subject, actions = ['publish', 'subscribe'], crosses = true, isStored = false }) =>
    actions.map((action) => ({
      partition,
      action,
      // A token for each: who listens for one must not hear another.
      subject: subject(`${nobody}${partition}${action}`),
      about,
      crosses,
      // Nothing is sent on a stored subject just to see whether it arrives.
      witnessed: crosses && (action === 'publish' || !isStored),
      isStored,
    })),
  );
}

function refusedToRpc(names: ProbeNames): readonly Pattern[] {
  const { lattice, controlPrefix, otherLattice } = names;
  const control = `${controlPrefix}.v1.${lattice}`;
  return [
    { about: 'commands to hosts', subject: (token) => `${control}.host.stop.${token}` },
    { about: 'commands to components', subject: (token) => `${control}.component.scale.${token}` },
    // Whatever the prefix of commands is, what members of a lattice ask each other begins with this one.
    { about: 'the trust of the lattice', subject: (token) => `wasmbus.ctl.v1.${lattice}.trust.${token}` },
    { about: 'events', subject: (token) => `wasmbus.evt.${lattice}.${token}`, isStored: true },
    { about: 'deployments', subject: (token) => `wadm.api.${lattice}.${token}.none` },
    { about: 'the configuration service', subject: (token) => `wasmbus.cfg.${lattice}.${token}` },
    { about: 'secrets', subject: (token) => `wasmcloud.secrets.v1alpha1.${token}.none` },
    { about: 'policy', subject: (token) => `wasmcloud.policy.${token}` },
    ...['LATTICETRUST', 'LATTICEDATA', 'CONFIGDATA'].map((bucket) => ({
      about: `the bucket ${bucket}_${lattice}`,
      subject: (token: string) => `$KV.${bucket}_${lattice}.${token}`,
      isStored: true,
    })),
    { about: 'calls of another tenant', subject: (token) => `${otherLattice}.${token}.wrpc.0.0.1.none`, crosses: false },
    ...othersInboxes('rpc', names),
  ];
}

function refusedToCtl(names: ProbeNames): readonly Pattern[] {
  const { lattice, controlPrefix, otherLattice } = names;
  return [
    { about: 'calls', subject: (token) => `${lattice}.${token}.wrpc.0.0.1.none` },
    {
      about: 'commands of another tenant',
      subject: (token) => `${controlPrefix}.v1.${otherLattice}.host.stop.${token}`,
      crosses: false,
    },
    {
      about: 'events of another tenant',
      subject: (token) => `wasmbus.evt.${otherLattice}.${token}`,
      crosses: false,
      isStored: true,
    },
    ...othersInboxes('ctl', names),
  ];
}

/** Answers that are meant for others. A connection's own kind of inbox is shared by no account of its own. */
function othersInboxes(partition: Partition, { lattice, otherUser }: ProbeNames): readonly Pattern[] {
  const actions = ['subscribe'] as const;
  return [
    { about: 'answers to anybody', subject: (token) => `_INBOX.${token}.none`, actions, crosses: false },
    ...(['ctl', 'rpc'] as const).map((kind) => ({
      about: `answers to another ${kind} user`,
      subject: (token: string) => `_INBOX_${kind.toUpperCase()}.${lattice}.${otherUser}.${token}`,
      actions,
      crosses: kind !== partition,
    })),
  ];
}
