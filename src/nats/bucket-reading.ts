import { TrellisError } from '../errors.ts';
import type { LatticeName } from '../ids.ts';
import type { LatticeConnection } from './connection.ts';

const REQUEST_MS = 1_500;
const NOT_FOUND = 404;

/** How the trust bucket of a lattice stands, as far as these credentials may see. */
export type BucketStanding =
  | { readonly state: 'there'; readonly entries: number; readonly replicas: number }
  | { readonly state: 'missing' | 'no JetStream' | 'refused' | 'silent' };

/** Looks at the trust bucket without making it. Never throws for what a server answers. @throws TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED */
export async function readBucketStanding(connection: LatticeConnection, lattice: LatticeName): Promise<BucketStanding> {
  const answer = await ask(connection, `$JS.API.STREAM.INFO.KV_LATTICETRUST_${lattice}`);
  if (typeof answer === 'string') return { state: answer };
  const { error, state, config } = answer as {
    error?: { code?: number };
    state?: { messages?: number };
    config?: { num_replicas?: number };
  };
  if (error !== undefined) return { state: error.code === NOT_FOUND ? 'missing' : 'no JetStream' };
  return { state: 'there', entries: state?.messages ?? 0, replicas: config?.num_replicas ?? 1 };
}

/** The text below a key of the trust bucket, or `undefined`. Never throws for what a server answers. */
export async function readBucketEntry(
  connection: LatticeConnection,
  lattice: LatticeName,
  key: string,
): Promise<string | undefined> {
  const bucket = `LATTICETRUST_${lattice}`;
  const answer = await ask(connection, `$JS.API.STREAM.MSG.GET.KV_${bucket}`, { last_by_subj: `$KV.${bucket}.${key}` });
  if (typeof answer === 'string') return undefined;
  const { message } = answer as { message?: { data?: unknown } };
  return typeof message?.data === 'string' ? Buffer.from(message.data, 'base64').toString('latin1') : undefined;
}

async function ask(
  connection: LatticeConnection,
  subject: string,
  body?: object,
): Promise<object | 'no JetStream' | 'refused' | 'silent'> {
  try {
    const payload = body === undefined ? new Uint8Array(0) : Buffer.from(JSON.stringify(body));
    const answer = await connection.request(subject, payload, { timeoutMs: REQUEST_MS });
    const value = JSON.parse(Buffer.from(answer.payload).toString('utf8')) as unknown;
    return typeof value === 'object' && value !== null ? value : 'silent';
  } catch (error) {
    if (!(error instanceof TrellisError)) return 'silent';
    if (error.code === 'TRELLIS_NATS_PERMISSION') return 'refused';
    if (error.code === 'TRELLIS_NATS_NO_RESPONDERS') return 'no JetStream';
    if (error.code === 'TRELLIS_NATS_TIMEOUT') return 'silent';
    throw error;
  }
}
