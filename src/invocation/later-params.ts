import type { CallHandle } from '../component/component.ts';
import type { ErrorCode } from '../errors.ts';
import type { InvocationOutcome } from '../telemetry/metrics.ts';
import type { PathFrame } from '../wrpc/chunks.ts';
import type { HeaderLookup } from '../wrpc/client.ts';
import type { Acceptance } from './acceptance.ts';
import type { Failure } from './failure-codes.ts';
import { judgeFrame } from './frame-proof.ts';
import type { Intake } from './intake.ts';
import type { PathOptions } from './path-options.ts';
import { keptFrame, MAX_EARLY_FRAMES } from './value-frames.ts';

/** How an invocation leaves the path because of its parameters. */
export type ParamsExit = (outcome: InvocationOutcome, failure: Failure, code: ErrorCode, detail: string) => void;

/** Parameters that follow the first message: where they go, how many there may be, and whose they are. */
export class LaterParams {
  readonly #path: PathOptions;
  readonly #leave: ParamsExit;
  /** The signed acknowledgement, if one was needed: it may have opened a session. */
  acceptance: Acceptance | undefined;
  /** Takes root bytes until the invocation is admitted. */
  intake: Intake | undefined;
  /** The root is signed and whole: nothing belongs to it any more. */
  verified = false;
  /** Streams and futures count only if a session proves them. */
  strict = true;
  /** Bytes so far, streams and futures included. */
  bytes = 0;
  #handle: CallHandle | undefined;
  /** Streams and futures whose root is still being gathered. */
  #early: PathFrame[] | undefined;

  constructor(path: PathOptions, leave: ParamsExit) {
    this.#path = path;
    this.#leave = leave;
  }

  /** The call has begun: what was kept goes to it, and what comes from now on. */
  begin(handle: CallHandle): void {
    this.#handle = handle;
    for (const { path, bytes, eof } of this.#early ?? []) handle.params(path, bytes, eof);
    this.#early = undefined;
  }

  /** Takes a message of parameters, by whomever it is. */
  take(path: string, bytes: Uint8Array, eof: boolean, header: HeaderLookup): void {
    if (path !== '' && this.acceptance?.withSession === true) {
      const judged = judgeFrame(this.acceptance.session, { path, bytes, header }, this.#path.observer);
      if (judged === 'drop') return;
      if (judged === 'end') {
        this.#leave('denied', 'frames', 'TRELLIS_VERIFY_FRAME', `a frame of the parameters is missing, before one of ${path}`);
        return;
      }
    } else if (this.#outsideSigned(path)) {
      // Nothing signs it and anybody could have sent it, so it reaches no component and ends no call either. The end of
      // parameters that are all there comes with every acknowledgement.
      if (path !== '' || !eof)
        this.#path.observer.dropped('a value outside the signed parameters', 'TRELLIS_PATH_UNSIGNED_VALUES');
      return;
    }
    this.bytes += bytes.length;
    if (this.bytes > this.#path.limits.maxParamsBytes) {
      this.#leave('bad', 'too-large', 'TRELLIS_PATH_TOO_LARGE', 'parameters larger than limits.maxParamsBytes');
    } else if (this.intake !== undefined && path === '') this.intake.push(bytes, eof, header);
    else if (this.#handle !== undefined) this.#handle.params(path, bytes, eof);
    else this.#keep(path, bytes, eof);
  }

  /** True for bytes that belong to nothing signed. */
  #outsideSigned(path: string): boolean {
    return path === '' ? this.verified : this.strict;
  }

  /** A piece less would be a shorter stream, and look whole. */
  #keep(path: string, bytes: Uint8Array, eof: boolean): void {
    if ((this.#early ??= []).length < MAX_EARLY_FRAMES) this.#early.push(keptFrame(path, bytes, eof));
    else this.#leave('bad', 'too-large', 'TRELLIS_PATH_TOO_LARGE', 'too many frames came before their root');
  }
}
