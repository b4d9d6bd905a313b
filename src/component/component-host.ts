import { join } from 'node:path';
import type {
  CallEvents,
  CallHandle,
  ComponentCall,
  ComponentExport,
  ComponentPorts,
  ComponentSpec,
  ComponentStats,
  RunningComponent,
} from './component.ts';
import { GuestLog, printable } from './guest-log.ts';
import { OutboundImports } from './outbound-imports.ts';
import { PendingCall, type CallOwner } from './pending-call.ts';
import { FAILURES, FLAG, FRAME, readPathFrame, type CallFailure, type FrameWriter } from './runner/frames.ts';
import { exportedFunctions, importedFunctions } from './runner/functions.ts';
import { LONG_BACKOFF_MS, RunnerSupervisor } from './supervisor.ts';

const MIB = 1024 * 1024;
/** How often deadlines and memory are looked at while calls are in flight. */
const TICK_MS = 50;
/** How long a runner may take to let go of a call that is over, before it counts as stuck. */
const STUCK_MS = 150;
/** The same while other calls are within their time: one of those may be computing, and would die with the runner. */
const STUCK_AMONG_OTHERS_MS = 1_000;
/** Calls that are handed over beyond those that can run, so that the runner need not wait for the next one. */
const PREFETCH = 16;
/** Bytes waiting in the pipe beyond which calls stay in the queue. */
const MAX_BACKLOG_BYTES = 4 * MIB;
const MAX_DETAIL = 400;
/** Room for a runner beside its guests' memories: Node itself, compiled code, the values of calls. */
const RUNNER_OVERHEAD_BYTES = 192 * MIB;
const START_TIMEOUT_MS = 10_000;
const CALLS_PER_INSTANCE = 100_000;

const NO_HANDLE: CallHandle = { params: () => {}, cancel: () => {} };

/**
 * One component and its runner: admission, queue, deadlines, and which calls die with a runner. A call is begun at most
 * once: when a runner is lost, only calls that it cannot have begun are given to the next one.
 */
export class ComponentHost implements RunningComponent, CallOwner {
  readonly exports: readonly ComponentExport[];
  readonly #spec: ComponentSpec;
  readonly #ports: ComponentPorts;
  readonly #supervisor: RunnerSupervisor;
  readonly #guestLog: GuestLog;
  readonly #imports;
  readonly #maxParamsBytes: number;
  readonly #window: number;
  /** In the order of arrival; ended ones are skipped when their turn comes. */
  #queue: PendingCall[] = [];
  #queued = 0;
  /** What the runner has, in the order it was sent. */
  readonly #sent = new Map<number, PendingCall>();
  #writer: FrameWriter | undefined;
  #outbound: OutboundImports | undefined;
  #nextId = 0;
  /** Number of the last call known to have begun. */
  #began = 0;
  /** Calls that have been admitted and whose caller has no end yet. */
  #inFlight = 0;
  #tick: NodeJS.Timeout | undefined;
  #tickMs = 0;
  /** Why no calls are taken any more. */
  #refusing: string | undefined;
  /** Why none are taken for now: the runner keeps dying. */
  #away: string | undefined;
  #drained: (() => void)[] = [];
  #calls = 0;
  #importsBefore = 0;
  #late = 0;
  readonly #failed: Record<CallFailure, number>;

  constructor(spec: ComponentSpec, ports: ComponentPorts) {
    this.#spec = spec;
    this.#ports = ports;
    this.#maxParamsBytes = spec.maxParamsBytes ?? 16 * MIB;
    this.#window = spec.maxInstances + PREFETCH;
    this.#imports = importedFunctions(spec.types);
    this.exports = exportedFunctions(spec.types).map(({ index, instance, fn, asyncParams, asyncResult }) => ({
      index,
      instance,
      func: fn.wireName,
      asyncParams,
      asyncResult,
    }));
    this.#failed = Object.fromEntries(FAILURES.map((status) => [status, 0])) as Record<CallFailure, number>;
    this.#guestLog = new GuestLog(spec.id, ports.clock, (component, level, line) => ports.onGuestLog(component, level, line));
    this.#supervisor = this.#supervise();
  }

  #supervise(): RunnerSupervisor {
    const { id, transpiled, types, policy, maxInstances, maxMemoryBytes, maxResultBytes, env, args, config, grants } = this.#spec;
    const preopens = grants.preopens ?? [];
    const maxImportsPerCall = this.#spec.maxImportsPerCall ?? 1_000;
    const maxBytes = Math.max(maxResultBytes, this.#maxParamsBytes);
    return new RunnerSupervisor(
      {
        component: id,
        process: {
          artifactDir: transpiled.dir,
          readable: preopens.map((preopen) => preopen.host),
          writable: preopens.filter((preopen) => preopen.writable).map((preopen) => preopen.host),
          network: (grants.network ?? []).length > 0,
          maxMemoryBytes,
          maxHeapMiB: Math.max(128, Math.ceil((8 * maxBytes) / MIB)),
        },
        start: {
          entry: join(transpiled.dir, transpiled.entry),
          dir: transpiled.dir,
          asyncMode: transpiled.asyncMode,
          types,
          policy,
          maxInstances,
          callsPerInstance: CALLS_PER_INSTANCE,
          maxParamsBytes: this.#maxParamsBytes,
          maxResultBytes,
          maxImportsPerCall,
          inlineImports: this.#spec.pendingImports === 'refuse',
          env,
          args,
          config,
          grants,
        },
        maxFrameBytes: maxBytes + 4_096,
        startTimeoutMs: this.#spec.startTimeoutMs ?? START_TIMEOUT_MS,
        // Sync code runs one instance at a time; beside it there are spares, and memories not yet collected.
        maxRssBytes: RUNNER_OVERHEAD_BYTES + 4 * maxBytes + (transpiled.asyncMode === 'sync' ? 4 : maxInstances) * maxMemoryBytes,
        clock: this.#ports.clock,
        log: this.#ports.log,
      },
      {
        ready: (writer) => this.#onReady(writer, maxImportsPerCall),
        frame: (type, frameId, body) => this.#onFrame(type, frameId, body),
        lost: (reason, delayMs, byGuest) => this.#onLost(reason, delayMs, byGuest),
      },
    );
  }

  /** Starts the runner. @throws TRELLIS_COMPONENT_START, TRELLIS_RUNNER_START */
  start(): Promise<void> {
    return this.#supervisor.start();
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get pids(): readonly number[] {
    const pid = this.#supervisor.pid;
    return pid === undefined ? [] : [pid];
  }

  get stats(): ComponentStats {
    return {
      calls: this.#calls,
      failed: { ...this.#failed },
      imports: this.#importsBefore + (this.#outbound?.count ?? 0),
      restarts: this.#supervisor.restarts,
      late: this.#late,
      queued: this.#queued,
      rssBytes: this.#supervisor.rssBytes(),
    };
  }

  call(call: ComponentCall, events: CallEvents): CallHandle {
    this.#calls += 1;
    const closed = this.#refusing ?? this.#away;
    if (closed !== undefined) return this.#refuse(events, 'unavailable', closed);
    if (call.params.length > this.#maxParamsBytes) return this.#refuse(events, 'too-large', 'the parameters are too large');
    if (this.exports[call.exportIndex] === undefined) return this.#refuse(events, 'error', 'there is no such function');
    if (this.#inFlight >= this.#spec.maxInstances + this.#spec.maxQueue) {
      return this.#refuse(events, 'busy', 'the queue of the component is full');
    }
    const timeoutMs = Math.min(call.timeoutMs, this.#spec.timeoutMs);
    const pending = new PendingCall(this, call, this.#ports.clock.monotonicMs() + timeoutMs, events);
    this.#inFlight += 1;
    if (this.#tick === undefined) this.#startTicking();
    if (this.#queue.length === 0 && this.#mayDispatch()) {
      this.#dispatch(pending, call.params);
    } else {
      pending.root = Uint8Array.prototype.slice.call(call.params);
      this.#queue.push(pending);
      this.#queued += 1;
    }
    return pending;
  }

  async drain(): Promise<void> {
    this.#refusing ??= 'the component is draining';
    if (this.#inFlight > 0) await new Promise<void>((resolve) => void this.#drained.push(resolve));
  }

  async stop(): Promise<void> {
    this.#refusing = 'the component was stopped';
    await this.#supervisor.stop();
    this.#failQueue(this.#refusing);
    clearInterval(this.#tick);
    this.#tick = undefined;
  }

  // --- from callers

  laterParams(call: PendingCall, path: string, bytes: Uint8Array, eof: boolean): void {
    if (call.id === 0) {
      call.later ??= [];
      call.later.push({ path, bytes: Uint8Array.prototype.slice.call(bytes), eof });
    } else if (bytes.length < 16_384) {
      this.#writer?.path(FRAME.params, call.id, path, bytes, eof);
    } else {
      this.#writer?.path(FRAME.params, call.id, path, Uint8Array.prototype.slice.call(bytes), eof);
    }
  }

  cancelled(call: PendingCall): void {
    this.#leave();
    this.#abandon(call);
  }

  // --- to the runner

  #mayDispatch(): boolean {
    const writer = this.#writer;
    return writer !== undefined && this.#sent.size < this.#window && writer.backlogBytes < MAX_BACKLOG_BYTES;
  }

  #dispatch(call: PendingCall, params: Uint8Array): void {
    const writer = this.#writer!;
    do this.#nextId = (this.#nextId + 1) >>> 0;
    while (this.#nextId === 0 || this.#sent.has(this.#nextId));
    call.id = this.#nextId;
    // Alone it begins at once, so it could not be moved to another runner.
    if (call.root === undefined && (params.length >= 16_384 || (call.complete && this.#sent.size > 0))) {
      call.root = Uint8Array.prototype.slice.call(params);
    }
    const root = call.root ?? params;
    this.#sent.set(call.id, call);
    writer.open(FRAME.call, call.id, 3 + root.length);
    writer.u16(call.exportIndex);
    writer.u8((call.complete ? FLAG.eof : 0) | (call.inline ? FLAG.inline : 0));
    writer.bytes(root);
    if (call.later === undefined) return;
    for (const { path, bytes, eof } of call.later) writer.path(FRAME.params, call.id, path, bytes, eof);
    call.later = undefined;
  }

  #pump(): void {
    if (this.#queue.length === 0) return;
    let taken = 0;
    while (taken < this.#queue.length && this.#mayDispatch()) {
      const call = this.#queue[taken++]!;
      if (call.over) continue;
      this.#queued -= 1;
      this.#dispatch(call, call.root!);
    }
    if (taken > 0) this.#queue = taken === this.#queue.length ? [] : this.#queue.slice(taken);
  }

  // --- from the runner

  #onReady(writer: FrameWriter, maxImportsPerCall: number): void {
    this.#away = undefined;
    this.#writer = writer;
    this.#outbound = new OutboundImports(
      {
        component: this.#spec.id,
        imports: this.#imports,
        maxImportsPerCall,
        maxParamsBytes: this.#maxParamsBytes,
        invokeImport: (call, events) => this.#ports.invokeImport(call, events),
        call: (id) => {
          const call = this.#sent.get(id);
          return call === undefined || call.over ? undefined : call;
        },
      },
      writer,
    );
    this.#pump();
  }

  #onFrame(type: number, id: number, body: Buffer): void {
    if (!this.#take(type, id, body)) this.#supervisor.kill(`it sent a malformed frame of type ${type}`);
  }

  #take(type: number, id: number, body: Buffer): boolean {
    switch (type) {
      case FRAME.result:
        return this.#onResult(id, body);
      case FRAME.resultPath:
        return this.#onResultPath(id, body);
      case FRAME.ended:
        return this.#onEnded(id);
      case FRAME.fail:
        return this.#onFail(id, body);
      case FRAME.began:
        this.#began = id;
        return true;
      case FRAME.import:
        return this.#outbound?.onImport(id, body) ?? false;
      case FRAME.importParams:
        return this.#outbound?.onParams(id, body) ?? false;
      case FRAME.importCancel:
        this.#outbound?.onCancel(id);
        return true;
      case FRAME.log:
        this.#guestLog.push(body);
        return true;
      default:
        return false;
    }
  }

  #onResult(id: number, body: Buffer): boolean {
    const flags = body[0];
    const call = this.#sent.get(id);
    if (flags === undefined || call === undefined || call.answered) return false;
    const ended = (flags & FLAG.eof) !== 0;
    if (ended) this.#sent.delete(id);
    if (call.over) {
      call.answered = true;
      this.#late += 1;
    } else if (this.#fits(call, body.length - 1, !ended)) {
      call.result(body.subarray(1), !ended);
      if (ended) this.#done(call);
    }
    if (ended) this.#pump();
    return true;
  }

  #onResultPath(id: number, body: Buffer): boolean {
    const piece = readPathFrame(body);
    const call = this.#sent.get(id);
    if (piece === undefined || piece.path === '' || call === undefined || !call.answered) return false;
    if (call.over) this.#late += 1;
    else if (this.#fits(call, piece.bytes.length, true)) call.path(piece.path, piece.bytes, piece.eof);
    return true;
  }

  /** Counts result bytes; false once they are too many, which ends the call. */
  #fits(call: PendingCall, bytes: number, goesOn: boolean): boolean {
    call.resultBytes += bytes;
    if (call.resultBytes <= this.#spec.maxResultBytes) return true;
    this.#fail(call, 'too-large', `the result exceeds ${this.#spec.maxResultBytes} bytes`);
    if (goesOn) this.#abandon(call);
    return false;
  }

  #onEnded(id: number): boolean {
    const call = this.#sent.get(id);
    if (call === undefined || (!call.over && !call.answered)) return false;
    this.#sent.delete(id);
    if (!call.over) this.#done(call);
    this.#pump();
    return true;
  }

  #onFail(id: number, body: Buffer): boolean {
    const status = FAILURES[body[0] ?? 255];
    const call = this.#sent.get(id);
    if (status === undefined || call === undefined) return false;
    this.#sent.delete(id);
    if (!call.over) this.#fail(call, status, printable(body.toString('utf8', 1), MAX_DETAIL));
    this.#pump();
    return true;
  }

  // --- ends

  #done(call: PendingCall): void {
    call.done();
    this.#leave();
  }

  #fail(call: PendingCall, status: CallFailure, detail: string): void {
    this.#failed[status] += 1;
    call.fail(status, detail);
    this.#leave();
  }

  #refuse(events: CallEvents, status: CallFailure, detail: string): CallHandle {
    this.#failed[status] += 1;
    events.fail(status, detail);
    return NO_HANDLE;
  }

  #leave(): void {
    this.#inFlight -= 1;
    if (this.#inFlight > 0) return;
    for (const resolve of this.#drained) resolve();
    this.#drained = [];
  }

  /** The caller has its end; the runner is told, and must let go soon. */
  #abandon(call: PendingCall): void {
    if (call.id === 0) {
      this.#queued -= 1;
      return;
    }
    call.abandonedMs = this.#ports.clock.monotonicMs();
    this.#writer?.bare(FRAME.cancel, call.id);
  }

  #onLost(reason: string, delayMs: number, byGuest: boolean): void {
    this.#importsBefore += this.#outbound?.count ?? 0;
    this.#writer = undefined;
    this.#outbound = undefined;
    const detail = printable(`the runner was lost: ${reason}`, MAX_DETAIL);
    const lost = [...this.#sent.values()];
    const unbegun: PendingCall[] = [];
    // A runner announces what it begins, except one call at a time: the first that is neither announced nor answered.
    let inDoubt = true;
    let culpritFound = false;
    const sync = this.#spec.transpiled.asyncMode === 'sync';
    this.#sent.clear();
    for (const call of lost) {
      const announced = this.#began !== 0 && ((call.id - this.#began) | 0) <= 0;
      const mayHaveBegun = !call.complete || announced || inDoubt;
      if (call.complete && !announced) inDoubt = false;
      // Code without waits runs in order, so the first complete call is the one that ran.
      const culprit = byGuest && sync && call.complete && !culpritFound;
      if (call.complete) culpritFound = true;
      if (call.over) continue;
      if (culprit) {
        this.#fail(call, 'trap', detail);
      } else if (mayHaveBegun || call.root === undefined) {
        this.#fail(call, 'unavailable', detail);
      } else {
        call.id = 0;
        unbegun.push(call);
      }
    }
    this.#began = 0;
    this.#queued += unbegun.length;
    this.#queue = [...unbegun, ...this.#queue];
    if (delayMs >= LONG_BACKOFF_MS) this.#away = detail;
    if (this.#refusing !== undefined || this.#away !== undefined) this.#failQueue(detail);
  }

  #failQueue(detail: string): void {
    const waiting = this.#queue;
    this.#queue = [];
    this.#queued = 0;
    for (const call of waiting) if (!call.over) this.#fail(call, 'unavailable', detail);
  }

  // --- time and memory

  #startTicking(): void {
    this.#tickMs = this.#ports.clock.monotonicMs();
    this.#tick = setInterval(() => this.#onTick(), TICK_MS);
  }

  #onTick(): void {
    const nowMs = this.#ports.clock.monotonicMs();
    // When this process itself was held up, the runner's answers wait behind this timer: judge nobody by it.
    const onTime = nowMs - this.#tickMs < 2 * TICK_MS;
    this.#tickMs = nowMs;
    if (this.#inFlight === 0 && this.#sent.size === 0) {
      clearInterval(this.#tick);
      this.#tick = undefined;
      return;
    }
    for (const call of this.#sent.values()) if (!call.over && nowMs >= call.deadlineMs) this.#expire(call);
    if (this.#queued > 0) for (const call of this.#queue) if (!call.over && nowMs >= call.deadlineMs) this.#expire(call);
    if (onTime) this.#killIfStuck(nowMs);
    this.#supervisor.checkMemory();
  }

  #expire(call: PendingCall): void {
    this.#fail(call, 'timeout', 'the call did not end within its time');
    this.#abandon(call);
    this.#pump();
  }

  /** Kills the runner when guest code keeps it from letting go of a call that is over. */
  #killIfStuck(nowMs: number): void {
    const sync = this.#spec.transpiled.asyncMode === 'sync';
    let others = false;
    let longestMs = 0;
    for (const call of this.#sent.values()) {
      if (call.abandonedMs !== 0) longestMs = Math.max(longestMs, nowMs - call.abandonedMs);
      else if (!sync || longestMs === 0) others = true;
      // Sync code runs in order: if the first call is not over, it may compute for as long as its time lasts.
      if (sync && call.complete && others) return;
    }
    if (longestMs > (others ? STUCK_AMONG_OTHERS_MS : STUCK_MS))
      this.#supervisor.kill('guest code did not end in its time', true);
  }
}
