import type { ErrorCode } from '../errors.ts';
import type { ComponentId, FunctionName, InstanceName, LatticeName, LinkName } from '../ids.ts';
import type { TokenSigner } from '../trust/signer.ts';
import type { Bus } from '../wrpc/bus.ts';
import type { Inbox } from '../wrpc/inbox.ts';
import type { AnswerJudge } from './answer-judge.ts';
import type { VerifyMode } from './gate.ts';
import type { PassMaker } from './headers.ts';
import type { Introductions } from './introductions.ts';
import type { PathObserver } from './observer.ts';
import type { UnsignedPairs } from './unsigned-pairs.ts';

/** One outbound invocation. */
export interface Invocation {
  readonly origin: ComponentId;
  readonly link: LinkName;
  readonly target: ComponentId;
  readonly instance: InstanceName;
  readonly func: FunctionName;
  /** Encoded root parameters. */
  readonly params: Uint8Array;
  /** Time until the call is given up, from now. */
  readonly timeoutMs: number;
  /** Components above this call; the receiving host refuses chains that are too long. */
  readonly depth: number;
  readonly traceparent?: string;
  /** True if the result type holds streams or futures: the call then stays open after `done` until `cancel` or its deadline. */
  readonly asyncResult?: boolean;
  /** True if streams or futures of the parameters follow through `sendPath`. */
  readonly pendingParams?: boolean;
}

/**
 * How an outbound invocation ends: exactly one of `done` and `fail`, once. After `done` with `open`, `path` carries async
 * results, and `cut` says, once, that the rest of them will not come. Without `open` nothing follows the result, so what is
 * pending in it stays so: nobody vouches for it.
 */
export interface InvocationEvents {
  done(result: Uint8Array, open: boolean): void;
  /** `correlation`: under this id the host that refused explains why; by that host's own word. */
  fail(code: ErrorCode, detail: string, correlation?: string): void;
  path?(path: string, bytes: Uint8Array, eof: boolean): void;
  cut?(code: ErrorCode, detail: string): void;
}

/** A call in flight. */
export interface InvocationHandle {
  /** After the result: true if its streams and futures come, or came, on their paths. */
  readonly open: boolean;
  /** Sends bytes of an async parameter, of a call with `pendingParams`. */
  sendPath(path: string, bytes: Uint8Array, eof: boolean): void;
  /** Forgets the call; no event follows. */
  cancel(): void;
}

/** What an invoker is made of. */
export interface InvokerOptions {
  readonly bus: Bus;
  readonly inbox: Inbox;
  readonly lattice: LatticeName;
  readonly mode: VerifyMode;
  readonly signer: TokenSigner;
  /** Makes the admission pass that goes beside a token. */
  readonly passes: PassMaker;
  readonly answers: AnswerJudge;
  readonly introductions: Introductions;
  /** False for an origin that this member may not sign for. */
  readonly speaksFor: (origin: string) => boolean;
  readonly observer: PathObserver;
  /** Which targets may answer which calls unsigned, also under `enforce`. */
  readonly unsigned: UnsignedPairs;
  readonly maxResultBytes: number;
  /**
   * How long an unsigned refusal is held back for a signed answer to overtake it. Nobody signs that there are no
   * responders, and a host signs nothing about a message that it did not let in, because that may have been somebody
   * else's copy of this request.
   */
  readonly refusalGraceMs: number;
}
