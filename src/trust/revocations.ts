import { MAX_DELEGATION_LIFETIME_MS } from './delegation.ts';
import type { RevocationClaims } from './revocation.ts';

/** Most revocations that are remembered at a time. */
export const MAX_REVOCATIONS = 16_384;

interface Entry {
  readonly claims: RevocationClaims;
  readonly text: string;
}

/**
 * The revocations in force. One is forgotten only when no delegation that it hits can be valid any more: the longest life
 * after the time it reaches to.
 */
export class RevocationList {
  readonly #keepMs: number;
  /** By subject and signer: what one issuer says does not replace what another says. */
  readonly #bySubject = new Map<string, Map<string, Entry>>();
  #size = 0;

  /** @param skewMs the largest difference between two clocks that is allowed */
  constructor(skewMs: number) {
    this.#keepMs = MAX_DELEGATION_LIFETIME_MS + 2 * skewMs;
  }

  /** `known` if the signer has already revoked as much or more; `full` if there is no room. Signature and signer are checked. */
  add(claims: RevocationClaims, text: string, nowMs: number): 'taken' | 'known' | 'full' {
    const entries = this.#bySubject.get(claims.sub);
    const before = entries?.get(claims.iss);
    if (before !== undefined && before.claims.frm >= claims.frm) return 'known';
    if (before === undefined) {
      if (this.#size >= MAX_REVOCATIONS) this.#forgetSpent(nowMs);
      if (this.#size >= MAX_REVOCATIONS) return 'full';
      this.#size++;
    }
    if (this.#bySubject.get(claims.sub)?.set(claims.iss, { claims, text }) === undefined) {
      this.#bySubject.set(claims.sub, new Map([[claims.iss, { claims, text }]]));
    }
    return 'taken';
  }

  /** True if what was minted for `subject` at `mintedMs` has been revoked. `reachOf`: how far a signer's word reaches in time. */
  hits(subject: string, mintedMs: number, reachOf: (issuer: string) => number): boolean {
    const entries = this.#bySubject.get(subject);
    if (entries === undefined) return false;
    for (const [issuer, { claims }] of entries) if (mintedMs <= Math.min(claims.frm, reachOf(issuer))) return true;
    return false;
  }

  /** The texts in force. */
  texts(): string[] {
    return [...this.#bySubject.values()].flatMap((entries) => [...entries.values()].map(({ text }) => text));
  }

  #forgetSpent(nowMs: number): void {
    for (const [subject, entries] of this.#bySubject) {
      for (const [issuer, { claims }] of entries) {
        if (claims.frm + this.#keepMs >= nowMs) continue;
        entries.delete(issuer);
        this.#size--;
      }
      if (entries.size === 0) this.#bySubject.delete(subject);
    }
  }
}
