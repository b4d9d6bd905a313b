import { Answers } from './answers.ts';
import { CallQueue } from './call-queue.ts';
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
import { isStuck, Ticker } from './deadlines.ts';
import { GuestLog, printable } from './guest-log.ts';
import { sortLost } from './lost-calls.ts';
import { OutboundImports } from './outbound-imports.ts';
import { PendingCall, type CallOwner } from './pending-call.ts';
import { FAILURES, FLAG, FRAME, type CallFailure, type FrameWriter } from './runner/frames.ts';
import { exportedFunctions, importedFunctions } from './runner/functions.ts';
import type { RunnerStart } from './runner/start.ts';
import { maxImportsPerCall, maxParamsBytes, supervisorOptions } from './runner-options.ts';
import { LONG_BACKOFF_MS, RunnerSupervisor } from './supervisor.ts';

const MIB = 1024 * 1024;
/**
 * Calls that are handed over beyond those that can run: the runner need not wait for the next one, and many share a write. They
 * cost nothing when the runner dies, because those that have not begun move to the next one.
 */
const PREFETCH = 256;
/** Bytes waiting in the pipe beyond which calls stay in the queue. */
const MAX_BACKLOG_BYTES = 4 * MIB;
/** Bytes that may wait, in the queue or in the pipe, before callers are told that the component is busy. */
const MAX_WAITING_BYTES = 64 * MIB;
const MAX_DETAIL = 400;

/** A copy to keep. Small ones share a block: an array of its own costs more to make and to free than their bytes. */
const copyOf = (bytes: Uint8Array): Uint8Array => Buffer.from(bytes);

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
  readonly #answers: Answers;
  readonly #imports;
  readonly #maxParamsBytes: number;
  #maxInstances: number;
  /** What the runner knows of that. */
  #toldInstances = 0;
  readonly #queue = new CallQueue();
  /** What the runner has, in the order it was sent. */
  readonly #sent = new Map<number, PendingCall>();
  #writer: FrameWriter | undefined;
  #outbound: OutboundImports | undefined;
  #nextId = 0;
  /** Number of the last call known to have begun. */
  #began = 0;
  /** Calls that have been admitted and whose caller has no end yet. */
  #inFlight = 0;
  readonly #ticker: Ticker;
  /** Why no calls are taken any more. */
  #refusing: string | undefined;
  /** Why none are taken for now: the runner keeps dying. */
  #away: string | undefined;
  #drained: (() => void)[] = [];
  #config: ComponentSpec['config'];
  /** What the runner knows of it; another object: it has to be told. */
  #toldConfig: ComponentSpec['config'] | undefined;
  #calls = 0;
  #importsBefore = 0;
  readonly #failed: Record<CallFailure, number>;

  constructor(spec: ComponentSpec, ports: ComponentPorts) {
    this.#spec = spec;
    this.#ports = ports;
    this.#maxParamsBytes = maxParamsBytes(spec);
    this.#maxInstances = spec.maxInstances;
    this.#imports = importedFunctions(spec.types);
    this.exports = exportedFunctions(spec.types).map(({ index, instance, fn, asyncParams, asyncResult }) => ({
      index,
      instance,
      func: fn.wireName,
      asyncParams,
      asyncResult,
    }));
    this.#failed = Object.fromEntries(FAILURES.map((status) => [status, 0])) as Record<CallFailure, number>;
    this.#ticker = new Ticker(ports.clock, (nowMs, onTime) => this.#onTick(nowMs, onTime));
    this.#answers = new Answers({
      calls: this.#sent,
      maxResultBytes: spec.maxResultBytes,
      ended: () => this.#leave(),
      fail: (call, status, detail) => this.#fail(call, status, detail),
      abandon: (call) => this.#abandon(call),
      released: () => this.#pump(),
    });
    this.#guestLog = new GuestLog(spec.id, ports.clock, (component, level, line, context) =>
      ports.onGuestLog(component, level, line, context),
    );
    this.#config = spec.config;
    const options = supervisorOptions(spec, ports, () => ({ config: this.#config, maxInstances: this.#maxInstances }));
    const start = (): RunnerStart => {
      this.#toldConfig = this.#config;
      this.#toldInstances = this.#maxInstances;
      return options.start();
    };
    this.#supervisor = new RunnerSupervisor(
      { ...options, start },
      {
        ready: (writer) => this.#onReady(writer),
        frame: (type, id, body) => this.#onFrame(type, id, body),
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
      late: this.#answers.late,
      queued: this.#queue.count,
      rssBytes: this.#supervisor.rssBytes(),
    };
  }

  call(call: ComponentCall, events: CallEvents): CallHandle {
    this.#calls += 1;
    const closed = this.#refusing ?? this.#away;
    if (closed !== undefined) return this.#refuse(events, 'unavailable', closed);
    if (call.params.length > this.#maxParamsBytes) return this.#refuse(events, 'too-large', 'the parameters are too large');
    if (this.exports[call.exportIndex] === undefined) return this.#refuse(events, 'error', 'there is no such function');
    if (this.#inFlight >= this.#maxInstances + this.#spec.maxQueue || this.#queue.bytes > MAX_WAITING_BYTES) {
      return this.#refuse(events, 'busy', 'the queue of the component is full');
    }
    const timeoutMs = Math.min(call.timeoutMs, this.#spec.timeoutMs);
    const pending = new PendingCall(this, call, this.#ports.clock.monotonicMs() + timeoutMs, events);
    this.#inFlight += 1;
    this.#ticker.start();
    if (this.#queue.isEmpty && this.#mayDispatch()) {
      this.#dispatch(pending, call.params);
    } else {
      pending.root = copyOf(call.params);
      this.#queue.add(pending, call.params.length);
    }
    return pending;
  }

  setConfig(values: ComponentSpec['config']): void {
    this.#config = { ...values };
    this.#tellNow();
  }

  setMaxInstances(count: number): void {
    this.#maxInstances = count;
    this.#tellNow();
    this.#pump();
  }

  async drain(): Promise<void> {
    this.#refusing ??= 'the component is draining';
    if (this.#inFlight > 0) await new Promise<void>((resolve) => void this.#drained.push(resolve));
  }

  async stop(): Promise<void> {
    this.#refusing = 'the component was stopped';
    await this.#supervisor.stop();
    this.#failQueue(this.#refusing);
    this.#ticker.stop();
  }

  // --- from callers

  laterParams(call: PendingCall, path: string, bytes: Uint8Array, eof: boolean): void {
    if (eof && path === '') call.rootEnded = true;
    if (this.#queue.bytes > MAX_WAITING_BYTES || (this.#writer?.backlogBytes ?? 0) > MAX_WAITING_BYTES) {
      this.#fail(call, 'busy', 'parameters come faster than the component takes them');
      this.#abandon(call);
    } else if (call.id === 0) {
      call.later ??= [];
      call.later.push({ path, bytes: copyOf(bytes), eof });
      this.#queue.hold(call, bytes.length);
    } else if (bytes.length < 16_384) {
      this.#writer?.path(FRAME.params, call.id, path, bytes, eof);
    } else {
      this.#writer?.path(FRAME.params, call.id, path, copyOf(bytes), eof);
    }
  }

  cancelled(call: PendingCall): void {
    this.#leave();
    this.#abandon(call);
  }

  // --- to the runner

  #mayDispatch(): boolean {
    const writer = this.#writer;
    return writer !== undefined && writer.backlogBytes < MAX_BACKLOG_BYTES && this.#hasRoom();
  }

  /** Calls whose callers have not sent all parameters take no place from others: to hand such a one over begins nothing. */
  #hasRoom(): boolean {
    const window = this.#maxInstances + PREFETCH;
    if (this.#sent.size < window) return true;
    let taken = 0;
    for (const call of this.#sent.values()) if (call.rootEnded && ++taken === window) return false;
    return true;
  }

  #tellNow(): void {
    if (this.#writer !== undefined && this.#writer.backlogBytes < MAX_BACKLOG_BYTES) this.#tell(this.#writer);
  }

  /** Before the next call. Where nobody calls or the pipe is full, changes wait here: only the last of them counts. */
  #tell(writer: FrameWriter): void {
    if (this.#toldInstances !== this.#maxInstances) {
      this.#toldInstances = this.#maxInstances;
      writer.open(FRAME.instances, 0, 4);
      writer.u32(this.#maxInstances);
    }
    if (this.#toldConfig === this.#config) return;
    this.#toldConfig = this.#config;
    const json = Buffer.from(JSON.stringify(this.#config));
    writer.open(FRAME.config, 0, json.length);
    writer.bytes(json);
  }

  #dispatch(call: PendingCall, params: Uint8Array): void {
    const writer = this.#writer!;
    this.#tell(writer);
    do this.#nextId = (this.#nextId + 1) >>> 0;
    while (this.#nextId === 0 || this.#sent.has(this.#nextId));
    call.id = this.#nextId;
    // Alone it begins at once, so it could not be moved to another runner.
    if (call.root === undefined && (params.length >= 16_384 || (call.complete && this.#sent.size > 0))) {
      call.root = copyOf(params);
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
    // As a rule nobody waits, and this is asked at the end of every call.
    if (this.#queue.isEmpty) return;
    this.#queue.pump(
      () => this.#mayDispatch(),
      (call) => this.#dispatch(call, call.root!),
    );
  }

  // --- from the runner

  #onReady(writer: FrameWriter): void {
    this.#away = undefined;
    this.#writer = writer;
    this.#outbound = new OutboundImports(
      {
        component: this.#spec.id,
        imports: this.#imports,
        maxImportsPerCall: maxImportsPerCall(this.#spec),
        maxParamsBytes: this.#maxParamsBytes,
        invokeImport: (call, events) => this.#ports.invokeImport(call, events),
        hasLink: (name, iface) => this.#ports.hasLink?.(this.#spec.id, name, iface) ?? false,
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
    let fine = true;
    switch (type) {
      case FRAME.began:
        this.#began = id;
        break;
      case FRAME.import:
        fine = this.#outbound?.onImport(id, body) ?? false;
        break;
      case FRAME.importParams:
        fine = this.#outbound?.onParams(id, body) ?? false;
        break;
      case FRAME.importCancel:
        this.#outbound?.onCancel(id);
        break;
      case FRAME.log:
        fine = this.#guestLog.push(body);
        break;
      case FRAME.askLinks:
        fine = this.#outbound?.onAskLinks(id, body) ?? false;
        break;
      default:
        fine = this.#answers.take(type, id, body);
    }
    if (!fine) this.#supervisor.kill(`it sent a malformed frame of type ${type}`);
  }

  // --- ends

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
      this.#queue.leave(call);
      return;
    }
    call.abandonedMs = this.#ports.clock.monotonicMs();
    this.#writer?.bare(FRAME.cancel, call.id);
  }

  #onLost(reason: string, delayMs: number, byGuest: boolean): void {
    if (this.#refusing === undefined) this.#ports.onRunnerLost?.(this.#spec.id);
    this.#importsBefore += this.#outbound?.count ?? 0;
    this.#writer = undefined;
    this.#outbound = undefined;
    const detail = printable(`the runner was lost: ${reason}`, MAX_DETAIL);
    const sync = this.#spec.transpiled.asyncMode === 'sync';
    const lost = sortLost([...this.#sent.values()], { began: this.#began, sync, byGuest });
    this.#sent.clear();
    for (const call of lost.trapped) this.#fail(call, 'trap', detail);
    for (const call of lost.begun) this.#fail(call, 'unavailable', detail);
    // Whoever was told of the end of one may have given up another.
    const again = lost.unbegun.filter(({ over }) => !over);
    for (const call of again) call.id = 0;
    this.#queue.putBack(again);
    this.#began = 0;
    if (delayMs >= LONG_BACKOFF_MS) this.#away = detail;
    if (this.#refusing !== undefined || this.#away !== undefined) this.#failQueue(detail);
  }

  #failQueue(detail: string): void {
    for (const call of this.#queue.empty()) {
      if (call.over) continue;
      this.#queue.leave(call);
      this.#fail(call, 'unavailable', detail);
    }
  }

  // --- time and memory

  #onTick(nowMs: number, onTime: boolean): boolean {
    for (const call of this.#sent.values()) if (!call.over && nowMs >= call.deadlineMs) this.#expire(call);
    for (const call of this.#queue.overdue(nowMs)) if (!call.over) this.#expire(call);
    // What waited for the pipe and not for a call to end.
    this.#pump();
    const sync = this.#spec.transpiled.asyncMode === 'sync';
    if (onTime && isStuck(this.#sent.values(), sync, nowMs)) {
      this.#supervisor.kill('guest code did not end in its time', true);
    }
    this.#supervisor.checkMemory();
    return this.#inFlight > 0 || this.#sent.size > 0;
  }

  #expire(call: PendingCall): void {
    this.#fail(call, 'timeout', 'the call did not end within its time');
    this.#abandon(call);
    this.#pump();
  }
}

/**
 * Starts a component in a runner process of its own and resolves when it can take calls.
 * @throws TRELLIS_COMPONENT_START if the component cannot be loaded or linked, TRELLIS_RUNNER_START if its process cannot run
 */
export async function startComponent(spec: ComponentSpec, ports: ComponentPorts): Promise<RunningComponent> {
  const host = new ComponentHost(spec, ports);
  await host.start();
  return host;
}
