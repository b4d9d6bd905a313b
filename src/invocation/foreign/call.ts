import type { ErrorCode } from '../../errors.ts';
import { componentId, latticeName, type LatticeName } from '../../ids.ts';
import type { SentRequest, TokenSigner } from '../../trust/signer.ts';
import type { Bus, BusLine, BusMessage } from '../../wrpc/bus.ts';
import type { HeaderLookup } from '../../wrpc/client.ts';
import type { Inbox, InboxReceiver } from '../../wrpc/inbox.ts';
import { REPLY_HEADER, REPLY_UNARY } from '../../wrpc/server.ts';
import { invocationSubject } from '../../wrpc/subjects.ts';
import type { AnswerJudge } from '../answer-judge.ts';
import { correlationIn } from '../correlation.ts';
import { answeredFailure, refusalFailure } from '../failure-codes.ts';
import { HEADER } from '../headers.ts';
import { HeldRefusal } from '../held-refusal.ts';
import type { SharedTarget } from '../link-table.ts';
import type { PathObserver } from '../observer.ts';
import type { Invocation, InvocationEvents, InvocationHandle } from '../outbound.ts';
import { maxSharedBytes } from './one-message.ts';

const EMPTY = new Uint8Array(0);

/** What a call between accounts is made of. */
export interface SharedCallOptions {
  readonly bus: Bus;
  readonly inbox: Inbox;
  /** The caller's own lattice: that of the import. */
  readonly lattice: LatticeName;
  readonly signer: TokenSigner;
  /** The delegation in use now. */
  readonly delegation: () => string;
  /** False for an origin that this member may not sign for. */
  readonly speaksFor: (origin: string) => boolean;
  readonly observer: PathObserver;
  readonly maxResultBytes: number;
  /** How long a refusal that nobody signed waits for the answer to overtake it. */
  readonly refusalGraceMs: number;
}

/** How failures are named when the other side is another account. */
const OF_SHARED: Readonly<Partial<Record<ErrorCode, ErrorCode>>> = {
  TRELLIS_PATH_TOO_LARGE: 'TRELLIS_SHARED_TOO_LARGE',
  TRELLIS_PATH_UNSIGNED_VALUES: 'TRELLIS_SHARED_FORM',
};

/**
 * One call of a component in another account, through an import of this one: one message there, one back. The import decides where it goes,
 * so the token says what it is for: the component's lattice, its id and its subject there, and, in place of the reply subject that the
 * server will change, a cluster issuer of that lattice. It is always signed, and so is its answer, whatever `trust.verify` says.
 */
export class SharedCall implements InboxReceiver, InvocationHandle {
  readonly open = false;
  readonly #o: SharedCallOptions;
  readonly #target: SharedTarget;
  readonly #invocation: Invocation;
  readonly #events: InvocationEvents;
  readonly #answers: AnswerJudge;
  readonly #forget: () => void;
  /** The line that the reply comes on. */
  readonly #line: BusLine;
  readonly #reply: string;
  readonly #deadline: NodeJS.Timeout;
  readonly #refusal: HeldRefusal;
  #sent: SentRequest | undefined;
  #correlation: string | undefined;
  #dropped = 0;
  #ended = false;

  constructor(
    options: SharedCallOptions,
    to: { readonly target: SharedTarget; readonly answers: AnswerJudge },
    invocation: Invocation,
    events: InvocationEvents,
    forget: () => void,
  ) {
    this.#o = options;
    this.#target = to.target;
    this.#answers = to.answers;
    this.#invocation = invocation;
    this.#events = events;
    this.#forget = forget;
    this.#line = options.bus.line;
    this.#reply = options.inbox.open(this);
    this.#refusal = new HeldRefusal(options.refusalGraceMs, (code, detail) => this.fail(code, detail));
    this.#deadline = setTimeout(() => {
      if (!this.#refusal.giveUp()) this.#overdue();
    }, invocation.timeoutMs);
  }

  /** Signs and sends it, if it can pass. */
  start(): void {
    const unfit = this.#unfit();
    if (unfit !== undefined) {
      // Not in this turn: whoever calls has no handle yet.
      queueMicrotask(() => this.fail(...unfit));
      return;
    }
    const { origin, link, target, instance, func, params } = this.#invocation;
    const lattice = latticeName(this.#target.lattice);
    const component = componentId(this.#target.component ?? target);
    const subject = invocationSubject({ lattice, component, instance, func });
    const reply = this.#target.issuers[0]!;
    this.#o.signer.request(
      { origin, link, target: component, lattice, instance, func, subject, reply, params },
      (token, sent) => {
        this.#sent = sent;
        this.#send(token);
      },
    );
  }

  onLineEnding(): void {
    this.fail('TRELLIS_INVOKE_MOVED', 'the connection has moved on and waits no longer');
  }

  /** Why it cannot be one message, or may not be sent. */
  #unfit(): [ErrorCode, string] | undefined {
    const { asyncResult, pendingParams, params, origin } = this.#invocation;
    if (asyncResult === true || pendingParams === true)
      return ['TRELLIS_SHARED_FORM', 'streams and futures do not pass between accounts'];
    const limit = maxSharedBytes(this.#line.maxPayloadBytes);
    if (params.length > limit)
      return ['TRELLIS_SHARED_TOO_LARGE', `${params.length} bytes of parameters, ${limit} pass in one message`];
    if (!this.#o.speaksFor(origin)) return ['TRELLIS_INVOKE_SCOPE', `${origin} is none of the callers of this delegation`];
    return undefined;
  }

  #send(token: string): void {
    if (this.#ended) return;
    const { origin, link, target: component, instance, func, params, depth, traceparent } = this.#invocation;
    const entries: [string, string][] = [
      [HEADER.sourceId, origin],
      [HEADER.linkName, link],
      [HEADER.invocation, token],
      // Always: there is no second message in which it could follow.
      [HEADER.delegation, this.#o.delegation()],
      [REPLY_HEADER, REPLY_UNARY],
    ];
    if (depth > 0) entries.push([HEADER.depth, String(depth)]);
    if (traceparent !== undefined) entries.push([HEADER.traceparent, traceparent]);
    const { lattice } = this.#o;
    try {
      this.#line.publish(invocationSubject({ lattice, component, instance, func }), params, {
        reply: this.#reply,
        headers: { entries },
      });
    } catch (error) {
      this.fail('TRELLIS_INVOKE_FAILED', error instanceof Error ? error.message : 'the connection refused the message');
    }
  }

  onInboxMessage(tail: string, message: BusMessage): void {
    const sent = this.#sent;
    if (this.#ended || sent === undefined) return;
    if (tail !== '' || message.reply !== '') {
      this.#drop('a part of a longer answer, which does not pass between accounts');
      return;
    }
    const { status, statusText, payload } = message;
    const header: HeaderLookup = (name) => message.header(name);
    const refused = status !== 0 && (status < 200 || status > 299);
    if (payload.length > this.#o.maxResultBytes) {
      this.#refusal.hold('TRELLIS_SHARED_TOO_LARGE', 'result larger than limits.maxResultBytes');
      return;
    }
    this.#correlation ??= correlationIn(header(HEADER.correlation));
    const isProven = header(HEADER.result)?.startsWith('unsigned ') === false;
    if (isProven || !refused) this.#judge(sent, header, refused ? EMPTY : payload, refused);
    else this.#refusal.hold(...this.#refusalOf(status, statusText));
  }

  #judge(sent: SentRequest, header: HeaderLookup, result: Uint8Array, refused: boolean): void {
    const verdict = this.#answers.result(sent, header, [result]);
    if (!verdict.ok) {
      this.#drop(`${verdict.code} from lattice ${this.#target.lattice}: ${verdict.detail}`);
      return;
    }
    const code = answeredFailure(verdict.status);
    if (code !== undefined) this.fail(OF_SHARED[code] ?? code, `the target answered ${verdict.status}`);
    else if (refused) this.#drop('a result beside a refusal');
    else if (this.#end()) this.#events.done(result, false);
  }

  /** Nobody signs that nobody listens, nor what is turned away at the door. */
  #refusalOf(status: number, text: string): [ErrorCode, string] {
    if (status === 503 && text === '') {
      const { lattice } = this.#target;
      const why = `no host of lattice ${lattice} serves it, or it is not (or no longer) shared with this account`;
      return ['TRELLIS_INVOKE_NO_RESPONDERS', why];
    }
    const [code, detail] = refusalFailure(status, text);
    return [OF_SHARED[code] ?? code, detail];
  }

  #drop(reason: string): void {
    this.#dropped++;
    this.#o.observer.dropped(reason);
  }

  #overdue(): void {
    const { lattice } = this.#target;
    const within = `in ${Math.round(this.#invocation.timeoutMs)} ms`;
    if (this.#dropped === 0) {
      this.fail('TRELLIS_INVOKE_TIMEOUT', `no answer ${within}; lattice ${lattice} may have taken the share back`);
    } else this.fail('TRELLIS_INVOKE_UNAUTHENTICATED', `no valid answer ${within}, ${this.#dropped} dropped as not authentic`);
  }

  fail(code: ErrorCode, detail: string): void {
    if (this.#end()) this.#events.fail(code, detail, this.#correlation);
  }

  /** Nothing of a call between accounts follows its first message. */
  sendPath(): void {}

  cancel(): void {
    this.#end();
  }

  #end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    clearTimeout(this.#deadline);
    this.#refusal.drop();
    this.#o.inbox.close(this.#reply);
    this.#forget();
    return true;
  }
}
