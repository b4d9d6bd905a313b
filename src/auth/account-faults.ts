import type { AccountClaims, OperatorClaims } from './claims-shape.ts';
import { readNatsJwt } from './nats-jwt.ts';

/** Public keys with which an operator signs accounts. */
export function operatorKeys({ sub, nats }: OperatorClaims): string[] {
  return [...(nats.signing_keys ?? []), ...(nats.strict_signing_key_usage === true ? [] : [sub])];
}

/** What a server trusts, as it says itself. */
export interface TrustedOperators {
  readonly server: string;
  /** JWTs of operators. */
  readonly operators: readonly string[];
}

const NEEDED_LIMITS = ['conn', 'subs', 'data', 'payload'] as const;

/**
 * Why an account JWT that is signed by whom it names must not reach a server, or `undefined`: it has ended, it allows nothing, or a
 * server would store it and then refuse it because it does not know the operator's key.
 */
export function accountFault(claims: AccountClaims, servers: readonly TrustedOperators[], nowMs: number): string | undefined {
  const { exp = 0, nbf = 0, iss, nats } = claims;
  if (exp > 0 && exp * 1_000 <= nowMs) return `it expired at ${new Date(exp * 1_000).toISOString()}`;
  if (nbf * 1_000 > nowMs) return `it counts only from ${new Date(nbf * 1_000).toISOString()} on`;
  const none = NEEDED_LIMITS.find((limit) => (nats.limits?.[limit] ?? 0) === 0);
  if (none !== undefined) return `its limit ${none} is 0, or left out, which is the same: nobody could use it`;
  const stranger = servers.find(({ operators }) => !operators.some((jwt) => keysIn(jwt).includes(iss)));
  if (stranger !== undefined) {
    return `server ${stranger.server} does not know the operator key that signed it (${iss}): export its configuration again and restart it`;
  }
  return undefined;
}

function keysIn(operatorJwt: string): string[] {
  const read = readNatsJwt(operatorJwt, 'operator');
  return read.ok ? operatorKeys(read.claims) : [];
}
