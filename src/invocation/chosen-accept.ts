import { EphemeralKey, FrameSession } from '../trust/session.ts';
import type { SentRequest } from '../trust/signer.ts';
import { acceptDigest } from '../trust/token.ts';
import type { HeaderLookup } from '../wrpc/client.ts';
import type { AnswerJudge } from './answer-judge.ts';
import { HEADER } from './headers.ts';

/** What an acknowledgement is worth: `taken` is the server's, the first one; `again` says something more; the rest count for nothing. */
export type Judged = 'taken' | 'again' | 'other' | 'unproven';

/**
 * The one signed accept that a call goes on with. A copy of the request, sent by a stranger to another member of the queue group,
 * brings a genuine accept too; parameters, frames and failures belong to the first that came.
 */
export class ChosenAccept {
  readonly #answers: AnswerJudge;
  readonly #own: EphemeralKey | undefined;
  #inbox: string | undefined;
  #running = false;
  #confirm = false;
  #session: FrameSession | undefined;

  /** @param withSession whether to offer a session for streams and futures */
  constructor(answers: AnswerJudge, withSession: boolean) {
    this.#answers = answers;
    this.#own = withSession ? new EphemeralKey() : undefined;
  }

  /** The key to offer in the request. */
  get epk(): string | undefined {
    return this.#own?.text;
  }

  /** The server says that it runs the call: a refusal that it has not signed is somebody else's. */
  get running(): boolean {
    return this.#running;
  }

  /** True if the server waits for the word that it shall run the call. */
  get confirm(): boolean {
    return this.#confirm;
  }

  get session(): FrameSession | undefined {
    return this.#session;
  }

  /** True for answers that name this accept, and for those that name none. */
  fits(inbox: string | undefined): boolean {
    return inbox === undefined || this.#inbox === undefined || inbox === this.#inbox;
  }

  /** True if an answer that names `inbox` is the one whose frames the session proves. */
  opens(inbox: string | undefined): boolean {
    return this.#session !== undefined && inbox !== undefined && inbox === this.#inbox;
  }

  /**
   * Judges an acknowledgement that names `inbox` as its own.
   * @param wanting whether this call has parameters to send; otherwise only the word that it runs is of use
   */
  take(sent: SentRequest, header: HeaderLookup, inbox: string, wanting: boolean): Judged {
    const token = header(HEADER.accept);
    const verdict = this.#answers.accept(sent, header);
    if (!verdict.ok || token === undefined || verdict.inbox !== inbox) return 'unproven';
    if (this.#inbox !== undefined && this.#inbox !== inbox) return 'other';
    // Whoever waits for parameters that were all sent has a copy that somebody cut short.
    if (!verdict.running && !verdict.confirm && !wanting) return 'other';
    this.#running ||= verdict.running;
    if (this.#inbox !== undefined) return 'again';
    this.#inbox = inbox;
    this.#confirm = verdict.confirm;
    const secret = verdict.epk === undefined ? undefined : this.#own?.agree(verdict.epk);
    if (secret !== undefined) this.#session = new FrameSession('caller', secret, sent.digest, acceptDigest(token));
    return 'taken';
  }
}
