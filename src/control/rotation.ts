import type { TrustReport } from './trust-report.ts';

/** A host as the bucket knows it: it put its delegation there, and that has not ended. */
export interface BucketMember {
  readonly host: string;
  /** Public cluster key that signed its delegation. */
  readonly delegatedBy: string;
  readonly expiresMs: number;
}

/** What is known of a lattice at one moment. */
export interface LatticeTrust {
  readonly epoch: number;
  readonly issuers: readonly string[];
  readonly active: string;
  readonly reports: readonly TrustReport[];
  readonly members: readonly BucketMember[];
}

/** Which issuer takes the place of which. */
export interface Rotation {
  /** Public cluster key that goes. */
  readonly from: string;
  /** Public cluster key that comes. */
  readonly to: string;
  /** Hosts that are not waited for. */
  readonly skipHosts: ReadonlySet<string>;
}

/** A host that a step waits for, and why. */
export interface Laggard {
  readonly host: string;
  readonly reason: string;
}

/** What has to happen next. `add`, `switch` and `retire` publish an issuer set once nobody lags behind. */
export interface RotationStep {
  readonly step: 'add' | 'switch' | 'retire' | 'settle' | 'done';
  readonly laggards: readonly Laggard[];
}

/**
 * The next step of a rotation. It follows from what the bucket holds and the hosts report, and from nothing that a command
 * remembers: whoever runs it again, anywhere, goes on where it stopped.
 */
export function nextStep(lattice: LatticeTrust, rotation: Rotation): RotationStep {
  const { from, to } = rotation;
  const { issuers, active } = lattice;
  const waiting = (step: RotationStep['step'], lags: (report: TrustReport) => string | undefined): RotationStep => ({
    step,
    laggards: laggardsOf(lattice, rotation, lags),
  });
  if (!issuers.includes(to)) return { step: 'add', laggards: [] };
  if (issuers.includes(from) && active !== to) {
    return waiting('switch', (report) =>
      report.issuers.includes(to) ? undefined : `does not believe the new issuer yet (epoch ${report.epoch})`,
    );
  }
  if (issuers.includes(from)) {
    return waiting('retire', (report) => {
      if (report.epoch < lattice.epoch && !report.issuers.includes(to)) return `is at epoch ${report.epoch}`;
      return report.delegatedBy === to ? undefined : 'still signs under the old issuer: give it the new seed or delegation file';
    });
  }
  const settled = waiting('settle', (report) =>
    report.issuers.includes(from) ? `still believes the old issuer (epoch ${report.epoch})` : undefined,
  );
  return settled.laggards.length > 0 ? settled : { step: 'done', laggards: [] };
}

function laggardsOf(
  { reports, members }: LatticeTrust,
  { skipHosts }: Rotation,
  lags: (report: TrustReport) => string | undefined,
): Laggard[] {
  const laggards: Laggard[] = [];
  const reported = new Set(reports.map(({ host }) => host));
  for (const report of reports) {
    const reason = lags(report);
    if (reason !== undefined && !skipHosts.has(report.host)) laggards.push({ host: report.host, reason });
  }
  for (const { host, expiresMs } of members) {
    if (reported.has(host) || skipHosts.has(host)) continue;
    const until = new Date(expiresMs).toISOString();
    laggards.push({ host, reason: `does not answer, and its delegation is good until ${until}` });
  }
  return laggards;
}
