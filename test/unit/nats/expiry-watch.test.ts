import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExpiryWatch } from '../../../src/nats/expiry-watch.ts';
import { Alarms } from '../../../src/telemetry/alarms.ts';
import { createLogger } from '../../../src/telemetry/log.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function watched() {
  const lines: Record<string, unknown>[] = [];
  const log = createLogger({ format: 'json', destination: { write: (line) => lines.push(JSON.parse(line)) } });
  let nowMs = 0;
  const clock = { wallMs: () => nowMs, monotonicMs: () => nowMs };
  const alarms = new Alarms(log, clock);
  const watch = new ExpiryWatch({ partition: 'rpc', alarms, clock, log });
  const at = (ms: number, lifetimeMs: number, certificateMs?: number): string[] => {
    nowMs = ms;
    const certificate = certificateMs === undefined ? undefined : { issuedMs: 0, expiresMs: certificateMs };
    watch.look({ issuedMs: 0, expiresMs: lifetimeMs }, certificate);
    return alarms.list().map(({ code }) => code.replace('TRELLIS_ALARM_CREDENTIALS_', ''));
  };
  const warned = (): number => lines.filter(({ level }) => level === 'warn').length;
  return { at, warned, alarms, watch, lines };
}

describe('credentials that expire', () => {
  it('are warned of at two thirds of a short life, and alarm until they are replaced or over', () => {
    const { at, warned } = watched();
    expect([at(0, 3 * HOUR_MS), at(1.9 * HOUR_MS, 3 * HOUR_MS), warned()]).toEqual([[], [], 0]);
    expect([at(2.01 * HOUR_MS, 3 * HOUR_MS), warned()]).toEqual([['EXPIRE'], 1]);
    expect([at(2.02 * HOUR_MS, 3 * HOUR_MS), warned()]).toEqual([['EXPIRE'], 1]);
    expect([at(2.5 * HOUR_MS, 3 * HOUR_MS), warned()]).toEqual([['EXPIRE'], 1]);
    expect([at(2.9 * HOUR_MS, 3 * HOUR_MS), warned()]).toEqual([['EXPIRE'], 2]);
    expect(at(3 * HOUR_MS, 3 * HOUR_MS)).toEqual(['EXPIRED']);
    expect(at(3 * HOUR_MS, 6 * HOUR_MS)).toEqual([]);
  });

  it('of a long life are warned of early, and alarm a week before their end', () => {
    const { at, warned } = watched();
    expect([at(250 * DAY_MS, 365 * DAY_MS), warned()]).toEqual([[], 1]);
    expect([at(357 * DAY_MS, 365 * DAY_MS), warned()]).toEqual([[], 1]);
    expect([at(358.5 * DAY_MS, 365 * DAY_MS), warned()]).toEqual([['EXPIRE'], 2]);
    expect([at(364.5 * DAY_MS, 365 * DAY_MS), warned()]).toEqual([['EXPIRE'], 3]);
  });

  it('and a certificate that expires are one alarm, of the first that is in need', () => {
    const { at, alarms, watch } = watched();
    expect(at(2.5 * HOUR_MS, 30 * HOUR_MS, 3 * HOUR_MS)).toEqual(['EXPIRE']);
    expect(alarms.list()[0]?.detail).toMatch(/the client certificate of the rpc connection/);
    expect(at(4 * HOUR_MS, 30 * HOUR_MS, 3 * HOUR_MS)).toEqual(['EXPIRED']);
    watch.close();
    expect(alarms.list()).toEqual([]);
  });

  it('never alarm before two thirds of their life, and always once it is over', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 60_000, max: 3_000 * DAY_MS }),
        fc.double({ min: 0, max: 1.5, noNaN: true }),
        (lifetimeMs, part) => {
          const { at } = watched();
          const standing = at(part * lifetimeMs, lifetimeMs);
          if (part * lifetimeMs < (lifetimeMs * 2) / 3 - 1) expect(standing).toEqual([]);
          if (part * lifetimeMs >= lifetimeMs) expect(standing).toEqual(['EXPIRED']);
        },
      ),
    );
  });
});
