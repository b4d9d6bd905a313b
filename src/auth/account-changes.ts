import { isDeepStrictEqual } from 'node:util';
import type { AccountClaims } from './claims-shape.ts';

/**
 * What an account would say otherwise than before, in words for whoever has to agree to it; empty if nothing that counts. What takes
 * away comes first.
 */
export function accountChanges(before: AccountClaims, after: AccountClaims): string[] {
  const [taken, given]: [string[], string[]] = [[], []];
  const [former, next] = [keysOf(before), keysOf(after)];
  for (const [key, { role, template }] of former) {
    const other = next.get(key);
    if (other === undefined) taken.push(`without the key of ${role} (${key}): its users are disconnected`);
    else if (other.role !== role || !isDeepStrictEqual(template, other.template)) {
      given.push(`other rights for ${role}: its users are disconnected for a moment`);
    }
  }
  for (const [key, { role }] of next) if (!former.has(key)) given.push(`a key for ${role}`);
  const [wasRevoked, isRevoked] = [before.nats.revocations ?? {}, after.nats.revocations ?? {}];
  for (const [user, at] of Object.entries(wasRevoked)) {
    if ((isRevoked[user] ?? 0) < at) taken.push(`no longer revokes ${user} as of ${time(at)}`);
  }
  for (const [user, at] of Object.entries(isRevoked))
    if ((wasRevoked[user] ?? 0) < at) given.push(`revokes ${user} as of ${time(at)}`);
  for (const side of ['exports', 'imports', 'limits'] as const) {
    if (!isDeepStrictEqual(before.nats[side] ?? [], after.nats[side] ?? [])) given.push(`other ${side}`);
  }
  return [...taken, ...given];
}

const time = (seconds: number): string => new Date(seconds * 1_000).toISOString();

interface SigningKeyRights {
  readonly role: string;
  readonly template: unknown;
}

function keysOf({ nats }: AccountClaims): Map<string, SigningKeyRights> {
  const keys = new Map<string, SigningKeyRights>();
  for (const key of nats.signing_keys ?? []) {
    if (typeof key === 'string') keys.set(key, { role: 'users without a role', template: undefined });
    else keys.set(key.key, { role: key.role, template: key.template });
  }
  return keys;
}
