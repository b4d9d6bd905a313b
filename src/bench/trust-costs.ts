import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import { latticeName } from '../ids.ts';
import { sealerOf } from '../invocation/frame-proof.ts';
import { HEADER } from '../invocation/headers.ts';
import { connectPartition, type LatticeConnection } from '../nats/connection.ts';
import { startNatsServer } from '../nats/server.ts';
import { TrustBucket } from '../nats/trust-bucket.ts';
import { silentLogger } from '../telemetry/log.ts';
import { ReplayWindow } from '../trust/replay.ts';
import { EphemeralKey, FrameSession } from '../trust/session.ts';
import { newTokenId } from '../trust/signer.ts';
import { acceptDigest, requestDigest } from '../trust/token.ts';
import { median } from './report.ts';
import { prepareCall } from '../wrpc/client.ts';
import { createInbox } from '../wrpc/inbox.ts';
import { type IncomingInvocation, serveFunction } from '../wrpc/server.ts';

/** One figure: what was done, how often a second, and the time and CPU of each. */
export interface CostRow {
  readonly what: string;
  readonly perSecond: number;
  /** Megabytes a second, for streams. */
  readonly megabytesPerSecond: number | undefined;
  readonly wallUs: number;
  /** CPU of this process, both ends of it; what a server spends comes on top. */
  readonly cpuUs: number;
}

/** Everything a run has to say. */
export interface TrustCosts {
  readonly rows: readonly CostRow[];
  /** Memory of the replay window with one million ids, bytes. */
  readonly replayBytesPerMillion: number;
}

const FRAME_BYTES = 64 * 1024;
/** Frames on their way at a time; more would lie in the client's buffers. */
const WINDOW = 64;
const IDS = 1_000_000;
const LATTICE = latticeName('bench');
const SUBJECT = 'bench.streams.wrpc.0.0.1.frames';

/**
 * Measures what proofs cost beside the calls themselves: frames of a stream with and without tags between two connections, the one
 * round trip to a store that hosts would share against replay, and the memory of the ids that one host remembers.
 */
export async function measureTrustCosts(durationMs: number, onProgress: (text: string) => void): Promise<TrustCosts> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'trellis-bench-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const server = stack.use(await startNatsServer({ jetstreamDir: dir }));
  const connect = async (name: string): Promise<LatticeConnection> => {
    const options = { partition: 'rpc', lattice: LATTICE, servers: [server.url], name, log: silentLogger() } as const;
    const connection = await connectPartition({ ...options, connectTimeoutMs: 5_000, pingIntervalMs: 60_000 });
    stack.defer(() => connection.close());
    return connection;
  };
  const [sender, receiver] = [await connect('sender'), await connect('receiver')];
  const rows: CostRow[] = [];
  for (const proved of [false, true, false, true]) {
    onProgress(`frames of 64 KiB, ${proved ? 'proved' : 'plain'}`);
    rows.push(await measureFrames(sender, receiver, proved, durationMs));
  }
  const bucket = await TrustBucket.open(sender, LATTICE);
  if (bucket === undefined) throw new TrellisError('TRELLIS_INTERNAL', { message: 'JetStream does not answer' });
  for (const inFlight of [1, 64]) {
    onProgress(`KV create, ${inFlight} in flight`);
    rows.push(await measureCreates(bucket, inFlight, durationMs));
  }
  onProgress('one million ids');
  return { rows, replayBytesPerMillion: replayBytes() };
}

/** Medians over the rounds of `each` steps: on a busy machine a mean says more about its other work. */
async function measured(
  what: string,
  durationMs: number,
  bytesEach: number,
  each: number,
  round: () => Promise<void>,
): Promise<CostRow> {
  await round();
  const walls: number[] = [];
  const cpus: number[] = [];
  const untilMs = performance.now() + durationMs;
  while (performance.now() < untilMs) {
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    await round();
    walls.push(((performance.now() - startedMs) * 1000) / each);
    const { user, system } = process.cpuUsage(cpu);
    cpus.push((user + system) / each);
  }
  const wallUs = median(walls);
  const megabytesPerSecond = bytesEach === 0 ? undefined : bytesEach / wallUs;
  return { what, perSecond: 1e6 / wallUs, megabytesPerSecond, wallUs, cpuUs: median(cpus) };
}

async function measureFrames(
  from: LatticeConnection,
  to: LatticeConnection,
  proved: boolean,
  durationMs: number,
): Promise<CostRow> {
  const [ours, theirs] = [new EphemeralKey(), new EphemeralKey()];
  const digests = [requestDigest('bench'), acceptDigest('bench')] as const;
  const opening = new FrameSession('caller', ours.agree(theirs.text)!, ...digests);
  const sealing = new FrameSession('server', theirs.agree(ours.text)!, ...digests);
  const [serverInbox, callerInbox] = [createInbox(from), createInbox(to)];
  const { promise, resolve } = Promise.withResolvers<IncomingInvocation>();
  const service = serveFunction({ bus: from, inbox: serverInbox, subject: SUBJECT, onInvocation: resolve });
  await from.flush();
  let waiting = { left: 0, done: (): void => {} };
  const call = prepareCall({ bus: to, inbox: callerInbox });
  const nothing = (): void => {};
  call.send(
    { subject: SUBJECT, params: new Uint8Array(0), headers: [], unary: true },
    {
      accepted: nothing,
      unary: nothing,
      refused: nothing,
      lineEnding: nothing,
      result(path, payload, _eof, header) {
        if (proved && opening.open(header(HEADER.frame), path, payload) !== 'next')
          throw new TrellisError('TRELLIS_INTERNAL', { message: 'a frame did not verify' });
        if (--waiting.left === 0) waiting.done();
      },
    },
  );
  const message = await promise;
  if (proved) message.sealFrames(sealerOf(sealing));
  const frame = new Uint8Array(FRAME_BYTES).fill(7);
  const row = await measured(`frame of 64 KiB, ${proved ? 'proved' : 'plain'}`, durationMs, FRAME_BYTES, WINDOW, async () => {
    const all = Promise.withResolvers<void>();
    waiting = { left: WINDOW, done: all.resolve };
    for (let n = 0; n < WINDOW; n++) message.sendPath('0', frame, false);
    await all.promise;
  });
  call.cancel();
  message.close();
  service.unsubscribe();
  serverInbox.dispose();
  callerInbox.dispose();
  return row;
}

/** What a store that hosts share would cost: each id is created there before its call may run. */
function measureCreates(bucket: TrustBucket, inFlight: number, durationMs: number): Promise<CostRow> {
  return measured(`KV create of an id, ${inFlight} in flight`, durationMs, 0, inFlight, async () => {
    await Promise.all(Array.from({ length: inFlight }, () => bucket.create(`id.${newTokenId()}`, '1')));
  });
}

function replayBytes(): number {
  const before = process.memoryUsage();
  const window = new ReplayWindow({ clock: systemClock, maxEntries: 2 * IDS, skewMs: 5_000 });
  const expMs = systemClock.wallMs() + 60_000;
  for (let n = 0; n < IDS; n++) window.insert('issuer', newTokenId(), expMs);
  const after = process.memoryUsage();
  if (window.size !== IDS) throw new TrellisError('TRELLIS_INTERNAL', { message: 'the replay window lost ids' });
  // What the tables take, without what the collector has yet to collect of the ids themselves.
  return after.arrayBuffers - before.arrayBuffers;
}
