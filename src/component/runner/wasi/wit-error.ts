/**
 * What a host function throws to return the error case of its `result`. The generated code takes the own property
 * `payload` and lowers it; anything else that is thrown traps the guest. No stack is captured: guests may probe often.
 */
export class WitError {
  readonly payload: unknown;

  constructor(payload: unknown) {
    this.payload = payload;
  }
}

/** Thrown by `wasi:cli/exit`: ends the call, not the process. It traps the guest, whose instance is then discarded. */
export class GuestExit extends Error {
  /** 0 for success, 1 for failure, or the exact code where the guest gave one. */
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`the guest called exit(${exitCode})`);
    this.name = 'GuestExit';
    this.exitCode = exitCode;
  }
}
