import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startHeartbeat } from '../../../src/control/heartbeat.ts';
import { HostFacts } from '../../../src/control/host-facts.ts';
import { openLatticeEvents } from '../../../src/control/lattice-events.ts';
import { latticeName } from '../../../src/ids.ts';
import { configSet } from '../../../src/lattice/events.ts';
import { hostInventory } from '../../../src/lattice/inventory.ts';
import type { RunningWorkload } from '../../../src/lattice/workloads.ts';
import type { ConnectionEvent } from '../../../src/nats/connection-events.ts';
import { Alarms } from '../../../src/telemetry/alarms.ts';
import { createLogger } from '../../../src/telemetry/log.ts';

const HOST = `N${'A'.repeat(55)}`;
const START_MS = Date.UTC(2026, 0, 1);

interface Published {
  readonly subject: string;
  readonly event: {
    readonly time: string;
    readonly data: { readonly components: readonly { id: string }[]; config_name?: string };
  };
}

/** A host on a connection that a test interrupts, with time that it moves. */
function host(options: { intervalMs?: number; maxPayloadBytes?: number; inventory?: () => readonly RunningWorkload[] } = {}) {
  const published: Published[] = [];
  const lines: { level: string; msg: string }[] = [];
  const log = createLogger({ format: 'json', destination: { write: (line) => lines.push(JSON.parse(line)) } });
  const clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };
  const listeners = new Set<(event: ConnectionEvent) => void>();
  const ctl = {
    state: 'connected' as 'connected' | 'disconnected' | 'closed',
    maxPayloadBytes: options.maxPayloadBytes ?? 1024 * 1024,
    publish: (subject: string, payload: Uint8Array) => {
      if (ctl.state !== 'connected') throw new Error('published while disconnected');
      published.push({ subject, event: JSON.parse(Buffer.from(payload).toString()) });
    },
    onStatus: (listener: (event: ConnectionEvent) => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const alarms = new Alarms(log, clock);
  const events = openLatticeEvents({ ctl, lattice: latticeName('default'), host: HOST, clock, log });
  const facts = new HostFacts({ id: HOST, lattice: 'default', version: '0.1.0', labels: {}, clock });
  const inventory = () => hostInventory(facts, options.inventory?.() ?? []);
  const heartbeat = startHeartbeat({ clock, intervalMs: options.intervalMs ?? 30_000, inventory, events, ctl, alarms, log });
  const seconds = () => published.map(({ event }) => (Date.parse(event.time) - START_MS) / 1_000);
  const down = () => void (ctl.state = 'disconnected');
  const up = () => {
    ctl.state = 'connected';
    for (const listener of listeners) listener({ type: 'reconnected', server: 'x' });
  };
  return { published, lines, events, heartbeat, alarms, ctl, seconds, down, up };
}

beforeEach(() => {
  vi.useFakeTimers({ now: START_MS });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('the heartbeat', () => {
  it('comes one interval after the start, and then with each, with everything that runs', () => {
    const workload = { id: 'a', imageRef: 'r', annotations: {}, revision: 0, maxInstances: 1, limits: null };
    const { published, seconds, heartbeat } = host({ inventory: () => [workload] });
    vi.advanceTimersByTime(95_000);
    expect(seconds()).toEqual([30, 60, 90]);
    expect(published[0]!.subject).toBe('wasmbus.evt.default.host_heartbeat');
    expect(published[2]!.event.data).toMatchObject({ uptime_seconds: 90, uptime_human: '1m 30s', host_id: HOST });
    expect(published[2]!.event.data.components).toMatchObject([{ id: 'a' }]);
    heartbeat.close();
    vi.advanceTimersByTime(95_000);
    expect(published).toHaveLength(3);
  });

  it('is not made up for when the process was stopped, and stays on its beat', () => {
    const { seconds } = host();
    vi.advanceTimersByTime(30_000);
    // As a stopped process: time goes on, timers do not.
    vi.setSystemTime(START_MS + 200_000);
    const stopped = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => stopped + Date.now() - (START_MS + 30_000));
    vi.advanceTimersByTime(30_000);
    expect(seconds()).toEqual([30, 230]);
    vi.advanceTimersByTime(20_000);
    expect(seconds()).toEqual([30, 230, 240]);
  });

  it('goes on after one that failed', () => {
    let broken = true;
    const { seconds, lines } = host({
      inventory: () => {
        if (broken) throw new Error('no inventory');
        return [];
      },
    });
    vi.advanceTimersByTime(30_000);
    broken = false;
    vi.advanceTimersByTime(30_000);
    expect(seconds()).toEqual([60]);
    expect(lines).toContainEqual(expect.objectContaining({ level: 'error', msg: 'a heartbeat failed' }));
  });

  it('comes at once after an interruption longer than an interval, as the host is then, and once', () => {
    const { seconds, down, up } = host();
    vi.advanceTimersByTime(30_000);
    down();
    vi.advanceTimersByTime(45_000);
    up();
    expect(seconds()).toEqual([30, 75]);
    vi.advanceTimersByTime(15_000);
    down();
    up();
    expect(seconds()).toEqual([30, 75, 90]);
  });

  it('says as much as the server takes, and alarms as long as that is not all', () => {
    const annotations = { 'wasmcloud.dev/scaler': 'x' };
    let workloads = ['a', 'b', 'c', 'd', 'e'].map((id) => {
      return {
        id,
        imageRef: 'r'.repeat(200),
        annotations: id > 'b' ? annotations : {},
        revision: 0,
        maxInstances: 1,
        limits: null,
      };
    });
    const { published, alarms } = host({ maxPayloadBytes: 1_700, inventory: () => workloads });
    vi.advanceTimersByTime(30_000);
    expect(published[0]!.event.data.components.map(({ id }) => id)).toEqual(['c', 'd']);
    expect(alarms.list()).toMatchObject([
      {
        code: 'TRELLIS_ALARM_HEARTBEAT_TOO_LARGE',
        detail: '3 of 5 components are not in the heartbeat: the server takes messages of at most 1700 bytes',
      },
    ]);
    workloads = workloads.slice(0, 2);
    vi.advanceTimersByTime(30_000);
    expect(published[1]!.event.data.components.map(({ id }) => id)).toEqual(['a', 'b']);
    expect(alarms.list()).toEqual([]);
  });

  it('alarms when even an empty one is larger than the server takes, and comes again with the room for it', () => {
    const { published, alarms, ctl } = host({ maxPayloadBytes: 600 });
    vi.advanceTimersByTime(30_000);
    expect([published.length, alarms.list()[0]?.detail]).toEqual([0, expect.stringMatching(/^there is no heartbeat/)]);
    ctl.maxPayloadBytes = 4_096;
    vi.advanceTimersByTime(30_000);
    expect([published.length, alarms.list()]).toEqual([1, []]);
  });
});

describe('events while the connection is interrupted', () => {
  const names = (published: readonly Published[]): unknown[] => published.map(({ event }) => event.data.config_name);

  it('wait for it in their order, with their own times, and no heartbeat among them', () => {
    const { events, published, seconds, down, up } = host({ intervalMs: 1_000 });
    down();
    events.publish(configSet('a'));
    vi.advanceTimersByTime(1_500);
    events.publish(configSet('b'));
    expect(published).toEqual([]);
    up();
    expect(names(published).slice(0, 2)).toEqual(['a', 'b']);
    expect(seconds()).toEqual([0, 1.5, 1.5]);
    expect(published[2]!.subject).toMatch(/host_heartbeat$/);
  });

  it('overtake none that waits when one is published before the connection is known to be back', () => {
    const { events, published, ctl, down } = host();
    down();
    events.publish(configSet('a'));
    ctl.state = 'connected';
    events.publish(configSet('b'));
    expect(names(published)).toEqual(['a', 'b']);
  });

  it('are dropped from the oldest when there are too many, which is said once and counted', () => {
    const { events, published, lines, down, up } = host();
    down();
    for (let at = 0; at < 1_100; at++) events.publish(configSet(`c${at}`));
    events.publish(configSet('x'.repeat(3 * 1024 * 1024)));
    events.publish(configSet('y'.repeat(2 * 1024 * 1024)));
    const warnings = () => lines.filter(({ level }) => level === 'warn');
    expect(warnings()).toHaveLength(1);
    events.publish(configSet('last'));
    up();
    expect(names(published)).toEqual(['y'.repeat(2 * 1024 * 1024), 'last']);
    expect(warnings()).toHaveLength(2);
    expect(warnings()[1]).toMatchObject({ dropped: 1_101, msg: 'events of the interruption were lost' });
  });

  it('are gone once the connection is closed, and nothing throws', () => {
    const { events, published, ctl } = host();
    ctl.state = 'closed';
    events.publish(configSet('a'));
    ctl.state = 'connected';
    events.publish(configSet('b'));
    expect(names(published)).toEqual(['b']);
  });
});

describe('what a host is called', () => {
  it('is a new name of two words and four digits for each run', () => {
    const clock = { wallMs: () => 0, monotonicMs: () => 0 };
    const name = () => new HostFacts({ id: HOST, lattice: 'default', version: '0.1.0', labels: {}, clock }).friendlyName;
    const made = new Set(Array.from({ length: 50 }, name));
    for (const each of made) expect(each).toMatch(/^[a-z]+-[a-z]+-\d{4}$/);
    expect(made.size).toBeGreaterThan(40);
  });
});
