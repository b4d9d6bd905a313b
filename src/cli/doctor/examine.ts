import type { LoadedConfig } from '../../config/load.ts';
import type { Problem } from '../../config/problems.ts';
import type { HostConfig } from '../../config/schema.ts';
import { serverAdvisories } from '../../config/server-advisories.ts';
import { connectionAllowances } from '../../config/allowances.ts';
import { TrellisError } from '../../errors.ts';
import { leafNeedsOf } from '../../control/leaf-check.ts';
import { latticeName } from '../../ids.ts';
import { probeThroughLeaf } from '../../nats/leaf-probe.ts';
import { describeFinding, type ProbeFinding } from '../../nats/probe-finding.ts';
import { connectPartition, type LatticeConnection } from '../../nats/connection.ts';
import { readTls } from '../../nats/peer-certificate.ts';
import { checkOnline, type OnlineChecks } from '../../startup/online-checks.ts';
import { silentLogger } from '../../telemetry/log.ts';
import { type Check, type CheckProblem, type CheckValue, type Examination, verdictOf, worst } from './check.ts';
import { certificateCheck, credentialsCheck } from './expiry.ts';
import { checkTrust } from './trust.ts';

/** What {@link examine} takes. */
export interface ExamineOptions {
  readonly loaded: LoadedConfig;
  /** What a start would find wrong with files and settings. */
  readonly problems: readonly Problem[];
  /** Told before each step, for progress. */
  readonly onStep: (step: string) => void;
}

const PARTITIONS = ['ctl', 'rpc'] as const;
/** The checks of every run, by which monitoring goes: each has a verdict, also when it could not be run. */
const NAMES = [
  'settings',
  ...PARTITIONS.flatMap((partition) => ['connection', 'credentials', 'certificates'].map((what) => `${partition}-${what}`)),
  'partition',
  'clock',
  'server-version',
  'trust-bucket',
  'lattice-data',
  'delegation',
];
const LATENCY_ROUNDS = 5;
const LEAF_ANSWER_MS = 1_000;

/**
 * Runs every check of a start and a few that only a person asks for: settings, both connections, TLS, what ends soon, rights, clock,
 * server, the buckets of the lattice and delegation. Publishes nothing that anybody listens to and writes nothing, so that it can run beside the host.
 */
export async function examine({ loaded, problems, onStep }: ExamineOptions): Promise<Examination> {
  const startedMs = Date.now();
  const began = performance.now();
  const checks: Check[] = [];
  const add = async (name: string, step: string, run: () => Promise<Omit<Check, 'name' | 'durationMs'>>): Promise<void> => {
    onStep(step);
    const from = performance.now();
    const outcome = await run().catch(failed);
    checks.push({ name, ...outcome, durationMs: performance.now() - from });
  };
  const end = (): Examination => ({
    lattice: loaded.readable?.lattice ?? 'default',
    checks: [...checks, ...NAMES.filter((name) => !checks.some((check) => check.name === name)).map(notReached)],
    startedMs,
    durationMs: performance.now() - began,
  });

  await add('settings', 'settings and files', () => Promise.resolve(settingsOutcome(problems)));
  const { config } = loaded;
  if (config === undefined) return end();
  const connections: Partial<Record<'ctl' | 'rpc', LatticeConnection>> = {};
  try {
    for (const partition of PARTITIONS) {
      await add(`${partition}-connection`, `the ${partition} connection`, async () => {
        const connection = (connections[partition] = await connect(partition, config));
        return await connectionOutcome(connection);
      });
      const connection = connections[partition];
      await add(`${partition}-credentials`, `the ${partition} credentials`, () =>
        Promise.resolve(credentialsCheck(partition, config, connection, startedMs)),
      );
      await add(`${partition}-certificates`, `the ${partition} certificates`, () =>
        certificateCheck(partition, config, connection, startedMs),
      );
    }
    const { ctl, rpc } = connections;
    if (ctl !== undefined && rpc !== undefined) await addOnline(add, { ctl, rpc, config });
    for (const partition of PARTITIONS.filter((name) => config[name].viaLeaf)) {
      const connection = connections[partition];
      if (connection === undefined) continue;
      await add(`${partition}-leaf`, `what the hub grants the leaf node of ${partition}`, () =>
        leafOutcome(partition, connection, config),
      );
    }
    if (ctl !== undefined) for (const check of checkTrust(ctl, config, startedMs)) await add(check.name, check.step, check.run);
  } finally {
    await Promise.allSettled(Object.values(connections).map((connection) => connection.close()));
  }
  return end();
}

type Outcome = Omit<Check, 'name' | 'durationMs'>;
type Add = (name: string, step: string, run: () => Promise<Outcome>) => Promise<void>;

/** Three checks out of one round of questions. */
async function addOnline(
  add: Add,
  { ctl, rpc, config }: { ctl: LatticeConnection; rpc: LatticeConnection; config: HostConfig },
): Promise<void> {
  let online: OnlineChecks | undefined;
  const of = (code: string): readonly CheckProblem[] => online?.problems.filter((problem) => problem.code === code) ?? [];
  await add('partition', 'what the credentials may do', async () => {
    online = await checkOnline({ ctl, rpc, lattice: latticeName(config.lattice), config, wallMs: () => Date.now() });
    const problems = of('START-07');
    const tried = online.findings.length;
    const wrong = problems.length === 0 ? 'as it must be' : problems.map(({ summary }) => summary).join(' ');
    return outcome(`${tried} subjects tried: ${wrong}`, problems, [{ name: 'subjects_tried', value: tried, unit: '' }]);
  });
  if (online === undefined) return;
  const { clocks } = online;
  await add('clock', 'the clocks', () => {
    const readings = [clocks.ctl, clocks.rpc].filter((reading) => reading !== undefined);
    if (readings.length === 0) {
      return Promise.resolve({
        ...outcome('not measurable: the server tells no time to these credentials', []),
        verdict: 'unknown',
      });
    }
    const { offsetMs, uncertaintyMs } = readings.reduce((a, b) => (Math.abs(b.offsetMs) > Math.abs(a.offsetMs) ? b : a));
    const seconds = (ms: number): string => `${(ms / 1_000).toFixed(3)} s`;
    const where = offsetMs < 0 ? 'behind this one' : 'ahead of this one';
    const text = `the server's clock is ${seconds(Math.abs(offsetMs))} ${where}, give or take ${seconds(uncertaintyMs)}`;
    return Promise.resolve(outcome(text, of('START-15'), [{ name: 'clock_offset', value: offsetMs / 1_000, unit: 's' }]));
  });
  await add('server-version', 'the servers', () => {
    const versions = [...new Set([ctl, rpc].map((connection) => connection.serverInfo?.version ?? 'unknown'))].join(', ');
    return Promise.resolve(outcome(`nats-server ${versions}; faults known as of ${serverAdvisories().asOf}`, of('START-16')));
  });
}

async function leafOutcome(partition: 'ctl' | 'rpc', connection: LatticeConnection, config: HostConfig): Promise<Outcome> {
  const { hubs, findings } = await probeThroughLeaf({ ...leafNeedsOf(config), partition, connection, timeoutMs: LEAF_ANSWER_MS });
  const missing = findings.filter(({ verdict }) => verdict === 'refused');
  const unknown = findings.filter(({ verdict }) => verdict === 'unknown');
  const named = (list: readonly ProbeFinding[]): string => list.map(describeFinding).join('; ');
  const problems: CheckProblem[] = [];
  const problem = (severity: 'refused' | 'warning', summary: string): void => {
    const fix = `Grant it to the ${partition} user that the leaf node logs in with; trellis auth check says why a subject is refused.`;
    problems.push({
      code: 'TRELLIS_LEAF_RIGHTS',
      severity,
      summary,
      setting: `${partition}.viaLeaf`,
      why: 'A leaf node drops what its hub refuses, without a word.',
      fix,
    });
  };
  if (missing.length > 0) problem('refused', `The hub refuses what this host needs: ${named(missing)}.`);
  if (unknown.length > 0) problem('warning', `The hub does not say whether it grants: ${named(unknown)}.`);
  const at = hubs.length === 0 ? 'no hub answered' : `${hubs.length} hub${hubs.length === 1 ? '' : 's'} answered`;
  return outcome(`${at}, ${findings.length} rights looked at`, problems);
}

function connect(partition: 'ctl' | 'rpc', config: HostConfig): Promise<LatticeConnection> {
  return connectPartition({
    ...config[partition],
    partition,
    lattice: latticeName(config.lattice),
    name: `trellis doctor ${partition}`,
    log: silentLogger(),
    ...connectionAllowances(config.allow),
  });
}

async function connectionOutcome(connection: LatticeConnection): Promise<Outcome> {
  const rounds: number[] = [];
  for (let i = 0; i < LATENCY_ROUNDS; i++) {
    const from = performance.now();
    await connection.flush();
    rounds.push(performance.now() - from);
  }
  const latencyMs = Math.min(...rounds);
  const tls = await readTls(connection);
  const parts = [
    connection.server,
    tls === undefined ? 'no TLS' : tls.protocol,
    connection.userKey === undefined ? 'logged in as nobody' : `user ${connection.userKey}`,
    `round trip ${latencyMs.toFixed(1)} ms`,
  ];
  return outcome(parts.join(', '), [], [{ name: 'latency', value: latencyMs / 1_000, unit: 's' }]);
}

function settingsOutcome(problems: readonly Problem[]): Outcome {
  const refused = problems.filter(({ severity }) => severity === 'refused').length;
  const rest = problems.length - refused;
  const found = problems.length === 0 ? 'nothing wrong' : `${refused} refused, ${rest} to know of`;
  return outcome(found, problems);
}

/** The outcome that problems make. */
function outcome(found: string, problems: readonly CheckProblem[], values: readonly CheckValue[] = []): Outcome {
  return { verdict: verdictOf(problems), found, problems, values };
}

function failed(error: unknown): Outcome {
  const known = error instanceof TrellisError ? error : new TrellisError('TRELLIS_INTERNAL', { cause: error });
  const { code, message, remedy } = known;
  return {
    verdict: 'failed',
    found: message,
    problems: [{ code, severity: 'refused', summary: message, why: 'A host could not start with this.', fix: remedy }],
    values: [],
  };
}

function notReached(name: string): Check {
  return { name, verdict: 'unknown', found: 'not reached', problems: [], values: [], durationMs: 0 };
}

/** The verdict of a whole run. */
export const overall = ({ checks }: Examination): Check['verdict'] => worst(checks.map(({ verdict }) => verdict));
