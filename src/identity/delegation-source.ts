/** Where a member gets its delegation from: its own cluster seed, a file that somebody minted, or an issuer service. */
export interface DelegationSource {
  /**
   * A delegation for the public key `subject`, minted under `epoch` where this side mints it. Its holder verifies it.
   * @throws TRELLIS_KEY_INVALID, TRELLIS_DELEGATION_* if there is none to be had now
   */
  obtain(subject: string, epoch: number): Promise<string>;
  /** Calls `listener` when there may be a new one to fetch; returns the way to stop that. Absent where nobody can tell. */
  watch?(listener: () => void): () => void;
}

/** What a member asks to be allowed. */
export interface WantedScope {
  /** Components and callers it speaks for. */
  readonly origins: readonly string[];
  /** Components it answers for. */
  readonly targets: readonly string[];
}
