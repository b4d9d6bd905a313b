import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReconnectPace } from '../../../src/nats/reconnect-pace.ts';

const delays = (pace: ReconnectPace, n = 50): number[] => Array.from({ length: n }, () => pace.nextDelayMs());
const within = (values: readonly number[], least: number, most: number): void => {
  expect(Math.min(...values)).toBeGreaterThanOrEqual(least);
  expect(Math.max(...values)).toBeLessThanOrEqual(most);
};

describe('the pace of reconnecting', () => {
  it('is quick for 20 attempts, then slow, and quick again after a success', () => {
    const pace = new ReconnectPace();
    within(delays(pace), 50, 200);
    for (let i = 0; i < 21; i++) pace.attempted();
    within(delays(pace), 500, 1_500);
    pace.connected();
    within(delays(pace), 50, 200);
  });

  it('is slow at once when a login is refused', () => {
    const pace = new ReconnectPace();
    pace.loginRefused();
    within(delays(pace), 500, 1_500);
  });

  it('NAT-25 spreads hosts over the time between least and most, whatever is configured', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 0, max: 10_000 }),
        fc.integer({ min: 1, max: 60_000 }),
        (wait, jitter, most) => {
          const pace = new ReconnectPace({ reconnectWaitMs: wait, reconnectJitterMs: jitter, reconnectMaxWaitMs: most });
          within(delays(pace, 10), wait, wait + jitter);
          pace.loginRefused();
          // Never sooner than the least, never later than the most where that is more.
          within(delays(pace, 10), Math.min(wait, most), Math.max(wait, most));
        },
      ),
    );
    const pace = new ReconnectPace({ reconnectWaitMs: 100, reconnectJitterMs: 900 });
    const spread = delays(pace, 400);
    expect(Math.max(...spread) - Math.min(...spread)).toBeGreaterThan(700);
  });
});
