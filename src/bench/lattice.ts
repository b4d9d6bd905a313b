import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostConfigInput } from '../config/schema.ts';
import { sampleFile } from '../development.ts';
import { TrellisError } from '../errors.ts';
import { latticeName } from '../ids.ts';
import { connectPartition, type LatticeConnection } from '../nats/connection.ts';
import { startNatsServer } from '../nats/server.ts';
import { silentLogger } from '../telemetry/log.ts';
import { SigningKey } from '../trust/nkey.ts';
import { LINKS_EACH, measureControl, putLinks, type ControlRow } from './control-load.ts';
import type { SimulationFigures, SimulationOrder, SimulationSetup } from './lattice-messages.ts';
import { BenchChild, type BenchProcess, programForm, startHostProcess } from './processes.ts';
import { childrenOf, processCpuUs, processRssBytes } from './process-usage.ts';
import type { BenchReport } from './run.ts';
import { machine } from './run.ts';

/** How large the lattice is. */
export interface LatticeBenchOptions {
  readonly components: number;
  readonly links: number;
  readonly neighbours: number;
  /** Length of each stretch that is measured, milliseconds. */
  readonly durationMs: number;
  readonly onProgress: (text: string) => void;
}

/** A host at rest among neighbours. */
export interface NeighbourRow {
  readonly what: string;
  /** Of one core. */
  readonly hostCpuPercent: number;
  readonly hostRssBytes: number;
  readonly heartbeatsPerSecond: number;
}

/** Everything a run has to say. */
export interface LatticeReport {
  readonly machine: BenchReport['machine'];
  readonly versions: { readonly node: string; readonly natsServer: string; readonly form: 'build' | 'sources' };
  readonly components: number;
  readonly links: number;
  /** Start to ready without links, with a cold component cache. */
  readonly coldReadyMs: number;
  /** Start to ready with all links, warm. */
  readonly readyMs: number;
  readonly linksPerSecond: number;
  readonly hostRssBytes: number;
  readonly runnersRssBytes: number;
  readonly heartbeatBytes: number;
  readonly maxPayloadBytes: number;
  readonly control: readonly ControlRow[];
  readonly neighbours: readonly NeighbourRow[];
}

const LATTICE = 'bench';
/** All links of a large lattice are one answer, of more than the megabyte that a server takes by itself. */
const SERVER = 'max_payload: 8MB\n';
const HEARTBEAT_MS = 5_000;
/** What hosts of 1.x wait between two heartbeats. */
const NEIGHBOUR_HEARTBEAT_MS = 30_000;
const NEIGHBOUR_COMPONENTS = 10;
const SETTLE_MS = 2_000;

/** Measures one host that is full, and one that is small among many neighbours; all processes are on loopback and end with it. */
export async function runLatticeBench(options: LatticeBenchOptions): Promise<LatticeReport> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'trellis-lattice-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const server = stack.use(await startNatsServer({ jetstreamDir: join(dir, 'jetstream'), configText: SERVER }));
  const ctl = await connectPartition({
    partition: 'ctl',
    lattice: latticeName(LATTICE),
    servers: [server.url],
    name: 'bench',
    log: silentLogger(),
    connectTimeoutMs: 5_000,
    pingIntervalMs: 60_000,
  });
  stack.defer(() => ctl.close());
  const full = await writeConfig(dir, server.url, 'full', options.components);

  options.onProgress(`${options.components} components, cold`);
  const first = await startHostProcess(full);
  let linksPerSecond: number;
  try {
    options.onProgress(`${options.links} links`);
    linksPerSecond = await putLinks(ctl, LATTICE, options);
  } finally {
    await first.stop();
  }
  options.onProgress('the same host again');
  const heartbeat = nextHeartbeat(ctl);
  const host = await startHostProcess(full);
  const report = { coldReadyMs: first.startMs, readyMs: host.startMs, linksPerSecond };
  let figures: Pick<LatticeReport, 'hostRssBytes' | 'runnersRssBytes' | 'heartbeatBytes' | 'control'>;
  try {
    const heartbeatBytes = await heartbeat;
    const control = await measureControl(ctl, { lattice: LATTICE, pid: host.pid, ...options });
    const runners = childrenOf(host.pid).map(processRssBytes);
    const runnersRssBytes = runners.reduce((sum, bytes) => sum + bytes, 0);
    figures = { hostRssBytes: processRssBytes(host.pid), runnersRssBytes, heartbeatBytes, control };
  } finally {
    await host.stop();
  }
  const small = await startHostProcess(await writeConfig(dir, server.url, 'small', 1));
  stack.defer(() => small.stop());
  const neighbours = await measureNeighbours(ctl, small, server.url, options);
  return {
    machine: machine(),
    versions: { node: process.versions.node, natsServer: server.program.version, form: programForm() },
    components: options.components,
    links: options.links,
    maxPayloadBytes: ctl.maxPayloadBytes,
    ...report,
    ...figures,
    neighbours,
  };
}

async function writeConfig(dir: string, url: string, name: string, components: number): Promise<string> {
  const clusterSeedFile = join(dir, `${name}.seed`);
  await writeFile(clusterSeedFile, SigningKey.generate('cluster').exportSeed().reveal(), { mode: 0o600 });
  const config: HostConfigInput = {
    dev: true,
    lattice: LATTICE,
    ctl: { servers: [url] },
    rpc: { servers: [url] },
    trust: { clusterSeedFile },
    limits: { maxComponents: Math.max(100, components) },
    components: Array.from({ length: components }, (_, at) => ({
      id: `${name}-${at}`,
      file: sampleFile('echo/tiny.wasm'),
      maxInstances: 4,
    })),
    heartbeatIntervalMs: HEARTBEAT_MS,
    admin: { listen: false },
    log: { level: 'info', format: 'json' },
    cacheDir: join(dir, 'components'),
    stateDir: join(dir, name),
  };
  const file = join(dir, `${name}.yaml`);
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

/** Size of the next heartbeat, bytes. */
function nextHeartbeat(ctl: LatticeConnection): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const heard = ctl.subscribe(`wasmbus.evt.${LATTICE}.host_heartbeat`, {}, ({ payload }) => {
    heard.unsubscribe();
    resolve(payload.length);
  });
  return promise;
}

/** What a host with next to nothing to do uses: alone, beside neighbours, and while each of them is asked who it is once a second. */
async function measureNeighbours(
  ctl: LatticeConnection,
  host: BenchProcess,
  url: string,
  { neighbours, durationMs, onProgress }: LatticeBenchOptions,
): Promise<NeighbourRow[]> {
  const rows: NeighbourRow[] = [];
  const measure = async (what: string, heartbeats: () => Promise<number>): Promise<void> => {
    onProgress(what);
    await sleep(SETTLE_MS);
    await heartbeats();
    const cpuUs = processCpuUs(host.pid);
    const beganMs = performance.now();
    await sleep(durationMs);
    const elapsedMs = performance.now() - beganMs;
    rows.push({
      what,
      hostCpuPercent: (processCpuUs(host.pid) - cpuUs) / elapsedMs / 10,
      hostRssBytes: processRssBytes(host.pid),
      heartbeatsPerSecond: (await heartbeats()) / (elapsedMs / 1_000),
    });
  };
  await measure('alone', () => Promise.resolve(0));
  const setup: SimulationSetup = {
    url,
    lattice: LATTICE,
    hosts: neighbours,
    componentsEach: NEIGHBOUR_COMPONENTS,
    heartbeatMs: NEIGHBOUR_HEARTBEAT_MS,
  };
  const simulation = await BenchChild.start<SimulationOrder, SimulationFigures>('bench/simulated-hosts', setup);
  try {
    const heartbeats = async (): Promise<number> => (await simulation.ask({ order: 'report' })).heartbeats;
    await measure(`${neighbours} neighbours`, heartbeats);
    const pings = setInterval(() => {
      ctl.publish(`wasmbus.ctl.v1.${LATTICE}.host.ping`, new Uint8Array(0), { reply: `${ctl.inboxPrefix}.ping` });
    }, 1_000);
    await measure(`${neighbours} neighbours, a ping a second`, heartbeats).finally(() => clearInterval(pings));
    if (rows.some(({ heartbeatsPerSecond }, at) => at > 0 && heartbeatsPerSecond === 0))
      throw new TrellisError('TRELLIS_INTERNAL', { message: 'the simulated hosts were silent' });
    // Two of the commands that any host of a lattice may take: where nobody else can, they are all ours.
    let sent = 0;
    const changes = setInterval(() => {
      const name = `changing-${sent++ % LINKS_EACH}`;
      const reply = `${ctl.inboxPrefix}.change`;
      ctl.publish(`wasmbus.ctl.v1.${LATTICE}.config.put.${name}`, Buffer.from(JSON.stringify({ sent: `${sent}` })), { reply });
    }, 100);
    await measure(`${neighbours} neighbours, ten changes a second`, heartbeats).finally(() => clearInterval(changes));
  } finally {
    await simulation.stop();
  }
  return rows;
}
