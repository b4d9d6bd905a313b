import { readFileSync } from 'node:fs';
import { trustBucketPlace } from '../../config/bucket-places.ts';
import type { HostConfig } from '../../config/schema.ts';
import { readSecretFile } from '../../config/secret-files.ts';
import { latticeName } from '../../ids.ts';
import { readBucketEntry, readBucketStanding } from '../../nats/bucket-reading.ts';
import type { LatticeConnection } from '../../nats/connection.ts';
import { openDelegation } from '../../trust/delegation.ts';
import { SigningKey } from '../../trust/nkey.ts';
import type { Check, CheckProblem } from './check.ts';
import { verdictOf } from './check.ts';
import { dataOutcome, sizeText } from './lattice-data.ts';

type Outcome = Omit<Check, 'name' | 'durationMs'>;

/** The buckets of the lattice, and the delegation of this host. */
export function checkTrust(
  ctl: LatticeConnection,
  config: HostConfig,
  nowMs: number,
): readonly { readonly name: string; readonly step: string; run(): Promise<Outcome> }[] {
  return [
    { name: 'trust-bucket', step: 'the trust bucket', run: () => bucketOutcome(ctl, config) },
    { name: 'lattice-data', step: 'the links and configurations', run: () => dataOutcome(ctl, config) },
    { name: 'delegation', step: 'the delegation', run: () => delegationOutcome(ctl, config, nowMs) },
  ];
}

async function bucketOutcome(ctl: LatticeConnection, config: HostConfig): Promise<Outcome> {
  const { store } = config.trust;
  if (store === 'off') return { verdict: 'ok', found: 'not used (trust.store: off)', problems: [], values: [] };
  const standing = await readBucketStanding(ctl, trustBucketOf(config));
  if (standing.state === 'there') {
    const { entries } = standing;
    return {
      verdict: 'ok',
      found: sizeText(standing),
      problems: [],
      values: [{ name: 'trust_entries', value: entries, unit: '' }],
    };
  }
  const isMissing = standing.state === 'missing';
  const problem: CheckProblem = {
    code: 'TRELLIS_TRUST_STORE',
    severity: store === 'required' && !isMissing ? 'refused' : 'warning',
    summary: isMissing ? 'This lattice has no trust bucket yet.' : `The trust bucket is out of reach (${standing.state}).`,
    setting: 'trust.store',
    why: 'Rotated issuers and revocations reach hosts through it at once.',
    fix: isMissing
      ? 'Start a host, which makes it; where hosts may not: trellis auth provision.'
      : 'Give the server JetStream and the ctl user the rights on LATTICETRUST, or set trust.store to off.',
  };
  return { verdict: verdictOf([problem]), found: problem.summary, problems: [problem], values: [] };
}

function trustBucketOf(config: HostConfig): { readonly name: string; readonly domain: string | undefined } {
  return { name: `LATTICETRUST_${latticeName(config.lattice)}`, domain: trustBucketPlace(config).domain };
}

async function delegationOutcome(ctl: LatticeConnection, config: HostConfig, nowMs: number): Promise<Outcome> {
  const { hostSeedFile, trust } = config;
  const host = hostSeedFile === undefined ? undefined : publicKeyIn(hostSeedFile);
  if (trust.delegationFile === undefined && host === undefined) {
    return { verdict: 'ok', found: 'made at each start, for a key of that run', problems: [], values: [] };
  }
  const text =
    trust.delegationFile === undefined
      ? await readBucketEntry(ctl, trustBucketOf(config), `delegation.${host!}`)
      : textIn(trust.delegationFile);
  const claims = openDelegation(text ?? '');
  if (claims === undefined) {
    const found =
      trust.delegationFile === undefined ? 'none in the trust bucket: the host is not running' : 'the file holds none';
    return { verdict: trust.delegationFile === undefined ? 'ok' : 'failed', found, problems: [], values: [] };
  }
  const leftMs = claims.exp - nowMs;
  const faults: CheckProblem[] = [];
  const fault = (summary: string, fix: string): void => {
    const why = 'No other host believes what this one signs.';
    faults.push({
      code: 'TRELLIS_DELEGATION_INVALID',
      severity: trust.delegationFile === undefined ? 'warning' : 'refused',
      summary,
      setting: 'trust',
      why,
      fix,
    });
  };
  if (leftMs <= 0) fault('The delegation of this host has ended.', 'Start the host, or mint a new one: trellis keys delegate.');
  if (host !== undefined && claims.sub !== host)
    fault('The delegation is for another key than hostSeedFile.', 'Mint one for this key: trellis keys delegate.');
  if (trust.clusterIssuers.length > 0 && !trust.clusterIssuers.includes(claims.iss)) {
    fault(
      'The delegation is signed by a key that trust.clusterIssuers does not list.',
      'Look at trellis keys issuers: after a rotation that may be right.',
    );
  }
  return {
    verdict: verdictOf(faults),
    found: `by ${claims.iss}, for ${Math.round(leftMs / 1_000)} s more`,
    problems: faults,
    values: [{ name: 'delegation_left', value: leftMs / 1_000, unit: 's' }],
  };
}

function publicKeyIn(file: string): string | undefined {
  const read = readSecretFile(file);
  try {
    return read.ok ? SigningKey.fromSeed(read.text.trim(), 'server').publicKey : undefined;
  } catch {
    return undefined;
  }
}

function textIn(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
