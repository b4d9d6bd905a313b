import type { ErrorCode } from '../errors.ts';
import type { SentRequest } from '../trust/signer.ts';
import { prepareCall, type OutgoingCall, type OutgoingEvents, type PathFrame } from '../wrpc/client.ts';
import { invocationSubject } from '../wrpc/subjects.ts';
import { correlationIn } from './correlation.ts';
import { answeredFailure, printableStatus, refusalFailure } from './failure-codes.ts';
import { GatheredBytes } from './gathered-bytes.ts';
import type { VerifyMode } from './gate.ts';
import { HEADER } from './headers.ts';
import type { Invocation, InvocationEvents, InvocationHandle, InvokerOptions } from './outbound.ts';
import { pairName } from './unsigned-pairs.ts';
import { keptFrame, MAX_EARLY_FRAMES, ParamFrames } from './value-frames.ts';

const EMPTY = new Uint8Array(0);

/** Sends invocations: the outbound mirror of the path (sign, send, verify the answer). */
export class Invoker {
  readonly #options: InvokerOptions;
  readonly #calls = new Set<Call>();

  constructor(options: InvokerOptions) {
    this.#options = options;
  }

  /** How strict this side is with answers. */
  get mode(): VerifyMode {
    return this.#options.mode;
  }

  /** Calls in flight. */
  get inFlight(): number {
    return this.#calls.size;
  }

  /** Starts an invocation. Never throws for what a peer does; TRELLIS_NATS_* when the connection itself is closed. */
  invoke(invocation: Invocation, events: InvocationEvents): InvocationHandle {
    const call = new Call(this.#options, invocation, events, () => this.#calls.delete(call));
    this.#calls.add(call);
    call.start();
    return call;
  }

  /** Ends every call in flight with TRELLIS_INVOKE_CANCELLED. */
  close(): void {
    for (const call of this.#calls) call.fail('TRELLIS_INVOKE_CANCELLED', 'the host is stopping');
  }
}

class Call implements OutgoingEvents, InvocationHandle {
  readonly #o: InvokerOptions;
  readonly #invocation: Invocation;
  readonly #events: InvocationEvents;
  readonly #forget: () => void;
  readonly #wire: OutgoingCall;
  readonly #deadline: NodeJS.Timeout;
  #grace: NodeJS.Timeout | undefined;
  /** The refusal that is held back. */
  #refusal: { readonly code: ErrorCode; readonly detail: string } | undefined;
  #sent: SentRequest | undefined;
  /** Under this id the host that refused explains why, by its own word. */
  #correlation: string | undefined;
  readonly #root = new GatheredBytes();
  /** Bytes of the result's streams and futures so far. */
  #pathBytes = 0;
  /** What came of streams and futures before the root. */
  #early: PathFrame[] | undefined;
  readonly #frames: ParamFrames;
  /** Answers that were not believed. */
  #dropped = 0;
  #oneMessage = false;
  #answered = false;
  #ended = false;

  constructor(options: InvokerOptions, invocation: Invocation, events: InvocationEvents, forget: () => void) {
    this.#o = options;
    this.#invocation = invocation;
    this.#events = events;
    this.#forget = forget;
    // The reply subject comes first: the token signs it.
    this.#wire = prepareCall({ bus: options.bus, inbox: options.inbox });
    this.#frames = new ParamFrames(this.#wire);
    this.#deadline = setTimeout(() => {
      if (this.#refusal === undefined) this.#overdue();
      else this.fail(this.#refusal.code, this.#refusal.detail);
    }, invocation.timeoutMs);
  }

  start(): void {
    const { lattice, signer, mode } = this.#o;
    const call = this.#invocation;
    const subject = invocationSubject({ lattice, component: call.target, instance: call.instance, func: call.func });
    if (mode === 'off') {
      this.#send(subject, undefined);
      return;
    }
    signer.request(
      {
        origin: call.origin,
        link: call.link,
        target: call.target,
        instance: call.instance,
        func: call.func,
        subject,
        reply: this.#wire.reply,
        params: call.params,
      },
      (token, sent) => {
        this.#sent = sent;
        this.#send(subject, token);
      },
    );
  }

  #send(subject: string, token: string | undefined): void {
    if (this.#ended) return;
    const call = this.#invocation;
    const headers: [string, string][] = [
      [HEADER.sourceId, call.origin],
      [HEADER.linkName, call.link],
    ];
    if (token !== undefined) headers.push([HEADER.invocation, token]);
    else headers.push([HEADER.length, String(call.params.length)]);
    if (call.depth > 0) headers.push([HEADER.depth, String(call.depth)]);
    if (call.traceparent !== undefined) headers.push([HEADER.traceparent, call.traceparent]);
    try {
      this.#wire.send({ subject, params: call.params, headers, unary: true }, this);
    } catch (error) {
      this.fail('TRELLIS_INVOKE_FAILED', error instanceof Error ? error.message : 'the connection refused the message');
    }
    if (!this.#frames.release()) this.#tooManyFrames();
  }

  /** The acknowledgement. Under `enforce` the rest of the parameters goes only to an inbox that a trusted host signed for. */
  accepted(header: (name: string) => string | undefined, inbox: string): boolean {
    if (this.#o.mode !== 'enforce') return true;
    const proof = header(HEADER.accept);
    if (proof === undefined && this.#mayAnswerUnsigned()) return true;
    const verdict = this.#sent === undefined ? undefined : this.#o.results.accept(this.#sent, proof);
    if (verdict?.ok && verdict.inbox === inbox) return true;
    this.#drop('unsigned acknowledgement');
    return false;
  }

  unary(payload: Uint8Array, header: (name: string) => string | undefined): void {
    this.#oneMessage = true;
    this.#judge([payload], payload, header(HEADER.result));
  }

  refused(status: number, text: string, header: (name: string) => string | undefined): void {
    const proof = header(HEADER.result);
    this.#correlation ??= correlationIn(header(HEADER.correlation));
    // After the root, a refusal says that its streams and futures end here.
    if (!this.#answered && proof !== undefined && this.#judge([], EMPTY, proof, true)) return;
    const [code, detail] = refusalFailure(status, text);
    if (this.#o.mode !== 'enforce') {
      this.fail(code, detail);
      return;
    }
    if (this.#refusal === undefined) this.#hold(code, detail);
  }

  #hold(code: ErrorCode, detail: string): void {
    this.#refusal = { code, detail };
    this.#grace ??= setTimeout(() => this.fail(this.#refusal!.code, this.#refusal!.detail), this.#o.refusalGraceMs);
  }

  result(path: string, payload: Uint8Array, eof: boolean, header: (name: string) => string | undefined): void {
    if (path !== '') {
      this.#onPath(path, payload, eof);
      return;
    }
    if (this.#answered) return;
    if (this.#root.length + payload.length > this.#o.maxResultBytes) {
      this.#root.take();
      // Whose bytes these are is not known yet: under enforce a genuine answer may still come.
      const tooLarge = ['TRELLIS_PATH_TOO_LARGE', 'result larger than limits.maxResultBytes'] as const;
      if (this.#o.mode === 'enforce') this.#hold(...tooLarge);
      else this.fail(...tooLarge);
      return;
    }
    this.#root.push(payload);
    if (!eof) return;
    const root = this.#root.take();
    this.#judge([root], root, header(HEADER.result));
  }

  /** Bytes of a stream or future. Before the root they are kept: nobody knows yet what they belong to. */
  #onPath(path: string, bytes: Uint8Array, eof: boolean): void {
    if (this.#o.mode === 'enforce') {
      // Anybody could have sent it, so it ends no call either.
      this.#drop('a value outside the signed result', 'TRELLIS_PATH_UNSIGNED_VALUES');
      return;
    }
    this.#pathBytes += bytes.length;
    if (this.#pathBytes > this.#o.maxResultBytes || (this.#early?.length ?? 0) > MAX_EARLY_FRAMES) {
      this.fail('TRELLIS_PATH_TOO_LARGE', 'streams of the result are larger than limits.maxResultBytes');
    } else if (this.#answered) this.#events.path?.(path, bytes, eof);
    else (this.#early ??= []).push(keptFrame(path, bytes, eof));
  }

  #drop(reason: string, code?: ErrorCode): void {
    this.#dropped++;
    this.#o.observer.dropped(reason, code);
  }

  /** Nothing decided the call in time. Answers that were not believed are worth naming: waiting longer would not help. */
  #overdue(): void {
    const within = `in ${Math.round(this.#invocation.timeoutMs)} ms`;
    if (this.#answered) this.fail('TRELLIS_INVOKE_TIMEOUT', `a stream or future of the result did not end ${within}`);
    else if (this.#dropped === 0) this.fail('TRELLIS_INVOKE_TIMEOUT', `no answer ${within}`);
    else this.fail('TRELLIS_INVOKE_UNAUTHENTICATED', `no valid answer ${within}, ${this.#dropped} dropped as not authentic`);
  }

  /** Accepts an answer or drops it; `refusal`: it came with a status line. Returns true if it ended the call. */
  #judge(root: readonly Uint8Array[], result: Uint8Array, proof: string | undefined, refusal = false): boolean {
    if (this.#ended || this.#answered) return true;
    if (this.#o.mode === 'off') return this.#judgeUnsigned(result, proof, refusal);
    const verdict = this.#sent === undefined ? undefined : this.#o.results.result(this.#sent, proof, root);
    if (verdict?.ok) {
      this.#o.unsigned.signs(this.#invocation.target, 'server');
      const code = answeredFailure(verdict.status);
      if (code === undefined) this.#finish(result);
      else this.fail(code, `the target answered ${verdict.status}`);
      return true;
    }
    const reason = verdict?.code ?? 'answer before the request';
    if (this.#o.mode === 'observe') {
      const { target, instance, func } = this.#invocation;
      if (verdict !== undefined) this.#o.observer.wouldDeny(verdict.code, 'answer', target, `${instance}/${func}`);
      return this.#judgeUnsigned(result, proof, refusal);
    }
    if (proof === undefined && this.#mayAnswerUnsigned()) {
      const { origin, target, instance } = this.#invocation;
      this.#o.observer.unsigned('out', pairName(origin, target, instance));
      return this.#judgeUnsigned(result, proof, refusal);
    }
    this.#drop(reason);
    return false;
  }

  /** True if an operator listed this call: what comes without any signature then counts, a bad signature still does not. */
  #mayAnswerUnsigned(): boolean {
    const { origin, target, instance } = this.#invocation;
    return this.#o.unsigned.mayAnswer(origin, target, instance);
  }

  /** The answer of a peer that cannot sign, or whose signature is not asked for. */
  #judgeUnsigned(result: Uint8Array, proof: string | undefined, refusal: boolean): boolean {
    const status = proof?.startsWith('unsigned ') === true ? proof.slice('unsigned '.length) : 'ok';
    if (status === 'ok') {
      // What a status line refuses is no result, whatever else is said beside it.
      if (refusal) return false;
      this.#finish(result);
    } else this.fail(answeredFailure(status) ?? 'TRELLIS_INVOKE_FAILED', `the target answered ${printableStatus(status)}`);
    return true;
  }

  #finish(result: Uint8Array): void {
    if (this.#answered) return;
    this.#answered = true;
    const open = this.#invocation.asyncResult === true && !this.#oneMessage && this.#o.mode !== 'enforce';
    const early = this.#early ?? [];
    this.#early = undefined;
    if (!open && !this.#end()) return;
    this.#events.done(result);
    if (open) for (const { path, bytes, eof } of early) if (!this.#ended) this.#events.path?.(path, bytes, eof);
  }

  fail(code: ErrorCode, detail: string): void {
    if (!this.#end()) return;
    if (this.#answered) this.#events.cut?.(code, detail);
    else this.#events.fail(code, detail, this.#correlation);
  }

  sendPath(path: string, bytes: Uint8Array, eof: boolean): void {
    if (this.#ended) return;
    if (!this.#frames.push(path, bytes, eof)) this.#tooManyFrames();
  }

  /** A piece less would be a shorter stream, and look whole. */
  #tooManyFrames(): void {
    this.fail('TRELLIS_PATH_TOO_LARGE', 'too many bytes of streams wait for the acknowledgement');
  }

  cancel(): void {
    this.#end();
  }

  #end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#frames.cancel();
    clearTimeout(this.#deadline);
    clearTimeout(this.#grace);
    this.#root.take();
    this.#early = undefined;
    this.#forget();
    return true;
  }
}
