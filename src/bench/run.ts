import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostConfigInput } from '../config/schema.ts';
import { COMMAND_LINE_ORIGIN, sampleComponents } from '../development.ts';
import { startNatsServer } from '../nats/server.ts';
import { SigningKey } from '../trust/nkey.ts';
import type { LoadCase } from './messages.ts';
import { LoadProcess, startBareHandler, startHostProcess, type BenchProcess } from './processes.ts';
import { childrenOf, processUsage } from './process-usage.ts';

/** One row of the table. Rates are calls a second; CPU is microseconds a call; ratios are to the bare handler of the same round. */
export interface BenchRow {
  readonly case: string;
  readonly payloadBytes: number;
  readonly inFlight: number;
  readonly rps: number;
  readonly ratioToBare: number;
  readonly hostCpuUs: number;
  readonly runnerCpuUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
}

/** Everything a run has to say. */
export interface BenchReport {
  readonly machine: { readonly cpu: string; readonly cores: number; readonly memoryBytes: number; readonly platform: string };
  readonly versions: { readonly node: string; readonly v8: string; readonly openssl: string; readonly natsServer: string };
  readonly idle: { readonly hostRssBytes: number; readonly runnerRssBytes: number; readonly startToReadyMs: number };
  readonly rows: readonly BenchRow[];
}

/** How a run is bounded. */
export interface BenchOptions {
  readonly durationMs: number;
  readonly warmupMs: number;
  /** Times each case is measured; the median by rate is reported. */
  readonly rounds: number;
  /** Only cases whose name holds this text. */
  readonly only?: string;
  readonly onProgress?: (text: string) => void;
}

interface Variant {
  readonly name: string;
  readonly lattice: 'verified' | 'plain';
  readonly target: string;
  readonly instance: string;
  readonly func: string;
  readonly param: 'bytes' | 'string';
}

const ECHO = { instance: 'trellis-samples:echo/values@0.1.0', func: 'echo-bytes', param: 'bytes' } as const;
const HELLO = { instance: 'trellis-samples:hello/greeting@0.1.0', func: 'greet', param: 'string' } as const;

const VARIANTS: readonly Variant[] = [
  { name: 'echo reuse, verify off', lattice: 'plain', target: 'echo-reuse', ...ECHO },
  { name: 'echo fresh, verify off', lattice: 'plain', target: 'echo-fresh', ...ECHO },
  { name: 'echo reuse, verified', lattice: 'verified', target: 'echo-reuse', ...ECHO },
  { name: 'echo fresh, verified', lattice: 'verified', target: 'echo-fresh', ...ECHO },
  { name: 'QuickJS reuse, verified', lattice: 'verified', target: 'hello-reuse', ...HELLO },
  { name: 'QuickJS fresh, verified', lattice: 'verified', target: 'hello-fresh', ...HELLO },
];

const LOADS: readonly { payloadBytes: number; inFlight: number; quickjs: boolean }[] = [
  { payloadBytes: 256, inFlight: 1, quickjs: true },
  { payloadBytes: 256, inFlight: 64, quickjs: true },
  { payloadBytes: 256, inFlight: 256, quickjs: false },
  { payloadBytes: 4096, inFlight: 64, quickjs: false },
  { payloadBytes: 524_288, inFlight: 4, quickjs: false },
];

const BARE_SUBJECT = 'bench.bare';

/** Runs the benchmark: everything on loopback, every process its own, all ended by their handles. */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const dir = await mkdtemp(join(tmpdir(), 'trellis-bench-'));
  const clusterSeedFile = join(dir, 'cluster.seed');
  await writeFile(clusterSeedFile, SigningKey.generate('cluster').exportSeed().reveal(), { mode: 0o600 });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const server = stack.use(await startNatsServer());
  const configOf = (lattice: Variant['lattice'], components: NonNullable<HostConfigInput['components']>): HostConfigInput => ({
    dev: true,
    lattice,
    ctl: { servers: [server.url] },
    rpc: { servers: [server.url] },
    trust: { clusterSeedFile, verify: lattice === 'plain' ? 'off' : 'enforce', unlinkedOrigins: [COMMAND_LINE_ORIGIN] },
    components,
    admin: { listen: false },
    log: { level: 'info', format: 'json' },
    cacheDir: join(dir, 'components'),
    stateDir: dir,
  });
  const startHost = async (name: string, config: HostConfigInput): Promise<BenchProcess> => {
    const file = join(dir, `${name}.yaml`);
    await writeFile(file, JSON.stringify(config), { mode: 0o600 });
    return startHostProcess(file);
  };
  const fileOf = (id: string): string => sampleComponents().find((component) => component.id === id)?.file ?? '';
  const tiny = [
    { id: 'echo-reuse', file: fileOf('echo'), policy: 'reuse' as const, maxInstances: 4 },
    { id: 'echo-fresh', file: fileOf('echo'), policy: 'fresh' as const, maxInstances: 4 },
  ];
  const quickjs = [
    { id: 'hello-reuse', file: fileOf('hello'), policy: 'reuse' as const, maxInstances: 4 },
    { id: 'hello-fresh', file: fileOf('hello'), policy: 'fresh' as const, maxInstances: 4 },
  ];

  options.onProgress?.('start to ready, memory at rest');
  const idle = await measureIdle((name) => startHost(name, configOf('verified', tiny.slice(0, 1))));

  options.onProgress?.('starting the processes');
  const hosts = {
    verified: await startHost('verified', configOf('verified', [...tiny, ...quickjs])),
    plain: await startHost('plain', configOf('plain', tiny)),
  };
  stack.defer(async () => void (await Promise.all([hosts.verified.stop(), hosts.plain.stop()])));
  const bare = await startBareHandler(server.url, BARE_SUBJECT);
  stack.defer(() => bare.stop());
  const load = await LoadProcess.start({ url: server.url, clusterSeedFile, bareSubject: BARE_SUBJECT });
  stack.defer(() => load.stop());

  const rows: BenchRow[] = [];
  for (const { payloadBytes, inFlight, quickjs: withQuickjs } of LOADS) {
    const variants = VARIANTS.filter(
      (variant) =>
        (withQuickjs || !variant.target.startsWith('hello')) &&
        (options.only === undefined || variant.name.includes(options.only)),
    );
    if (variants.length === 0) continue;
    const samples = new Map<string, BenchRow[]>();
    for (let round = 0; round < options.rounds; round++) {
      const base = { payloadBytes, inFlight, warmupMs: options.warmupMs, durationMs: options.durationMs };
      options.onProgress?.(`${payloadBytes} B, ${inFlight} in flight, round ${round + 1}: bare`);
      const yardstick = await measure(
        load,
        bare,
        'bare handler',
        { ...base, kind: 'bare', lattice: 'plain', verify: 'off', target: '', instance: '', func: '', param: 'bytes' },
        0,
      );
      push(samples, yardstick);
      for (const variant of variants) {
        options.onProgress?.(`${payloadBytes} B, ${inFlight} in flight, round ${round + 1}: ${variant.name}`);
        const verify = variant.lattice === 'plain' ? 'off' : 'enforce';
        push(
          samples,
          await measure(
            load,
            hosts[variant.lattice],
            variant.name,
            { ...base, ...variant, kind: 'lattice', verify },
            yardstick.rps,
          ),
        );
      }
    }
    for (const measured of samples.values()) rows.push(median(measured));
  }
  return { machine: machine(), versions: { ...versions(), natsServer: server.program.version }, idle, rows };
}

async function measure(
  load: LoadProcess,
  server: BenchProcess,
  name: string,
  test: LoadCase,
  bareRps: number,
): Promise<BenchRow> {
  const runners = childrenOf(server.pid);
  const cpuOf = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + processUsage(pid).cpuUs, 0);
  const before = { host: cpuOf([server.pid]), runners: cpuOf(runners) };
  const result = await load.run(test);
  // The counters cover the warm-up too; the calls of both are in proportion to their time.
  const counted = result.calls * ((test.durationMs + test.warmupMs) / test.durationMs);
  const rps = (result.calls / result.elapsedMs) * 1000;
  return {
    case: name,
    payloadBytes: test.payloadBytes,
    inFlight: test.inFlight,
    rps,
    ratioToBare: bareRps === 0 ? 1 : rps / bareRps,
    hostCpuUs: (cpuOf([server.pid]) - before.host) / counted,
    runnerCpuUs: (cpuOf(runners) - before.runners) / counted,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    failed: result.failed,
  };
}

async function measureIdle(start: (name: string) => Promise<BenchProcess>): Promise<BenchReport['idle']> {
  // Twice: the first start fills the component cache.
  await (await start('cold')).stop();
  const host = await start('warm');
  await sleep(1_000);
  const runners = childrenOf(host.pid).map((pid) => processUsage(pid).rssBytes);
  const idle = {
    hostRssBytes: processUsage(host.pid).rssBytes,
    runnerRssBytes: Math.max(0, ...runners),
    startToReadyMs: host.startMs,
  };
  await host.stop();
  return idle;
}

function push(samples: Map<string, BenchRow[]>, row: BenchRow): void {
  const known = samples.get(row.case);
  if (known === undefined) samples.set(row.case, [row]);
  else known.push(row);
}

function median(rows: readonly BenchRow[]): BenchRow {
  const sorted = [...rows].sort((a, b) => a.rps - b.rps);
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) throw new RangeError('no rows');
  return { ...middle, failed: rows.reduce((sum, row) => sum + row.failed, 0) };
}

function machine(): BenchReport['machine'] {
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
