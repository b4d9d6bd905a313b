import { setTimeout as sleep } from 'node:timers/promises';
import type { LatticeData } from '../control/lattice-data.ts';
import type { DesiredState } from './desired-state.ts';
import type { DesiredWorkload } from '../lattice/desired-state.ts';
import type { Logger } from '../telemetry/log.ts';
import type { HostWorkloads } from './host-workloads.ts';

/** What {@link restoreWorkloads} takes. */
export interface RestoreOptions {
  readonly desired: DesiredState;
  readonly workloads: Pick<HostWorkloads, 'restore' | 'has'>;
  readonly data: Pick<LatticeData, 'state' | 'hasSpec' | 'missingConfig'>;
  /** Components of the configuration: of them it is the one that counts. */
  readonly configured: readonly string[];
  readonly log: Logger;
  /** Ends what is tried again and again. */
  readonly signal: AbortSignal;
}

/** How long the lattice's data may take to be there before what needs it not starts without. */
const DATA_MS = 5_000;
const LOOK_MS = 50;
/** Pauses between attempts. */
const AGAIN_MS = { least: 5_000, most: 300_000 } as const;

/**
 * Runs what this host ran when it ended, however that was. What the lattice does not know any more is said and left out; what
 * cannot be started now, because a registry is away or the lattice's data, is tried until it runs or is not wanted any more. Resolves
 * after one attempt at each. Never rejects.
 */
export async function restoreWorkloads(options: RestoreOptions): Promise<void> {
  const { desired, data, configured, log, signal } = options;
  const kept = desired.takeOver().filter(({ id }) => {
    if (!configured.includes(id)) return true;
    log.warn({ component: id }, 'a component that the lattice started is part of the configuration now, which counts');
    desired.delete(id);
    return false;
  });
  if (kept.length === 0) return;
  for (let waitedMs = 0; data.state === 'absent' && waitedMs < DATA_MS && !signal.aborted; waitedMs += LOOK_MS)
    await sleep(LOOK_MS);
  const done = await Promise.all(kept.map((workload) => attempt(workload, options)));
  for (const [at, workload] of kept.entries()) if (!done[at]!) void tryAgain(workload, options);
  log.info(
    { components: done.filter(Boolean).length, later: done.filter((each) => !each).length },
    'what ran before is restored',
  );
}

/** True if there is nothing more to do for it. */
async function attempt(workload: DesiredWorkload, options: RestoreOptions): Promise<boolean> {
  const { desired, workloads, data, log, signal } = options;
  const { id, config } = workload;
  if (signal.aborted) return true;
  const gone = await whatIsGone(workload, data).catch(() => 'unknown' as const);
  // What it is configured with is in a store that does not answer.
  if (gone === 'unknown' && config.length > 0) return false;
  if (gone === undefined || gone === 'unknown') return workloads.restore(workload);
  log.warn({ component: id, ref: workload.imageRef }, `a component that ran here is not started again: ${gone}`);
  desired.delete(id);
  return true;
}

/** What the lattice has lost of a component since it ran here. */
async function whatIsGone(workload: DesiredWorkload, data: RestoreOptions['data']): Promise<string | undefined> {
  if (data.state === 'absent') return 'unknown';
  if (workload.known && !data.hasSpec(workload.id)) return 'the lattice does not know it any more';
  const missing = workload.config.length === 0 ? [] : await data.missingConfig(workload.config);
  return missing.length === 0 ? undefined : `configuration ${missing.join(', ')} does not exist any more`;
}

async function tryAgain(workload: DesiredWorkload, options: RestoreOptions): Promise<void> {
  const { desired, workloads, signal } = options;
  for (let pauseMs: number = AGAIN_MS.least; ; pauseMs = Math.min(AGAIN_MS.most, 2 * pauseMs)) {
    try {
      await sleep(pauseMs, undefined, { signal, ref: false });
    } catch {
      return;
    }
    // Somebody has asked for something else since.
    if (workloads.has(workload.id) || desired.get(workload.id) !== workload) return;
    if (await attempt(workload, options)) return;
  }
}
