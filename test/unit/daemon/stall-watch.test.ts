import { describe, expect, it } from 'vitest';
import { StallWatch } from '../../../src/daemon/stall-watch.ts';
import { Alarms } from '../../../src/telemetry/alarms.ts';
import { silentLogger } from '../../../src/telemetry/log.ts';
import { ManualClock } from '../../support/trust.ts';

function setUp() {
  const clock = new ManualClock();
  const alarms = new Alarms(silentLogger(), clock);
  const state = { stalls: 0, cpuMs: 0 };
  const metrics = { stalled: () => void (state.stalls += 1) };
  const watch = new StallWatch({ clock, alarms, metrics, cpuMs: () => state.cpuMs });
  const after = (ms: number): void => {
    clock.pass(ms);
    watch.tick();
  };
  return { clock, state, watch, after, details: () => alarms.list().map(({ code, detail }) => `${code}: ${detail}`) };
}

describe('the watch over the event loop', () => {
  it('is content with ticks that come a little late', () => {
    const { after, state, details } = setUp();
    for (let i = 0; i < 100; i++) after(250 + i * 15);
    expect([state.stalls, details()]).toEqual([0, []]);
  });

  it('LIF-07 reports a stall, says who had the time, and forgets it after ten minutes', () => {
    const { after, state, details } = setUp();
    state.cpuMs += 2_000;
    after(2_250);
    expect(details()).toEqual(['TRELLIS_ALARM_HOST_STALLED: the host stood still for 2.0 s: code in the host kept it busy']);
    after(13_250);
    expect(details()[0]).toContain('13.0 s: the process was stopped');
    expect(state.stalls).toBe(2);
    for (let passedMs = 0; passedMs < 600_000; passedMs += 1_000) {
      expect(details()).toHaveLength(1);
      after(1_000);
    }
    expect(details()).toEqual([]);
  });

  it('LIF-12 reports a clock that was set, either way, and no stall for it', () => {
    for (const [byMs, how] of [
      [3_600_000, '3600.0 s forward'],
      [-3_600_000, '3600.0 s back'],
    ] as const) {
      const { clock, after, state, details } = setUp();
      clock.setBy(byMs);
      after(250);
      expect(details()).toEqual([expect.stringContaining(`TRELLIS_ALARM_CLOCK_SET: the clock was set ${how}`)]);
      after(250);
      expect([state.stalls, details().length]).toEqual([0, 1]);
    }
  });
});
