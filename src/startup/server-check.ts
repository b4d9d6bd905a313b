import type { Problem } from '../config/problems.ts';
import { advisoriesFor, type ServerAdvisories } from '../config/server-advisories.ts';
import type { ClockReading } from '../nats/server-clock.ts';

/** Most that the clocks of host and server may differ, milliseconds (START-15). */
export const MAX_CLOCK_OFFSET_MS = 5_000;

type Partition = 'ctl' | 'rpc';

/** START-15: the clock of this computer against the server's. Nothing when it could not be read. */
export function clockProblems(partition: Partition, reading: ClockReading | undefined): Problem[] {
  if (reading === undefined) return [];
  const { offsetMs, uncertaintyMs } = reading;
  if (Math.abs(offsetMs) - uncertaintyMs <= MAX_CLOCK_OFFSET_MS) return [];
  return [
    {
      code: 'START-15',
      severity: 'refused',
      allowance: 'clock-offset',
      summary: `The clock of this computer is ${seconds(Math.abs(offsetMs))} ${offsetMs > 0 ? 'behind' : 'ahead of'} that of the ${partition} server.`,
      setting: `${partition}.servers`,
      source: `what the server answered to ${reading.via}`,
      why: 'Tokens and credentials are valid for seconds to minutes: others refuse them, or they outlive their time.',
      fix: 'Synchronise the clocks of both (timedatectl set-ntp true, or chrony).',
    },
  ];
}

/** START-16: published faults of the server. What is not critical is a warning. */
export function serverProblems(partition: Partition, version: string, known: ServerAdvisories): Problem[] {
  const all = advisoriesFor(version, known);
  const critical = all.filter((advisory) => advisory.critical);
  const shown = critical.length > 0 ? critical : all;
  if (shown.length === 0) return [];
  const names = shown.map(({ id, aliases }) => aliases[0] ?? id).join(', ');
  const rest = {
    code: 'START-16',
    setting: `${partition}.servers`,
    source: 'what the server says of itself',
    value: version,
    why: shown.map(({ what }) => what).join(' '),
    fix: 'Install a nats-server that has them mended; advisories.nats.io lists the versions.',
  } as const;
  if (critical.length === 0)
    return [{ ...rest, severity: 'warning', summary: `The ${partition} server has known faults: ${names}.` }];
  return [
    {
      ...rest,
      severity: 'refused',
      allowance: 'vulnerable-server',
      summary: `The ${partition} server has known critical faults: ${names}.`,
    },
  ];
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
