import { TrellisError } from './errors.ts';
import type { DelegationKeeper } from './identity/delegation-keeper.ts';
import type { WantedScope } from './identity/delegation-source.ts';
import { scopeTest } from './trust/scope.ts';

/** What a {@link DelegatedScope} asks a member of the lattice for. */
export interface ScopedMember {
  readonly delegation: Pick<DelegationKeeper, 'held' | 'renew' | 'failure'>;
  wants(scope: WantedScope): void;
}

/**
 * The components that this host's delegation is to name: those of its configuration and those that the lattice had it start. One
 * that is not named answers nobody, because nobody would believe it.
 */
export class DelegatedScope {
  readonly #member: ScopedMember;
  readonly #ids: Set<string>;

  /** @param ids - What the delegation in use was asked for. */
  constructor(member: ScopedMember, ids: readonly string[]) {
    this.#member = member;
    this.#ids = new Set(ids);
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
    const { failure } = this.#member.delegation;
    throw new TrellisError('TRELLIS_DELEGATION_SCOPE', {
      message: `the delegation of this host does not name component ${id}: its answers would not be believed`,
      details: { component: id, issuer: this.#member.delegation.held.claims.iss },
      ...(failure === undefined ? {} : { cause: failure }),
    });
  }

  /** These are not wanted any more: the next delegation does not name them, and it comes now. */
  drop(ids: readonly string[]): Promise<void> {
    const held = ids.filter((id) => this.#ids.delete(id));
    if (held.length === 0) return Promise.resolve();
    this.#ask();
    return this.#member.delegation.renew();
  }

  #ask(): void {
    const ids = [...this.#ids];
    this.#member.wants({ origins: ids, targets: ids });
  }
}
