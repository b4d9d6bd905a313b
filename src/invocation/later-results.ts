import type { ErrorCode } from '../errors.ts';
import type { FrameSession } from '../trust/session.ts';
import type { PathFrame } from '../wrpc/chunks.ts';
import { judgeFrame, type ReceivedFrame } from './frame-proof.ts';
import type { PathObserver } from './observer.ts';
import { keptFrame, MAX_EARLY_FRAMES } from './value-frames.ts';

/** What {@link LaterResults} is made of. */
export interface LaterResultsOptions {
  readonly observer: PathObserver;
  /** Most bytes of all streams and futures together. */
  readonly maxBytes: number;
  /** Ends the call. */
  fail(code: ErrorCode, detail: string): void;
  /** Takes a frame whose root is there. */
  deliver(path: string, bytes: Uint8Array, eof: boolean): void;
}

/** Streams and futures of a result: whose they are, how many there may be, and where they wait for their root. */
export class LaterResults {
  readonly #o: LaterResultsOptions;
  /** What came before the root: nobody knows yet what it belongs to. */
  #early: PathFrame[] = [];
  #rooted = false;
  #bytes = 0;

  constructor(options: LaterResultsOptions) {
    this.#o = options;
  }

  /**
   * Takes a frame. That it is the target's, `session` proves; without one nobody asked for proof. False if it was dropped as not
   * authentic, which ends no call.
   */
  take(frame: ReceivedFrame, session: FrameSession | undefined): boolean {
    const { path, bytes } = frame;
    if (session !== undefined) {
      const judged = judgeFrame(session, frame, this.#o.observer);
      if (judged === 'end') this.#o.fail('TRELLIS_VERIFY_FRAME', `a frame of the result is missing, before one of ${path}`);
      if (judged !== 'use') return judged !== 'drop';
    }
    const eof = bytes.length === 0;
    this.#bytes += bytes.length;
    if (this.#bytes > this.#o.maxBytes || this.#early.length > MAX_EARLY_FRAMES)
      this.#o.fail('TRELLIS_PATH_TOO_LARGE', 'streams of the result are larger than limits.maxResultBytes');
    else if (this.#rooted) this.#o.deliver(path, bytes, eof);
    else this.#early.push(keptFrame(path, bytes, eof));
    return true;
  }

  /** The root is there, and its streams count: what waited follows. */
  release(): void {
    this.#rooted = true;
    for (const { path, bytes, eof } of this.#early.splice(0)) this.#o.deliver(path, bytes, eof);
  }

  /** Forgets what waits: the call is over, or a session begins, and what came without it is nobody's. */
  forget(): void {
    this.#early = [];
    this.#bytes = 0;
  }
}
