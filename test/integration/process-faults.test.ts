import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { callEcho, latticeOfFile, startDaemon, startLoad, writeConfig, type RunningDaemon } from '../support/daemon-lattice.ts';
import { runProgram } from '../support/program.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { TINY, until } from '../support/trust-lattice.ts';

const own = latticeOfFile();

/** Puts code into the daemon that a signal sets off: what no input of a host should ever do. */
const onSignal = (signal: NodeJS.Signals, code: string): Record<string, string> => ({
  NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(`process.on('${signal}', () => { ${code} });`)}`,
});

async function startWith(name: string, env: Record<string, string>): Promise<RunningDaemon> {
  const configFile = join(own.lattice.dir, `${name}.yaml`);
  writeConfig(configFile, own.lattice.config(name, { components: [{ ...TINY, id: name }] }));
  return startDaemon(name, configFile, env);
}

/** Process ids of the runners of a daemon. */
const runnersOf = ({ program }: RunningDaemon): number[] =>
  execFileSync('ps', ['-o', 'pid=', '--ppid', String(program.pid)], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(Number);

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`).length > 0;
const onLinux = process.platform === 'linux';

describe.runIf(onLinux)('a host in trouble', () => {
  it.each([
    ['an error', 'throw new Error("made up")'],
    ['a rejection', 'void Promise.reject(new Error("made up"))'],
  ])('LIF-06 ends with 1 after %s that nobody caught, says it to the last byte, and leaves no runner', async (_what, code) => {
    await using host = await startWith('crash', onSignal('SIGIO', code));
    const runners = runnersOf(host);
    expect(runners.length).toBeGreaterThan(0);
    host.program.signal('SIGIO');
    const end = await host.program.ended;
    expect([end.code, end.signal]).toEqual([1, undefined]);
    const last = host.program.logLines().at(-1)!;
    expect(last).toMatchObject({ level: 'fatal', msg: 'unexpected error; the process ends' });
    expect(JSON.stringify(last)).toContain('made up');
    await until(() => runners.every((pid) => !isAlive(pid)));
    // What a supervisor does.
    await using again = await startWith('crash', {});
    await callEcho(own.caller, 'crash');
    expect(again.program.pid).not.toBe(host.program.pid);
  });

  it('LIF-07 LIF-13 says that it stood still, busy or stopped, and serves again at once', async () => {
    await using busy = await startWith(
      'busy',
      onSignal('SIGIO', 'for (const end = performance.now() + 2_100; performance.now() < end;);'),
    );
    await using stopped = await startWith('stopped', {});
    await using load = startLoad(own.caller, 20, { target: 'stopped', timeoutMs: 25_000 });
    await until(async () => load.ok > 20 && (await stopped.metric('trellis_ready')) === 1);
    // Longer than the pings of the host may stay unanswered; what 30 s do to it is the same.
    const STOP_MS = 13_000;
    stopped.program.signal('SIGSTOP');
    const stoppedMs = performance.now();

    const signalledMs = performance.now();
    busy.program.signal('SIGIO');
    const line = await busy.program.logLine(({ code }) => code === 'TRELLIS_ALARM_HOST_STALLED');
    const reportedMs = performance.now() - signalledMs;
    console.log(`LIF-07 ${String(line['msg'])}; reported ${Math.round(reportedMs)} ms after it began`);
    await takesAtMost(3_000, () => reportedMs);
    expect(await busy.metric('trellis_event_loop_stalls_total')).toBeGreaterThanOrEqual(1);
    // A person should look; calls go on.
    const { status, body } = await busy.readyz();
    expect([status, JSON.stringify(body)]).toEqual([200, expect.stringContaining('TRELLIS_ALARM_HOST_STALLED')]);

    await delay(STOP_MS - (performance.now() - stoppedMs));
    stopped.program.signal('SIGCONT');
    const continuedMs = performance.now();
    await callEcho(own.caller, 'stopped');
    await until(async () => (await stopped.readyz()).status === 200);
    const backMs = performance.now() - continuedMs;
    console.log(`LIF-13 serving and ready ${Math.round(backMs)} ms after it was continued`);
    await takesAtMost(5_000, () => backMs);
    await stopped.program.logLine(({ code }) => code === 'TRELLIS_ALARM_HOST_STALLED');
    await load.stop();
    console.log(`LIF-13 ${load.ok} of ${load.sent} calls answered, those made while it was stopped included`);
    expect([...load.failures]).toEqual([]);
  });

  it('LIF-04 is killed, and its successor serves all that is configured', async () => {
    const components = Array.from({ length: 6 }, (_, i) => ({ ...TINY, id: `many-${i}` }));
    const first = await own.lattice.start('many', { components });
    const runners = runnersOf(first);
    expect(runners).toHaveLength(6);
    first.program.signal('SIGKILL');
    await first.program.ended;
    const startedMs = performance.now();
    await using second = await startDaemon('many', first.configFile);
    await Promise.all(components.map(({ id }) => callEcho(own.caller, id)));
    console.log(`LIF-04 6 components serve ${Math.round(performance.now() - startedMs)} ms after the start`);
    await until(() => runners.every((pid) => !isAlive(pid)));
    expect(runnersOf(second)).toHaveLength(6);
  });

  it('LIF-10 says in one error where it cannot write', async () => {
    const config = own.lattice.config('sealed', { components: [{ ...TINY, id: 'sealed' }] });
    const file = join(own.lattice.dir, 'sealed.yaml');
    // The kernel's own folder takes no files, not even from root.
    for (const [settings, code] of [
      [{ stateDir: '/sys/trellis' }, 'TRELLIS_STATE_DIR'],
      [{ cacheDir: '/sys/trellis' }, 'TRELLIS_COMPONENT_CACHE'],
      [{ audit: { file: '/sys/trellis/audit' } }, 'TRELLIS_AUDIT_FILE'],
    ] as const) {
      writeConfig(file, { ...config, ...settings });
      const end = await runProgram('daemon', ['--config', file]);
      expect(end.code, end.stderr).toBe(78);
      expect(end.stderr.match(/"level":"(?:error|fatal)"/g), end.stderr).toHaveLength(1);
      expect(end.stderr).toContain(code);
    }
  });

  it.runIf(spawnSync('prlimit', ['--version']).status === 0)(
    'LIF-11 sheds what needs a file, and recovers when there are some',
    async () => {
      await using host = await startWith('poor', {});
      const { pid } = host.program;
      const limit = (soft: number): void => void execFileSync('prlimit', [`--nofile=${soft}:`, '--pid', String(pid)]);
      await callEcho(own.caller, 'poor');
      // What is open stays open; nothing more can be opened.
      limit(1);
      const before = await fetch(`${host.admin}/livez`, { signal: AbortSignal.timeout(1_000) }).then(
        ({ status }) => status,
        () => 'nobody',
      );
      await using load = startLoad(own.caller, 100, { target: 'poor' });
      await until(() => load.ok > 200);
      // A reload that needs a process is refused, and costs nothing.
      writeConfig(
        host.configFile,
        own.lattice.config('poor', {
          components: [
            { ...TINY, id: 'poor' },
            { ...TINY, id: 'more' },
          ],
        }),
      );
      host.program.signal('SIGHUP');
      await host.program.logLine(({ code }) => code === 'TRELLIS_RELOAD_REFUSED');
      limit(1_024);
      await until(async () => (await host.readyz().catch(() => undefined))?.status === 200);
      host.program.signal('SIGHUP');
      await host.program.logLine(({ msg }) => msg === 'configuration applied');
      await callEcho(own.caller, 'more');
      await load.stop();
      expect(before).toBe('nobody');
      console.log(`LIF-11 ${load.ok} of ${load.sent} calls answered`);
      expect([...load.failures]).toEqual([]);
    },
  );
});
