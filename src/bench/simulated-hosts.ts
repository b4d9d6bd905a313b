import { systemClock } from '../clock.ts';
import { latticeName } from '../ids.ts';
import { componentScaled, hostHeartbeat, hostStarted } from '../lattice/events.ts';
import { openLatticeEvents } from '../control/lattice-events.ts';
import { hostDescription, type HostFactsNow, hostInventory, latticeVersion } from '../lattice/inventory.ts';
import type { RunningWorkload } from '../lattice/workloads.ts';
import { connectPartition } from '../nats/connection.ts';
import { silentLogger } from '../telemetry/log.ts';
import { SigningKey } from '../trust/nkey.ts';
import type { SimulationFigures, SimulationSetup } from './lattice-messages.ts';

/**
 * Many hosts in one process: they say what hosts say (a start, heartbeats with an inventory) and answer pings and inventories, over
 * one connection, and run nothing. For measuring what a real host pays for its neighbours.
 */
const setup = JSON.parse(process.argv[2] ?? '{}') as SimulationSetup;
const lattice = latticeName(setup.lattice);
const encoder = new TextEncoder();
const figures = { heartbeats: 0, answers: 0 };

const ctl = await connectPartition({
  partition: 'ctl',
  lattice,
  servers: [setup.url],
  name: 'simulated hosts',
  log: silentLogger(),
  connectTimeoutMs: 5_000,
  pingIntervalMs: 60_000,
});

const startedMs = systemClock.monotonicMs();
const hosts = Array.from({ length: setup.hosts }, (_, at) => {
  const labels = { 'hostcore.os': 'linux', zone: `zone-${at % 5}` };
  const facts: HostFactsNow = {
    id: SigningKey.generate('server').publicKey,
    friendlyName: `simulated-host-${1_000 + at}`,
    lattice,
    version: latticeVersion('0.0.0-simulated'),
    labels: { all: () => labels },
    uptimeSeconds: () => Math.floor((systemClock.monotonicMs() - startedMs) / 1_000),
  };
  const components = Array.from({ length: setup.componentsEach }, (_each, place): RunningWorkload => {
    const id = `neighbour-${at}-${place}`;
    const annotations = { 'wasmcloud.dev/managed-by': 'wadm', 'wasmcloud.dev/appspec': 'simulated' };
    return { id, imageRef: `registry.example/${id}:1.0.0`, annotations, revision: 0, maxInstances: 10, limits: null };
  });
  return { facts, components };
});

function answer(reply: string, response: object): void {
  if (reply === '') return;
  figures.answers++;
  ctl.publish(reply, encoder.encode(JSON.stringify({ success: true, message: '', response })));
}

ctl.subscribe(`wasmbus.ctl.v1.${lattice}.host.ping`, {}, ({ reply }) => {
  for (const { facts } of hosts) answer(reply, hostDescription(facts));
});
for (const [at, { facts, components }] of hosts.entries()) {
  const events = openLatticeEvents({ ctl, lattice, host: facts.id, clock: systemClock, log: silentLogger() });
  ctl.subscribe(`wasmbus.ctl.v1.${lattice}.host.get.${facts.id}`, {}, ({ reply }) =>
    answer(reply, hostInventory(facts, components)),
  );
  events.publish(hostStarted({ friendly_name: facts.friendlyName, labels: facts.labels.all(), version: facts.version }));
  for (const { id, imageRef, annotations, maxInstances } of components) {
    events.publish(componentScaled({ componentId: id, hostId: facts.id, imageRef, annotations, maxInstances }));
  }
  // Spread over the interval, as hosts that were not started together are.
  setTimeout(
    () => {
      const beat = (): void => {
        figures.heartbeats++;
        events.publish(hostHeartbeat(hostInventory(facts, components)));
      };
      beat();
      setInterval(beat, setup.heartbeatMs);
    },
    (setup.heartbeatMs * at) / setup.hosts,
  );
}
await ctl.flush();

process.on('message', () => {
  const report: SimulationFigures = { ...figures };
  figures.heartbeats = figures.answers = 0;
  process.send?.(report);
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
