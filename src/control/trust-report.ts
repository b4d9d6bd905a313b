import type { LatticeName } from '../ids.ts';
import type { Bus, BusSubscription } from '../wrpc/bus.ts';
import { newTokenId } from '../trust/signer.ts';
import { isInboxSubject } from '../wrpc/subjects.ts';

/** What a host tells of its trust. Public facts only: keys are public keys. */
export interface TrustReport {
  /** Public key of the host (`N…`). */
  readonly host: string;
  /** Version of Trellis. */
  readonly version: string;
  /** `enforce`, `observe` or `off`. */
  readonly verify: string;
  /** Epoch of the issuer set it follows; 0 for the configured one. */
  readonly epoch: number;
  /** Public cluster keys it believes. */
  readonly issuers: readonly string[];
  /** Thumbprint of its delegation; absent for one that signs with a cluster key itself. */
  readonly kid?: string;
  /** Public cluster key that signed its delegation, or its own where it has none. */
  readonly delegatedBy: string;
  /** When its delegation ends, milliseconds since the epoch; absent without one. */
  readonly expiresMs?: number;
  /** Names of the refusals at start that its operator has accepted; absent from hosts that do not tell. */
  readonly allowed?: readonly string[];
}

const MAX_REPORTS = 10_000;
/** A renewal costs a signature, and a round trip where there is an issuer service: not more often than this. */
const RENEW_EVERY_MS = 5_000;

const subjectOf = (lattice: LatticeName, word: 'report' | 'renew'): string => `wasmbus.ctl.v1.${lattice}.trust.${word}`;

/**
 * Answers what every host is asked at once: `trust.report`, and `trust.renew`, after which the host renews its delegation. Whoever
 * may use the ctl connection may ask both; neither changes whom the host believes.
 */
export function serveTrust(
  ctl: Bus,
  lattice: LatticeName,
  host: {
    report(): TrustReport;
    renew(): void;
    monotonicMs(): number;
    /** Told of each command that is carried out, for the audit. */
    asked(command: 'trust.report' | 'trust.renew'): void;
  },
): readonly BusSubscription[] {
  let renewedMs = -RENEW_EVERY_MS;
  return [
    ctl.subscribe(subjectOf(lattice, 'report'), {}, ({ subject, reply, line }) => {
      if (subject !== subjectOf(lattice, 'report') || !isInboxSubject(reply)) return;
      host.asked('trust.report');
      line.publish(reply, Buffer.from(JSON.stringify(host.report())));
    }),
    ctl.subscribe(subjectOf(lattice, 'renew'), {}, ({ subject, reply }) => {
      // Nobody is answered. But servers send answers of JetStream and of $SYS to whatever subject they are asked to, and those name no inbox.
      if (subject !== subjectOf(lattice, 'renew') || !isInboxSubject(reply)) return;
      const nowMs = host.monotonicMs();
      if (nowMs - renewedMs < RENEW_EVERY_MS) return;
      renewedMs = nowMs;
      host.asked('trust.renew');
      host.renew();
    }),
  ];
}

/** Asks every host to renew its delegation; who has just done so does nothing. */
export function askToRenew(ctl: Bus, lattice: LatticeName): void {
  ctl.publish(subjectOf(lattice, 'renew'), new Uint8Array(0), { reply: `${ctl.inboxPrefix}.${newTokenId()}` });
}

/** The reports that come within `withinMs`, one a host. What is not a report is left out. */
export async function gatherTrustReports(ctl: Bus, lattice: LatticeName, withinMs: number): Promise<TrustReport[]> {
  const reports = new Map<string, TrustReport>();
  const inbox = `${ctl.inboxPrefix}.${newTokenId()}`;
  const answers = ctl.subscribe(inbox, {}, ({ payload }) => {
    const report = readReport(payload);
    if (report !== undefined && reports.size < MAX_REPORTS) reports.set(report.host, report);
  });
  ctl.publish(subjectOf(lattice, 'report'), new Uint8Array(0), { reply: inbox });
  await new Promise((resolve) => setTimeout(resolve, withinMs));
  answers.unsubscribe();
  return [...reports.values()].toSorted((a, b) => (a.host < b.host ? -1 : 1));
}

/** A report in an answer, or `undefined`. Never throws. */
export function readReport(payload: Uint8Array): TrustReport | undefined {
  try {
    const value = JSON.parse(Buffer.from(payload).toString('utf8')) as Partial<Record<keyof TrustReport, unknown>>;
    const { host, version, verify, epoch, issuers, kid, delegatedBy, expiresMs, allowed } = value;
    const words = [host, version, verify, delegatedBy];
    if (!words.every((word) => typeof word === 'string' && word.length <= 128)) return undefined;
    if (!Number.isSafeInteger(epoch) || !Array.isArray(issuers) || !issuers.every((key) => typeof key === 'string'))
      return undefined;
    if (kid !== undefined && typeof kid !== 'string') return undefined;
    if (expiresMs !== undefined && typeof expiresMs !== 'number') return undefined;
    if (allowed !== undefined && !isListOfNames(allowed)) return undefined;
    return value as TrustReport;
  } catch {
    return undefined;
  }
}

const MAX_NAMES = 64;

function isListOfNames(value: unknown): boolean {
  return (
    Array.isArray(value) && value.length <= MAX_NAMES && value.every((name) => typeof name === 'string' && name.length <= 64)
  );
}
