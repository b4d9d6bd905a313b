import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectCaller, type Caller } from '../caller.ts';
import { COMMAND_LINE_ORIGIN, startDevelopmentLattice } from '../development.ts';
import type { ErrorCode } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { compileFunction, readySource } from '../wit/codec.ts';
import { toJson } from '../wit/json.ts';
import type { ComponentTypes, WitFunction } from '../wit/types.ts';
import { ATTACKS, type AttackTarget } from './attacks.ts';

/** One line of the demonstration's table. */
export interface DemoRow {
  readonly step: string;
  readonly sent: string;
  readonly answered: string;
  /** Code in the host's metrics; `-` for a call that is meant to work. */
  readonly code: string;
  readonly guestRan: boolean;
  /** True if this is what should have happened. */
  readonly expected: boolean;
}

/** What the demonstration needs beside a machine with nats-server. */
export interface DemoOptions {
  readonly log: Logger;
  readonly onStep?: (step: string) => void;
}

const VICTIM: AttackTarget = { target: 'echo', instance: 'trellis-samples:echo/values@0.1.0', func: 'echo-string' };
const OTHER: AttackTarget = { target: 'hello', instance: 'trellis-samples:hello/greeting@0.1.0', func: 'greet' };
const CHAIN: AttackTarget = { target: 'greeter-chain', instance: 'trellis-samples:chain/greeter@0.1.0', func: 'greet-all' };

/**
 * Plays the main job once: a lattice on free ports, a call, a call through a chain of two components, and five attacks.
 * Whether guest code ran is read off the runner's own counter of calls, not off the answer.
 */
export async function runDemo(options: DemoOptions): Promise<DemoRow[]> {
  const stateDir = await mkdtemp(join(tmpdir(), 'trellis-demo-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  const metrics = createMetrics({ eventLoop: false });
  const denied: ErrorCode[] = [];
  const recording = { ...metrics, denied: (code: ErrorCode) => (denied.push(code), metrics.denied(code)) };
  const lattice = stack.use(
    await startDevelopmentLattice({
      stateDir,
      log: options.log,
      metrics: recording,
      port: 0,
      overrides: { admin: { listen: false } },
      ...(options.onStep === undefined ? {} : { onStep: options.onStep }),
    }),
  );
  const caller = stack.use(
    await connectCaller({
      config: lattice.callerConfig,
      log: options.log,
      metrics: createMetrics({ eventLoop: false }),
      origin: COMMAND_LINE_ORIGIN,
    }),
  );
  const runs = (id: string): number => lattice.host.status().components.find((component) => component.id === id)?.calls ?? 0;

  const rows: DemoRow[] = [];
  options.onStep?.('calls');
  const greeting = await callTyped(caller, OTHER, ['lattice']);
  rows.push({
    step: 'call',
    sent: 'hello: greet("lattice")',
    answered: show(greeting),
    code: '-',
    guestRan: runs('hello') === 1,
    expected: runs('hello') === 1 && typeof greeting === 'string',
  });
  const before = runs('hello');
  const chained = await callTyped(caller, CHAIN, [['Ada', 'Grace']]);
  const chainRan = runs('greeter-chain') === 1 && runs('hello') === before + 2;
  rows.push({
    step: 'chain',
    sent: 'greeter-chain: greet-all(["Ada", "Grace"]), which calls hello twice',
    answered: show(chained),
    code: '-',
    guestRan: chainRan,
    expected: chainRan,
  });

  for (const attack of ATTACKS) {
    options.onStep?.(`attack: ${attack.name}`);
    const allowed = attack.name === 'replay' ? 1 : 0;
    const start = { victim: runs(VICTIM.target), other: runs(OTHER.target), denied: denied.length };
    const answer = await attack.run(caller, VICTIM, OTHER);
    const guestRan = runs(VICTIM.target) !== start.victim + allowed || runs(OTHER.target) !== start.other;
    const codes = denied.slice(start.denied);
    rows.push({
      step: attack.name,
      sent: attack.sent,
      answered: answer.text,
      code: codes.join(', ') || 'none',
      guestRan,
      expected: !guestRan && !answer.executed && codes.length === 1,
    });
  }
  return rows;
}

async function callTyped(caller: Caller, target: AttackTarget, args: unknown[]): Promise<unknown> {
  const { types } = await caller.describe(target.target, 5_000);
  const fn = functionOf(types, target);
  const codec = compileFunction(fn);
  const encoded = codec.encodeParams(args);
  if (!encoded.ok) throw new TypeError(encoded.reason);
  const result = await caller.call({ ...target, params: encoded.bytes, timeoutMs: 10_000 });
  const decoded = codec.decodeResult(result, readySource);
  if (!decoded.ok) throw new TypeError(decoded.reason);
  return fn.result === null ? null : toJson(fn.result, decoded.values[0]);
}

function functionOf(types: ComponentTypes, target: AttackTarget): WitFunction {
  const found = types.exports.find((wit) => wit.name === target.instance)?.functions.find((fn) => fn.wireName === target.func);
  if (found === undefined) throw new TypeError(`${target.target} does not export ${target.instance}.${target.func}`);
  return found;
}

function show(value: unknown): string {
  return JSON.stringify(value);
}
