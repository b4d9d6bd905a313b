import { AsyncValues } from '../../wit/async-values.ts';
import { RootSource } from './async-values.ts';
import type { ExportedFunction } from './exports.ts';
import { FAILURES, FRAME, readPathFrame, type CallFailure, type FrameWriter } from './frames.ts';
import type { Handles } from './handles.ts';
import type { LinkImports } from './imports.ts';
import type { LinkNames } from './link-names.ts';
import type { Instance, InstancePool } from './instances.ts';
import { reasonOf, Results, type ResultFailure } from './results.ts';
import { RunningCall } from './running-call.ts';
import type { RunnerStart } from './start.ts';
import { EarlyResult } from './twins/early-result.ts';

/** Calls that begin on one announcement, at most. */
const MAX_BATCH = 64;
/** How long those calls may take together, going by the average. */
const BATCH_MS = 4;
/** Calls that take longer than this on average begin one by one, so that a stuck one takes no others with it. */
const SLOW_MS = 1;
/** The average before anything is known. */
const FIRST_AVERAGE_MS = BATCH_MS / 16;
/** How long calls may run on end before the pipe is looked at. */
const TURN_MS = 2;
const MAX_BACKLOG_BYTES = 1024 * 1024;

/** What {@link Calls} is made of. */
export interface CallsOptions {
  readonly start: RunnerStart;
  readonly exports: readonly ExportedFunction[];
  readonly pool: InstancePool;
  readonly links: LinkImports;
  readonly linkNames: LinkNames;
  readonly handles: Handles;
  readonly writer: FrameWriter;
}

/**
 * The calls of this runner: queue, instances, results.
 *
 * A call must not be begun twice when this process dies, so the host has to know what has begun. Before complete calls
 * begin, a `began` frame with the last of their numbers goes into the pipe, in one write with results that are due
 * anyway. One call at a time may begin without it, as long as everything before it is announced or has its answer in
 * the pipe: so a lone call costs no announcement, and many calls share one.
 */
export class Calls {
  readonly #start: RunnerStart;
  readonly #exports: readonly ExportedFunction[];
  readonly #pool: InstancePool;
  readonly #links: LinkImports;
  readonly #linkNames: LinkNames;
  readonly #handles: Handles;
  readonly #results: Results;
  readonly #writer: FrameWriter;
  readonly #sync: boolean;
  readonly #calls = new Map<number, RunningCall>();
  #queue: RunningCall[] = [];
  /** The call that has begun without announcement. */
  #lone: RunningCall | undefined;
  #averageMs = FIRST_AVERAGE_MS;
  #scheduled = false;
  readonly #run = (): void => this.#runQueue();
  readonly #prepare = (): void => this.#prepareSpare();

  constructor(options: CallsOptions) {
    this.#start = options.start;
    this.#exports = options.exports;
    this.#pool = options.pool;
    this.#links = options.links;
    this.#linkNames = options.linkNames;
    this.#handles = options.handles;
    this.#results = new Results(options.writer, options.handles, options.start.maxResultBytes);
    this.#writer = options.writer;
    this.#sync = options.start.asyncMode === 'sync';
  }

  /** Takes a `call` frame. */
  onCall(id: number, body: Buffer): void {
    const fn = this.#exports[body.readUInt16LE(0)]!;
    const call = new RunningCall(id, fn, body[2]!, body.subarray(3));
    if (fn.asyncParams && !call.inline) {
      call.values = new AsyncValues({
        maxBufferedBytes: this.#start.maxParamsBytes,
        onFault: (reason) => this.#fail(call, 'bad-params', reason),
      });
    }
    this.#calls.set(id, call);
    if (call.complete) this.#enqueue(call);
    else this.#tryBegin(call);
  }

  /** Takes a `params` frame. */
  onParams(id: number, body: Buffer): void {
    const call = this.#calls.get(id);
    const piece = readPathFrame(body);
    if (call === undefined || piece === undefined || call.ended) return;
    if (piece.path !== '') {
      if (call.inline) this.#fail(call, 'unsigned-values', 'a value came outside of the signed parameters');
      else call.values?.push(piece.path, piece.bytes, piece.eof);
      return;
    }
    if (!call.wantsMore) return;
    if (piece.bytes.length > 0) call.root = Buffer.concat([call.root, piece.bytes]);
    if (piece.eof) call.wantsMore = false;
    if (piece.eof || call.root.length >= call.need) this.#tryBegin(call);
  }

  /** Takes an `instances` frame. */
  setMaxInstances(count: number): void {
    this.#pool.setMax(count);
    if (this.#queue.length > 0) this.#schedule();
  }

  /** A call that cannot go on, because an answer that it was given turned out to be broken. */
  breakCall(id: number, reason: string, status: CallFailure = 'trap'): void {
    const call = this.#calls.get(id);
    if (call !== undefined) this.#fail(call, status, reason);
  }

  /** Takes a `cancel` frame: the call is forgotten, and its instance with it. */
  onCancel(id: number): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#end(call);
    this.#drop(call, 'the call was cancelled');
    this.#writer.bare(FRAME.ended, id);
  }

  // --- beginning

  #enqueue(call: RunningCall): void {
    this.#queue.push(call);
    this.#schedule();
  }

  /** Frames of one turn are taken in before any of them begins, so that they share an announcement. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  /** An incomplete call: begins as soon as its root can be read; what follows after that is of no meaning. */
  #tryBegin(call: RunningCall): void {
    const decoded = this.#decode(call);
    if (decoded === 'incomplete' || decoded === undefined) return;
    call.wantsMore = false;
    call.decoded = decoded;
    this.#enqueue(call);
  }

  #runQueue(): void {
    this.#scheduled = false;
    const startedMs = performance.now();
    while (this.#queue.length > 0) {
      const free = this.#sync ? this.#quickCalls() : this.#pool.free;
      const batch = Math.min(free, this.#queue.length);
      if (batch <= 0) return;
      if (this.#writer.backlogBytes > MAX_BACKLOG_BYTES || !this.#announce(batch)) {
        // The pipe is full, so the host is behind: it must first take what there is.
        this.#scheduled = true;
        setTimeout(this.#run, 1);
        return;
      }
      const batchMs = performance.now();
      const begun = this.#queue.splice(0, batch);
      for (const call of begun) if (!call.ended) this.#begin(call);
      const nowMs = performance.now();
      this.#averageMs += ((nowMs - batchMs) / batch - this.#averageMs) / 8;
      if (nowMs - startedMs > TURN_MS) {
        this.#writer.flush();
        this.#schedule();
        return;
      }
    }
    this.#writer.flush();
    setImmediate(this.#prepare);
  }

  /** How many calls may begin together. */
  #quickCalls(): number {
    if (this.#averageMs > SLOW_MS) return 1;
    return Math.max(1, Math.min(MAX_BATCH, Math.floor(BATCH_MS / this.#averageMs)));
  }

  /** Makes known that the next `batch` calls begin; false if that is not in the pipe yet. */
  #announce(batch: number): boolean {
    const writer = this.#writer;
    if (this.#lone?.ended === true) {
      writer.flush();
      if (writer.backlogBytes === 0) this.#lone = undefined;
    }
    // Incomplete calls count as begun anyway, and their numbers are out of order.
    const begin = this.#queue.slice(0, batch).filter((call) => call.complete);
    const last = begin.at(-1);
    if (last === undefined) return true;
    if (begin.length === 1 && this.#lone === undefined) {
      this.#lone = last;
      return true;
    }
    writer.bare(FRAME.began, last.id);
    writer.flush();
    if (writer.backlogBytes > 0) return false;
    this.#lone = undefined;
    return true;
  }

  #begin(call: RunningCall): void {
    const { fn } = call;
    const params = call.decoded ?? this.#decode(call);
    if (params === undefined || params === 'incomplete') return;
    let instance: Instance;
    try {
      instance = this.#pool.take(call.id, call.owner);
    } catch (error) {
      this.#fail(call, call.owner === undefined ? 'error' : 'busy', `no instance: ${reasonOf(error)}`);
      return;
    }
    call.instance = instance;
    let returned: unknown;
    try {
      returned = fn.invoke(instance, params);
      if (returned instanceof EarlyResult) {
        call.guest = returned.guest;
        returned = returned.value;
      }
    } catch (error) {
      this.#onThrown(call, error);
      return;
    }
    if (returned instanceof Promise) {
      returned.then(
        (value) => this.#onValue(call, fn.declared === undefined ? value : { tag: 'ok', val: value }),
        (error: unknown) => this.#onThrown(call, error),
      );
    } else {
      this.#onValue(call, fn.declared === undefined ? returned : { tag: 'ok', val: returned });
    }
  }

  /** The parameters; `undefined` if the call has failed. */
  #decode(call: RunningCall): unknown[] | 'incomplete' | undefined {
    const { fn } = call;
    const source = fn.asyncParams ? new RootSource(call.values) : undefined;
    const decoded = fn.codec.decodeParams(call.root, source);
    if (fn.handlesIn) call.owner = this.#handles.accept(decoded.ok);
    if (!decoded.ok) {
      if (decoded.incomplete && call.wantsMore) {
        // A caller that trickles must not make us decode everything at each byte.
        call.need = Math.max(decoded.need, call.root.length + (call.root.length >> 2) + 1);
        return 'incomplete';
      }
      this.#fail(call, source?.refused === true ? 'unsigned-values' : 'bad-params', decoded.reason);
      return undefined;
    }
    return decoded.values;
  }

  // --- ending

  #onThrown(call: RunningCall, error: unknown): void {
    const { fn, instance } = call;
    if (call.ended) return;
    if (fn.declared !== undefined && error instanceof Error && Object.hasOwn(error, 'payload')) {
      this.#onValue(call, { tag: 'err', val: (error as Error & { payload: unknown }).payload });
      return;
    }
    if (instance?.exited !== undefined) this.#fail(call, 'error', `the guest called exit(${instance.exited})`);
    else this.#fail(call, 'trap', reasonOf(error));
  }

  #onValue(call: RunningCall, value: unknown): void {
    if (call.ended) return;
    if (call.fn.asyncResult) {
      void this.#results.sendAsync(call, value).then((failure) => this.#onSent(call, failure));
    } else {
      this.#onSent(call, this.#results.send(call, value));
    }
  }

  #onSent(call: RunningCall, failure: ResultFailure | undefined): void {
    if (call.ended) return;
    if (failure === undefined) this.#finish(call);
    else this.#fail(call, failure.status, failure.detail);
  }

  #fail(call: RunningCall, status: CallFailure, detail: string): void {
    if (call.ended) return;
    this.#end(call);
    this.#drop(call, detail);
    const text = Buffer.from(detail).subarray(0, 512);
    this.#writer.open(FRAME.fail, call.id, 1 + text.length);
    this.#writer.u8(FAILURES.indexOf(status));
    this.#writer.bytes(text);
  }

  #finish(call: RunningCall): void {
    this.#end(call);
    const { instance } = call;
    if (instance === undefined) return;
    call.instance = undefined;
    // A stream parameter that was not read to its end may still be waited for inside; of a twin the guest has no streams.
    if (!call.fn.asyncParams || call.fn.guestInstance !== undefined) this.#pool.giveBack(instance);
    else this.#pool.discard(instance, 'the call has ended');
    if (this.#queue.length > 0) this.#schedule();
  }

  #end(call: RunningCall): void {
    call.ended = true;
    this.#calls.delete(call.id);
    call.sending?.abort(new Error('the call has ended'));
    if (this.#sync) return;
    this.#links.endCall(call.id);
    this.#linkNames.endCall(call.id);
  }

  #drop(call: RunningCall, reason: string): void {
    const { instance } = call;
    if (instance === undefined) return;
    call.instance = undefined;
    this.#pool.discard(instance, reason);
    if (this.#queue.length > 0) this.#schedule();
  }

  #prepareSpare(): void {
    if (this.#queue.length > 0) return;
    try {
      if (this.#pool.prepare()) setImmediate(this.#prepare);
    } catch {
      // The next call tries again, and reports it.
    }
  }
}
