import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { callEcho, latticeOfFile, startLoad, type RunningDaemon } from '../support/daemon-lattice.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { acrossReconnect, TINY, until } from '../support/trust-lattice.ts';

/** A host that reaches the server by a proxy for each partition, and serves a component that no other has. */
interface FaultyHost extends AsyncDisposable {
  readonly daemon: RunningDaemon;
  readonly target: string;
  readonly ctl: FaultProxy;
  readonly rpc: FaultProxy;
}

const own = latticeOfFile();

async function startFaulty(name: string): Promise<FaultyHost> {
  await using starting = new AsyncDisposableStack();
  const [ctl, rpc] = [
    starting.use(await FaultProxy.start(own.lattice.jwt.server.port)),
    starting.use(await FaultProxy.start(own.lattice.jwt.server.port)),
  ];
  const settings = own.lattice.config(name, { components: [{ ...TINY, id: name }] });
  const daemon = starting.use(
    await own.lattice.start(name, {
      ...settings,
      // The times that are measured here go with the default.
      ctl: { ...settings.ctl, servers: [ctl.url], connectTimeoutMs: 5_000 },
      rpc: { ...settings.rpc, servers: [rpc.url], connectTimeoutMs: 5_000 },
    }),
  );
  const owned = starting.move();
  return { daemon, target: name, ctl, rpc, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Log lines of a message, with their times in milliseconds since the epoch. */
const timesOf = ({ program }: RunningDaemon, message: string, partition?: string): number[] =>
  program
    .logLines()
    .filter((line) => line['msg'] === message && (partition === undefined || line['partition'] === partition))
    .map((line) => Date.parse(String(line['time'])));

/** Waits for the host to say something after `sinceMs`, and gives back how long after that it did. */
async function said(daemon: RunningDaemon, message: string, sinceMs: number): Promise<number> {
  await until(() => timesOf(daemon, message).some((atMs) => atMs >= sinceMs - 1));
  return timesOf(daemon, message).find((atMs) => atMs >= sinceMs - 1)! - sinceMs;
}

const show = (what: string, ms: number): void => console.log(`${what}: ${Math.round(ms)} ms`);

describe('a host behind a network with faults', () => {
  it('NAT-01 is back within 2 s of its server, which was killed and listens again', async () => {
    await using host = await startFaulty('killed');
    await callEcho(own.caller, host.target);
    let backMs = 0;
    // The caller is on that server, too.
    await acrossReconnect([own.caller.member.rpc], async () => {
      await own.lattice.jwt.server.kill();
      await said(host.daemon, 'the host is degraded', Date.now() - 5_000);
      await delay(500);
      const startedMs = Date.now();
      await own.lattice.jwt.server.restart();
      const listeningMs = Date.now();
      backMs = startedMs + (await said(host.daemon, 'the host is well again', startedMs)) - listeningMs;
    });
    show('both connections back after the server listened', backMs);
    await takesAtMost(2_000, () => backMs);
    await callEcho(own.caller, host.target);
  });

  it('NAT-02 NAT-03 shows at once which connection is gone, and goes on with the other', async () => {
    await using host = await startFaulty('halved');
    const { daemon, target, rpc, ctl } = host;
    expect(await daemon.metric('trellis_nats_connected{partition="rpc"}')).toBe(1);

    // NAT-02
    let cutMs = Date.now();
    await rpc.cut();
    show('NAT-02 degraded after rpc was cut', await said(daemon, 'the host is degraded', cutMs));
    let ready = await daemon.readyz();
    expect([ready.status, ready.body['state'], ready.body['connections']]).toEqual([503, 'degraded', { ctl: true, rpc: false }]);
    expect(ready.body['degraded']).toEqual([expect.stringContaining('rpc')]);
    const degradedMs = timesOf(daemon, 'the host is degraded').at(-1)! - cutMs;
    await takesAtMost(1_000, () => degradedMs);
    expect(await daemon.metric('trellis_nats_connected{partition="rpc"}')).toBe(0);
    expect(await daemon.metric('trellis_degraded')).toBe(1);
    expect((await own.caller.describe(target, 5_000)).id).toBe(target);
    let healedMs = Date.now();
    await rpc.heal();
    show('NAT-02 well again after rpc was healed', await said(daemon, 'the host is well again', healedMs));
    await callEcho(own.caller, target);
    expect((await daemon.readyz()).status).toBe(200);
    expect(await daemon.metric('trellis_ready')).toBe(1);

    // NAT-03
    await using load = startLoad(own.caller, 200, { target });
    await until(() => load.ok > 50);
    cutMs = Date.now();
    await ctl.cut();
    await said(daemon, 'the host is degraded', cutMs);
    ready = await daemon.readyz();
    expect([ready.status, ready.body['connections']]).toEqual([503, { ctl: false, rpc: true }]);
    const before = load.ok;
    await until(() => load.ok > before + 300);
    healedMs = Date.now();
    await ctl.heal();
    await said(daemon, 'the host is well again', healedMs);
    await load.stop();
    console.log(`NAT-03 ${load.ok} of ${load.sent} calls answered while ctl was cut and came back`);
    expect([...load.failures]).toEqual([]);
  });

  it('NAT-04 NAT-05 NAT-06 notices connections that are cut or silent, and recovers without a restart', async () => {
    // Longer than the quick attempts to reconnect last.
    const CUT_MS = 8_000;
    await using cut = await startFaulty('cut');
    await using holed = await startFaulty('holed');
    await using deaf = await startFaulty('deaf');
    await using mute = await startFaulty('mute');
    await using stormy = await startFaulty('stormy');
    const recovered = async ({ daemon, target, ctl, rpc }: FaultyHost, what: string): Promise<void> => {
      const healedMs = Date.now();
      await Promise.all([ctl.heal(), rpc.heal()]);
      const backMs = await said(daemon, 'the host is well again', healedMs);
      show(`${what} well again after the network was`, backMs);
      await takesAtMost(5_000, () => backMs);
      await callEcho(own.caller, target);
      expect(daemon.program.logLines().filter(({ msg }) => msg === 'starting')).toHaveLength(1);
    };
    const silent = async (host: FaultyHost, what: string, ...directions: ('up' | 'down')[]): Promise<void> => {
      const sinceMs = Date.now();
      host.ctl.hold(...directions);
      host.rpc.hold(...directions);
      const [ctlMs, rpcMs] = await Promise.all(
        ['ctl', 'rpc'].map(async (partition) => {
          await until(() => timesOf(host.daemon, 'connection interrupted', partition).some((atMs) => atMs >= sinceMs));
          return timesOf(host.daemon, 'connection interrupted', partition).find((atMs) => atMs >= sinceMs)! - sinceMs;
        }),
      );
      show(`${what} noticed, ctl`, ctlMs!);
      show(`${what} noticed, rpc`, rpcMs!);
      await takesAtMost(15_000, () => Math.max(ctlMs!, rpcMs!));
      expect((await host.daemon.readyz()).body['state']).toBe('degraded');
      await recovered(host, what);
    };
    await Promise.all([
      (async () => {
        await Promise.all([cut.ctl.cut(), cut.rpc.cut()]);
        await delay(CUT_MS);
        await recovered(cut, 'NAT-04 both cut');
      })(),
      (async () => {
        await using load = startLoad(own.caller, 50, { target: stormy.target, timeoutMs: 3_000 });
        const faults = await Promise.all([stormy.ctl.storm(8_000), stormy.rpc.storm(8_000)]);
        const overMs = performance.now();
        await until(async () => (await stormy.daemon.readyz()).status === 200);
        const backMs = performance.now() - overMs;
        show(`ready after a storm of ${faults.map((each) => each.length).join(' and ')} faults`, backMs);
        await takesAtMost(5_000, () => backMs);
        await load.stop();
        await callEcho(own.caller, stormy.target);
        console.log(`${load.ok} of ${load.sent} calls answered in the storm`);
        // What was on its way when a connection broke is lost, and its caller learns it in time. Nothing else may happen.
        expect(
          [...load.failures.keys()].filter((what) => !/no answer|found no server|nobody/i.test(what)),
          faults.join('; '),
        ).toEqual([]);
      })(),
      silent(holed, 'NAT-05 blackhole', 'up', 'down'),
      silent(deaf, 'NAT-06 nothing comes down', 'down'),
      silent(mute, 'NAT-06 nothing goes up', 'up'),
    ]);
  });

  it('NAT-07 NAT-08 works with 200 ms of latency and jitter, and with a tenth of all segments lost', async () => {
    await using host = await startFaulty('far');
    const { daemon, target, ctl, rpc } = host;
    const phase = async (what: string, calls: number): Promise<void> => {
      await using load = startLoad(own.caller, 40, { target });
      await until(() => load.ok + load.failures.size >= calls);
      await load.stop();
      console.log(`${what}: ${load.ok} of ${load.sent} calls answered, the slowest in ${Math.round(load.worstMs)} ms`);
      expect([...load.failures]).toEqual([]);
    };
    for (const proxy of [ctl, rpc]) proxy.lag({ delayMs: 200, jitterMs: 100 });
    await phase('NAT-07', 200);
    for (const proxy of [ctl, rpc]) proxy.lag({ delayMs: 5, lossRate: 0.1 });
    await phase('NAT-08', 200);
    expect(timesOf(daemon, 'connection interrupted')).toEqual([]);
    expect((await daemon.readyz()).status).toBe(200);
  });
});
