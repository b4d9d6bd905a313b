import type { DelegationRequest } from './delegation-request.ts';
import { commonScope } from './scope.ts';

/** Whom the issuer service signs for, and for what. */
export interface AllowEntry {
  /** Public key of the NATS user (`U…`) that must have signed the request. */
  readonly user?: string | undefined;
  /** Public key of the host (`N…`) that must have signed the request. */
  readonly host?: string | undefined;
  /** Public key of an operator (`U…`) that must have signed the request; such an entry names no host and gives commands only. */
  readonly operator?: string | undefined;
  /** Scopes in their one spelling; see `scope.ts`. */
  readonly origins: string;
  readonly targets: string;
  /** Commands that the operator may give, by their nouns. */
  readonly commands?: string;
  /** Longest life of a delegation, milliseconds. */
  readonly lifetimeMs: number;
}

/** Why the issuer service does not sign. Stable words: hosts and operators match on them. */
export type RefusalReason = 'malformed' | 'lattice' | 'time' | 'not-allowed' | 'revoked' | 'scope' | 'no-key' | 'busy';

/** What a request gets. */
export type AllowDecision =
  | { readonly ok: true; readonly org: string; readonly tgt: string; readonly ctl?: string; readonly lifetimeMs: number }
  | { readonly ok: false; readonly reason: RefusalReason };

/**
 * What `request`, whose signatures hold, may have: of the first entry whose keys all signed it, the part that was wanted.
 * An entry that names no key fits nobody.
 */
export function decideDelegation(entries: readonly AllowEntry[], request: DelegationRequest): AllowDecision {
  const forOperator = request.ctl !== undefined;
  const entry = entries.find(({ user, host, operator }) => {
    const holder = forOperator ? operator : host;
    // An operator is known by its own key, whatever it logs in as; a host may be known by its login alone.
    if (forOperator ? operator === undefined : operator !== undefined || (user ?? host) === undefined) return false;
    return (user === undefined || user === request.usr) && (holder === undefined || holder === request.sub);
  });
  if (entry === undefined) return { ok: false, reason: 'not-allowed' };
  if (request.ctl !== undefined) {
    const ctl = commonScope(request.ctl, entry.commands ?? '');
    if (ctl === '') return { ok: false, reason: 'scope' };
    return { ok: true, org: '', tgt: '', ctl, lifetimeMs: entry.lifetimeMs };
  }
  const org = commonScope(request.org, entry.origins);
  const tgt = commonScope(request.tgt, entry.targets);
  // A host that waits for the lattice to give it components asks for none yet.
  const wantsNone = request.org === '' && request.tgt === '';
  if (!wantsNone && org === '' && tgt === '') return { ok: false, reason: 'scope' };
  return { ok: true, org, tgt, lifetimeMs: entry.lifetimeMs };
}
