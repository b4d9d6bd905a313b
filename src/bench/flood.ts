import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostConfigInput } from '../config/schema.ts';
import { COMMAND_LINE_ORIGIN, sampleFile } from '../development.ts';
import { startNatsServer } from '../nats/server.ts';
import { SigningKey } from '../trust/nkey.ts';
import type {
  AttackerFigures,
  AttackerOrder,
  AttackerSetup,
  CallerFigures,
  CallerOrder,
  FloodCallerSetup,
} from './flood-messages.ts';
import { recoveredAfterMs, type FloodFigures, type FloodRow } from './flood-rows.ts';
import { BenchChild, programForm, startHostProcess, type BenchProcess } from './processes.ts';
import { processCpuUs, processRssBytes } from './process-usage.ts';
import { machine, type BenchReport } from './run.ts';

/** Everything a run has to say. */
export interface FloodReport {
  readonly machine: BenchReport['machine'];
  readonly versions: { readonly node: string; readonly natsServer: string; readonly form: 'build' | 'sources' };
  /** Calls a second with 64 in flight and nothing else going on; half of it is offered in the rows. */
  readonly capacity: number;
  readonly rows: readonly FloodFigures[];
}

/** How a run is bounded. */
export interface FloodOptions {
  /** Length of each stretch that is measured, milliseconds: alone, control, flood. */
  readonly durationMs: number;
  readonly rows: readonly FloodRow[];
  readonly onProgress?: (text: string) => void;
}

const LATTICE = 'bench';
const TARGET = { target: 'tiny', instance: 'trellis-samples:echo/bytes@0.1.0', func: 'echo-bytes' } as const;
const CAPACITY_IN_FLIGHT = 64;
const SETTLE_MS = 1_000;
const SAMPLE_MS = 250;
const RECOVERY_WATCHED_MS = 7_000;
/** Part of a flood's beginning that is not measured: buffers fill and the host learns that it is flooded. */
const LEAD_IN_MS = 500;

/** What a host says and uses while something goes on. */
interface HostWatch {
  readonly process: BenchProcess;
  lines: number;
  readonly codes: Set<string>;
}

interface Stage {
  readonly host: HostWatch;
  readonly caller: BenchChild<CallerOrder, CallerFigures>;
  readonly attacker: BenchChild<AttackerOrder, AttackerFigures>;
}

/** Runs the attacks: broker, host, valid caller and attacker are processes of their own, on loopback, ended by their handles. */
export async function runFloodBench(options: FloodOptions): Promise<FloodReport> {
  const dir = await mkdtemp(join(tmpdir(), 'trellis-flood-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const clusterSeedFile = join(dir, 'cluster.seed');
  await writeFile(clusterSeedFile, SigningKey.generate('cluster').exportSeed().reveal(), { mode: 0o600 });
  const server = stack.use(await startNatsServer());
  options.onProgress?.('starting the processes');
  const host = await startWatchedHost(dir, server.url, clusterSeedFile);
  stack.defer(() => host.process.stop());
  const callerSetup: FloodCallerSetup = { url: server.url, lattice: LATTICE, clusterSeedFile, ...TARGET };
  const caller = await BenchChild.start<CallerOrder, CallerFigures>('bench/flood-caller', callerSetup);
  stack.defer(() => caller.stop());
  const attackerSetup: AttackerSetup = { port: server.port, lattice: LATTICE };
  const attacker = await BenchChild.start<AttackerOrder, AttackerFigures>('bench/flood-attacker', attackerSetup);
  stack.defer(() => attacker.stop());

  options.onProgress?.('capacity');
  const closed = { order: 'closed-loop', inFlight: CAPACITY_IN_FLIGHT, durationMs: 3_000 } as const;
  await caller.ask(closed);
  const capacity = okPerSecond(await caller.ask(closed));
  const rows: FloodFigures[] = [];
  for (const row of options.rows) {
    options.onProgress?.(row.name);
    rows.push(await measureRow({ host, caller, attacker }, row, Math.round(capacity / 2), options.durationMs));
  }
  return {
    machine: machine(),
    versions: { node: process.versions.node, natsServer: server.program.version, form: programForm() },
    capacity,
    rows,
  };
}

async function startWatchedHost(dir: string, url: string, clusterSeedFile: string): Promise<HostWatch> {
  const config: HostConfigInput = {
    dev: true,
    lattice: LATTICE,
    ctl: { servers: [url] },
    rpc: { servers: [url] },
    trust: { clusterSeedFile, unlinkedOrigins: [COMMAND_LINE_ORIGIN] },
    components: [{ id: TARGET.target, file: sampleFile('echo/tiny.wasm'), policy: 'reuse', maxInstances: 4 }],
    admin: { listen: false },
    log: { level: 'info', format: 'json' },
    cacheDir: join(dir, 'components'),
    stateDir: dir,
  };
  const file = join(dir, 'host.yaml');
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  const said = { lines: 0, codes: new Set<string>() };
  const process = await startHostProcess(file, (text) => {
    said.lines += text.split('\n').length - 1;
    for (const [, code] of text.matchAll(/"code":"(TRELLIS_[A-Z_]+)"/g)) said.codes.add(code!);
  });
  return Object.assign(said, { process });
}

const okPerSecond = ({ ok, elapsedMs }: CallerFigures): number => (ok / elapsedMs) * 1_000;

async function measureRow(stage: Stage, row: FloodRow, offered: number, durationMs: number): Promise<FloodFigures> {
  const { host, caller } = stage;
  await caller.ask({ order: 'rate', perSecond: offered });
  await sleep(SETTLE_MS);
  await caller.ask({ order: 'report' });
  await sleep(durationMs);
  const alone = await caller.ask({ order: 'report' });
  const control = await underFlood(stage, row, 'nobody', durationMs);
  await sleep(SETTLE_MS);
  host.codes.clear();
  const flood = await underFlood(stage, row, 'genuine', durationMs);
  const samples: CallerFigures[] = [];
  for (let watchedMs = 0; watchedMs < RECOVERY_WATCHED_MS; watchedMs += SAMPLE_MS) {
    await sleep(SAMPLE_MS);
    samples.push(await caller.ask({ order: 'report' }));
  }
  await caller.ask({ order: 'rate', perSecond: 0 });
  const [validAlone, validControl, validFlood] = [alone, control.valid, flood.valid].map(okPerSecond) as [number, number, number];
  return {
    ...row,
    offered,
    floodSent: flood.sentPerSecond,
    validAlone,
    validControl,
    validFlood,
    lostToControl: (1 - validFlood / validControl) * 100,
    lostToAlone: (1 - validFlood / validAlone) * 100,
    failures: flood.valid.failures,
    p99AloneMs: alone.p99Ms,
    p99ControlMs: control.valid.p99Ms,
    p99FloodMs: flood.valid.p99Ms,
    recoveryMs: recoveredAfterMs(samples, validAlone),
    hostCpuControl: control.hostCpu,
    hostCpuFlood: flood.hostCpu,
    hostCpuUsPerMessage: ((flood.hostCpu - control.hostCpu) * 10_000) / flood.sentPerSecond,
    rssGrowthBytes: flood.rssGrowthBytes,
    logLinesPerSecond: flood.logLinesPerSecond,
    codes: [...host.codes].sort(),
  };
}

interface Disturbed {
  readonly valid: CallerFigures;
  readonly sentPerSecond: number;
  readonly hostCpu: number;
  readonly rssGrowthBytes: number;
  readonly logLinesPerSecond: number;
}

/** The valid traffic while a flood goes to the host, or to a subject that only the broker sees. */
async function underFlood(stage: Stage, row: FloodRow, subject: 'genuine' | 'nobody', durationMs: number): Promise<Disturbed> {
  const { host, caller, attacker } = stage;
  const { pid } = host.process;
  await attacker.ask({ order: 'prepare', kind: row.kind, subject });
  const rssBefore = processRssBytes(pid);
  const sending = attacker.ask({ order: 'flood', perSecond: row.perSecond, durationMs: durationMs + LEAD_IN_MS });
  await sleep(LEAD_IN_MS);
  await caller.ask({ order: 'report' });
  const began = { ms: performance.now(), cpuUs: processCpuUs(pid), lines: host.lines };
  let rssMost = rssBefore;
  while (performance.now() - began.ms < durationMs) {
    await sleep(Math.min(SAMPLE_MS, durationMs));
    rssMost = Math.max(rssMost, processRssBytes(pid));
  }
  const elapsedMs = performance.now() - began.ms;
  const cpuUs = processCpuUs(pid) - began.cpuUs;
  const lines = host.lines - began.lines;
  const valid = await caller.ask({ order: 'report' });
  const sent = await sending;
  return {
    valid,
    sentPerSecond: (sent.messages / sent.elapsedMs) * 1_000,
    hostCpu: cpuUs / elapsedMs / 10,
    rssGrowthBytes: rssMost - rssBefore,
    logLinesPerSecond: lines / (elapsedMs / 1_000),
  };
}
