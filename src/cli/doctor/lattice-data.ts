import { latticeDataPlace } from '../../config/bucket-places.ts';
import type { HostConfig } from '../../config/schema.ts';
import { latticeName } from '../../ids.ts';
import { type BucketStanding, readBucketStanding } from '../../nats/bucket-reading.ts';
import type { LatticeConnection } from '../../nats/connection.ts';
import { type Check, type CheckProblem, verdictOf } from './check.ts';

/** Whether the buckets of links and configurations are there and can be read. */
export async function dataOutcome(ctl: LatticeConnection, config: HostConfig): Promise<Omit<Check, 'name' | 'durationMs'>> {
  const lattice = latticeName(config.lattice);
  const { domain } = latticeDataPlace(config);
  const names = [`LATTICEDATA_${lattice}`, `CONFIGDATA_${lattice}`];
  const [links, configs] = await Promise.all(names.map((name) => readBucketStanding(ctl, { name, domain })));
  if (links!.state === 'there' && configs!.state === 'there') {
    return {
      verdict: 'ok',
      found: `links and claims: ${sizeText(links!)}; configurations: ${sizeText(configs!)}`,
      problems: [],
      values: [
        { name: 'lattice_entries', value: links!.entries, unit: '' },
        { name: 'config_entries', value: configs!.entries, unit: '' },
      ],
    };
  }
  const at = links!.state === 'there' ? 1 : 0;
  const { state } = at === 0 ? links! : configs!;
  const isMissing = state === 'missing';
  const problem: CheckProblem = {
    code: 'TRELLIS_LATTICE_DATA',
    severity: 'warning',
    summary: isMissing ? `This lattice has no bucket ${names[at]!} yet.` : `The bucket ${names[at]!} is out of reach (${state}).`,
    setting: 'jsDomain',
    why: 'Links and configurations of the lattice are there.',
    fix: isMissing
      ? 'Start a host, which makes it; where hosts may not: trellis auth provision.'
      : 'Give the server JetStream and the ctl user the rights of its kind, or name the JetStream domain (jsDomain).',
  };
  return { verdict: verdictOf([problem]), found: problem.summary, problems: [problem], values: [] };
}

/** How much a bucket holds, and how often, in words. */
export function sizeText({ entries, replicas }: Extract<BucketStanding, { state: 'there' }>): string {
  return `${entries} ${entries === 1 ? 'entry' : 'entries'}, ${replicas} replica${replicas === 1 ? '' : 's'}`;
}
