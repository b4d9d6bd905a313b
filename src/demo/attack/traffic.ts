import { setTimeout as sleep } from 'node:timers/promises';
import type { Caller } from '../../caller.ts';
import type { InvocationHandle } from '../../invocation/outbound.ts';
import { ECHO, ECHO_LATER, ECHO_STREAM, HELLO, type Operation, textParams, type Traffic } from './attack.ts';

/** How a genuine call ended. */
export interface GenuineCall {
  /** It gave what it should. */
  readonly ok: boolean;
  /** How often it made guest code run. */
  readonly ran: number;
}

interface PlainCall {
  readonly operation: Operation;
  readonly params: Uint8Array;
  readonly result: Buffer;
  readonly ran: number;
}

const CHAIN: Operation = {
  target: 'greeter-chain',
  instance: 'trellis-samples:chain/greeter@0.1.0',
  func: 'greet-all',
};

const PLAIN: Readonly<Record<Exclude<Traffic, 'stream'>, PlainCall>> = {
  echo: { operation: ECHO, params: textParams('genuine'), result: textParams('genuine'), ran: 1 },
  later: { operation: ECHO_LATER, params: textParams('genuine'), result: textParams('genuine'), ran: 1 },
  hello: { operation: HELLO, params: textParams('Ada'), result: textParams('Hello, Ada!'), ran: 1 },
  // A list of one name, and a result with a list of one greeting: greeter-chain calls hello once.
  chain: {
    operation: CHAIN,
    params: Buffer.concat([Buffer.from([1]), textParams('Ada')]),
    result: Buffer.concat([Buffer.from([0, 1]), textParams('Hello, Ada!')]),
    ran: 2,
  },
};

// A stream on the wire: chunks, each behind its length, and an empty one.
const CHUNKS: readonly Buffer[] = [...Array.from({ length: 20 }, (_, n) => textParams(`genuine ${n}`)), Buffer.from([0])];
const STREAM = Buffer.concat(CHUNKS);
/** "Comes later", in place of a stream. */
const PENDING = Buffer.from([0]);
const BETWEEN_CHUNKS_MS = 25;

/** Makes a genuine call. Never rejects. A call that fails has run nothing; if it did after all, the count of runs shows it. */
export async function genuineCall(caller: Caller, traffic: Traffic, timeoutMs: number): Promise<GenuineCall> {
  if (traffic === 'stream') return streamCall(caller, timeoutMs);
  const { operation, params, result, ran } = PLAIN[traffic];
  try {
    const bytes = await caller.call({ ...operation, params, timeoutMs });
    return { ok: result.equals(bytes), ran };
  } catch {
    return { ok: false, ran: 0 };
  }
}

/** A stream in, the same stream out, slowly enough to be meddled with. It ran once, however it ended. */
async function streamCall(caller: Caller, timeoutMs: number): Promise<GenuineCall> {
  const over = Promise.withResolvers<boolean>();
  let came: Buffer = Buffer.alloc(0);
  let handle: InvocationHandle | undefined;
  const root = caller.call({
    ...ECHO_STREAM,
    params: PENDING,
    timeoutMs,
    pendingParams: true,
    onHandle: (opened) => (handle = opened),
    onPath(_path, bytes, eof) {
      came = Buffer.concat([came, bytes]);
      if (eof) over.resolve(came.equals(STREAM));
    },
    onCut: () => over.resolve(false),
  });
  root.catch(() => over.resolve(false));
  for (const [at, chunk] of CHUNKS.entries()) {
    handle?.sendPath('0', chunk, at === CHUNKS.length - 1);
    await sleep(BETWEEN_CHUNKS_MS);
  }
  const ok = await over.promise;
  handle?.cancel();
  return { ok, ran: 1 };
}
