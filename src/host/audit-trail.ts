import { systemClock, type Clock } from '../clock.ts';
import type { HostConfig } from '../config/schema.ts';
import { auditEvents } from '../control/audit-events.ts';
import { serveExplanations } from '../control/explain.ts';
import { latticeName } from '../ids.ts';
import type { LatticeConnection } from '../nats/connection.ts';
import { Audit } from '../telemetry/audit.ts';
import { openAuditFile } from '../telemetry/audit-file.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** What the audit of a host needs. */
export interface AuditTrailOptions {
  readonly config: HostConfig;
  /** Public key of the host, or of the issuer service. */
  readonly host: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
}

/** The audit of a host, with its file if one is configured. @throws TRELLIS_AUDIT_FILE */
export async function openAudit({ config, host, log, metrics, clock = systemClock }: AuditTrailOptions): Promise<Audit> {
  const { file, maxFileBytes, maxFiles, maxPerSecond } = config.audit;
  const audit = new Audit({ clock, host, lattice: config.lattice, maxPerSecond, scrubber: log.scrubber });
  if (file !== undefined) {
    const onLost = (count: number, reason: string): void => {
      metrics.auditLost('file', count);
      log.error({ code: 'TRELLIS_AUDIT_FILE', file, count, reason }, 'audit records are lost');
    };
    audit.addSink(await openAuditFile({ path: file, maxBytes: maxFileBytes, maxFiles, onLost }));
  }
  return audit;
}

/** Lets the lattice hear of records, and ask about refusals. */
export function joinAudit(audit: Audit, ctl: LatticeConnection, options: AuditTrailOptions): void {
  const { config, host, log, metrics } = options;
  const lattice = latticeName(config.lattice);
  if (config.audit.events) {
    let permitted = true;
    ctl.onStatus((event) => {
      if (event.type === 'reconnected' || event.type === 'moved') permitted = true;
      // One refusal of the server is enough: each further event would be one more.
      if (event.type !== 'error' || event.error.code !== 'TRELLIS_NATS_PERMISSION') return;
      if (!permitted || !String(event.error.details['subject']).startsWith('wasmbus.evt.')) return;
      permitted = false;
      log.warn(
        { lattice },
        'the ctl user may not publish on wasmbus.evt: there are no audit events (audit.events: false to say so)',
      );
    });
    const onLost = (): void => metrics.auditLost('events', 1);
    audit.addSink(auditEvents({ ctl, lattice, host, permitted: () => permitted, onLost }));
  }
  serveExplanations({ ctl, lattice, host, audit, scrubber: log.scrubber });
}
