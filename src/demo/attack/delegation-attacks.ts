import { HEADER } from '../../invocation/headers.ts';
import { delegationThumbprint, mintDelegation } from '../../trust/delegation.ts';
import { SigningKey } from '../../trust/nkey.ts';
import { HEADERS, sealSingle, signedTextOf, singleMessage } from '../../trust/token.ts';
import { type Attack, CALLER_ORIGIN, ECHO, type Insider, LATTICE } from './attack.ts';
import { type Attacker, headersWith, tokenOf, withHeader, withToken } from './attacker.ts';
import { partsOf } from './token-surgery.ts';

const HOUR_MS = 3_600_000;
const PROVIDER = 'some-provider';

/** A delegation by the cluster key or below `parent`, that would do for the caller, with changes. */
function delegation(
  insider: Insider,
  key: SigningKey,
  subject: SigningKey,
  changes: Partial<Parameters<typeof mintDelegation>[1]> = {},
): string {
  return mintDelegation(key, {
    lattice: LATTICE,
    subject: subject.publicKey,
    origins: [CALLER_ORIGIN, PROVIDER],
    targets: [],
    epoch: 0,
    nowMs: insider.nowMs(),
    lifetimeMs: HOUR_MS,
    ...changes,
  });
}

/** A token under the first delegation of `shown`, and the header that shows it and those above it. */
function gift(insider: Insider, key: SigningKey, ...shown: readonly [string, ...string[]]): string[] {
  return [insider.token(key, { kid: delegationThumbprint(shown[0]) }), shown.join(' ')];
}

/** Presents tokens, each followed by what its delegation header says. */
async function presentAll(attacker: Attacker, gifts: readonly string[]): Promise<void> {
  for (let at = 0; at < gifts.length; at += 2) {
    const [token = '', shown = ''] = gifts.slice(at, at + 2);
    await attacker.present(token, { headers: [...headersWith(token), [HEADER.delegation, shown]] });
  }
}

/** Keys that speak for more than they were given. */
export const DELEGATION_ATTACKS: readonly Attack[] = [
  {
    id: 'ENV-29',
    words: "tokens of a provider's key for another caller: without a delegation, and under its own",
    codes: ['TRELLIS_VERIFY_ISSUER', 'TRELLIS_VERIFY_SCOPE'],
    gift(insider) {
      const host = SigningKey.generate('server');
      const above = delegation(insider, insider.cluster, host, { origins: [PROVIDER] });
      const own = delegation(insider, host, insider.provider, { origins: [PROVIDER], parent: above });
      return [insider.token(insider.provider), '', ...gift(insider, insider.provider, own, above)];
    },
    run: presentAll,
  },
  {
    id: 'DLG-01',
    words: 'a genuine call, signed under a delegation by a cluster key that the attacker made',
    codes: ['TRELLIS_VERIFY_ISSUER'],
    async run(attacker) {
      const genuine = await attacker.intercept('echo', ECHO);
      const [cluster, host] = [SigningKey.generate('cluster'), SigningKey.generate('server')];
      const nowMs = Date.now();
      const own = mintDelegation(cluster, {
        lattice: LATTICE,
        subject: host.publicKey,
        origins: '*',
        targets: '*',
        epoch: 0,
        nowMs,
        lifetimeMs: HOUR_MS,
      });
      const claims = partsOf(tokenOf(genuine))
        .claims.replace(/"iss":"[^"]*"/, `"iss":"${host.publicKey}"`)
        .replace(/"kid":"[^"]*"/, `"kid":"${delegationThumbprint(own)}"`);
      const signedText = signedTextOf(HEADERS.request.single, claims);
      const token = sealSingle(signedText, host.sign(Buffer.from(singleMessage(signedText), 'latin1')));
      await attacker.send(withHeader(withToken(genuine, token), HEADER.delegation, own));
    },
  },
  {
    id: 'DLG-02',
    words: 'a token of a host that has a delegation, for a caller that is not in it',
    codes: ['TRELLIS_VERIFY_SCOPE'],
    gift(insider) {
      const host = SigningKey.generate('server');
      return gift(insider, host, delegation(insider, insider.cluster, host, { origins: [ECHO.target], targets: '*' }));
    },
    run: presentAll,
  },
  {
    id: 'DLG-03',
    words: 'tokens under delegations that are over, for another lattice, or of another key',
    codes: ['TRELLIS_VERIFY_DELEGATION_EXPIRED', 'TRELLIS_VERIFY_LATTICE', 'TRELLIS_VERIFY_DELEGATION'],
    gift(insider) {
      const [host, other] = [SigningKey.generate('server'), SigningKey.generate('server')];
      const over = delegation(insider, insider.cluster, host, { nowMs: insider.nowMs() - 2 * HOUR_MS });
      const elsewhere = delegation(insider, insider.cluster, host, { lattice: 'tenant-b' });
      const good = delegation(insider, insider.cluster, host);
      return [...gift(insider, host, over), ...gift(insider, host, elsewhere), ...gift(insider, other, good)];
    },
    run: presentAll,
  },
  {
    id: 'DLG-04',
    words: 'tokens under delegations by a host for more than it has: callers, lifetime, a second level',
    codes: ['TRELLIS_VERIFY_SCOPE', 'TRELLIS_VERIFY_DELEGATION'],
    gift(insider) {
      const [host, otherHost] = [SigningKey.generate('server'), SigningKey.generate('server')];
      const [provider, below] = [insider.provider, SigningKey.generate('service')];
      const narrow = delegation(insider, insider.cluster, host, { origins: [PROVIDER] });
      const wide = delegation(insider, insider.cluster, otherHost);
      const child = delegation(insider, otherHost, provider, { parent: wide });
      return [
        ...gift(insider, provider, delegation(insider, host, provider, { parent: narrow }), narrow),
        // Below the delegation of another host.
        ...gift(insider, provider, delegation(insider, host, provider, { parent: wide }), wide),
        // A cluster key signs for hosts only, so a provider cannot stand in for one.
        ...gift(insider, below, child, wide),
      ];
    },
    run: presentAll,
  },
];
