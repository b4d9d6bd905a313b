import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LatticeName } from '../ids.ts';
import type { LatticeConnection } from './connection.ts';

/** How a server's clock stands to this computer's. */
export interface ClockReading {
  /** Server's clock minus this one's, milliseconds; positive when this one is behind. */
  readonly offsetMs: number;
  /** How far off that may be, milliseconds: half the round trip. */
  readonly uncertaintyMs: number;
  /** The question that told. */
  readonly via: string;
}

const REQUEST_MS = 1_000;

/**
 * Asks a server what time it is, in the ways in which one may tell: about the user (nats-server 2.10, with the right to publish
 * `$SYS.REQ.USER.INFO`), about the trust bucket (2.10, where there is one), and who logs in as nobody about the account. Resolves to
 * `undefined` when it answers none of them. Changes nothing.
 *
 * @param wallMs this computer's clock, milliseconds since the epoch
 */
export async function readServerClock(
  connection: LatticeConnection,
  lattice: LatticeName,
  wallMs: () => number,
): Promise<ClockReading | undefined> {
  const subjects = [
    '$SYS.REQ.USER.INFO',
    ...(connection.partition === 'ctl' ? [`$JS.API.STREAM.INFO.KV_LATTICETRUST_${lattice}`] : []),
    // No set of rights for a host names it, and each refusal is a line in the log of the server.
    ...(connection.userKey === undefined ? ['$SYS.REQ.ACCOUNT.PING.STATZ'] : []),
  ];
  const unwatch = connection.watchRefusals(new Set(subjects), () => {});
  try {
    return await Promise.any(subjects.map((subject) => ask(connection, subject, wallMs)));
  } catch {
    return undefined;
  } finally {
    await nextTurn();
    unwatch();
  }
}

async function ask(connection: LatticeConnection, subject: string, wallMs: () => number): Promise<ClockReading> {
  const askedMs = wallMs();
  const { payload } = await connection.request(subject, new Uint8Array(0), { timeoutMs: REQUEST_MS });
  const answeredMs = wallMs();
  const serverMs = timeIn(payload);
  if (serverMs === undefined) throw new Error('no time in the answer');
  return { offsetMs: serverMs - (askedMs + answeredMs) / 2, uncertaintyMs: (answeredMs - askedMs) / 2, via: subject };
}

/** The time in such an answer, milliseconds since the epoch, or `undefined`. Never throws. */
export function timeIn(payload: Uint8Array): number | undefined {
  try {
    const answer = JSON.parse(Buffer.from(payload).toString('utf8')) as { server?: { time?: unknown }; ts?: unknown };
    const text = answer.server?.time ?? answer.ts;
    const atMs = typeof text === 'string' ? Date.parse(text) : Number.NaN;
    return Number.isFinite(atMs) ? atMs : undefined;
  } catch {
    return undefined;
  }
}
