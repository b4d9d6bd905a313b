import type { SentRequest } from '../trust/signer.ts';
import type { ResultVerifier } from '../trust/verify-result.ts';
import type { HeaderLookup } from '../wrpc/client.ts';
import { HEADER } from './headers.ts';
import type { Introductions } from './introductions.ts';

/** Judges what comes back for a call by the headers it came with, and gets to know those who sign it on the way. */
export class AnswerJudge {
  readonly #results: ResultVerifier;
  readonly #introductions: Introductions;

  constructor(results: ResultVerifier, introductions: Introductions) {
    this.#results = results;
    this.#introductions = introductions;
  }

  /** The signed end of a call; `root` is the whole root result. */
  result(sent: SentRequest, header: HeaderLookup, root: readonly Uint8Array[]): ReturnType<ResultVerifier['result']> {
    const proof = header(HEADER.result);
    return this.#introductions.judge(
      () => this.#results.result(sent, proof, root, header(HEADER.pass)),
      () => header(HEADER.delegation),
    );
  }

  /** The signed acknowledgement. */
  accept(sent: SentRequest, header: HeaderLookup): ReturnType<ResultVerifier['accept']> {
    const proof = header(HEADER.accept);
    return this.#introductions.judge(
      () => this.#results.accept(sent, proof, header(HEADER.pass)),
      () => header(HEADER.delegation),
    );
  }
}
