import { createHistogram } from 'node:perf_hooks';
import { connectCaller, type Caller } from '../caller.ts';
import { parseConfig } from '../config/schema.ts';
import { COMMAND_LINE_ORIGIN } from '../development.ts';
import { silentLogger } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import type { BusMessage } from '../wrpc/bus.ts';
import type { LoadCase, LoadResult, LoadSetup } from './messages.ts';
import { processCpuUs } from './process-usage.ts';

/**
 * The load process of the benchmark: keeps a number of calls in flight and measures them. A process of its own, so that its
 * CPU time is not the host's.
 */
const setup = JSON.parse(process.argv[2] ?? '{}') as LoadSetup;
const callers = new Map<string, Promise<Caller>>();

function callerFor(lattice: string, verify: LoadCase['verify']): Promise<Caller> {
  let caller = callers.get(lattice);
  if (caller === undefined) {
    const connection = { servers: [setup.url] };
    const config = parseConfig({
      dev: true,
      lattice,
      ctl: connection,
      rpc: connection,
      trust: { clusterSeedFile: setup.clusterSeedFile, verify },
    });
    caller = connectCaller({
      config,
      log: silentLogger(),
      metrics: createMetrics({ eventLoop: false }),
      origin: COMMAND_LINE_ORIGIN,
    });
    callers.set(lattice, caller);
  }
  return caller;
}

/** `list<u8>` and `string` share their encoding: LEB128 length, bytes. */
function encodeParam(bytes: number): Uint8Array {
  const length: number[] = [];
  let rest = bytes;
  do {
    length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
    rest >>>= 7;
  } while (rest > 0);
  return Buffer.concat([Buffer.from(length), Buffer.alloc(bytes, 0x61)]);
}

type Send = (done: (failure?: string) => void) => void;

async function sender(test: LoadCase): Promise<Send> {
  const caller = await callerFor(test.lattice, test.verify);
  if (test.kind === 'bare') {
    const { rpc, inbox } = caller.member;
    const payload = new Uint8Array(test.payloadBytes).fill(0x61);
    return (done) => {
      const reply = inbox.open({
        onLineEnding() {},
        onInboxMessage(_tail: string, message: BusMessage) {
          inbox.close(reply);
          done(message.payload.length === payload.length ? undefined : 'wrong length');
        },
      });
      rpc.publish(setup.bareSubject, payload, { reply });
    };
  }
  const params = encodeParam(test.payloadBytes);
  return (done) => {
    caller.call({ target: test.target, instance: test.instance, func: test.func, params, timeoutMs: 20_000 }).then(
      (result) => done(result.length >= params.length ? undefined : 'short result'),
      (error: { code?: string }) => done(error.code ?? 'failed'),
    );
  };
}

async function measure(test: LoadCase): Promise<LoadResult> {
  const send = await sender(test);
  const histogram = createHistogram({ lowest: 1, highest: 60_000_000_000, figures: 3 });
  const { host, runners } = test.watch;
  let calls = 0;
  let failed = 0;
  let firstFailure: string | undefined;
  const cpuUs = { host: 0, runners: 0, own: 0 };
  let beganMs = 0;
  let endedMs = 0;
  const fromMs = performance.now() + test.warmupMs;
  await new Promise<void>((resolve) => {
    let running = test.inFlight;
    const next = (): void => {
      const startMs = performance.now();
      send((failure) => {
        const nowMs = performance.now();
        if (failure !== undefined) {
          failed++;
          firstFailure ??= failure;
        } else if (beganMs > 0 && endedMs === 0) {
          calls++;
          histogram.record(Math.max(1, Math.round((nowMs - startMs) * 1e6)));
        }
        if (beganMs === 0 && nowMs >= fromMs) {
          cpuUs.host -= cpuOf(host);
          cpuUs.runners -= cpuOf(runners);
          cpuUs.own -= processCpuUs(process.pid);
          beganMs = performance.now();
        } else if (beganMs > 0 && endedMs === 0 && nowMs >= beganMs + test.durationMs) {
          endedMs = performance.now();
          cpuUs.host += cpuOf(host);
          cpuUs.runners += cpuOf(runners);
          cpuUs.own += processCpuUs(process.pid);
        }
        if (endedMs === 0) next();
        else if (--running === 0) resolve();
      });
    };
    for (let i = 0; i < test.inFlight; i++) next();
  });
  return {
    calls,
    failed,
    firstFailure,
    elapsedMs: endedMs - beganMs,
    p50Ms: histogram.percentile(50) / 1e6,
    p99Ms: histogram.percentile(99) / 1e6,
    hostCpuUs: cpuUs.host,
    runnerCpuUs: cpuUs.runners,
    callerCpuUs: cpuUs.own,
  };
}

function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + processCpuUs(pid), 0);
}

process.on('message', (test: LoadCase) => {
  void measure(test).then((result) => process.send?.(result));
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
