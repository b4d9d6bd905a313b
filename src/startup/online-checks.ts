import { withAllowances } from '../config/check-allowances.ts';
import { remoteServers } from '../config/check-context.ts';
import type { Problem } from '../config/problems.ts';
import type { HostConfig } from '../config/schema.ts';
import { serverAdvisories } from '../config/server-advisories.ts';
import { componentId, type LatticeName } from '../ids.ts';
import type { LatticeConnection } from '../nats/connection.ts';
import { judgeThroughLeaf } from '../nats/leaf-probe.ts';
import { probePermissions } from '../nats/permission-probe.ts';
import type { ProbeFinding } from '../nats/probe-finding.ts';
import { readServerClock, type ClockReading } from '../nats/server-clock.ts';
import { partitionProblems } from './partition-check.ts';
import { clockProblems, serverProblems } from './server-check.ts';

/** What the checks that need the servers take. */
export interface OnlineChecksOptions {
  readonly ctl: LatticeConnection;
  readonly rpc: LatticeConnection;
  readonly lattice: LatticeName;
  readonly config: HostConfig;
  readonly wallMs: () => number;
  /** Told of what shows only after the checks are over. */
  readonly onLate?: (problems: readonly Problem[]) => void;
}

/** What they found. */
export interface OnlineChecks {
  /** START-07, START-15 and START-16, in development as warnings, with what is allowed by name. */
  readonly problems: readonly Problem[];
  readonly findings: readonly ProbeFinding[];
  /** Clocks of the servers; `undefined` where none could be read. */
  readonly clocks: { readonly ctl: ClockReading | undefined; readonly rpc: ClockReading | undefined };
}

/** How long subjects are listened to after the verdict: longer than interest takes to spread through a cluster. */
const LINGER_MS = 2_000;
/** For the permissions of a leaf node's user, from its hub. */
const HUB_ANSWER_MS = 1_000;

/**
 * Everything about the servers that a host should not serve with: partition, clock, version. Changes nothing there.
 *
 * @throws TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED when a connection is lost meanwhile: then nothing is known
 */
export async function checkOnline(options: OnlineChecksOptions): Promise<OnlineChecks> {
  const { ctl, rpc, lattice, config, wallMs } = options;
  const judged = (problems: readonly Problem[]): readonly Problem[] => judge(problems, config);
  const anonymous = { ctl: isAnonymous(ctl, config.ctl), rpc: isAnonymous(rpc, config.rpc) };
  const probe = {
    ctl,
    rpc,
    lattice,
    controlPrefix: config.control.prefix,
    components: config.components.map(({ id }) => componentId(id)),
    viaLeaf: (['ctl', 'rpc'] as const).filter((partition) => config[partition].viaLeaf),
    ...(options.onLate === undefined
      ? {}
      : {
          lingerMs: LINGER_MS,
          onLate: (finding: ProbeFinding) => options.onLate?.(judged(partitionProblems([finding], { ctl: false, rpc: false }))),
        }),
  };
  const oneServer = ctl.serverInfo?.serverId === rpc.serverInfo?.serverId;
  const [tried, ctlClock, otherClock] = await Promise.all([
    probePermissions(probe),
    readServerClock(ctl, lattice, wallMs),
    oneServer ? undefined : readServerClock(rpc, lattice, wallMs),
  ]);
  let findings = tried;
  for (const partition of probe.viaLeaf) findings = await judgeThroughLeaf(findings, options[partition], HUB_ANSWER_MS);
  const known = serverAdvisories();
  const problems = (['ctl', 'rpc'] as const).flatMap((partition) => {
    if (partition === 'rpc' && oneServer) return [];
    const version = { ctl, rpc }[partition].serverInfo?.version;
    return [
      ...clockProblems(partition, partition === 'ctl' ? ctlClock : otherClock),
      ...(version === undefined ? [] : serverProblems(partition, version, known)),
    ];
  });
  return {
    findings,
    problems: judged([...partitionProblems(findings, anonymous), ...problems]),
    clocks: { ctl: ctlClock, rpc: oneServer ? ctlClock : otherClock },
  };
}

/** Refusals as they count for this configuration: on a computer that is for development alone they are said and no more. */
function judge(problems: readonly Problem[], config: HostConfig): readonly Problem[] {
  if (!isDevelopment(config)) return withAllowances(problems, config.allow);
  return problems.map((problem) => ({ ...problem, severity: 'warning' }));
}

/** True if a configuration is for development, and on this computer alone. */
export function isDevelopment(config: HostConfig): boolean {
  return config.dev && remoteServers(config).length === 0;
}

function isAnonymous(connection: LatticeConnection, { tls }: HostConfig['ctl']): boolean {
  // A server without users takes any login for nobody's.
  return connection.serverInfo?.wantsLogin !== true || (connection.userKey === undefined && tls?.certFile === undefined);
}
