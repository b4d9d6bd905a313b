import { linkKey } from '../ids.ts';
import type { Invocation } from './outbound.ts';
import type { PathObserver } from './observer.ts';

/** A source that may call an interface of a target without signatures, while a lattice migrates. */
export interface UnsignedPair {
  /** Exact id of the calling component, by its own word: whoever may publish can say it. */
  readonly source: string;
  /** Exact id of the called component or provider. */
  readonly target: string;
  /** `ns:pkg/iface`, without a version. */
  readonly interface: string;
}

/** Callers sign calls, servers sign answers. */
type Role = 'caller' | 'server';

/**
 * The holes that an operator leaves by choice (`trust.unsigned`). Calls and answers of these pairs count without any signature, and so do
 * their streams and futures. The holes close by themselves: once a listed id has proven that it signs, what claims to be it without a
 * signature is a downgrade, in that role and for as long as the process lives.
 */
export class UnsignedPairs {
  #pairs: ReadonlyMap<string, UnsignedPair> = new Map();
  #listed: Readonly<Record<Role, ReadonlySet<string>>> = { caller: new Set(), server: new Set() };
  readonly #signing: Readonly<Record<Role, Set<string>>> = { caller: new Set(), server: new Set() };
  readonly #onSigning: (id: string, role: Role) => void;

  /** @param onSigning told once for each listed id that has begun to sign in a role */
  constructor(pairs: readonly UnsignedPair[], onSigning: (id: string, role: Role) => void) {
    this.replace(pairs);
    this.#onSigning = onSigning;
  }

  /** Takes these pairs in place of all before. What has been seen to sign still must. */
  replace(pairs: readonly UnsignedPair[]): void {
    this.#pairs = new Map(pairs.map((pair) => [keyOf(pair.source, pair.target, pair.interface), pair]));
    this.#listed = {
      caller: new Set(pairs.map(({ source }) => source)),
      server: new Set(pairs.map(({ target }) => target)),
    };
  }

  /** True if this call by `source` may come unsigned. */
  mayCall(source: string, target: string, instance: string): boolean {
    return this.#pairs.size > 0 && !this.#signing.caller.has(source) && this.#pairs.has(keyOf(source, target, instance));
  }

  /** True if `target` may answer this call unsigned. */
  mayAnswer(source: string, target: string, instance: string): boolean {
    return this.#pairs.size > 0 && !this.#signing.server.has(target) && this.#pairs.has(keyOf(source, target, instance));
  }

  /** Takes note that something `id` signed in this role was verified. */
  signs(id: string, role: Role): void {
    if (!this.#listed[role].has(id) || this.#signing[role].has(id)) return;
    this.#signing[role].add(id);
    this.#onSigning(id, role);
  }
}

/**
 * What one call takes of its target without any signature, because an operator listed the pair. Once streams have gone out on the word of
 * such an acknowledgement, or such an answer has been taken, it cannot become a signed call any more: a signed word after that says that the
 * other was somebody else's.
 */
export class UnsignedTarget {
  readonly #pairs: UnsignedPairs;
  readonly #observer: PathObserver;
  readonly #call: Invocation;
  #taken = false;

  constructor(pairs: UnsignedPairs, observer: PathObserver, call: Invocation) {
    this.#pairs = pairs;
    this.#observer = observer;
    this.#call = call;
  }

  /** True while what comes without any signature may count. A bad signature never does. */
  get allowed(): boolean {
    const { origin, target, instance } = this.#call;
    return this.#pairs.mayAnswer(origin, target, instance);
  }

  /** True once something unsigned has been taken that streams depend on: they are as unsigned until the call ends. */
  get taken(): boolean {
    return this.#taken;
  }

  /** Takes note that an acknowledgement was taken: streams of the parameters, if there are any, follow it. */
  acknowledged(): void {
    this.#taken ||= this.#call.pendingParams === true;
  }

  /** Takes note that an answer was taken, and counts it. */
  answered(): void {
    const { origin, target, instance, asyncResult, pendingParams } = this.#call;
    this.#taken = true;
    this.#observer.unsigned('out', pairName(origin, target, instance), asyncResult === true || pendingParams === true);
  }

  /** Takes note that the target has signed something that was verified. True if that contradicts what was taken. */
  signs(): boolean {
    this.#pairs.signs(this.#call.target, 'server');
    return this.#taken;
  }
}

/** How metrics and log name the pair of a call. */
export function pairName(source: string, target: string, instance: string): string {
  return `${source} → ${target} ${linkKey(instance)}`;
}

function keyOf(source: string, target: string, instance: string): string {
  return `${source} ${target} ${linkKey(instance)}`;
}
