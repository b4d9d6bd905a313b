import type { Clock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import type { DelegationKeeper } from '../identity/delegation-keeper.ts';
import type { WantedScope } from '../identity/delegation-source.ts';
import { scopeTest } from '../trust/scope.ts';

/** What a {@link DelegatedScope} asks a member of the lattice for. */
export interface ScopedMember {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly delegation: Pick<DelegationKeeper, 'held' | 'renew' | 'failure'>;
  wants(scope: WantedScope): void;
}

/** How long an issuer's no is believed before this host offers to run the component again. */
const REFUSED_FOR_MS = 60_000;
const MAX_REFUSED = 1_000;

/**
 * The components that this host's delegation is to name: those of its configuration and those that the lattice had it start. One
 * that is not named answers nobody, because nobody would believe it.
 */
export class DelegatedScope {
  /** The delegation names what it names, whatever is asked for. */
  readonly isFixed: boolean;
  readonly #member: ScopedMember;
  readonly #ids: Set<string>;
  /** When it last was refused to name these. */
  readonly #refusedMs = new Map<string, number>();

  /**
   * @param ids - What the delegation in use was asked for.
   * @param isFixed - It names what it names, whatever is asked for: a file that somebody else writes.
   */
  constructor(member: ScopedMember, ids: readonly string[], isFixed = false) {
    this.#member = member;
    this.#ids = new Set(ids);
    this.isFixed = isFixed;
  }

  /** True if it names it, or would as far as anybody knows here. Asks nobody. */
  mayCover(id: string): boolean {
    if (this.covers(id)) return true;
    const refusedMs = this.#refusedMs.get(id);
    return !this.isFixed && (refusedMs === undefined || this.#member.clock.monotonicMs() - refusedMs > REFUSED_FOR_MS);
  }

  /** True if the delegation in use names it, as a caller and as somebody who answers. */
  covers(id: string): boolean {
    const { org, tgt } = this.#member.delegation.held.claims;
    return scopeTest(org)(id) && scopeTest(tgt)(id);
  }

  /** Asks for these as well, and resolves when it has been asked; see {@link covers} for what came of it. */
  async add(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.#ids.add(id);
    this.#ask();
    await this.#member.delegation.renew();
    // A renewal that was under way has asked for what was wanted before.
    if (!ids.every((id) => this.covers(id))) await this.#member.delegation.renew();
  }

  /** Has the delegation name `id`, or says why it cannot. @throws TRELLIS_DELEGATION_SCOPE */
  async cover(id: string): Promise<void> {
    if (this.covers(id)) {
      this.#ids.add(id);
      this.#ask();
      return;
    }
    await this.add([id]);
    if (this.covers(id)) return;
    this.#ids.delete(id);
    this.#ask();
    if (this.#refusedMs.size >= MAX_REFUSED) this.#refusedMs.clear();
    this.#refusedMs.set(id, this.#member.clock.monotonicMs());
    const { failure } = this.#member.delegation;
    throw new TrellisError('TRELLIS_DELEGATION_SCOPE', {
      message: `the delegation of this host does not name component ${id}: its answers would not be believed`,
      details: { component: id, issuer: this.#member.delegation.held.claims.iss },
      ...(failure === undefined ? {} : { cause: failure }),
    });
  }

  /** These are not wanted any more: the next delegation does not name them, and it comes now. */
  async drop(ids: readonly string[]): Promise<void> {
    const held = ids.filter((id) => this.#ids.delete(id));
    if (held.length === 0) return;
    this.#ask();
    await this.#member.delegation.renew();
    // As above; they may also be wanted again by now.
    if (held.some((id) => !this.#ids.has(id) && this.covers(id))) await this.#member.delegation.renew();
  }

  #ask(): void {
    const ids = [...this.#ids];
    this.#member.wants({ origins: ids, targets: ids });
  }
}
