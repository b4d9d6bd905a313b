import type { AlarmCode } from '../telemetry/alarms.ts';

/** Whether files that a connection logs in with can be used as they are now; if not, the alarm to raise. */
export type FileVerdict = { readonly ok: true } | { readonly ok: false; readonly alarm: AlarmCode; readonly detail: string };
