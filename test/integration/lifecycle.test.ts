import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { sampleComponents, sampleLinks } from '../../src/development.ts';
import { startDaemon, startDaemonLattice, startLoad, writeConfig } from '../support/daemon-lattice.ts';
import { startTestLattice } from '../support/lattice.ts';
import { openCall, STREAMS } from '../support/open-call.ts';
import { Program } from '../support/program.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { TINY, until } from '../support/trust-lattice.ts';

/** Process ids of the children of a process, by /proc. */
function childrenOf(parent: number): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      return Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0]) === parent;
    } catch {
      // It has just ended.
      return false;
    }
  });
}

const RESTARTS = 20;
const CALLS = 10_000;

describe('a host that stops under load', () => {
  it(`LIF-01 LIF-05 loses none of ${CALLS} calls in ${RESTARTS} rolling restarts of two hosts`, async () => {
    await using lattice = await startDaemonLattice();
    await using hosts = new AsyncDisposableStack();
    const running = [hosts.use(await lattice.start('a')), hosts.use(await lattice.start('b'))];
    await using caller = await lattice.caller();
    await using load = startLoad(caller, 300);
    const drainedMs: number[] = [];
    for (let i = 0; i < RESTARTS; i++) {
      const { program, name, configFile } = running[i % 2]!;
      const from = load.ok;
      await until(() => load.ok > from + 50);
      const atMs = performance.now();
      program.signal('SIGTERM');
      const end = await program.ended;
      drainedMs.push(performance.now() - atMs);
      expect([end.code, end.signal]).toEqual([0, undefined]);
      expect(end.stderr).not.toContain('given up');
      running[i % 2] = hosts.use(await startDaemon(name, configFile));
    }
    await until(() => load.sent >= CALLS);
    await load.stop();
    console.log(
      `${load.ok} of ${load.sent} calls answered, the slowest in ${Math.round(load.worstMs)} ms; ` +
        `a stop took ${Math.round(Math.max(...drainedMs))} ms at most`,
    );
    expect([...load.failures]).toEqual([]);
    expect(load.ok).toBe(load.sent);
    expect(load.sent).toBeGreaterThanOrEqual(CALLS);
  }, 900_000);

  it('LIF-01 lets callers finish before those they call, on a lattice of one host', async () => {
    const components = sampleComponents().filter(({ id }) => id === 'hello' || id === 'greeter-chain');
    await using test = await startTestLattice({ components: components.toReversed(), links: sampleLinks() });
    await test.call('greeter-chain', 'greet-all', [['first']]);
    const calls = Array.from({ length: 300 }, async (_, i) => {
      try {
        await test.call('greeter-chain', 'greet-all', [[`${i}`]]);
        return 'ok';
      } catch (error) {
        return (error as { code: string }).code;
      }
    });
    await until(() => test.lattice.host.status().inFlight >= 100);
    await test.lattice.host.drain();
    const ends = await Promise.all(calls);
    // What the host had not taken yet finds nobody; what it took, it finishes, with the call that hangs on it.
    expect(test.logged.filter(({ msg }) => msg === 'import failed')).toEqual([]);
    expect(ends.filter((end) => end !== 'ok' && end !== 'TRELLIS_INVOKE_NO_RESPONDERS')).toEqual([]);
    expect(ends.filter((end) => end === 'ok').length).toBeGreaterThanOrEqual(100);
  });
});

describe('signals', () => {
  it('USR2 makes a lame duck: takes nothing new, is not ready, and finishes a stream before it ends', async () => {
    await using lattice = await startDaemonLattice();
    await using hosts = new AsyncDisposableStack();
    const duck = hosts.use(await lattice.start('a', { components: [TINY, STREAMS], drainTimeoutMs: 500, lameDuckMs: 60_000 }));
    await using caller = await lattice.caller();
    const stream = openCall(caller);
    await until(async () => (await duck.metric('trellis_in_flight')) === 1);
    hosts.use(await lattice.start('b', { components: [TINY, STREAMS] }));
    await using load = startLoad(caller, 200);
    await until(() => load.ok > 50);
    duck.program.signal('SIGUSR2');
    await duck.program.logLine(({ msg, lameDuck }) => msg === 'draining' && lameDuck === true);
    const { status, body } = await duck.readyz();
    expect([status, body['reason'], body['state']]).toEqual([503, 'lame duck', 'lame-duck']);
    const taken =
      'trellis_invocations_total{component="tiny",operation="trellis-samples:echo/bytes@0.1.0/echo-bytes",outcome="ok"}';
    await until(async () => (await duck.metric('trellis_in_flight')) === 1);
    const before = await duck.metric(taken);
    for (let i = 0; i < 5; i++) {
      stream.feed();
      await delay(200);
    }
    // Longer than drainTimeoutMs, and still there.
    expect(await duck.metric(taken)).toBe(before);
    stream.finish();
    expect(await stream.result).toBe(15);
    const end = await duck.program.ended;
    expect([end.code, end.signal]).toEqual([0, undefined]);
    await load.stop();
    expect([...load.failures]).toEqual([]);
  });

  it('LIF-02 TERM ends the patience of a lame duck, and a second TERM all waiting: within a second, with its callers told', async () => {
    await using lattice = await startDaemonLattice();
    await using host = await lattice.start('a', { components: [STREAMS], drainTimeoutMs: 30_000, lameDuckMs: 600_000 });
    await using caller = await lattice.caller();
    const stream = openCall(caller);
    await until(async () => (await host.metric('trellis_in_flight')) === 1);
    host.program.signal('SIGUSR2');
    await host.program.logLine(({ msg, lameDuck }) => msg === 'draining' && lameDuck === true);
    host.program.signal('SIGTERM');
    await host.program.logLine(({ msg }) => String(msg).startsWith('stopping; a second signal'));
    expect((await host.readyz()).body['reason']).toBe('draining');
    const atMs = performance.now();
    host.program.signal('SIGTERM');
    const end = await host.program.ended;
    const tookMs = performance.now() - atMs;
    console.log(`the second TERM ended the host in ${Math.round(tookMs)} ms`);
    expect([end.code, end.signal]).toEqual([143, undefined]);
    // A second by the host's own timer, and what it takes to end processes.
    await takesAtMost(1_500, () => tookMs);
    expect(await stream.result).toBe('TRELLIS_INVOKE_FAILED');
    expect(end.stderr).not.toContain('TRELLIS_INTERNAL');
  });

  it('TERM while it starts ends it in order, with nothing left behind', async () => {
    await using lattice = await startDaemonLattice();
    await using first = await lattice.start('a', { components: [STREAMS] });
    first.program.signal('SIGTERM');
    await first.program.ended;
    // With so many its start takes longer than it takes to signal it.
    const many = Array.from({ length: 12 }, (_, i) => ({ ...STREAMS, id: `streams-${i}` }));
    writeConfig(first.configFile, lattice.config('a', { components: many }));
    await using program = new Program('daemon', ['--config', first.configFile]);
    await program.logLine(({ msg }) => msg === 'health and metrics');
    program.signal('SIGTERM');
    const end = await program.ended;
    expect([end.code, end.signal]).toEqual([0, undefined]);
    expect(end.stderr).toContain('stopped before the host was ready');
  });

  it.runIf(process.platform === 'linux')(
    'TERM to the whole process group lets the runner finish: a service manager and a terminal signal all of it',
    async () => {
      await using lattice = await startDaemonLattice();
      await using host = await lattice.start('a', { components: [STREAMS] });
      await using caller = await lattice.caller();
      const stream = openCall(caller);
      await until(async () => (await host.metric('trellis_in_flight')) === 1);
      const children = childrenOf(host.program.pid);
      expect(children.length).toBeGreaterThan(0);
      for (const pid of children) process.kill(pid, 'SIGTERM');
      host.program.signal('SIGTERM');
      await host.program.logLine(({ msg }) => msg === 'draining');
      stream.feed();
      stream.finish();
      expect(await stream.result).toBe(3);
      expect((await host.program.ended).code).toBe(0);
    },
  );
});
