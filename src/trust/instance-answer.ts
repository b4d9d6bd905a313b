import { verify } from 'node:crypto';
import { decodeBase64url, textDigest } from './canonical.ts';
import { parsePublicKey, type SigningKey } from './nkey.ts';

/** What a process that runs under a host's identity is about. */
export type InstanceState = 'starting' | 'serving' | 'draining';

/** What such a process says of itself, to who asks for others of the same identity. */
export interface InstanceAnswer {
  /** Public key (`N…`) they share. */
  readonly host: string;
  /** The process: 22 characters, made at its start. */
  readonly instance: string;
  readonly state: InstanceState;
  /** Since when it serves, milliseconds since the epoch; 0 before. */
  readonly sinceMs: number;
  /** Of the question, 22 characters: an answer to another one counts for nothing. */
  readonly nonce: string;
}

const STATES: readonly string[] = ['starting', 'serving', 'draining'] satisfies InstanceState[];
const ID = /^[A-Za-z0-9_-]{22}$/;
const MAX_CHARS = 1024;
const SIGNATURE_BYTES = 64;
const answerDigest = textDigest('hin');

/** Writes and signs an answer: `hin2s.{JSON, base64url}.{signature}`. */
export function signInstanceAnswer(key: SigningKey, lattice: string, answer: Omit<InstanceAnswer, 'host'>): string {
  const { instance, state, sinceMs, nonce } = answer;
  const text = Buffer.from(JSON.stringify({ instance, state, sinceMs, nonce })).toString('base64url');
  return `hin2s.${text}.${key.sign(digestOf(text, lattice)).toString('base64url')}`;
}

/** The answer in a text, if it is one of this host to this question; `undefined` otherwise. Never throws. */
export function openInstanceAnswer(
  text: string,
  expected: { readonly host: string; readonly lattice: string; readonly nonce: string },
): InstanceAnswer | undefined {
  if (text.length > MAX_CHARS) return undefined;
  const [header, body = '', proof = '', ...more] = text.split('.');
  const signature = decodeBase64url(proof);
  const key = parsePublicKey(expected.host);
  if (header !== 'hin2s' || more.length > 0 || signature?.length !== SIGNATURE_BYTES || !key.ok) return undefined;
  if (!verify(null, digestOf(body, expected.lattice), key.key, signature)) return undefined;
  try {
    const { instance, state, sinceMs, nonce } = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as Record<
      string,
      unknown
    >;
    if (typeof instance !== 'string' || !ID.test(instance) || nonce !== expected.nonce) return undefined;
    if (typeof state !== 'string' || !STATES.includes(state) || !Number.isSafeInteger(sinceMs)) return undefined;
    return { host: expected.host, instance, state: state as InstanceState, sinceMs: sinceMs as number, nonce: expected.nonce };
  } catch {
    return undefined;
  }
}

function digestOf(body: string, lattice: string): Buffer {
  return Buffer.from(answerDigest(`${lattice}.${body}`, 'binary'), 'latin1');
}
