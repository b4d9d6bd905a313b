import type { ErrorCode } from '../errors.ts';
import type { SentRequest } from '../trust/signer.ts';
import type { FrameSealer } from '../wrpc/chunks.ts';
import { prepareCall, type HeaderLookup, type OutgoingCall, type OutgoingEvents } from '../wrpc/client.ts';
import { invocationSubject } from '../wrpc/subjects.ts';
import { ChosenAccept } from './chosen-accept.ts';
import { correlationIn } from './correlation.ts';
import { answeredFailure, printableStatus, refusalFailure } from './failure-codes.ts';
import { sealerOf } from './frame-proof.ts';
import { GatheredBytes } from './gathered-bytes.ts';
import { HEADER } from './headers.ts';
import { HeldRefusal } from './held-refusal.ts';
import type { Introduction } from './introductions.ts';
import { LaterResults } from './later-results.ts';
import type { Invocation, InvocationEvents, InvocationHandle, InvokerOptions } from './outbound.ts';
import { UnsignedTarget } from './unsigned-pairs.ts';
import { ParamFrames } from './value-frames.ts';

const EMPTY = new Uint8Array(0);

/** One invocation from its first message to its last. */
export class OutboundCall implements OutgoingEvents, InvocationHandle {
  readonly #o: InvokerOptions;
  readonly #invocation: Invocation;
  readonly #events: InvocationEvents;
  readonly #forget: () => void;
  readonly #wire: OutgoingCall;
  readonly #deadline: NodeJS.Timeout;
  readonly #refusal: HeldRefusal;
  #sent: SentRequest | undefined;
  #subject = '';
  /** The delegation behind the token, and whether it was shown because somebody asked. */
  #introduction: Introduction | undefined;
  #shown = false;
  readonly #accept: ChosenAccept;
  /** Under this id the host that refused explains why, by its own word. */
  #correlation: string | undefined;
  readonly #root = new GatheredBytes();
  /** Streams and futures of the result; most calls have none. */
  readonly #later: LaterResults | undefined;
  readonly #frames: ParamFrames;
  /** Answers that were not believed. */
  #dropped = 0;
  /** An acknowledgement lets this call go on, and does not only say that it runs. */
  #wantsAccept = false;
  readonly #unsigned: UnsignedTarget;
  #oneMessage = false;
  #answered = false;
  /** Streams and futures of the result may come. */
  #open = false;
  #ended = false;

  constructor(options: InvokerOptions, invocation: Invocation, events: InvocationEvents, forget: () => void) {
    this.#o = options;
    this.#invocation = invocation;
    this.#events = events;
    this.#forget = forget;
    // The reply subject comes first: the token signs it.
    this.#wire = prepareCall({ bus: options.bus, inbox: options.inbox });
    this.#frames = new ParamFrames(this.#wire);
    this.#unsigned = new UnsignedTarget(options.unsigned, options.observer, invocation);
    const { asyncResult, pendingParams } = invocation;
    if (asyncResult === true) {
      const { observer, maxResultBytes: maxBytes } = options;
      this.#later = new LaterResults({
        observer,
        maxBytes,
        fail: (code, detail) => this.fail(code, detail),
        deliver: (path, bytes, eof) => {
          if (!this.#ended) this.#events.path?.(path, bytes, eof);
        },
      });
    }
    this.#accept = new ChosenAccept(options.answers, options.mode !== 'off' && (asyncResult === true || pendingParams === true));
    this.#refusal = new HeldRefusal(options.refusalGraceMs, (code, detail) => this.fail(code, detail));
    this.#deadline = setTimeout(() => {
      if (!this.#refusal.giveUp()) this.#overdue();
    }, invocation.timeoutMs);
  }

  /** Signs and sends it. */
  start(): void {
    const { lattice, signer, mode } = this.#o;
    const call = this.#invocation;
    const subject = invocationSubject({ lattice, component: call.target, instance: call.instance, func: call.func });
    this.#subject = subject;
    if (mode === 'off') {
      this.#send(undefined);
      return;
    }
    if (!this.#o.speaksFor(call.origin)) {
      // Not in this turn: whoever calls has no handle yet.
      queueMicrotask(() => this.fail('TRELLIS_INVOKE_SCOPE', `${call.origin} is none of the callers of this delegation`));
      return;
    }
    // Together with the token, which names the delegation in use now.
    this.#introduction = this.#o.introductions.ofCall();
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
        epk: this.#accept.epk,
      },
      (token, sent) => {
        this.#sent = sent;
        this.#send(token);
      },
    );
  }

  /** Sends the call; `shown`: with the delegation behind its token, because the other side asked. */
  #send(token: string | undefined, shown = false): void {
    if (this.#ended) return;
    const call = this.#invocation;
    const headers: [string, string][] = [
      [HEADER.sourceId, call.origin],
      [HEADER.linkName, call.link],
    ];
    if (token !== undefined) {
      headers.push([HEADER.invocation, token]);
      const pass = this.#o.passes.passFor(this.#sent!.digest);
      if (pass !== undefined) headers.push([HEADER.pass, pass]);
    } else headers.push([HEADER.length, String(call.params.length)]);
    const introduction = this.#introduction;
    if (introduction !== undefined && (shown || introduction.unasked)) headers.push([HEADER.delegation, introduction.text]);
    if (call.depth > 0) headers.push([HEADER.depth, String(call.depth)]);
    if (call.traceparent !== undefined) headers.push([HEADER.traceparent, call.traceparent]);
    try {
      this.#wire.send({ subject: this.#subject, params: call.params, headers, unary: true }, this);
      this.#wantsAccept = !this.#wire.paramsSent || this.#accept.epk !== undefined;
    } catch (error) {
      this.fail('TRELLIS_INVOKE_FAILED', error instanceof Error ? error.message : 'the connection refused the message');
    }
    if (!this.#frames.release()) this.#tooManyFrames();
  }

  /**
   * The acknowledgement. Under `enforce` the rest of the parameters goes only to an inbox that a trusted host signed for, or, of a listed
   * call, to the first that came without any signature.
   */
  accepted(header: HeaderLookup, inbox: string): boolean {
    const { mode } = this.#o;
    if (mode === 'off' || this.#sent === undefined) return mode !== 'enforce';
    const judged = this.#accept.take(this.#sent, header, inbox, this.#wantsAccept);
    if (judged === 'unproven') {
      if (mode !== 'enforce') return true;
      if (!this.#isPlainAccept(header)) {
        this.#drop('unsigned acknowledgement');
        return false;
      }
      this.#unsigned.acknowledged();
      return true;
    }
    const contradicted = this.#unsigned.signs();
    if (judged === 'other') this.#drop('acknowledgement of a copy of the request');
    if (this.#accept.running) this.#refusal.drop();
    if (judged !== 'taken') return false;
    if (contradicted) {
      this.#contradicted();
      return false;
    }
    this.#later?.forget();
    const { session } = this.#accept;
    if (session !== undefined) this.#wire.sealFrames(sealerOf(session));
    else if (mode === 'enforce' && this.#invocation.pendingParams === true) {
      this.fail('TRELLIS_PATH_UNSIGNED_VALUES', 'the target opens no session for streams and futures');
      return false;
    }
    if (!this.#accept.confirm) return this.#wantsAccept;
    // One accept is confirmed, and no other ever: this call runs once in the lattice.
    this.#o.signer.confirm({ request: this.#sent.digest, inbox }, (token) => {
      if (!this.#ended) this.#wire.allowParams(inbox, { entries: [[HEADER.confirm, token]] });
    });
    return false;
  }

  /** An acknowledgement after the end: how the ends of open parameters are proved to whoever waits for them. */
  readonly #late = (header: HeaderLookup, inbox: string): FrameSealer | undefined | null => {
    if (this.#o.mode === 'off' || this.#sent === undefined) return undefined;
    const judged = this.#accept.take(this.#sent, header, inbox, this.#wantsAccept);
    // A 1.x server waits for the end of the parameters; a call with a session waits for a server that has one.
    const plain = this.#o.mode !== 'enforce' || this.#accept.epk === undefined || this.#isPlainAccept(header);
    if (judged === 'unproven' && plain) return undefined;
    if (judged !== 'taken') return null;
    const { session } = this.#accept;
    return session === undefined ? undefined : sealerOf(session);
  };

  unary(payload: Uint8Array, header: HeaderLookup): void {
    this.#oneMessage = true;
    this.#judge([payload], payload, header);
    // One that nobody believed says nothing of the form of the next.
    if (!this.#answered) this.#oneMessage = false;
  }

  refused(status: number, text: string, header: HeaderLookup): void {
    if (this.#isAskedToShow(status, header)) return;
    const isProven = header(HEADER.result) !== undefined;
    this.#correlation ??= correlationIn(header(HEADER.correlation));
    if (this.#open && isProven && this.#endedBySigned(header)) return;
    // After the root, a refusal says that its streams and futures end here.
    if (!this.#answered && isProven && this.#judge([], EMPTY, header, true)) return;
    const [code, detail] = refusalFailure(status, text);
    const believed = this.#o.mode !== 'enforce' || (this.#unsigned.taken && this.#answered);
    if (believed && this.#accept.session === undefined) {
      this.fail(code, detail);
    } else if (this.#answered || this.#accept.running) {
      this.#drop('a refusal that the target did not sign');
    } else this.#refusal.hold(code, detail);
  }

  /**
   * The other side does not know who signed. The same token once more, with the delegation: its id still runs at most once.
   * Once only, since anybody may ask.
   */
  #isAskedToShow(status: number, header: HeaderLookup): boolean {
    if (this.#shown || this.#answered || this.#sent === undefined) return false;
    if (this.#accept.running || this.#wire.paramsAllowed) return false;
    if (status !== 401 || header(HEADER.need) !== 'delegation') return false;
    this.#shown = true;
    this.#send(this.#sent.token, true);
    return true;
  }

  /** After the root: the server says, signed, that what is open breaks off. */
  #endedBySigned(header: HeaderLookup): boolean {
    if (this.#sent === undefined) return false;
    const verdict = this.#o.answers.result(this.#sent, header, []);
    const code = verdict.ok && this.#accept.fits(verdict.inbox) ? answeredFailure(verdict.status) : undefined;
    if (!verdict.ok || code === undefined) return false;
    this.fail(code, `the target ended the call with ${verdict.status}`);
    return true;
  }

  lineEnding(): void {
    this.fail('TRELLIS_INVOKE_MOVED', 'the connection has moved on and waits no longer');
  }

  result(path: string, payload: Uint8Array, eof: boolean, header: HeaderLookup): void {
    if (path !== '') {
      this.#onPath(path, payload, header);
      return;
    }
    if (this.#answered) return;
    if (this.#root.length + payload.length > this.#o.maxResultBytes) {
      this.#root.take();
      // Whose bytes these are is not known yet: under enforce a genuine answer may still come.
      const tooLarge = ['TRELLIS_PATH_TOO_LARGE', 'result larger than limits.maxResultBytes'] as const;
      if (this.#o.mode === 'enforce') this.#refusal.hold(...tooLarge);
      else this.fail(...tooLarge);
      return;
    }
    this.#root.push(payload);
    if (!eof) return;
    const root = this.#root.take();
    this.#judge([root], root, header);
  }

  /** Bytes of a stream or future. */
  #onPath(path: string, bytes: Uint8Array, header: HeaderLookup): void {
    const { session } = this.#accept;
    const proofless = session === undefined && this.#o.mode === 'enforce' && !this.#unsigned.taken && !this.#unsigned.allowed;
    // Anybody could have sent it, so it ends no call either. Of a function without streams it would belong to nothing.
    if (this.#later === undefined || proofless) this.#drop('a value outside the signed result', 'TRELLIS_PATH_UNSIGNED_VALUES');
    else if (!this.#later.take({ path, bytes, header }, session)) this.#dropped++;
  }

  #drop(reason: string, code?: ErrorCode): void {
    this.#dropped++;
    this.#o.observer.dropped(reason, code);
  }

  /** Nothing decided the call in time. Answers that were not believed are worth naming: waiting longer would not help. */
  #overdue(): void {
    const within = `in ${Math.round(this.#invocation.timeoutMs)} ms`;
    if (this.#answered && this.#dropped > 0)
      this.fail(
        'TRELLIS_VERIFY_FRAME',
        `a stream or future did not end ${within}, ${this.#dropped} frames dropped as not authentic`,
      );
    else if (this.#answered) this.fail('TRELLIS_INVOKE_TIMEOUT', `a stream or future of the result did not end ${within}`);
    else if (this.#dropped === 0) this.fail('TRELLIS_INVOKE_TIMEOUT', `no answer ${within}`);
    else this.fail('TRELLIS_INVOKE_UNAUTHENTICATED', `no valid answer ${within}, ${this.#dropped} dropped as not authentic`);
  }

  /** Accepts an answer or drops it; `refusal`: it came with a status line. Returns true if it ended the call. */
  #judge(root: readonly Uint8Array[], result: Uint8Array, header: HeaderLookup, refusal = false): boolean {
    if (this.#ended || this.#answered) return true;
    const proof = header(HEADER.result);
    if (this.#o.mode === 'off') return this.#judgeUnsigned(result, proof, refusal);
    const verdict = this.#sent === undefined ? undefined : this.#o.answers.result(this.#sent, header, root);
    if (verdict?.ok) {
      if (this.#unsigned.signs()) {
        this.#contradicted();
        return true;
      }
      if (!this.#accept.fits(verdict.inbox)) {
        this.#drop('an answer to a copy of the request');
        return false;
      }
      const code = answeredFailure(verdict.status);
      const plain = this.#o.mode !== 'enforce' && this.#accept.session === undefined;
      if (code === undefined) this.#finish(result, plain || this.#accept.opens(verdict.inbox));
      else this.fail(code, `the target answered ${verdict.status}`);
      return true;
    }
    const reason = verdict?.code ?? 'answer before the request';
    if (this.#o.mode === 'observe') {
      const { target, instance, func } = this.#invocation;
      if (verdict !== undefined) this.#o.observer.wouldDeny(verdict.code, 'answer', target, `${instance}/${func}`);
      return this.#judgeUnsigned(result, proof, refusal);
    }
    if (proof === undefined && this.#unsigned.allowed) {
      this.#unsigned.answered();
      return this.#judgeUnsigned(result, proof, refusal);
    }
    this.#drop(reason);
    return false;
  }

  /** The target has signed something, after what was not signed has been taken for its word. */
  #contradicted(): void {
    this.fail('TRELLIS_INVOKE_UNAUTHENTICATED', 'the target signs, and the call had gone on with what was not signed');
  }

  /** True for an acknowledgement as peers give it that sign nothing, of a call that may be answered by one. */
  #isPlainAccept(header: HeaderLookup): boolean {
    return header(HEADER.accept) === undefined && this.#unsigned.allowed;
  }

  /** The answer of a peer that cannot sign, or whose signature is not asked for. */
  #judgeUnsigned(result: Uint8Array, proof: string | undefined, refusal: boolean): boolean {
    const status = proof?.startsWith('unsigned ') === true ? proof.slice('unsigned '.length) : 'ok';
    if (status === 'ok') {
      // What a status line refuses is no result, whatever else is said beside it.
      if (refusal) return false;
      this.#finish(result, this.#accept.session === undefined);
    } else this.fail(answeredFailure(status) ?? 'TRELLIS_INVOKE_FAILED', `the target answered ${printableStatus(status)}`);
    return true;
  }

  /** @param followed its streams and futures count: a session proves them, or nobody asks for proof */
  #finish(result: Uint8Array, followed: boolean): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#open = this.#later !== undefined && !this.#oneMessage && followed;
    if (!this.#open && !this.#end()) return;
    this.#events.done(result, this.#open);
    if (this.#open) this.#later?.release();
  }

  fail(code: ErrorCode, detail: string): void {
    if (!this.#end()) return;
    if (this.#answered) this.#events.cut?.(code, detail);
    else this.#events.fail(code, detail, this.#correlation);
  }

  get open(): boolean {
    return this.#open;
  }

  sendPath(path: string, bytes: Uint8Array, eof: boolean): void {
    if (this.#ended) return;
    if (this.#o.mode === 'enforce' && this.#accept.epk === undefined) {
      this.fail('TRELLIS_PATH_UNSIGNED_VALUES', 'no session was offered for streams and futures of the parameters');
      return;
    }
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
    this.#frames.cancel(this.#late);
    clearTimeout(this.#deadline);
    this.#refusal.drop();
    this.#root.take();
    this.#later?.forget();
    this.#forget();
    return true;
  }
}
