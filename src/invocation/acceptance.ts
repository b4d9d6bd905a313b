import type { ComponentId } from '../ids.ts';
import { EphemeralKey, FrameSession } from '../trust/session.ts';
import type { AcceptToSign, TokenSigner } from '../trust/signer.ts';
import { acceptDigest, requestDigest } from '../trust/token.ts';
import type { PendingInvocation } from '../trust/verify-request.ts';
import type { IncomingInvocation } from '../wrpc/server.ts';
import { sealerOf } from './frame-proof.ts';
import { HEADER } from './headers.ts';
import type { Introductions } from './introductions.ts';

/** What an {@link Acceptance} is made of. */
export interface AcceptanceOptions {
  readonly signer: TokenSigner;
  readonly introductions: Introductions;
  readonly server: ComponentId;
  readonly message: IncomingInvocation;
  readonly pending: PendingInvocation;
}

/** The server's signed acknowledgement of one invocation, and the session that it opens. */
export class Acceptance {
  readonly #options: AcceptanceOptions;
  readonly #own: EphemeralKey | undefined;
  readonly #secret: Buffer | undefined;
  #session: FrameSession | undefined;
  #told = false;

  /** @param withSession whether streams and futures may travel outside the signed bytes; the request must have offered it */
  constructor(options: AcceptanceOptions, withSession: boolean) {
    this.#options = options;
    const { epk } = options.pending.claims;
    if (!withSession || epk === undefined) return;
    this.#own = new EphemeralKey();
    this.#secret = this.#own.agree(epk);
  }

  /** False if the caller offered a key that gives no secret. */
  get usable(): boolean {
    return this.#own === undefined || this.#secret !== undefined;
  }

  /** True if frames of this call have to be proved. */
  get withSession(): boolean {
    return this.#own !== undefined;
  }

  /** The session, once the accept is signed. */
  get session(): FrameSession | undefined {
    return this.#session;
  }

  /** The inbox that the accept names. */
  get inbox(): string {
    return this.#options.message.inbox();
  }

  /** Signs it, and sends it at the end of the turn. Once a caller has been told that its call runs, there is nothing to add. */
  send(state: AcceptToSign['state']): void {
    if (this.#told) return;
    this.#told = state === 'running';
    const { signer, introductions, server, message, pending } = this.#options;
    const request = requestDigest(pending.token);
    // A second one says only that the call runs now: the session is there.
    const epk = this.#session === undefined ? this.#own?.text : undefined;
    signer.accept({ request, server, inbox: this.inbox, epk, state }, (token) => {
      if (this.#secret !== undefined && this.#session === undefined) {
        this.#session = new FrameSession('server', this.#secret, request, acceptDigest(token));
        message.sealFrames(sealerOf(this.#session));
      }
      message.accept({ entries: introductions.proofEntries(HEADER.accept, token, message.reply) });
    });
  }
}
