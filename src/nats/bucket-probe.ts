import { setImmediate as nextTurn } from 'node:timers/promises';
import { TrellisError } from '../errors.ts';
import type { LatticeName } from '../ids.ts';
import { NOT_ENABLED } from './bucket-errors.ts';
import type { LatticeConnection } from './connection.ts';
import type { ProbeFinding } from './probe-finding.ts';

const REQUEST_MS = 1_000;

/**
 * Asks JetStream on the rpc connection for the buckets of the lattice, and to make a stream out of an empty text, which it
 * refuses as malformed if it gets so far. An account without JetStream has no way to the buckets.
 */
export async function askBucket(rpc: LatticeConnection, lattice: LatticeName, nobody: string): Promise<ProbeFinding[]> {
  const asked = [
    ...['LATTICETRUST', 'LATTICEDATA', 'CONFIGDATA'].map((bucket) => ({
      subject: `$JS.API.STREAM.INFO.KV_${bucket}_${lattice}`,
      about: `the bucket ${bucket}_${lattice}`,
    })),
    { subject: `$JS.API.STREAM.CREATE.${nobody}`, about: 'making streams' },
  ];
  const unwatch = rpc.watchRefusals(new Set(asked.map(({ subject }) => subject)), () => {});
  try {
    return await Promise.all(
      asked.map(async ({ subject, about }) => {
        const verdict = await ask(rpc, subject);
        return { partition: 'rpc', action: 'publish', subject, about, expected: 'refused', verdict } as const;
      }),
    );
  } finally {
    // A request fails before the refusal behind it has been reported.
    await nextTurn();
    unwatch();
  }
}

async function ask(rpc: LatticeConnection, subject: string): Promise<ProbeFinding['verdict']> {
  try {
    const { payload } = await rpc.request(subject, new Uint8Array(0), { timeoutMs: REQUEST_MS });
    return NOT_ENABLED.has(errorCodeIn(payload)) ? 'isolated' : 'allowed';
  } catch (error) {
    const code = error instanceof TrellisError ? error.code : undefined;
    if (code === 'TRELLIS_NATS_PERMISSION') return 'refused';
    if (code === 'TRELLIS_NATS_NO_RESPONDERS') return 'isolated';
    // Such an account answers nothing at all on servers before 2.10.
    if (code === 'TRELLIS_NATS_TIMEOUT') return 'unknown';
    throw error;
  }
}

function errorCodeIn(payload: Uint8Array): number {
  try {
    const { error } = JSON.parse(Buffer.from(payload).toString('utf8')) as { error?: { err_code?: unknown } };
    return typeof error?.err_code === 'number' ? error.err_code : 0;
  } catch {
    return 0;
  }
}
