import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, type Clock } from '../../src/clock.ts';
import { expect } from 'vitest';
import { connectCaller, type Caller } from '../../src/caller.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { COMMAND_LINE_ORIGIN, startDevelopmentLattice, type DevelopmentLattice } from '../../src/development.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { callTyped, type TypedResult } from '../../src/cli/call-typed.ts';
import { findOperation } from '../../src/cli/find-operation.ts';
import { CACHE_DIR } from './cache-dir.ts';
import { recordedLog } from './recorded-log.ts';

/** A development lattice for tests, with everything it said and counted. */
export interface TestLattice extends AsyncDisposable {
  readonly lattice: DevelopmentLattice;
  readonly caller: Caller;
  /** Log lines so far, parsed. */
  readonly logged: Record<string, unknown>[];
  readonly metrics: Metrics;
  /** Calls a component's runner has taken: each is guest code that ran. */
  runs(component: string): number;
  /** Value of a metric's series, 0 if it is not there. `labels` as in the text form: `code="X"`. */
  metric(name: string, labels: string): Promise<number>;
  /** Calls by name, arguments and result as JSON. */
  call(component: string, operation: string, args: readonly unknown[], timeoutMs?: number): Promise<TypedResult>;
}

const noInput = (async function* () {})();

/** Starts a lattice on free ports with its files in a folder of its own. Everything ends with `await using`. */
export async function startTestLattice(overrides: HostConfigInput = {}, clock: Clock = systemClock): Promise<TestLattice> {
  const stateDir = mkdtempSync(join(tmpdir(), 'trellis-test-'));
  const { log, logged } = recordedLog();
  const metrics = createMetrics({ eventLoop: false });
  const lattice = await startDevelopmentLattice({
    stateDir,
    port: 0,
    log,
    metrics,
    clock,
    overrides: { admin: { listen: false }, cacheDir: CACHE_DIR, ...overrides },
  });
  const caller = await connectCaller({
    config: lattice.callerConfig,
    log,
    metrics: createMetrics({ eventLoop: false }),
    origin: COMMAND_LINE_ORIGIN,
  });
  return {
    lattice,
    caller,
    logged,
    metrics,
    runs: (id) => lattice.host.status().components.find((component) => component.id === id)?.calls ?? 0,
    async metric(name, labels) {
      const text = await metrics.text();
      const line = text.split('\n').find((each) => each.startsWith(name) && each.includes(labels));
      return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ') + 1));
    },
    async call(component, operation, args, timeoutMs = 20_000) {
      const { types } = await caller.describe(component, timeoutMs);
      return callTyped({
        caller,
        target: component,
        operation: findOperation(types, operation),
        args,
        link: 'default',
        timeoutMs,
        stdin: noInput,
      });
    },
    async [Symbol.asyncDispose]() {
      const said = [JSON.stringify(logged), await metrics.text(), JSON.stringify(lattice.host.status())].join('\n');
      const seed = readFileSync(join(stateDir, 'cluster.seed'), 'utf8').trim();
      await caller[Symbol.asyncDispose]();
      await lattice.stop();
      rmSync(stateDir, { recursive: true, force: true });
      // LEK-01, for every test that starts a lattice: nothing it said at debug level holds its seed or a token.
      expect(said).not.toContain(seed);
      expect(said).not.toContain(seed.slice(2, 40));
      expect(said).not.toMatch(/(?:inv|res|acc)2[sb]\.[A-Za-z0-9_-]{20}/);
      // The header of 0.82 tokens.
      expect(said).not.toContain('eyJ0eXAiOiJqd3QiLCJhbGciOi');
    },
  };
}
