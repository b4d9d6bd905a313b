import type { KeyObject } from 'node:crypto';
import { quote } from '../ids.ts';
import { isDocumentSignedBy } from './document.ts';
import { type DelegationClaims, delegationThumbprint, openDelegation } from './delegation.ts';
import { type Denial, deny } from './denial.ts';
import { WorkBudget } from './work-budget.ts';
import { type IssuerSetClaims, issuersOf, openIssuerSet } from './issuer-set.ts';
import { IssuerSet, type SignerDirectory, type TrustedSigner } from './issuers.ts';
import { parsePublicKey } from './nkey.ts';
import { openRevocation } from './revocation.ts';
import { RevocationList } from './revocations.ts';
import { isWithinScope, scopeTest } from './scope.ts';
import type { TrustedTime } from './trusted-time.ts';

/** Most delegations of one host key that are remembered; of more, the oldest have to be shown again. */
export const MAX_PER_SUBJECT = 64;
/** Most sub-delegations of one delegation that count at a time. */
export const MAX_SUB_DELEGATIONS = 64;
const DEFAULT_MAX_DELEGATIONS = 4_096;
const FAILED_CHECKS_PER_SECOND = 50;
const FAILED_CHECKS_AT_ONCE = 100;

/** What {@link TrustState} is made of. */
export interface TrustStateOptions {
  readonly lattice: string;
  /** The configured issuers: epoch 0. The first is the one that should sign, until a set names another. */
  readonly issuers: readonly string[];
  readonly time: TrustedTime;
  /** Largest difference between two clocks, milliseconds. */
  readonly skewMs: number;
  /** Most delegations remembered; 4,096 by default. A full cache refuses new ones and forgets none that is valid. */
  readonly maxDelegations?: number;
  /** For the trust in another lattice: why what was delegated there does not count here. Asked at every use, so it must cost little. */
  readonly veto?: (subject: string, kid: string, mintedMs: number) => Denial | undefined;
}

/** What a {@link TrustState} holds, as texts that its take functions accept back, issuer sets first. */
export interface TrustSnapshot {
  /** In the order of their epochs: each is signed by a member of the one before. */
  readonly issuerSets: readonly string[];
  readonly revocations: readonly string[];
}

interface Known {
  readonly claims: DelegationClaims;
  readonly kid: string;
  readonly parent: Known | undefined;
  readonly signer: TrustedSigner;
  /** Its sub-delegations; those that do not count any more go when there is no room. */
  readonly children: Set<Known>;
  /** What issuers, epochs and revocations of `generation` say of it. */
  denial: Denial | undefined;
  generation: number;
}

interface Signatory {
  readonly key: KeyObject;
  /** Until when its word counts: without end for a member of the current set. */
  reachMs: number;
}

/**
 * Whose signatures count in a lattice, now: the issuers of the current epoch, and the keys that they delegated to, unless
 * revoked. What it is told must be signed, so it may come from anybody; what it answers costs no cryptography.
 */
export class TrustState implements SignerDirectory {
  readonly #lattice: string;
  readonly #time: TrustedTime;
  readonly #skewMs: number;
  readonly #maxDelegations: number;
  readonly #veto: TrustStateOptions['veto'];
  readonly #budget: WorkBudget;
  /** Every issuer there has been; the key objects of those that left still check what they signed before. */
  readonly #signatories = new Map<string, Signatory>();
  readonly #sets: string[] = [];
  #current: { readonly epoch: number; readonly min: number; readonly active: string; readonly issuers: IssuerSet };
  readonly #revocations: RevocationList;
  readonly #reachOf = (issuer: string): number => this.#signatories.get(issuer)?.reachMs ?? Number.NEGATIVE_INFINITY;
  readonly #delegations = new Map<string, Known>();
  /** Counts what can turn a delegation from good to bad; see {@link Known}. */
  #generation = 0;
  #staleAfterMs: number | undefined;
  #freshMs = Number.NEGATIVE_INFINITY;
  readonly #listeners = new Set<() => void>();
  /** Ed25519 checks of delegations, issuer sets and revocations; for metrics. */
  readonly stats = { checks: 0 };

  /** @throws TRELLIS_TRUST_ISSUER_INVALID */
  constructor(options: TrustStateOptions) {
    const issuers = new IssuerSet(options.issuers);
    this.#lattice = options.lattice;
    this.#time = options.time;
    this.#skewMs = options.skewMs;
    this.#maxDelegations = options.maxDelegations ?? DEFAULT_MAX_DELEGATIONS;
    this.#veto = options.veto;
    this.#budget = new WorkBudget(options.time, FAILED_CHECKS_PER_SECOND, FAILED_CHECKS_AT_ONCE);
    this.#revocations = new RevocationList(options.skewMs);
    this.#current = { epoch: 0, min: 0, active: issuers.list()[0] ?? '', issuers };
    this.#count(issuers);
  }

  /** Epoch of the current issuer set; 0 as configured. */
  get epoch(): number {
    return this.#current.epoch;
  }

  /** Delegations minted under a lower epoch do not count. */
  get minEpoch(): number {
    return this.#current.min;
  }

  /** The public keys that count now. */
  get issuers(): readonly string[] {
    return this.#current.issuers.list();
  }

  /** The issuer that should sign now. */
  get active(): string {
    return this.#current.active;
  }

  /** Number of delegations remembered. */
  get size(): number {
    return this.#delegations.size;
  }

  /**
   * Takes other configured issuers, as after a restart: of those that left only what they revoked before counts. False, and nothing
   * changed, once an issuer set has come: the configured ones are then only where a newcomer begins. @throws TRELLIS_TRUST_ISSUER_INVALID
   */
  configure(publicKeys: readonly string[]): boolean {
    if (this.epoch > 0) return false;
    const issuers = new IssuerSet(publicKeys);
    for (const key of this.issuers) if (!issuers.has(key)) this.#signatories.get(key)!.reachMs = this.#time.nowMs();
    this.#current = { ...this.#current, active: issuers.list()[0] ?? '', issuers };
    this.#count(issuers);
    this.#changed();
    return true;
  }

  /** Takes a later issuer set, signed by a member of the current one. An epoch never goes down. */
  takeIssuerSet(text: string): 'taken' | 'known' | Denial {
    if (this.#sets.includes(text)) return 'known';
    const claims = openIssuerSet(text);
    if (claims === undefined) return deny('TRELLIS_VERIFY_MALFORMED', 'is no issuer set');
    if (claims.lat !== this.#lattice) return deny('TRELLIS_VERIFY_LATTICE', `made for lattice ${quote(claims.lat)}`);
    if (claims.epc <= this.epoch) return deny('TRELLIS_VERIFY_EPOCH', `issuer set of epoch ${claims.epc}, this is ${this.epoch}`);
    if (claims.min < this.minEpoch) return deny('TRELLIS_VERIFY_EPOCH', `lowers the least epoch to ${claims.min}`);
    const key = this.#current.issuers.keyFor(claims.iss);
    if (key === undefined) return deny('TRELLIS_VERIFY_ISSUER', `issuer set signed by ${quote(claims.iss)}`);
    if (!this.#isSigned(text, 'issuers', key)) return deny('TRELLIS_VERIFY_SIGNATURE', `not signed by ${quote(claims.iss)}`);
    this.#become(claims, text);
    return 'taken';
  }

  #become(claims: IssuerSetClaims, text: string): void {
    const issuers = new IssuerSet(issuersOf(claims));
    for (const key of this.issuers) if (!issuers.has(key)) this.#signatories.get(key)!.reachMs = claims.iat;
    this.#sets.push(text);
    this.#current = { epoch: claims.epc, min: claims.min, active: claims.act, issuers };
    this.#count(issuers);
    this.#changed();
  }

  #count(issuers: IssuerSet): void {
    for (const key of issuers.list())
      this.#signatories.set(key, { key: issuers.keyFor(key)!, reachMs: Number.POSITIVE_INFINITY });
  }

  /**
   * Takes a revocation signed by a current issuer. What a former issuer signed counts as well, but for nothing minted after
   * it left: a revocation survives the rotation of its issuer and a restart, while a stolen key that has been retired
   * can no longer lock out the hosts that were delegated to since. So whoever retires an issuer signs bans that are to last again.
   */
  takeRevocation(text: string): 'taken' | 'known' | Denial {
    const claims = openRevocation(text);
    if (claims === undefined) return deny('TRELLIS_VERIFY_MALFORMED', 'is no revocation');
    if (claims.lat !== this.#lattice) return deny('TRELLIS_VERIFY_LATTICE', `made for lattice ${quote(claims.lat)}`);
    const signatory = this.#signatories.get(claims.iss);
    if (signatory === undefined) return deny('TRELLIS_VERIFY_ISSUER', `revocation signed by ${quote(claims.iss)}`);
    if (!this.#isSigned(text, 'revocation', signatory.key)) {
      return deny('TRELLIS_VERIFY_SIGNATURE', `not signed by ${quote(claims.iss)}`);
    }
    const added = this.#revocations.add(claims, text, this.#time.nowMs(), this.#reachOf);
    if (added === 'full') return deny('TRELLIS_VERIFY_DELEGATION_BUSY', 'no room to remember another revocation');
    if (added === 'taken') this.#changed();
    return added;
  }

  /**
   * Takes a delegation, and its parent if it has one that is not known yet: all checks, once. The answer for one
   * that is known costs no cryptography.
   */
  takeDelegation(text: string, parentText?: string): { readonly kid: string } | Denial {
    return this.#takeText(text, parentText, false);
  }

  /** The same for this member's own, which strangers that use up the checks shall not keep it from renewing. */
  takeOwnDelegation(text: string): { readonly kid: string } | Denial {
    return this.#takeText(text, undefined, true);
  }

  /** Why a host's delegation does not count, its signature aside, for who has just signed it: it is not remembered. */
  judgeDelegation(text: string): Denial | undefined {
    const claims = openDelegation(text);
    if (claims === undefined || claims.par !== undefined) return deny('TRELLIS_VERIFY_DELEGATION', 'is no delegation of a host');
    if (claims.lat !== this.#lattice) return deny('TRELLIS_VERIFY_LATTICE', `delegation made for lattice ${quote(claims.lat)}`);
    return this.#judge(claims, delegationThumbprint(text), undefined);
  }

  #takeText(text: string, parentText: string | undefined, own: boolean): { readonly kid: string } | Denial {
    const claims = openDelegation(text);
    if (claims === undefined) return deny('TRELLIS_VERIFY_DELEGATION', 'delegation is malformed or not sound');
    const kid = delegationThumbprint(text);
    const known = this.#delegations.get(kid);
    if (known !== undefined) return this.#deny(known) ?? { kid };
    if (parentText !== undefined && claims.par === delegationThumbprint(parentText)) {
      const parent = this.takeDelegation(parentText);
      if ('ok' in parent) return parent;
    }
    return this.#take(text, kid, claims, own);
  }

  #take(text: string, kid: string, claims: DelegationClaims, own: boolean): { readonly kid: string } | Denial {
    if (claims.lat !== this.#lattice) return deny('TRELLIS_VERIFY_LATTICE', `delegation made for lattice ${quote(claims.lat)}`);
    const parent = claims.par === undefined ? undefined : this.#delegations.get(claims.par);
    if (claims.par !== undefined && parent === undefined) {
      return deny('TRELLIS_VERIFY_DELEGATION', 'the delegation of the delegating host is not known');
    }
    const key = parent?.signer.key ?? this.#current.issuers.keyFor(claims.iss);
    if (key === undefined) return deny('TRELLIS_VERIFY_ISSUER', `delegation signed by ${quote(claims.iss)}`);
    const denial = (parent === undefined ? undefined : this.#judgeChild(claims, parent)) ?? this.#judge(claims, kid, parent);
    if (denial !== undefined) return denial;
    if (!own && !this.#budget.open) return deny('TRELLIS_VERIFY_DELEGATION_BUSY', 'too many delegations did not verify');
    if (!this.#hasRoom(parent)) return deny('TRELLIS_VERIFY_DELEGATION_BUSY', 'no room to remember another delegation');
    if (!this.#isSigned(text, 'delegation', key)) {
      this.#budget.spend();
      return deny('TRELLIS_VERIFY_SIGNATURE', `delegation not signed by ${quote(claims.iss)}`);
    }
    const subject = parsePublicKey(claims.sub);
    if (!subject.ok) return deny('TRELLIS_VERIFY_DELEGATION', 'delegates to a key that cannot sign');
    if (parent === undefined) this.#makeRoomFor(claims.sub);
    const known: Known = {
      claims,
      kid,
      parent,
      signer: {
        key: subject.key,
        speaksFor: scopeTest(claims.org),
        answersFor: scopeTest(claims.tgt),
        mayCommand: scopeTest(claims.ctl ?? ''),
      },
      children: new Set(),
      denial: undefined,
      generation: this.#generation,
    };
    parent?.children.add(known);
    this.#delegations.set(kid, known);
    return { kid };
  }

  /** True if a token may name this delegation without showing it. */
  knows(kid: string): boolean {
    return this.#delegations.has(kid);
  }

  /** True if `key` is a cluster issuer of this lattice, or was one: no authority, only whose lattice it names. */
  isOwnIssuer(key: string): boolean {
    return this.#signatories.has(key);
  }

  /**
   * What this lattice has to say about a delegation of another one: an issuer here may revoke it like its own, and while revocations may
   * have been missed, nobody counts.
   */
  vetoes(subject: string, kid: string, mintedMs: number): Denial | undefined {
    return this.#judgeFreshness() ?? this.#judgeRevoked(subject, kid, mintedMs);
  }

  #judgeRevoked(subject: string, kid: string, mintedMs: number): Denial | undefined {
    const hit = [subject, kid].some((each) => this.#revocations.hits(each, mintedMs, this.#reachOf));
    return hit ? deny('TRELLIS_VERIFY_REVOKED', `the delegation of ${quote(subject)} has been revoked`) : undefined;
  }

  #judgeFreshness(): Denial | undefined {
    if (this.#staleAfterMs === undefined || this.#time.nowMs() - this.#freshMs <= this.#staleAfterMs) return undefined;
    return deny('TRELLIS_VERIFY_STALE', `revocations were not seen for more than ${this.#staleAfterMs} ms`);
  }

  /** @see SignerDirectory.find */
  find(iss: string, kid: string | undefined): TrustedSigner | Denial {
    const stale = this.#judgeFreshness();
    if (stale !== undefined) return stale;
    if (kid === undefined && this.#veto !== undefined)
      return deny('TRELLIS_VERIFY_DELEGATION', `${quote(iss)} of another lattice names no delegation`);
    if (kid === undefined) {
      const key = this.#current.issuers.keyFor(iss);
      return key === undefined
        ? deny('TRELLIS_VERIFY_ISSUER', `signed by ${quote(iss)}`)
        : { key, speaksFor: all, answersFor: all, mayCommand: all };
    }
    const known = this.#delegations.get(kid);
    if (known === undefined) return deny('TRELLIS_VERIFY_DELEGATION', `${quote(iss)} names a delegation that is not known`);
    if (known.claims.sub !== iss) return deny('TRELLIS_VERIFY_DELEGATION', `${quote(iss)} names the delegation of another key`);
    return this.#deny(known) ?? known.signer;
  }

  /** From now on nothing is believed while {@link TrustState.markFresh} has not been called for longer than `maxStaleMs`. */
  requireFresh(maxStaleMs: number): void {
    this.#staleAfterMs = maxStaleMs;
  }

  /** The store of issuer sets and revocations was seen up to date: now, or at an earlier trusted time. */
  markFresh(seenMs = this.#time.nowMs()): void {
    this.#freshMs = Math.max(this.#freshMs, Math.min(seenMs, this.#time.nowMs()));
  }

  /** What it was told, to be kept for the next start. Delegations are not in it: their holders show them again. */
  snapshot(): TrustSnapshot {
    return { issuerSets: [...this.#sets], revocations: this.#revocations.texts() };
  }

  /** Tells `listener` after every new issuer set or revocation. Returns the way to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    this.#generation++;
    for (const listener of this.#listeners) listener();
  }

  #isSigned(text: string, kind: Parameters<typeof isDocumentSignedBy>[1], key: KeyObject): boolean {
    this.stats.checks++;
    return isDocumentSignedBy(text, kind, key);
  }

  /** Why a known delegation does not count now. Two look-ups unless something changed since the last time. */
  #deny(known: Known): Denial | undefined {
    if (known.generation !== this.#generation) {
      known.denial = this.#judgeStanding(known.claims, known.kid, known.parent);
      known.generation = this.#generation;
    }
    return known.denial ?? this.#judgeTime(known.claims) ?? (this.#veto === undefined ? undefined : this.#judgeVeto(known));
  }

  #judgeVeto(known: Known): Denial | undefined {
    for (let each: Known | undefined = known; each !== undefined; each = each.parent) {
      const denial = this.#veto?.(each.claims.sub, each.kid, each.claims.iat);
      if (denial !== undefined) return denial;
    }
    return undefined;
  }

  #judge(claims: DelegationClaims, kid: string, parent: Known | undefined): Denial | undefined {
    return this.#judgeStanding(claims, kid, parent) ?? this.#judgeTime(claims);
  }

  #judgeTime({ iat, nbf, exp }: DelegationClaims): Denial | undefined {
    const nowMs = this.#time.nowMs();
    const lateMs = Math.ceil(nowMs - exp);
    if (lateMs > this.#skewMs) return deny('TRELLIS_VERIFY_DELEGATION_EXPIRED', `delegation expired ${lateMs} ms ago`);
    const earlyMs = Math.ceil(Math.max(iat, nbf) - nowMs);
    if (earlyMs > this.#skewMs) return deny('TRELLIS_VERIFY_DELEGATION_EXPIRED', `delegation begins in ${earlyMs} ms`);
    return undefined;
  }

  /** What issuers, epochs and revocations say. A child stands and falls with its parent. */
  #judgeStanding(claims: DelegationClaims, kid: string, parent: Known | undefined): Denial | undefined {
    if (claims.epc < this.minEpoch) {
      return deny('TRELLIS_VERIFY_EPOCH', `delegation of epoch ${claims.epc}, ${this.minEpoch} is the least that counts`);
    }
    const revoked = this.#judgeRevoked(claims.sub, kid, claims.iat);
    if (revoked !== undefined) return revoked;
    if (parent !== undefined) return this.#judgeStanding(parent.claims, parent.kid, parent.parent);
    if (this.#current.issuers.has(claims.iss)) return undefined;
    return deny('TRELLIS_VERIFY_ISSUER', `delegation signed by ${quote(claims.iss)}`);
  }

  #judgeChild(claims: DelegationClaims, { claims: above }: Known): Denial | undefined {
    if (claims.iss !== above.sub)
      return deny('TRELLIS_VERIFY_DELEGATION', 'is signed by another key than its parent delegates to');
    if (!isWithinScope(claims.org, above.org) || !isWithinScope(claims.tgt, above.tgt)) {
      return deny('TRELLIS_VERIFY_SCOPE', `delegates more than ${quote(claims.iss)} has`);
    }
    if (claims.exp > above.exp || claims.nbf < above.nbf || claims.iat < above.iat) {
      return deny('TRELLIS_VERIFY_DELEGATION', 'lives outside the life of its parent');
    }
    return undefined;
  }

  /** Room for one more, below `parent` too. Only what does not count any more is forgotten. */
  #hasRoom(parent: Known | undefined): boolean {
    if (parent !== undefined && parent.children.size >= MAX_SUB_DELEGATIONS) this.#forgetDead(parent.children);
    if (this.#delegations.size >= this.#maxDelegations) this.#forgetDead(this.#delegations.values());
    return this.#delegations.size < this.#maxDelegations && (parent?.children.size ?? 0) < MAX_SUB_DELEGATIONS;
  }

  /** No key can fill the memory with delegations of its own: a host that starts over and over, or asks for more than it needs. */
  #makeRoomFor(subject: string): void {
    const own = [...this.#delegations.values()].filter(({ claims }) => claims.sub === subject);
    for (const known of own.slice(0, Math.max(0, own.length + 1 - MAX_PER_SUBJECT))) this.#forget(known);
  }

  #forget(known: Known): void {
    this.#delegations.delete(known.kid);
    known.parent?.children.delete(known);
  }

  #forgetDead(entries: Iterable<Known>): void {
    for (const known of entries) {
      if (this.#deny(known) !== undefined) this.#forget(known);
    }
  }
}

const all = (): boolean => true;
