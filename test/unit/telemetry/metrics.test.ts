import { describe, expect, it } from 'vitest';
import { createMetrics } from '../../../src/telemetry/metrics.ts';

describe('createMetrics', () => {
  it('counts invocations by component, operation and outcome', async () => {
    const metrics = createMetrics({ eventLoop: false });
    const meter = metrics.invocation('hello', 'a:b/c/greet');
    expect(metrics.invocation('hello', 'a:b/c/greet')).toBe(meter);
    meter.record('ok', 2);
    meter.record('ok', 40);
    meter.record('trap', 60_000);
    const text = await metrics.text();
    expect(text).toContain('trellis_invocations_total{component="hello",operation="a:b/c/greet",outcome="ok"} 2');
    expect(text).toContain('trellis_invocations_total{component="hello",operation="a:b/c/greet",outcome="trap"} 1');
    expect(text).toContain('trellis_invocation_duration_seconds_bucket{component="hello",le="0.0025"} 1');
    expect(text).toContain('trellis_invocation_duration_seconds_bucket{component="hello",le="30"} 2');
    expect(text).toContain('trellis_invocation_duration_seconds_bucket{component="hello",le="+Inf"} 3');
    expect(text).toContain('trellis_invocation_duration_seconds_count{component="hello"} 3');
  });

  it('counts denials, restarts and reconnects, and reads what is in flight at the scrape', async () => {
    const metrics = createMetrics({ eventLoop: false });
    metrics.denied('TRELLIS_USAGE');
    metrics.denied('TRELLIS_USAGE');
    metrics.observed('TRELLIS_USAGE');
    metrics.runnerRestarted('hello');
    metrics.natsReconnected('rpc');
    let inFlight = 3;
    metrics.inFlight(() => inFlight);
    for (let scrape = 0; scrape < 2; scrape++) {
      const text = await metrics.text();
      expect(text).toContain('trellis_denials_total{code="TRELLIS_USAGE"} 2');
      expect(text).toContain('trellis_observed_denials_total{code="TRELLIS_USAGE"} 1');
      expect(text).toContain('trellis_runner_restarts_total{component="hello"} 1');
      expect(text).toContain('trellis_nats_reconnects_total{partition="rpc"} 1');
      expect(text).toContain('trellis_nats_reconnects_total{partition="ctl"} 0');
      expect(text).toContain(`trellis_in_flight ${inFlight}`);
      inFlight = 9;
    }
  });

  it('has a bounded number of series', async () => {
    const metrics = createMetrics({ eventLoop: false });
    for (let i = 0; i < 6_000; i++) metrics.invocation('c', `op-${i}`).record('ok', 1);
    const text = await metrics.text();
    expect(text).toContain('trellis_invocations_total{component="other",operation="other",outcome="ok"} 1000');
    expect(text.match(/^trellis_invocations_total/gm)!.length).toBe(5_001);
  });

  it('is one set per call: two hosts in one process do not mix', async () => {
    const [a, b] = [createMetrics({ eventLoop: false }), createMetrics({ eventLoop: false })];
    a.denied('TRELLIS_USAGE');
    expect(await b.text()).not.toContain('TRELLIS_USAGE');
  });
});
