import type { ErrorCode } from '../errors.ts';

/**
 * A refusal that anybody could have sent, held back for the server's own answer to overtake it. The first one stands; further ones
 * do not put its end off.
 */
export class HeldRefusal {
  readonly #graceMs: number;
  readonly #end: (code: ErrorCode, detail: string) => void;
  #held: { readonly code: ErrorCode; readonly detail: string; readonly timer: NodeJS.Timeout } | undefined;

  /** @param end is told the refusal when nothing better has come in `graceMs` */
  constructor(graceMs: number, end: (code: ErrorCode, detail: string) => void) {
    this.#graceMs = graceMs;
    this.#end = end;
  }

  hold(code: ErrorCode, detail: string): void {
    if (this.#held !== undefined) return;
    this.#held = { code, detail, timer: setTimeout(() => this.giveUp(), this.#graceMs) };
  }

  /** It was not the server's: forgets it. */
  drop(): void {
    clearTimeout(this.#held?.timer);
    this.#held = undefined;
  }

  /** Nothing better will come: ends the call with what is held, if anything is. */
  giveUp(): boolean {
    const held = this.#held;
    this.drop();
    if (held !== undefined) this.#end(held.code, held.detail);
    return held !== undefined;
  }
}
