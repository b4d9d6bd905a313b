import { MAX_DELEGATION_LIFETIME_MS } from './delegation.ts';
import type { RevocationClaims } from './revocation.ts';

/** Most revocations that are remembered at a time. */
export const MAX_REVOCATIONS = 16_384;

/** How far a signer's word reaches in time, milliseconds since the Unix epoch. */
type ReachOf = (issuer: string) => number;

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

  /**
   * `known` if the signer has already revoked as much or more, or it can hit nothing any more; `full` if there is no room.
   * Signature and signer are checked. `reachOf`: how far a signer's word reaches in time; without end for one that counts now,
   * whose word takes the place of the latest of one that has left.
   */
  add(claims: RevocationClaims, text: string, nowMs: number, reachOf: ReachOf): 'taken' | 'known' | 'full' {
    if (this.#isSpent(claims, nowMs, reachOf)) return 'known';
    const entries = this.#bySubject.get(claims.sub);
    const before = entries?.get(claims.iss);
    if (before !== undefined && before.claims.frm >= claims.frm) return 'known';
    if (before === undefined) {
      if (this.#size >= MAX_REVOCATIONS) this.#forgetSpent(nowMs, reachOf);
      if (this.#size >= MAX_REVOCATIONS && reachOf(claims.iss) === Number.POSITIVE_INFINITY) this.#forgetLatestOfFormer(reachOf);
      if (this.#size >= MAX_REVOCATIONS) return 'full';
      this.#size++;
    }
    if (this.#bySubject.get(claims.sub)?.set(claims.iss, { claims, text }) === undefined) {
      this.#bySubject.set(claims.sub, new Map([[claims.iss, { claims, text }]]));
    }
    return 'taken';
  }

  /** True if what was minted for `subject` at `mintedMs` has been revoked. `reachOf`: how far a signer's word reaches in time. */
  hits(subject: string, mintedMs: number, reachOf: ReachOf): boolean {
    const entries = this.#bySubject.get(subject);
    if (entries === undefined) return false;
    for (const [issuer, { claims }] of entries) if (mintedMs <= Math.min(claims.frm, reachOf(issuer))) return true;
    return false;
  }

  /** The texts in force. */
  texts(): string[] {
    return [...this.#bySubject.values()].flatMap((entries) => [...entries.values()].map(({ text }) => text));
  }

  #isSpent({ frm, iss }: RevocationClaims, nowMs: number, reachOf: ReachOf): boolean {
    return Math.min(frm, reachOf(iss)) + this.#keepMs < nowMs;
  }

  #forgetSpent(nowMs: number, reachOf: ReachOf): void {
    for (const entries of this.#bySubject.values())
      for (const { claims } of entries.values()) if (this.#isSpent(claims, nowMs, reachOf)) this.#forget(claims);
  }

  /** Who stole a key that has been retired since fills the list with it last of all. */
  #forgetLatestOfFormer(reachOf: ReachOf): void {
    let latest: RevocationClaims | undefined;
    for (const entries of this.#bySubject.values())
      for (const { claims } of entries.values()) if (reachOf(claims.iss) < Number.POSITIVE_INFINITY) latest = claims;
    if (latest !== undefined) this.#forget(latest);
  }

  #forget({ sub, iss }: RevocationClaims): void {
    const entries = this.#bySubject.get(sub);
    if (entries?.delete(iss) === true) this.#size--;
    if (entries?.size === 0) this.#bySubject.delete(sub);
  }
}
