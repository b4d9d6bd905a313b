import { quote } from '../../ids.ts';
import { type Denial, deny } from '../../trust/denial.ts';
import type { LinkTable } from '../../trust/links.ts';
import { withoutVersion } from '../link-table.ts';

/** What another lattice may call here, as `trust.foreign` lists it. */
export interface ForeignShare {
  /** The lattice of the callers. */
  readonly lattice: string;
  /** Its cluster issuers: whose delegations count for it. */
  readonly issuers: readonly string[];
  /** Ids of its components and callers that may call. */
  readonly origins: readonly string[];
  /** The component of this lattice that they may call. */
  readonly target: string;
  /** `ns:pkg/iface`, without a version. */
  readonly interface: string;
  /** Functions of it by their wire names; all if empty. */
  readonly functions: readonly string[];
  /** Until when, RFC 3339; without end if left out. */
  readonly until?: string | undefined;
}

/** One function, as the subscription names it that got the call. */
interface Called {
  readonly target: string;
  readonly instance: string;
  readonly func: string;
}

/** What one lattice, under one of its issuers, may call here. Answers what the verifier asks of links. */
export class ForeignRules implements LinkTable {
  readonly #lattice: string;
  /** What is shared now; may be replaced at any time. */
  shares: readonly ForeignShare[];
  readonly #nowMs: () => number;

  /** @param nowMs the time that shares end by, milliseconds since the Unix epoch */
  constructor(lattice: string, shares: readonly ForeignShare[], nowMs: () => number) {
    this.#lattice = lattice;
    this.shares = shares;
    this.#nowMs = nowMs;
  }

  /** Why nobody of that lattice may call this function now, or `undefined`. */
  judge({ target, instance, func }: Called): Denial | undefined {
    const shared = this.#of(target, instance, func);
    if (shared.some((share) => this.#holds(share))) return undefined;
    const until = shared[0]?.until;
    const what = `${quote(`${instance}/${func}`)} of ${quote(target)}`;
    const why =
      until === undefined
        ? `is not shared with lattice ${this.#lattice}`
        : `was shared with lattice ${this.#lattice} until ${until}`;
    return deny('TRELLIS_VERIFY_FOREIGN', `${what} ${why}`);
  }

  allows(origin: string, _link: string, instance: string, target: string, func: string): boolean {
    return this.#of(target, instance, func).some((share) => share.origins.includes(origin) && this.#holds(share));
  }

  refusal(origin: string): Denial {
    return deny(
      'TRELLIS_VERIFY_FOREIGN',
      `${quote(origin)} of lattice ${this.#lattice} is none of the callers that may call this`,
    );
  }

  #of(target: string, instance: string, func: string): readonly ForeignShare[] {
    const name = withoutVersion(instance);
    return this.shares.filter(
      (share) =>
        share.target === target && share.interface === name && (share.functions.length === 0 || share.functions.includes(func)),
    );
  }

  #holds({ until }: ForeignShare): boolean {
    return until === undefined || this.#nowMs() < Date.parse(until);
  }
}
