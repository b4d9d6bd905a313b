import { readdirSync, readFileSync } from 'node:fs';

/** What a process has used so far, and holds now. */
export interface ProcessUsage {
  /** User and system CPU time, microseconds. */
  readonly cpuUs: number;
  /** Resident memory, bytes. */
  readonly rssBytes: number;
}

// The kernel counts CPU in ticks of 1/100 s on every Linux that Node runs on.
const TICK_US = 10_000;

/** Reads a process's usage from the kernel; zeros where there is no `/proc` (then the CPU columns say nothing). */
export function processUsage(pid: number): ProcessUsage {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name may hold spaces and brackets: fields are counted from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const pages = Number(fields[21]);
    return { cpuUs: (Number(fields[11]) + Number(fields[12])) * TICK_US, rssBytes: pages * 4096 };
  } catch {
    return { cpuUs: 0, rssBytes: 0 };
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
