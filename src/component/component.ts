import type { Clock } from '../clock.ts';
import type { ComponentId } from '../ids.ts';
import type { ComponentTypes } from '../wit/types.ts';
import type { CallFailure } from './runner/frames.ts';
import type { TranspiledComponent } from './transpile.ts';

/** What a component may touch beyond its imports along links. Nothing by default. */
export interface ComponentGrants {
  readonly preopens?: readonly { readonly guest: string; readonly host: string; readonly writable: boolean }[];
  /** `host:port` entries. */
  readonly network?: readonly string[];
}

/** What a component is started with. */
export interface ComponentSpec {
  readonly id: ComponentId;
  readonly transpiled: TranspiledComponent;
  readonly types: ComponentTypes;
  /** `fresh`: every call gets an instance of its own. `reuse`: instances, and their memory, serve many calls. */
  readonly policy: 'fresh' | 'reuse';
  /** Calls that run at once, each in its own instance; 1 or more. */
  readonly maxInstances: number;
  /** Calls that wait beyond those; further ones fail as `busy`. */
  readonly maxQueue: number;
  /** Linear memory of one instance, bytes. */
  readonly maxMemoryBytes: number;
  /** Largest root parameters of a call, and of an import it makes, bytes; 16 MiB if left out. */
  readonly maxParamsBytes?: number;
  /** Largest result of a call, its streams included, bytes. */
  readonly maxResultBytes: number;
  /** Cap for the `timeoutMs` of each call. */
  readonly timeoutMs: number;
  /** Longest time to load, link and instantiate the component; 30 s if left out, for a machine that starts many or has other work. */
  readonly startTimeoutMs?: number;
  /** Imports one call may make; 1,000 if left out. */
  readonly maxImportsPerCall?: number;
  readonly env: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly config: Readonly<Record<string, string>>;
  readonly grants: ComponentGrants;
}

/** An import that leaves the component along a link. */
export interface OutboundImport {
  readonly component: ComponentId;
  /** Interface with version, in its form on the wire; `''` for a function of the world. */
  readonly instance: string;
  /** Wire name. */
  readonly func: string;
  /** Encoded root parameters; nobody writes to them again. */
  readonly params: Uint8Array;
  /** Whether async parameters follow through `sendPath`. */
  readonly hasPending: boolean;
  /** Whether the result can hold streams or futures. */
  readonly asyncResult: boolean;
  /** When the calling call ends, on the clock's monotonic scale. The import is cancelled then. */
  readonly deadlineMs: number;
  /** Depth of the call to be made: one more than that of the call that makes it. */
  readonly depth: number;
  readonly trace?: string;
  readonly link?: string;
}

/** How an import is answered: `result` or `fail`, once; after a `result` with `open` any number of `path`. */
export interface ImportEvents {
  /** Root result, whole. Unless it is `open`, what is pending in it stays so, and is refused. */
  result(root: Uint8Array, open: boolean): void;
  /** Async values of the result. */
  path(path: string, bytes: Uint8Array, eof: boolean): void;
  /** The import traps in the guest; `message` goes to the log. */
  fail(message: string): void;
}

/** An import in flight. */
export interface ImportHandle {
  sendPath(path: string, bytes: Uint8Array, eof: boolean): void;
  /** The answer is of no use any more. */
  cancel(): void;
}

/** The part of a pino logger that is used here. */
export interface ComponentLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Levels of guests' lines in a host's log; `critical` of `wasi:logging` is `error` there. */
export type GuestLogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/** What a component needs of its host. */
export interface ComponentPorts {
  readonly log: ComponentLog;
  readonly clock: Clock;
  /** Sends an import along its link. May answer before it returns. Never throws. */
  invokeImport(call: OutboundImport, events: ImportEvents): ImportHandle;
  /**
   * True if the component has a link called `name` for `iface` (`ns:pkg/iface`, no version). Both are the guest's words and may be
   * anything. Never throws. False for all if left out.
   */
  hasLink?(component: ComponentId, name: string, iface: string): boolean;
  /**
   * A line the guest wrote: stdout as `info`, stderr as `warn`, `wasi:logging` with its level and, unless it is empty, its context.
   * Both are printable, bounded and rate-limited.
   */
  onGuestLog(component: ComponentId, level: GuestLogLevel, line: string, context?: string): void;
  /** A runner ended that should not have; another one takes its place. */
  onRunnerLost?(component: ComponentId): void;
}

/** One call. */
export interface ComponentCall {
  readonly exportIndex: number;
  /** Root parameters, or their beginning. Copied before `call` returns. */
  readonly params: Uint8Array;
  /** False: more root bytes may follow through `params('', …)`. */
  readonly complete: boolean;
  /** From now until the caller has given up; waiting in the queue counts. */
  readonly timeoutMs: number;
  readonly depth: number;
  /**
   * `refuse`: values outside the root bytes are refused as `unsigned-values`, and async results are collected and sent in the
   * root; `allow`: they travel on their paths.
   */
  readonly pending: 'allow' | 'refuse';
  readonly trace?: string;
}

/** What comes of a call: exactly one of `done` and `fail`, once, and nothing after it. May be called before `call` returns. */
export interface CallEvents {
  /**
   * Root result, whole; nobody writes to it again. A top-level `err` is a result too. `done` follows, at once if nothing is
   * pending.
   */
  result(root: Uint8Array, hasPending: boolean): void;
  /** Bytes of a pending value of the result. */
  path(path: string, bytes: Uint8Array, eof: boolean): void;
  done(): void;
  /** `detail` is for the log: printable, bounded, may quote what the guest said. */
  fail(status: CallFailure, detail: string): void;
}

/** A call in flight. */
export interface CallHandle {
  /** Parameters that come later: `''` is the root, `'0.1'` an async value. Copied before it returns. */
  params(path: string, bytes: Uint8Array, eof: boolean): void;
  /** Forgets the call; no event follows. */
  cancel(): void;
}

/** A function that the component exports. */
export interface ComponentExport {
  readonly index: number;
  /** Interface with version; `''` for the world. */
  readonly instance: string;
  /** Wire name. */
  readonly func: string;
  /** Whether parameters or result hold streams or futures. */
  readonly asyncParams: boolean;
  readonly asyncResult: boolean;
}

/** Counters since the start, and sizes now. */
export interface ComponentStats {
  readonly calls: number;
  readonly failed: Readonly<Record<CallFailure, number>>;
  readonly imports: number;
  /** Times the runner was replaced. */
  readonly restarts: number;
  /** Results and frames that came for calls already over. */
  readonly late: number;
  readonly queued: number;
  /** Memory of the runner process, bytes; 0 where it cannot be read. */
  readonly rssBytes: number;
}

/** A component that takes calls. */
export interface RunningComponent {
  readonly exports: readonly ComponentExport[];
  /** Calls that have not ended, queued ones included. */
  readonly inFlight: number;
  readonly stats: ComponentStats;
  /** Process ids of its runners, for tests and status. */
  readonly pids: readonly number[];
  /** Starts a call. Never throws. */
  call(call: ComponentCall, events: CallEvents): CallHandle;
  /**
   * Gives the component other values of `wasi:config`, without a restart. Calls that begin from now on see all of them, those that
   * have begun none. Never throws.
   */
  setConfig(values: Readonly<Record<string, string>>): void;
  /** Lets so many calls run at once from now on, 1 or more. Those that run go on, also beyond a smaller number. Never throws. */
  setMaxInstances(count: number): void;
  /** Refuses new calls as `unavailable` and resolves when those in flight have ended. */
  drain(): Promise<void>;
  /** Ends calls in flight as `unavailable` and the runner with them. */
  stop(): Promise<void>;
}
