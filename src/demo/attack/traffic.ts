import type { Caller } from '../../caller.ts';
import { ECHO, ECHO_BYTES, HELLO, type Operation, textParams, type Traffic } from './attack.ts';

/** How a genuine call ended. */
export interface GenuineCall {
  /** It gave what it should. */
  readonly ok: boolean;
  /** How often it made guest code run. */
  readonly ran: number;
}

interface Kind {
  readonly operation: Operation;
  readonly params: Uint8Array;
  readonly result: Buffer;
  readonly ran: number;
}

const CHAIN: Operation = { target: 'greeter-chain', instance: 'trellis-samples:chain/greeter@0.1.0', func: 'greet-all' };
/** A list of 400,000 bytes: more than one message holds. */
const LONG = Buffer.concat([Buffer.from('80b518', 'hex'), Buffer.alloc(400_000, 0x61)]);

const KINDS: Readonly<Record<Traffic, Kind>> = {
  echo: { operation: ECHO, params: textParams('genuine'), result: textParams('genuine'), ran: 1 },
  hello: { operation: HELLO, params: textParams('Ada'), result: textParams('Hello, Ada!'), ran: 1 },
  // Result, list of one: greeter-chain calls hello once.
  chain: {
    operation: CHAIN,
    params: Buffer.concat([Buffer.from([1]), textParams('Ada')]),
    result: Buffer.concat([Buffer.from([0, 1]), textParams('Hello, Ada!')]),
    ran: 2,
  },
  long: { operation: ECHO_BYTES, params: LONG, result: LONG, ran: 1 },
};

/** Makes a genuine call. Never rejects. A call that fails has run nothing; if it did after all, the count of runs shows it. */
export async function genuineCall(caller: Caller, traffic: Traffic, timeoutMs: number): Promise<GenuineCall> {
  const { operation, params, result, ran } = KINDS[traffic];
  try {
    const bytes = await caller.call({ ...operation, params, timeoutMs });
    return { ok: result.equals(bytes), ran };
  } catch {
    return { ok: false, ran: 0 };
  }
}
