import { readdirSync, readFileSync } from 'node:fs';

// The kernel counts CPU in ticks of 1/100 s on every Linux that Node runs on.
const TICK_US = 10_000;

/**
 * CPU time a process has used so far, all its threads, microseconds. From the scheduler's counters, or from the coarser ticks
 * where the kernel has none; 0 where there is no `/proc` (then the CPU columns say nothing).
 */
export function processCpuUs(pid: number): number {
  try {
    let nanoseconds = 0;
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ', 1)[0]);
    }
    return nanoseconds / 1000;
  } catch {
    const fields = statOf(pid);
    return fields === undefined ? 0 : (Number(fields[11]) + Number(fields[12])) * TICK_US;
  }
}

/** Resident memory of a process, bytes; 0 where there is no `/proc`. */
export function processRssBytes(pid: number): number {
  return Number(statOf(pid)?.[21] ?? 0) * 4096;
}

/** The fields of `/proc/<pid>/stat` after the command's name, which may hold spaces and brackets. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** Process ids of the direct children of a process. */
export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}
