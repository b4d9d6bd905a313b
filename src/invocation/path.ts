import type { CallEvents, CallHandle } from '../component/component.ts';
import type { CallFailure } from '../component/runner/frames.ts';
import type { ErrorCode } from '../errors.ts';
import type { InvocationOutcome } from '../telemetry/metrics.ts';
import { type Denial, deny, type TokenFacts } from '../trust/denial.ts';
import type { AcceptToSign } from '../trust/signer.ts';
import type { PendingInvocation } from '../trust/verify-request.ts';
import type { LineHolder } from '../wrpc/bus.ts';
import type { IncomingInvocation } from '../wrpc/server.ts';
import { Acceptance } from './acceptance.ts';
import type { Permit } from './admit.ts';
import { correlationOf } from './correlation.ts';
import { type Failure, RUN_FAILURE } from './failure-codes.ts';
import type { ForeignGate } from './foreign/gates.ts';
import { maxSharedBytes, oneMessageFault } from './foreign/one-message.ts';
import { type Gate, isListed, type Runnable } from './gate.ts';
import { HEADER } from './headers.ts';
import { openInvocation, type OpenedInvocation } from './open.ts';
import { Intake } from './intake.ts';
import { LaterParams } from './later-params.ts';
import { LongCalls, type LongCall } from './long-calls.ts';
import type { Gathered } from './params.ts';
import type { PathOptions, ServedFunction } from './path-options.ts';
import { replyFailure, replyResult, type ReplyContext } from './reply.ts';
import { pairName } from './unsigned-pairs.ts';
import { ResultFrames } from './value-frames.ts';

/** The one reason that is told: it teaches an attacker nothing, and an unmodified peer what it is missing. */
const NOT_SIGNED = 'invocation not signed';
const TRY_AGAIN: ReadonlySet<ErrorCode> = new Set(['TRELLIS_VERIFY_REPLAY_FULL', 'TRELLIS_VERIFY_FLOODED']);
/** An overloaded host says so ten times as often as it explains itself to strangers. */
const BUSY_WEIGHT = 0.1;

/**
 * The path of every invocation of one component:
 *
 *     message ─► admit ─► open ─► verify ─► run ─► sign ─► reply
 *
 * Returns the handler for one served function. It never throws, and each message it is given leaves by exactly one exit:
 * one reply, one metric, one log line, one code.
 */
export function createPath(options: PathOptions): (fn: ServedFunction) => (message: IncomingInvocation) => void {
  const shared: Shared = { waiting: new Set(), longCalls: new LongCalls() };
  return (fn) => (message) => new Passage(options, fn, message, shared).admit();
}

/** What the invocations of one component share. */
interface Shared {
  /** Requests that are being taken in. */
  readonly waiting: Set<string>;
  readonly longCalls: LongCalls;
}

class Passage implements CallEvents, LongCall, LineHolder {
  readonly #path: PathOptions;
  readonly #fn: ServedFunction;
  readonly #message: IncomingInvocation;
  readonly #startedMs: number;
  readonly #token: string | undefined;
  /** Present if the call came from another NATS account: whoever calls from there gets one message back. */
  readonly #foreign: ForeignGate | undefined;
  readonly #gate: Gate;
  #permit: Permit | undefined;
  #opened: OpenedInvocation | undefined;
  #origin: string | undefined;
  /** What the token says of itself, once it could be read. */
  #claims: TokenFacts | undefined;
  /** What the caller should show when it sends the same again. */
  #need: Denial['need'];
  /** Let in unsigned, because an operator listed this pair. */
  #listed = false;
  #verified = false;
  /** The gate has let it through: whatever is answered from here on is about this request and no copy of it. */
  #admitted = false;
  #handle: CallHandle | undefined;
  #intake: Intake | undefined;
  /** The request, once it is verified and admitted. */
  #pending: PendingInvocation | undefined;
  /** The signed acknowledgement, once one was needed. */
  #acceptance: Acceptance | undefined;
  /** What may follow the first message; most calls need none. */
  #later: LaterParams | undefined;
  /** Streams and futures of the result, and whether the call ends with them. */
  #frames: ResultFrames | undefined;
  #lastFrame = false;
  #ended = false;
  readonly #shared: Shared;

  constructor(path: PathOptions, fn: ServedFunction, message: IncomingInvocation, shared: Shared) {
    this.#shared = shared;
    this.#path = path;
    this.#fn = fn;
    this.#message = message;
    this.#startedMs = path.clock.monotonicMs();
    this.#token = message.header(HEADER.invocation);
    this.#foreign = path.foreign.gateFor(message);
    this.#gate = this.#foreign ?? path.gate;
    message.onCut(this);
  }

  /** The connection has moved, and this call took longer than it could wait. */
  onLineEnding(): void {
    this.#leave('timeout', 'timeout', 'TRELLIS_INVOKE_MOVED', 'the connection has moved on and waits no longer');
  }

  admit(): void {
    const lane = this.#foreign?.lane ?? this.#message.header(HEADER.sourceId);
    this.#permit = this.#path.admission.enter(this.#path.revision, this.#path.maxInFlight, lane);
    if (this.#permit === undefined) {
      this.#leave('busy', 'busy', 'TRELLIS_PATH_BUSY', 'no permit');
      return;
    }
    this.#open();
  }

  #open(): void {
    const opened = openInvocation(this.#message, this.#path.limits);
    if ('malformed' in opened) {
      this.#leave('bad', 'bad-params', 'TRELLIS_PATH_MALFORMED', opened.malformed);
      return;
    }
    this.#opened = opened;
    this.#origin = opened.sourceId;
    this.#verify(opened);
  }

  /** @param isLast - It has waited for what it may wait for. */
  #verify(opened: OpenedInvocation, isLast = false): void {
    const verdict = this.#gate.check(opened, this.#message, this.#fn);
    if (!verdict.ok) {
      const awaited = isLast ? undefined : this.#gate.awaits?.(verdict, opened, this.#message, this.#fn);
      if (awaited === undefined) {
        this.#deny(verdict);
        return;
      }
      this.#message.keep();
      void awaited.then(() => {
        if (!this.#ended) this.#verify(opened, true);
      });
      return;
    }
    if (verdict.pending !== undefined) {
      this.#claims = verdict.pending.claims;
      this.#origin = this.#claims.org;
      this.#verifyParams(verdict.pending);
      return;
    }
    if (verdict.denied !== undefined) {
      this.#path.observer.wouldDeny(verdict.denied.code, verdict.denied.detail, this.#path.id, this.#fn.operation);
    }
    const declared = opened.declaredBytes;
    const complete = this.#message.unary && declared === this.#message.payload.length;
    this.#run(verdict.runnable, this.#message.payload, complete);
  }

  /** Gathers what the token announced, then lets the gate judge all of it. Nothing runs before the last byte is proven. */
  #verifyParams(pending: PendingInvocation): void {
    const first = this.#message.payload;
    const expected = pending.claims.len;
    if (expected > this.#path.limits.maxParamsBytes) {
      this.#leave('bad', 'too-large', 'TRELLIS_PATH_TOO_LARGE', 'parameters larger than limits.maxParamsBytes');
      return;
    }
    if (this.#foreign !== undefined) {
      if (first.length >= expected) this.#admitParams(pending, [first], first);
      else
        this.#leave('bad', 'too-large', 'TRELLIS_SHARED_TOO_LARGE', `${expected} bytes of parameters came in several messages`);
      return;
    }
    const { confirm } = this.#path;
    if (first.length >= expected && !confirm) {
      this.#admitParams(pending, [first], first);
      return;
    }
    this.#intake = Intake.begin({
      path: this.#path,
      message: this.#message,
      pending,
      waiting: this.#shared.waiting,
      done: (gathered) => this.#onGathered(pending, gathered),
    });
    if (this.#intake === undefined) this.#deny(deny('TRELLIS_VERIFY_REPLAYED', 'a copy of it is being taken in'));
    else this.#accept(pending, confirm ? 'confirm' : undefined);
  }

  #onGathered(pending: PendingInvocation, gathered: Gathered): void {
    if (this.#ended) return;
    if (gathered === 'incomplete') this.#leave('bad', 'timeout', 'TRELLIS_PATH_PARAMS_TIMEOUT', 'parameters did not arrive');
    else if (gathered === 'unconfirmed') this.#deny(deny('TRELLIS_VERIFY_UNCONFIRMED', 'no confirmation came in time'));
    else this.#admitParams(pending, [gathered], gathered);
  }

  /** Acknowledges, signed: further parameters may come, and streams and futures too if the caller has offered a session. */
  #accept(pending: PendingInvocation, state: AcceptToSign['state']): void {
    const { signer, introductions, id: server } = this.#path;
    const withSession = this.#fn.asyncParams || this.#fn.asyncResult;
    this.#acceptance = new Acceptance({ signer, introductions, server, message: this.#message, pending }, withSession);
    if (!this.#acceptance.usable) {
      this.#deny(deny('TRELLIS_VERIFY_MALFORMED', 'epk is no X25519 key'));
      return;
    }
    this.#expectParams();
    this.#acceptance.send(state);
  }

  #admitParams(pending: PendingInvocation, root: readonly Uint8Array[], params: Uint8Array): void {
    const verdict = this.#gate.admit(pending, root);
    if (!verdict.ok) {
      this.#deny(verdict);
      return;
    }
    if (verdict.denied === undefined) this.#verified = true;
    else this.#path.observer.wouldDeny(verdict.denied.code, verdict.denied.detail, this.#path.id, this.#fn.operation);
    if (this.#later !== undefined) this.#later.verified = this.#verified;
    this.#admitted = true;
    const unfit = this.#foreign && oneMessageFault(this.#fn, this.#message.unary, this.#path.confirm);
    if (unfit !== undefined) {
      this.#leave('bad', ...unfit);
      return;
    }
    const offered = pending.claims.epk !== undefined && (this.#fn.asyncParams || this.#fn.asyncResult);
    if (offered && this.#acceptance === undefined) this.#accept(pending, 'running');
    if (this.#ended) return;
    if (this.#verified && this.#message.unary && this.#foreign === undefined) {
      this.#pending = pending;
      this.#shared.longCalls.add(this);
    }
    this.#run(verdict.runnable, params, true);
  }

  /** The call takes long: its caller learns, signed, that it runs, and will believe no stranger's refusal. */
  tellRunning(): void {
    const { signer, introductions, id: server } = this.#path;
    if (this.#ended || this.#pending === undefined) return;
    this.#acceptance ??= new Acceptance({ signer, introductions, server, message: this.#message, pending: this.#pending }, false);
    this.#acceptance.send('running');
  }

  #run(proof: Runnable, params: Uint8Array, complete: boolean): void {
    this.#admitted = true;
    this.#listed = isListed(proof);
    if (this.#listed) {
      const pair = pairName(this.#origin ?? '', this.#fn.target, this.#fn.instance);
      this.#path.observer.unsigned('in', pair, this.#fn.asyncParams || this.#fn.asyncResult);
    }
    const opened = this.#opened;
    const depth = opened?.depth ?? 0;
    if (depth > this.#path.limits.maxCallDepth) {
      this.#leave('error', 'error', 'TRELLIS_CALL_DEPTH', `call depth ${depth}`);
      return;
    }
    const strict = this.#strict;
    // A 1.x caller sends nothing more until it has its acknowledgement.
    const plain = this.#acceptance === undefined;
    if (plain && (!this.#message.unary || !complete || (this.#fn.asyncParams && !strict))) {
      // Under `enforce` all that may come is here, and whoever sends more is a stranger.
      if (!strict) this.#expectParams();
      this.#message.accept();
    }
    this.#handle = this.#path.component.call(
      {
        exportIndex: this.#fn.exportIndex,
        params,
        complete,
        timeoutMs: this.#path.timeoutMs,
        depth,
        pending: strict && this.#acceptance?.withSession !== true ? 'refuse' : 'allow',
        ...(opened?.traceparent === undefined ? {} : { trace: opened.traceparent }),
      },
      this,
    );
    this.#later?.begin(this.#handle);
  }

  /** Streams and futures must be proved. An unsigned call of a listed pair has nothing to prove them by, nor its root. */
  get #strict(): boolean {
    return this.#gate.mode === 'enforce' && !this.#listed;
  }

  /** From now on parameters may come. */
  #expectParams(): void {
    const later = (this.#later = new LaterParams(this.#path, (...exit) => this.#leave(...exit)));
    later.bytes = this.#message.payload.length;
    later.acceptance = this.#acceptance;
    later.intake = this.#intake;
    later.verified = this.#verified;
    later.strict = this.#strict;
    this.#message.onParams((path, bytes, eof, header) => {
      if (!this.#ended) later.take(path, bytes, eof, header);
    });
  }

  /** The component's result; what remains is sign and reply. */
  result(root: Uint8Array, hasPending: boolean): void {
    if (this.#ended) return;
    if (this.#foreign !== undefined && root.length > maxSharedBytes(this.#message.maxReplyBytes)) {
      this.#leave('error', 'too-large', 'TRELLIS_SHARED_TOO_LARGE', `a result of ${root.length} bytes`);
      return;
    }
    if (hasPending) {
      const frames = (this.#frames = new ResultFrames(this.#message));
      replyResult(this.#message, this.#replyContext, root, true, () => {
        if (this.#ended) return;
        frames.release();
        if (this.#lastFrame) this.done();
      });
      return;
    }
    this.#ended = true;
    replyResult(this.#message, this.#replyContext, root, false, () => this.#close('ok'));
  }

  path(path: string, bytes: Uint8Array, eof: boolean): void {
    if (!this.#ended) this.#frames?.push(path, bytes, eof);
  }

  /** Every pending value of the result has been sent. */
  done(): void {
    this.#lastFrame = true;
    if (this.#ended || this.#frames?.holding === true) return;
    this.#ended = true;
    this.#close('ok');
  }

  fail(status: CallFailure, detail: string): void {
    const [failure, code] = RUN_FAILURE[status];
    this.#leave(failure === 'unsigned-values' ? 'denied' : failure, failure, code, detail);
  }

  /** To the caller every denial reads alike; a full replay window and a flood say busy, because trying again later helps. */
  #deny(denial: Denial): void {
    const outcome = TRY_AGAIN.has(denial.code) ? 'busy' : 'denied';
    this.#claims ??= denial.said;
    this.#need = denial.need;
    this.#origin = this.#claims?.org ?? this.#origin;
    this.#leave(outcome, outcome, denial.code, denial.detail);
  }

  get #replyContext(): ReplyContext {
    const { signer, id: server } = this.#path;
    const { introductions } = this.#foreign ?? this.#path;
    return { signer, introductions, server, token: this.#token, inbox: this.#acceptance?.inbox };
  }

  /** Leaves the path by a side exit. */
  #leave(outcome: InvocationOutcome, failure: Failure, code: ErrorCode, detail: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#handle?.cancel();
    // A Trellis caller gets the reason instead, after the root as well as before it.
    if (!this.#message.unary) this.#frames?.cut();
    // What is refused before it runs may be a stranger's copy of a request that is running. A signature on that refusal would
    // let the stranger end somebody else's call, and buy cryptography with a flood.
    const reply = this.#admitted ? this.#replyContext : { ...this.#replyContext, token: undefined };
    if (!this.#admitted && !this.#mayAnswer(code)) {
      this.#close(outcome, code, detail, correlationOf(this.#claims));
      return;
    }
    const refused = this.#handle === undefined || outcome === 'denied';
    const correlation = refused ? correlationOf(this.#claims) : undefined;
    const text = code === 'TRELLIS_VERIFY_UNSIGNED' ? { text: NOT_SIGNED } : {};
    const note = correlation === undefined ? undefined : { correlation, ...text, need: this.#need };
    replyFailure(this.#message, reply, failure, note, () => this.#close(outcome, code, detail, correlation));
  }

  /** Answers to a flood of forgeries are a flood themselves, and may go where the forger wants them. */
  #mayAnswer(code: ErrorCode): boolean {
    const { refusals } = this.#foreign ?? this.#path;
    if (!refusals.open) return false;
    refusals.spend(code === 'TRELLIS_PATH_BUSY' ? BUSY_WEIGHT : 1);
    return true;
  }

  #close(outcome: InvocationOutcome, code?: ErrorCode, detail?: string, correlation?: string): void {
    this.#permit?.release();
    if (this.#pending !== undefined) this.#shared.longCalls.delete(this);
    this.#intake?.close();
    this.#message.close();
    this.#path.observer.ended({
      component: this.#path.id,
      operation: this.#fn.operation,
      outcome,
      verified: this.#verified,
      durationMs: this.#path.clock.monotonicMs() - this.#startedMs,
      origin: this.#origin,
      ...(this.#foreign === undefined ? {} : { originLattice: this.#foreign.lattice ?? '<unknown>' }),
      traceparent: this.#opened?.traceparent,
      ...(code === undefined ? {} : { code }),
      ...(detail === undefined ? {} : { detail }),
      ...(this.#listed ? { unsigned: true } : {}),
      ...(correlation === undefined ? {} : { correlation, signer: this.#claims?.iss }),
    });
  }
}
