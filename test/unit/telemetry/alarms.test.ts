import { describe, expect, it } from 'vitest';
import { ALARMS, Alarms } from '../../../src/telemetry/alarms.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';

function fresh() {
  const lines: Record<string, unknown>[] = [];
  const log = createLogger({ format: 'json', destination: { write: (line) => lines.push(JSON.parse(line)) } });
  let wallMs = 1_000;
  const alarms = new Alarms(log, { wallMs: () => wallMs, monotonicMs: () => wallMs });
  return { alarms, lines, tick: (ms: number) => (wallMs += ms) };
}

describe('alarms', () => {
  it('stand once, however often they are raised, and are logged when they come, change and go', () => {
    const { alarms, lines, tick } = fresh();
    for (let n = 0; n < 3; n++) alarms.raise('TRELLIS_ALARM_CREDENTIALS_KEPT', 'half a file', 'rpc');
    tick(5);
    alarms.raise('TRELLIS_ALARM_CREDENTIALS_KEPT', 'another account', 'rpc');
    alarms.raise('TRELLIS_ALARM_CREDENTIALS_KEPT', 'half a file', 'ctl');
    expect(alarms.list()).toEqual([
      { code: 'TRELLIS_ALARM_CREDENTIALS_KEPT', scope: 'rpc', detail: 'another account', sinceMs: 1_000 },
      { code: 'TRELLIS_ALARM_CREDENTIALS_KEPT', scope: 'ctl', detail: 'half a file', sinceMs: 1_005 },
    ]);
    alarms.clear('TRELLIS_ALARM_CREDENTIALS_KEPT', 'rpc');
    alarms.clear('TRELLIS_ALARM_CREDENTIALS_KEPT', 'rpc');
    expect(alarms.list().map(({ scope }) => scope)).toEqual(['ctl']);
    expect(lines.map(({ level, msg, scope }) => [level, msg, scope])).toEqual([
      ['error', 'alarm: half a file', 'rpc'],
      ['error', 'alarm: another account', 'rpc'],
      ['error', 'alarm: half a file', 'ctl'],
      ['info', 'alarm over', 'rpc'],
    ]);
    expect(lines[0]).toMatchObject({
      code: 'TRELLIS_ALARM_CREDENTIALS_KEPT',
      remedy: ALARMS.TRELLIS_ALARM_CREDENTIALS_KEPT.remedy,
    });
  });

  it('keep what a peer may have said to a bounded length', () => {
    const { alarms } = fresh();
    alarms.raise('TRELLIS_ALARM_NATS_PERMISSION', 'x'.repeat(10_000));
    expect(alarms.list()[0]?.detail.length).toBe(300);
  });

  it('are in the metrics, each code at 0 when it does not stand', async () => {
    const { alarms } = fresh();
    const metrics = createMetrics({ eventLoop: false });
    metrics.alarms(() => alarms.list());
    metrics.credentialsExpireIn('ctl', () => 90_500);
    metrics.credentialsExpireIn('rpc', () => undefined);
    metrics.natsRotated('rpc', 'done');
    metrics.natsRotated('rpc', 'failed');
    metrics.natsShed('ctl');
    for (const scope of ['ctl', 'rpc']) alarms.raise('TRELLIS_ALARM_LOGIN_REFUSED', 'no', scope);
    const text = await metrics.text();
    expect(text).toContain('trellis_alarm{code="TRELLIS_ALARM_LOGIN_REFUSED"} 2');
    for (const code of Object.keys(ALARMS)) expect(text).toMatch(new RegExp(`trellis_alarm\\{code="${code}"\\} [02]\n`));
    expect(text).toContain('trellis_nats_credentials_expire_seconds{partition="ctl"} 90.5');
    expect(text).not.toContain('trellis_nats_credentials_expire_seconds{partition="rpc"}');
    expect(text).toContain('trellis_nats_rotations_total{partition="rpc",outcome="done"} 1');
    expect(text).toContain('trellis_nats_rotations_total{partition="ctl",outcome="failed"} 0');
    expect(text).toContain('trellis_nats_shed_total{partition="ctl"} 1');
  });
});
