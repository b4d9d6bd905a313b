import { TrellisError } from '../errors.ts';
import type { LatticeConnection } from './connection.ts';

const REQUEST_MS = 1_500;
const NOT_FOUND = 404;

/** A bucket, by its name and the JetStream domain that holds it. */
export interface NamedBucket {
  readonly name: string;
  readonly domain?: string | undefined;
}

/** How a bucket stands, as far as these credentials may see. */
export type BucketStanding =
  | { readonly state: 'there'; readonly entries: number; readonly replicas: number }
  | { readonly state: 'missing' | 'no JetStream' | 'refused' | 'silent' };

/** Looks at a bucket without making it. Never throws for what a server answers. @throws TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED */
export async function readBucketStanding(connection: LatticeConnection, bucket: NamedBucket): Promise<BucketStanding> {
  const answer = await ask(connection, `${apiOf(bucket)}.STREAM.INFO.KV_${bucket.name}`);
  if (typeof answer === 'string') return { state: answer };
  const { error, state, config } = answer as {
    error?: { code?: number };
    state?: { messages?: number };
    config?: { num_replicas?: number };
  };
  if (error !== undefined) return { state: error.code === NOT_FOUND ? 'missing' : 'no JetStream' };
  return { state: 'there', entries: state?.messages ?? 0, replicas: config?.num_replicas ?? 1 };
}

/** The text below a key of a bucket, or `undefined`. Never throws for what a server answers. */
export async function readBucketEntry(
  connection: LatticeConnection,
  bucket: NamedBucket,
  key: string,
): Promise<string | undefined> {
  const { name } = bucket;
  const answer = await ask(connection, `${apiOf(bucket)}.STREAM.MSG.GET.KV_${name}`, { last_by_subj: `$KV.${name}.${key}` });
  if (typeof answer === 'string') return undefined;
  const { message } = answer as { message?: { data?: unknown } };
  return typeof message?.data === 'string' ? Buffer.from(message.data, 'base64').toString('latin1') : undefined;
}

const apiOf = ({ domain }: NamedBucket): string => (domain === undefined ? '$JS.API' : `$JS.${domain}.API`);

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
