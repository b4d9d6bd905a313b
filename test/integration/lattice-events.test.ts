import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { startHeartbeat } from '../../src/control/heartbeat.ts';
import { HostFacts } from '../../src/control/host-facts.ts';
import { openLatticeEvents } from '../../src/control/lattice-events.ts';
import { latticeName } from '../../src/ids.ts';
import { componentScaled, hostStarted } from '../../src/lattice/events.ts';
import { hostInventory } from '../../src/lattice/inventory.ts';
import type { RunningWorkload } from '../../src/lattice/workloads.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { Alarms } from '../../src/telemetry/alarms.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { startServer } from '../support/nats-server.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/trust-lattice.ts';

const LATTICE = latticeName('default');
const HOST = `N${'A'.repeat(55)}`;

interface Heard {
  readonly subject: string;
  readonly event: {
    readonly id: string;
    readonly type: string;
    readonly time: string;
    readonly source: string;
    readonly data: { readonly component_id?: string; readonly components?: readonly { readonly id: string }[] };
  };
}

const started: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of started.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

const connect = async (url: string): Promise<LatticeConnection> => {
  const ctl = await connectPartition({
    partition: 'ctl',
    lattice: LATTICE,
    name: 'events',
    servers: [url],
    connectTimeoutMs: 5_000,
    pingIntervalMs: 4_000,
    maxPingsOut: 2,
    log: silentLogger(),
  });
  started.push(ctl);
  return ctl;
};

/** A host's events on a real server, and somebody who hears them. */
async function lattice(options: { configText?: string; intervalMs?: number; workloads?: readonly RunningWorkload[] } = {}) {
  const server = await startServer(options.configText === undefined ? {} : { configText: options.configText });
  started.push(server);
  const proxy = await FaultProxy.start(server.port);
  started.push(proxy);
  const [ctl, listener] = await Promise.all([connect(proxy.url), connect(server.url)]);
  const heard: Heard[] = [];
  listener.subscribe('wasmbus.evt.default.>', {}, (message) => {
    heard.push({ subject: message.subject, event: JSON.parse(Buffer.from(message.payload).toString()) });
  });
  await listener.flush();
  const { log, logged } = recordedLog();
  const alarms = new Alarms(log);
  const events = openLatticeEvents({ ctl, lattice: LATTICE, host: HOST, clock: systemClock, log });
  const facts = new HostFacts({ id: HOST, lattice: LATTICE, version: '0.1.0', labels: { zone: 'a' }, clock: systemClock });
  const inventory = () => hostInventory(facts, options.workloads ?? []);
  const heartbeat = startHeartbeat({
    clock: systemClock,
    intervalMs: options.intervalMs ?? 600_000,
    inventory,
    events,
    ctl,
    alarms,
    log,
  });
  started.push({ [Symbol.asyncDispose]: async () => heartbeat.close() });
  return { proxy, ctl, listener, heard, logged, events, facts, alarms };
}

const scaled = (componentId: string) =>
  componentScaled({ componentId, hostId: HOST, imageRef: 'r', annotations: {}, maxInstances: 1 });

describe('events on the lattice', () => {
  it('are heard on their subjects as CloudEvents', async () => {
    const { heard, events, facts } = await lattice();
    events.publish(hostStarted({ friendly_name: facts.friendlyName, labels: facts.labels.all(), version: facts.version }));
    await until(() => heard.length === 1);
    expect(heard[0]!.subject).toBe('wasmbus.evt.default.host_started');
    expect(heard[0]!.event).toMatchObject({
      specversion: '1.0',
      type: 'com.wasmcloud.lattice.host_started',
      source: HOST,
      datacontenttype: 'application/json',
      data: { friendly_name: facts.friendlyName, uptime_seconds: 0, version: '1.9.2+trellis.0.1.0', labels: { zone: 'a' } },
    });
    expect(heard[0]!.event.id).toMatch(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(heard[0]!.event.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
  });

  it('of an interruption come when the connection is back, in their order, and then a heartbeat', async () => {
    const { proxy, ctl, listener, heard, events } = await lattice({ intervalMs: 500 });
    await until(() => heard.length > 0);
    await proxy.cut();
    await until(() => ctl.state === 'disconnected');
    // What the server was told until then has been heard after this.
    await listener.flush();
    const beats = heard.length;
    const ids = Array.from({ length: 20 }, (_, at) => `c${at}`);
    for (const id of ids) events.publish(scaled(id));
    const saidMs = Date.now();
    // Longer than an interval, so that a heartbeat is overdue.
    await new Promise((resolve) => setTimeout(resolve, 700));
    await proxy.heal();
    await until(() => heard.length >= beats + 21);
    const since = heard.slice(beats, beats + 21);
    expect(since.map(({ event }) => event.data.component_id)).toEqual([...ids, undefined]);
    expect(since[20]!.subject).toBe('wasmbus.evt.default.host_heartbeat');
    expect(Date.parse(since[19]!.event.time)).toBeLessThanOrEqual(saidMs);
    const sorted = heard.map(({ event }) => event.id);
    expect(sorted).toEqual(sorted.toSorted());
  });
});

describe('the heartbeat on a server that takes small messages', () => {
  it('goes on beside an event that is too large, which is dropped and logged', async () => {
    const { heard, events, logged } = await lattice({ configText: 'max_payload: 4KB\n', intervalMs: 500 });
    events.publish(
      componentScaled({ componentId: 'a', hostId: HOST, imageRef: 'r'.repeat(5_000), annotations: {}, maxInstances: 1 }),
    );
    events.publish(scaled('b'));
    await until(() => heard.length >= 2);
    expect(heard[0]!.event.data.component_id).toBe('b');
    expect(heard[1]!.subject).toMatch(/host_heartbeat$/);
    expect(logged).toContainEqual(
      expect.objectContaining({ code: 'TRELLIS_NATS_PAYLOAD_TOO_LARGE', subject: 'wasmbus.evt.default.component_scaled' }),
    );
  });

  it('comes all the same, with what fits, and alarms', async () => {
    const annotations = { 'wasmcloud.dev/scaler': 'f'.repeat(64) };
    const workloads = Array.from({ length: 40 }, (_, at) => ({
      id: `component-${String(at).padStart(2, '0')}`,
      imageRef: 'ghcr.io/example/component:1.0.0',
      name: 'a component',
      annotations: at % 2 === 0 ? annotations : {},
      revision: 0,
      maxInstances: 10,
      limits: null,
    }));
    const { heard, alarms } = await lattice({ configText: 'max_payload: 4KB\n', intervalMs: 500, workloads });
    await until(() => heard.length >= 2);
    const beats = heard.map(({ event }) => event.data.components!.map(({ id }) => id));
    expect(beats[0]!.length).toBeGreaterThan(10);
    // Always the same, and of those that a scheduler started.
    expect(beats[1]).toEqual(beats[0]);
    expect(beats[0]!.every((id) => Number(id.slice(-2)) % 2 === 0)).toBe(true);
    expect(Buffer.byteLength(JSON.stringify(heard[0]!.event))).toBeLessThanOrEqual(4_096);
    expect(alarms.list()).toMatchObject([
      { code: 'TRELLIS_ALARM_HEARTBEAT_TOO_LARGE', detail: expect.stringMatching(/of 40 components .* at most 4096 bytes$/) },
    ]);
  });
});
