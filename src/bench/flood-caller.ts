import { createHistogram } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectCaller } from '../caller.ts';
import { parseConfig } from '../config/schema.ts';
import { COMMAND_LINE_ORIGIN } from '../development.ts';
import { silentLogger } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import type { CallerFigures, CallerOrder, FloodCallerSetup } from './flood-messages.ts';

/** The valid caller of the flood benchmark: begins calls at a rate, whatever becomes of them, and counts what came back. */
const setup = JSON.parse(process.argv[2] ?? '{}') as FloodCallerSetup;
const CALL_TIMEOUT_MS = 3_000;
/** More calls than this are not begun; each that is left out counts as failed. */
const MAX_OPEN_CALLS = 20_000;
const TICK_MS = 1;

const connection = { servers: [setup.url] };
const caller = await connectCaller({
  config: parseConfig({
    dev: true,
    lattice: setup.lattice,
    ctl: connection,
    rpc: connection,
    trust: { clusterSeedFile: setup.clusterSeedFile },
  }),
  log: silentLogger(),
  metrics: createMetrics({ eventLoop: false }),
  origin: COMMAND_LINE_ORIGIN,
});
// 256 bytes as `list<u8>`: length in LEB128, then the bytes.
const params = Buffer.concat([Buffer.from([0x80, 0x02]), Buffer.alloc(256, 0x61)]);

const histogram = createHistogram({ lowest: 1, highest: 60_000_000_000, figures: 3 });
let failures: Record<string, number> = {};
let ok = 0;
let open = 0;
let sinceMs = performance.now();

function failed(code: string, count = 1): void {
  failures[code] = (failures[code] ?? 0) + count;
}

async function call(): Promise<void> {
  const { target, instance, func } = setup;
  const beganMs = performance.now();
  open++;
  try {
    await caller.call({ target, instance, func, params, timeoutMs: CALL_TIMEOUT_MS });
    ok++;
    histogram.record(Math.max(1, Math.round((performance.now() - beganMs) * 1e6)));
  } catch (error) {
    failed((error as { code?: string }).code ?? 'failed');
  }
  open--;
}

function report(): CallerFigures {
  const nowMs = performance.now();
  const figures = {
    elapsedMs: nowMs - sinceMs,
    ok,
    failures,
    p50Ms: histogram.percentile(50) / 1e6,
    p99Ms: histogram.percentile(99) / 1e6,
  };
  sinceMs = nowMs;
  ok = 0;
  failures = {};
  histogram.reset();
  return figures;
}

async function closedLoop(inFlight: number, durationMs: number): Promise<void> {
  const untilMs = performance.now() + durationMs;
  const worker = async (): Promise<void> => {
    while (performance.now() < untilMs) await call();
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
}

const wanted = { perSecond: 0 };
let running: Promise<void> | undefined;

/** Until the rate is 0. What a late tick missed is made up for at the next. */
async function openLoop(): Promise<void> {
  let rate = wanted.perSecond;
  let beganMs = performance.now();
  let begun = 0;
  while (wanted.perSecond > 0) {
    const nowMs = performance.now();
    if (rate !== wanted.perSecond) {
      rate = wanted.perSecond;
      beganMs = nowMs;
      begun = 0;
    }
    const due = Math.floor(((nowMs - beganMs) / 1_000) * rate) - begun;
    begun += due;
    const room = Math.max(0, Math.min(due, MAX_OPEN_CALLS - open));
    for (let n = 0; n < room; n++) void call();
    if (room < due) failed('not begun', due - room);
    await sleep(TICK_MS);
  }
}

async function follow(order: CallerOrder): Promise<CallerFigures> {
  if (order.order === 'closed-loop') {
    report();
    await closedLoop(order.inFlight, order.durationMs);
  } else if (order.order === 'rate') {
    wanted.perSecond = order.perSecond;
    if (wanted.perSecond === 0) await running;
    else running ??= openLoop().finally(() => (running = undefined));
  }
  return report();
}

process.on('message', (order: CallerOrder) => {
  void follow(order).then((figures) => process.send?.(figures));
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
