import { randomUUID } from 'node:crypto';
import type { LatticeName } from '../ids.ts';
import type { AuditKind, AuditSink } from '../telemetry/audit.ts';
import type { Bus } from '../wrpc/bus.ts';

/** Event names by kind; subjects are `wasmbus.evt.{lattice}.{name}`, as those of a 1.x host. */
const NAMES: Readonly<Record<AuditKind, 'audit_refused' | 'audit_control' | 'audit_summary'>> = {
  refused: 'audit_refused',
  dropped: 'audit_refused',
  control: 'audit_control',
  summary: 'audit_summary',
};

/** Subject of the audit events of a lattice. */
export function auditSubject(lattice: LatticeName, kind: AuditKind): string {
  return `wasmbus.evt.${lattice}.${NAMES[kind]}`;
}

/** What {@link auditEvents} takes. */
export interface AuditEventsOptions {
  /** The control connection. */
  readonly ctl: Bus;
  readonly lattice: LatticeName;
  /** Public key of the host, the `source` of its events. */
  readonly host: string;
  /** False while the server refuses such events. */
  readonly permitted: () => boolean;
  /** Told of each event that could not be published. */
  readonly onLost: () => void;
}

/** Publishes records as CloudEvents 1.0 in their structured JSON form, at most once: an event nobody takes is gone. */
export function auditEvents(options: AuditEventsOptions): AuditSink {
  const { ctl, lattice, host, permitted, onLost } = options;
  return {
    write(kind, time, json) {
      if (!permitted()) {
        onLost();
        return;
      }
      const type = `com.trellis.audit.${NAMES[kind].slice('audit_'.length)}`;
      const head = JSON.stringify({
        specversion: '1.0',
        id: randomUUID(),
        type,
        source: host,
        time,
        datacontenttype: 'application/json',
      });
      try {
        ctl.publish(auditSubject(lattice, kind), Buffer.from(`${head.slice(0, -1)},"data":${json}}`));
      } catch {
        onLost();
      }
    },
    close: async () => {},
  };
}
