/** Reconnect attempts that come quickly, before the pause grows. */
const QUICK_ATTEMPTS = 20;

/** How long to wait before the next dial: soon at first, then about a second, never in step with the other hosts. */
export class ReconnectPace {
  #attempts = 0;
  #loginRefused = false;

  /** A server is being dialled. */
  attempted(): void {
    this.#attempts++;
  }

  /** A login was refused: whatever is wrong will not be right in a tenth of a second. */
  loginRefused(): void {
    this.#loginRefused = true;
  }

  /** The connection is back. */
  connected(): void {
    this.#attempts = 0;
    this.#loginRefused = false;
  }

  /** Milliseconds between two dials of the same server. */
  nextDelayMs(): number {
    const slow = this.#loginRefused || this.#attempts > QUICK_ATTEMPTS;
    return slow ? 500 + Math.random() * 1000 : 50 + Math.random() * 150;
  }
}
