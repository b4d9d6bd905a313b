import { allowed } from '../config/allowances.ts';
import type { HostConfig } from '../config/schema.ts';
import { readVersions } from '../config/version.ts';
import { serveTrust } from '../control/trust-report.ts';
import type { OwnTrust } from '../control/trust-summary.ts';
import type { Member } from '../member.ts';
import type { Audit } from '../telemetry/audit.ts';
import type { Logger } from '../telemetry/log.ts';

/** What {@link tellOfTrust} takes. */
export interface TellOptions {
  /** Public key of the host. */
  readonly host: string;
  readonly config: HostConfig;
  readonly member: Member;
  readonly audit: Audit;
  readonly log: Logger;
}

/** Lets others see which issuers this host goes by and which delegation it has, from now on. */
export async function tellOfTrust({ host, config, member, audit, log }: TellOptions): Promise<void> {
  const { ctl, lattice, trust, sync, delegation, clock } = member;
  const { trellis: version } = readVersions();
  const { verify } = config.trust;
  serveTrust(ctl, lattice, {
    report: () => {
      const { kid, claims } = delegation.held;
      const { epoch, issuers } = trust;
      return {
        host,
        version,
        verify,
        epoch,
        issuers,
        kid,
        delegatedBy: claims.iss,
        expiresMs: claims.exp,
        allowed: allowed(config.allow),
      };
    },
    renew: () => void delegation.renew(),
    asked: (operation) => audit.record({ kind: 'control', code: 'ok', operation }),
    monotonicMs: () => clock.monotonicMs(),
  });
  const announce = (text: string): Promise<void> =>
    sync.announce(host, text).catch((err: unknown) => {
      log.warn({ err }, 'the delegation of this host could not be written into the trust bucket');
    });
  delegation.onRenewed(({ text }) => void announce(text));
  await announce(delegation.held.text);
  void sync.removeExpired(clock.wallMs());
  await ctl.flush();
}

/** What this host says of its own trust when it compares it with that of others. */
export function ownTrust({ trust, components }: HostConfig, member: Member): OwnTrust {
  const wasmbus = trust.wasmbus.seedFile !== undefined || components.some((component) => component.wasmbus !== undefined);
  return {
    delegatedBy: member.delegation.held.claims.iss,
    issuers: member.trust.issuers,
    verify: trust.verify,
    replay: trust.replay,
    unsignedPairs: trust.unsigned.length,
    wireForms: ['wRPC', ...(wasmbus ? ['wasmbus 0.82'] : [])],
  };
}
