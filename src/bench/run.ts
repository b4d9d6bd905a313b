import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostConfigInput } from '../config/schema.ts';
import { COMMAND_LINE_ORIGIN, sampleFile } from '../development.ts';
import { startNatsServer } from '../nats/server.ts';
import { SigningKey } from '../trust/nkey.ts';
import { BARE, CASES, LOADS, type BenchCase } from './cases.ts';
import type { LoadCase, LoadResult, LoadSetup } from './messages.ts';
import { BenchChild, programForm, startBareHandler, startHostProcess, type BenchProcess } from './processes.ts';
import { childrenOf, processRssBytes } from './process-usage.ts';
import { median, medianRow, type BenchRow, type IdleFigures } from './report.ts';
import { judgeTargets, type TargetVerdict } from './targets.ts';

/** Everything a run has to say. */
export interface BenchReport {
  readonly machine: { readonly cpu: string; readonly cores: number; readonly memoryBytes: number; readonly platform: string };
  readonly versions: {
    readonly node: string;
    readonly v8: string;
    readonly openssl: string;
    readonly natsServer: string;
    /** What ran: the built programs, or TypeScript sources, which start slower and take more memory. */
    readonly form: 'build' | 'sources';
  };
  readonly rows: readonly BenchRow[];
  readonly idle: IdleFigures;
  readonly targets: readonly TargetVerdict[];
}

/** How a run is bounded. */
export interface BenchOptions {
  readonly durationMs: number;
  readonly warmupMs: number;
  /** Times each case is measured; medians are reported. */
  readonly rounds: number;
  /** Only cases whose name holds this text. */
  readonly only?: string;
  /** Only loads of so many calls in flight. */
  readonly inFlight?: number;
  /** Only loads of this payload. */
  readonly payloadBytes?: number;
  readonly onProgress?: (text: string) => void;
}

type Lattice = BenchCase['lattice'];

const BARE_SUBJECT = 'bench.bare';
const STARTS = 3;
const REST_MS = 1_500;
const WARM_UP = { payloadBytes: 256, inFlight: 64, warmupMs: 0, durationMs: 1_500 } as const;

/** Runs the benchmark: everything on loopback, every process its own, all ended by their handles. */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const dir = await mkdtemp(join(tmpdir(), 'trellis-bench-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const clusterSeedFile = join(dir, 'cluster.seed');
  await writeFile(clusterSeedFile, SigningKey.generate('cluster').exportSeed().reveal(), { mode: 0o600 });
  const server = stack.use(await startNatsServer());
  const startHost = async (name: string, lattice: Lattice, components: readonly Component[]): Promise<BenchProcess> => {
    const file = join(dir, `${name}.yaml`);
    await writeFile(file, JSON.stringify(hostConfig(dir, server.url, lattice, components)), { mode: 0o600 });
    return startHostProcess(file);
  };
  const tiny = [component('tiny', 'reuse'), component('tiny', 'fresh')];
  const once: Component = { ...component('tiny', 'reuse'), id: 'tiny-once', replay: 'cluster' };
  const quickjs = [component('hello', 'reuse'), component('hello', 'fresh')];

  options.onProgress?.('start to ready, memory at rest');
  const idle = await measureIdle((name) => startHost(name, 'verified', tiny.slice(0, 1)));

  options.onProgress?.('starting the processes');
  const started = async (process: Promise<BenchProcess>): Promise<BenchProcess> => {
    const running = await process;
    stack.defer(() => running.stop());
    return running;
  };
  const bare = await started(startBareHandler(server.url, BARE_SUBJECT));
  const hosts: Readonly<Record<Lattice, BenchProcess>> = {
    verified: await started(startHost('verified', 'verified', [...tiny, once, ...quickjs])),
    plain: await started(startHost('plain', 'plain', [...tiny, component('echo', 'fresh')])),
  };
  const setup: LoadSetup = { url: server.url, clusterSeedFile, bareSubject: BARE_SUBJECT };
  const load = await BenchChild.start<LoadCase, LoadResult>('bench/load', setup);
  stack.defer(() => load.stop());

  const rows: BenchRow[] = [];
  const none = { lattice: 'plain', verify: 'off', target: '', instance: '', func: '', param: 'bytes' } as const;
  const verifyOf = (test: BenchCase): LoadCase['verify'] => (test.lattice === 'plain' ? 'off' : 'enforce');
  const chosen = CASES.filter(({ name }) => options.only === undefined || name.includes(options.only));
  // A host that has served for a while is what is measured: one call at a time would take minutes to get its code optimised.
  options.onProgress?.('warming up');
  const warm = { ...WARM_UP, watch: { host: [], runners: [] } };
  await load.ask({ ...warm, ...none, kind: 'bare' });
  for (const test of chosen) await load.ask({ ...warm, ...test, kind: 'lattice', verify: verifyOf(test) });
  for (const { payloadBytes, inFlight, quickjs: withQuickjs } of LOADS) {
    if (options.inFlight !== undefined && options.inFlight !== inFlight) continue;
    if (options.payloadBytes !== undefined && options.payloadBytes !== payloadBytes) continue;
    const cases = chosen.filter(({ param }) => withQuickjs || param === 'bytes');
    if (cases.length === 0) continue;
    const samples = new Map<string, BenchRow[]>();
    for (let round = 1; round <= options.rounds; round++) {
      const base = { payloadBytes, inFlight, warmupMs: options.warmupMs, durationMs: options.durationMs };
      const measured = async (name: string, process: BenchProcess, test: Omit<LoadCase, 'watch'>, bareRps?: number) => {
        options.onProgress?.(`${payloadBytes} B, ${inFlight} in flight, round ${round}: ${name}`);
        const row = await measure(load, process, name, test, bareRps);
        samples.set(name, [...(samples.get(name) ?? []), row]);
        return row;
      };
      const { rps } = await measured(BARE, bare, { ...base, ...none, kind: 'bare' });
      for (const test of cases) {
        await measured(test.name, hosts[test.lattice], { ...base, ...test, kind: 'lattice', verify: verifyOf(test) }, rps);
      }
    }
    for (const measured of samples.values()) rows.push(medianRow(measured));
  }
  const used = { ...versions(), natsServer: server.program.version, form: programForm() };
  return { machine: machine(), versions: used, rows, idle, targets: judgeTargets({ rows, idle }) };
}

type Component = NonNullable<HostConfigInput['components']>[number];

const FILES = { tiny: 'echo/tiny.wasm', echo: 'echo/echo.wasm', hello: 'hello/build/hello.wasm' } as const;

function component(sample: keyof typeof FILES, policy: 'reuse' | 'fresh'): Component {
  return { id: `${sample}-${policy}`, file: sampleFile(FILES[sample]), policy, maxInstances: 4 };
}

function hostConfig(dir: string, url: string, lattice: Lattice, components: readonly Component[]): HostConfigInput {
  return {
    dev: true,
    lattice,
    ctl: { servers: [url] },
    rpc: { servers: [url] },
    trust: {
      clusterSeedFile: join(dir, 'cluster.seed'),
      verify: lattice === 'plain' ? 'off' : 'enforce',
      unlinkedOrigins: [COMMAND_LINE_ORIGIN],
    },
    components: [...components],
    admin: { listen: false },
    log: { level: 'info', format: 'json' },
    cacheDir: join(dir, 'components'),
    stateDir: dir,
  };
}

async function measure(
  load: BenchChild<LoadCase, LoadResult>,
  server: BenchProcess,
  name: string,
  test: Omit<LoadCase, 'watch'>,
  bareRps: number | undefined,
): Promise<BenchRow> {
  const result = await load.ask({ ...test, watch: { host: [server.pid], runners: childrenOf(server.pid) } });
  const rps = (result.calls / result.elapsedMs) * 1000;
  return {
    case: name,
    payloadBytes: test.payloadBytes,
    inFlight: test.inFlight,
    rps,
    ratioToBare: bareRps === undefined ? 1 : rps / bareRps,
    hostCpuUs: result.hostCpuUs / result.calls,
    runnerCpuUs: result.runnerCpuUs / result.calls,
    callerCpuUs: result.callerCpuUs / result.calls,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    failed: result.failed,
  };
}

async function measureIdle(start: (name: string) => Promise<BenchProcess>): Promise<IdleFigures> {
  // The first start fills the component cache and does not count.
  await (await start('cold')).stop();
  const runs: IdleFigures[] = [];
  for (let run = 1; run <= STARTS; run++) {
    const host = await start('warm');
    await sleep(REST_MS);
    runs.push({
      hostRssBytes: processRssBytes(host.pid),
      runnerRssBytes: Math.max(0, ...childrenOf(host.pid).map(processRssBytes)),
      startToReadyMs: host.startMs,
    });
    await host.stop();
  }
  return {
    hostRssBytes: median(runs.map((run) => run.hostRssBytes)),
    runnerRssBytes: median(runs.map((run) => run.runnerRssBytes)),
    startToReadyMs: median(runs.map((run) => run.startToReadyMs)),
  };
}

/** What the benchmark runs on. */
export function machine(): BenchReport['machine'] {
  const all = cpus();
  return {
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
  };
}

function versions(): { node: string; v8: string; openssl: string } {
  return { node: process.versions.node, v8: process.versions.v8, openssl: process.versions.openssl };
}
