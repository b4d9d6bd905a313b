/** Why a call along a link failed, as the host says it: `CODE: detail`. */
export class ImportFailed extends Error {
  /** The code, if the reason begins with one. */
  readonly code: string | undefined;

  /** @param name Interface and function. */
  constructor(name: string, reason: string) {
    super(`${name} failed: ${reason}`);
    this.name = 'ImportFailed';
    this.code = /^(TRELLIS_[A-Z_]{1,60}): /.exec(reason)?.[1];
  }
}
