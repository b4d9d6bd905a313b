import { printable } from './guest-log.ts';
import type { PendingCall } from './pending-call.ts';
import { FAILURES, FLAG, FRAME, readPathFrame, type CallFailure } from './runner/frames.ts';

const MAX_DETAIL = 400;

/** What {@link Answers} is made of. */
export interface AnswersOptions {
  /** The calls that the runner has; those it lets go of are taken out. */
  readonly calls: Map<number, PendingCall>;
  readonly maxResultBytes: number;
  /** A call has ended well. */
  ended(call: PendingCall): void;
  /** A call is to fail. */
  fail(call: PendingCall, status: CallFailure, detail: string): void;
  /** The runner is to be told that a call it still works on is over. */
  abandon(call: PendingCall): void;
  /** The runner has room for another call. */
  released(): void;
}

/**
 * What a runner says about the calls it has. It is believed only what fits: an answer to a call that it has, in the order
 * answers come in, of no more bytes than allowed.
 */
export class Answers {
  readonly #options: AnswersOptions;
  #late = 0;

  constructor(options: AnswersOptions) {
    this.#options = options;
  }

  /** Answers that came when their calls were over. */
  get late(): number {
    return this.#late;
  }

  /** Takes a frame; false if it is malformed, or makes no sense. */
  take(type: number, id: number, body: Buffer): boolean {
    const call = this.#options.calls.get(id);
    if (call === undefined) return false;
    switch (type) {
      case FRAME.result:
        return this.#onResult(call, body);
      case FRAME.resultPath:
        return this.#onPath(call, body);
      case FRAME.ended:
        return this.#onEnded(call);
      case FRAME.fail:
        return this.#onFail(call, body);
      default:
        return false;
    }
  }

  #onResult(call: PendingCall, body: Buffer): boolean {
    const flags = body[0];
    if (flags === undefined || call.answered) return false;
    const ended = (flags & FLAG.eof) !== 0;
    if (ended) this.#options.calls.delete(call.id);
    if (call.over) {
      call.answered = true;
      this.#late += 1;
    } else if (this.#fits(call, body.length - 1, !ended)) {
      call.result(body.subarray(1), !ended);
      if (ended) this.#end(call);
    }
    if (ended) this.#options.released();
    return true;
  }

  #onPath(call: PendingCall, body: Buffer): boolean {
    const piece = readPathFrame(body);
    if (piece === undefined || piece.path === '' || !call.answered) return false;
    if (call.over) this.#late += 1;
    else if (this.#fits(call, piece.bytes.length, true)) call.path(piece.path, piece.bytes, piece.eof);
    return true;
  }

  #onEnded(call: PendingCall): boolean {
    if (!call.over && !call.answered) return false;
    this.#options.calls.delete(call.id);
    if (!call.over) this.#end(call);
    this.#options.released();
    return true;
  }

  #onFail(call: PendingCall, body: Buffer): boolean {
    const status = FAILURES[body[0] ?? 255];
    if (status === undefined) return false;
    this.#options.calls.delete(call.id);
    if (!call.over) this.#options.fail(call, status, printable(body.toString('utf8', 1), MAX_DETAIL));
    this.#options.released();
    return true;
  }

  #end(call: PendingCall): void {
    call.done();
    this.#options.ended(call);
  }

  /** Counts result bytes; false once they are too many, which ends the call. */
  #fits(call: PendingCall, bytes: number, goesOn: boolean): boolean {
    call.resultBytes += bytes;
    const { maxResultBytes } = this.#options;
    if (call.resultBytes <= maxResultBytes) return true;
    this.#options.fail(call, 'too-large', `the result exceeds ${maxResultBytes} bytes`);
    if (goesOn) this.#options.abandon(call);
    return false;
  }
}
