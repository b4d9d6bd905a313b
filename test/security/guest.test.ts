import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { startComponent } from '../../src/component/component-host.ts';
import type { ComponentGrants, ImportEvents, OutboundImport } from '../../src/component/component.ts';
import { componentId } from '../../src/ids.ts';
import { echoComponent, hostileComponent } from '../support/components.ts';
import { delay, leb, runComponent, sized, type TestComponent } from '../support/running-component.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;
const NO_HANDLE = { sendPath: () => {}, cancel: () => {} };

/** Calls one function over and over until told to stop; gives back how long each call took. */
async function neighbour(test: TestComponent, stop: Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  const stopped = stop.then(() => true);
  while (!(await Promise.race([stopped, Promise.resolve(false)]))) {
    const { ms, failure } = await test.call('values.echo-bytes', '03010203');
    expect(failure).toBeUndefined();
    times.push(ms);
  }
  return times.sort((a, b) => a - b);
}

/** Resolves when a process has used CPU for 30 ms from now on: what was sent to it before, it has begun. */
async function busy(pid: number): Promise<void> {
  const ticks = (): number => Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(' ')[13]);
  const start = ticks();
  while (ticks() < start + 3) await delay(5);
}

describe('time', () => {
  it('GST-01 an infinite loop is killed at its deadline, and the component serves on', async () => {
    await using test = await runComponent(hostileComponent('hostile'));
    await using other = await runComponent(echoComponent(), { policy: 'reuse' });
    const [pid] = test.component.pids;
    const looping = test.call('attacks.loop', '', { timeoutMs: 500 });
    await busy(pid!);
    const behind = [1, 2, 3].map(() => test.call('attacks.recall', '', { timeoutMs: 10_000 }));
    const times = await neighbour(other, Promise.all(behind));
    expect(await looping).toMatchObject({ failure: 'timeout', ends: 1 });
    // Those behind it had not begun: they ran in the next runner.
    for (const one of await Promise.all(behind)) expect(one).toMatchObject({ failure: undefined, ends: 1 });
    expect(test.component.pids).not.toContain(pid);
    expect(test.component.stats.restarts).toBe(1);
    // The neighbour noticed nothing: it answered before those did.
    expect(times.length).toBeGreaterThan(1);
    expect(other.component.stats).toMatchObject({ restarts: 0, late: 0 });
  });

  it.each(['attacks.loop', 'attacks.loop-after-return'])(
    'GST-01 %s, in the call or in a clean-up after its result, ends within 250 ms of the deadline',
    async (func) => {
      await takesAtMost(550, async () => {
        await using test = await runComponent(hostileComponent('hostile'));
        const { ms, failure, ends } = await test.call(func, '', { timeoutMs: 300 });
        expect([failure, ends]).toEqual(['timeout', 1]);
        expect(await test.call('attacks.recall')).toMatchObject({ failure: undefined });
        return ms;
      });
    },
  );

  it('GST-17 a result that comes after the deadline is dropped', async () => {
    await using test = await runComponent(hostileComponent('hostile'));
    // Ends by itself soon after its deadline, before the runner would be killed.
    // The fastest of some: what held one up does not hold up the next.
    const tookMs: number[] = [];
    for (let i = 0; i < 4; i++) tookMs.push((await test.call('attacks.spin', leb(100_000_000))).ms);
    const rounds = Math.round((100_000_000 / Math.min(...tookMs)) * 250);
    const answer = await test.call('attacks.spin', leb(rounds), { timeoutMs: 60 });
    expect(answer).toMatchObject({ failure: 'timeout', ends: 1, hex: '' });
    await delay(500);
    expect(await test.call('attacks.recall')).toMatchObject({ hex: '00', ends: 1 });
  });

  it('GST-22 clocks are coarse, and shared memory is absent', async () => {
    await using test = await runComponent(hostileComponent('hostile-probes'));
    const { root, failure } = await test.call('probes.clock-step', leb(2_000_000));
    expect(failure).toBeUndefined();
    let nanoseconds = 0;
    for (const [index, byte] of [...root].entries()) nanoseconds += (byte & 127) * 128 ** index;
    expect(nanoseconds).toBeGreaterThanOrEqual(1_000);
  });

  it('a guest that only waits is given up at its deadline without harm to others', async () => {
    await using test = await runComponent(hostileComponent('hostile-probes'), { maxInstances: 4 });
    const [pid] = test.component.pids;
    const asleep = [1, 2, 3].map(() => test.call('probes.sleep', leb(3_600e9), { timeoutMs: 200 }));
    expect(await test.call('probes.program-arguments')).toMatchObject({ hex: '00' });
    for (const one of await Promise.all(asleep)) expect(one).toMatchObject({ failure: 'timeout', ends: 1 });
    await delay(400);
    expect(test.component.pids).toEqual([pid]);
  });
});

describe('memory', () => {
  it('GST-02 growing stops at the cap', async () => {
    await using test = await runComponent(hostileComponent('hostile'), { maxMemoryBytes: 32 * MIB });
    await test.call('attacks.recall');
    const before = test.component.stats.rssBytes;
    const { root } = await test.call('attacks.eat-memory', leb(4_096));
    expect(root[0]).toBeLessThanOrEqual(32);
    expect(root[0]).toBeGreaterThan(16);
    expect(test.component.stats.rssBytes - before).toBeLessThan(64 * MIB);
    expect(test.component.stats.restarts).toBe(0);
  });

  it('GST-03 values that fill the JavaScript heap end the runner, not the host', async () => {
    await using test = await runComponent(hostileComponent('hostile'), {
      maxMemoryBytes: 64 * MIB,
      maxResultBytes: MIB,
      maxParamsBytes: MIB,
    });
    const answer = await test.call('attacks.inflate', leb(60 * MIB), { timeoutMs: 15_000 });
    expect(answer).toMatchObject({ failure: 'trap', detail: expect.stringContaining('heap'), ends: 1 });
    expect(await test.call('attacks.recall')).toMatchObject({ failure: undefined });
  });

  it('GST-07 a huge result is a bounded error', async () => {
    await using test = await runComponent(hostileComponent('hostile'), { maxMemoryBytes: 64 * MIB, maxResultBytes: 4 * MIB });
    expect(await test.call('attacks.huge-result', leb(1024 * MIB))).toMatchObject({ failure: 'trap', ends: 1 });
    expect(await test.call('attacks.huge-result', leb(50 * MIB))).toMatchObject({ failure: 'too-large', ends: 1 });
    expect(test.component.stats.rssBytes).toBeLessThan(400 * MIB);
    expect(await test.call('attacks.huge-result', leb(1_000))).toMatchObject({ failure: undefined });
  });

  it('GST-19 handles without end, double drops and forged handles harm nobody but their call', async () => {
    await using test = await runComponent(hostileComponent('hostile'), { maxParamsBytes: MIB, maxResultBytes: MIB });
    const greedy = await test.call('attacks.handles', leb(200_000_000), { timeoutMs: 3_000 });
    expect(['trap', 'timeout']).toContain(greedy.failure);
    expect(await test.call('attacks.double-drop', '', { timeoutMs: 10_000 })).toMatchObject({ failure: 'trap' });
    await test.call('attacks.forged-handle');
    expect(await test.call('attacks.recall')).toMatchObject({ hex: '00', failure: undefined });
  });
});

describe('instances', () => {
  it('GST-05 a trap throws the instance away', async () => {
    await using test = await runComponent(hostileComponent('hostile'), { policy: 'reuse', maxInstances: 1 });
    await test.call('attacks.remember', sized('canary'));
    expect((await test.call('attacks.recall')).root.toString()).toContain('canary');
    for (const kind of [0, 1, 2, 3, 4, 5]) {
      expect(await test.call('attacks.trap', Buffer.from([kind]))).toMatchObject({ failure: 'trap', ends: 1 });
      expect(await test.call('attacks.recall')).toMatchObject({ hex: '00' });
      await test.call('attacks.remember', sized('canary'));
    }
    expect(test.component.stats.restarts).toBe(0);
  });

  it('GST-06 a stack overflow throws the instance away', async () => {
    await using test = await runComponent(hostileComponent('hostile'), { policy: 'reuse', maxInstances: 1 });
    await test.call('attacks.remember', sized('canary'));
    expect(await test.call('attacks.recurse', leb(100_000_000))).toMatchObject({ failure: 'trap', ends: 1 });
    expect(await test.call('attacks.recall')).toMatchObject({ hex: '00' });
    expect(test.component.stats.restarts).toBe(0);
  });

  it('GST-18 fresh instances know nothing of each other', async () => {
    await using test = await runComponent(hostileComponent('hostile'));
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        i % 2 === 0 ? test.call('attacks.remember', sized('canary')) : test.call('attacks.recall'),
      ),
    );
    for (const [i, answer] of answers.entries()) expect(answer.hex).toBe(i % 2 === 0 ? '' : '00');
  });

  it('results that no honest compiler makes are errors of their call', async () => {
    await using test = await runComponent(hostileComponent('hostile'), { policy: 'reuse' });
    for (const name of ['bad-pointer', 'bad-count', 'bad-alignment', 'bad-text', 'bad-case', 'bad-char']) {
      const answer = await test.call(`attacks.${name}`);
      expect(answer.ends).toBe(1);
      expect(answer.root.length).toBeLessThan(MIB);
    }
    expect(await test.call('attacks.recall')).toMatchObject({ hex: '00' });
    expect(test.component.stats.restarts).toBe(0);
  });

  it('GST-11 GST-12 functions and fields called `then`, `eval`, `constructor` are just names', async () => {
    await using test = await runComponent(hostileComponent('hostile-names'));
    for (const one of test.component.exports.filter((each) => each.instance.includes('names'))) {
      if (one.func === 'echo-thenable' || one.func === 'echo-reserved' || one.func === 'parameters') continue;
      expect(await test.call(`names.${one.func}`, sized('x'))).toMatchObject({ failure: undefined, ends: 1 });
    }
    const thenable = Buffer.concat(['a', 'b', 'c', 'd', 'e'].map(sized));
    expect((await test.call('names.echo-thenable', thenable)).root).toEqual(thenable);
    for (let i = 0; i < 6; i++) expect(await test.call('names.echo-reserved', leb(i))).toMatchObject({ hex: `0${i}` });
  });
});

describe('calls out', () => {
  it('GST-08 a storm of imports ends at the budget of its call, and neighbours stay fast', async () => {
    await using other = await runComponent(echoComponent(), { policy: 'reuse' });
    let sent = 0;
    const invokeImport = (call: OutboundImport, events: ImportEvents) => {
      sent += 1;
      setImmediate(() => events.result(sized(`Hello, ${Buffer.from(call.params).subarray(1).toString()}!`), false));
      return NO_HANDLE;
    };
    await using test = await runComponent(hostileComponent('hostile-calls'), { maxImportsPerCall: 2_000 }, { invokeImport });
    const p99 = (times: number[]): number => times[Math.floor(times.length * 0.99)]!;
    // Three processes share what cores there are, so this allows for the scheduler beside the factor of two.
    await takesAtMost(50, async () => {
      sent = 0;
      const quiet = await neighbour(other, delay(300));
      const storm = test.call('calls.storm', Buffer.concat([leb(1_000_000), leb(10)]));
      const stormy = await neighbour(other, storm);
      expect(await storm).toMatchObject({ failure: 'trap', detail: expect.stringContaining('2000 imports'), ends: 1 });
      expect(sent).toBe(2_000);
      return p99(stormy) - 2 * p99(quiet);
    });
  });

  it('GST-09 a circle of calls is told its depth, each one deeper', async () => {
    const depths: number[] = [];
    const limit = 16;
    const invokeImport = (call: OutboundImport, events: ImportEvents) => {
      depths.push(call.depth);
      if (call.depth > limit) {
        events.fail('too deep');
        return NO_HANDLE;
      }
      const { outcome, handle } = test.begin('bounce.bounce', call.params, { depth: call.depth });
      void outcome.then((answer) =>
        answer.failure === undefined ? events.result(answer.root, false) : events.fail(answer.detail),
      );
      return { sendPath: () => {}, cancel: () => handle.cancel() };
    };
    await using test = await runComponent(hostileComponent('hostile-calls'), { maxInstances: 32 }, { invokeImport });
    expect(await test.call('bounce.bounce', leb(5))).toMatchObject({ hex: '05' });
    depths.length = 0;
    await test.call('bounce.bounce', leb(5));
    const answer = await test.call('bounce.bounce', leb(10_000));
    expect(answer).toMatchObject({ failure: 'trap' });
    expect(answer.ms).toBeLessThan(15_000);
    expect(depths.slice(5)).toEqual(Array.from({ length: limit + 1 }, (_, i) => i + 1));
  });
});

describe('what a guest can reach', () => {
  it('GST-13 files, environment, arguments and the network only as granted', async () => {
    await using test = await runComponent(hostileComponent('hostile-probes'));
    expect(await test.call('probes.environment')).toMatchObject({ hex: '00' });
    expect(await test.call('probes.program-arguments')).toMatchObject({ hex: '00' });
    expect(await test.call('probes.folders')).toMatchObject({ hex: '00' });
    expect(await test.call('probes.read-file', sized('/etc/passwd'))).toMatchObject({ hex: '01ff' });
    await using network = await runComponent(hostileComponent('hostile-network'));
    for (const [name, params] of [
      ['open-socket', ''],
      ['look-up', sized('localhost')],
    ] as const) {
      const answer = await network.call(`network-probes.${name}`, params);
      expect(answer.failure === 'trap' || answer.root[0] === 1).toBe(true);
    }
  });

  it('GST-13 a granted folder is readable, and nothing beside it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'trellis-granted-'));
    writeFileSync(join(folder, 'inside.txt'), 'inside');
    await using test = await runComponent(hostileComponent('hostile-probes'), {
      env: { NAME: 'value' },
      args: ['one'],
      grants: { preopens: [{ guest: '/data', host: folder, writable: false }] },
    });
    expect((await test.call('probes.environment')).root.toString('latin1')).toContain('NAME\x05value');
    expect((await test.call('probes.program-arguments')).root.toString('latin1')).toBe('\x01\x03one');
    expect((await test.call('probes.folders')).root.toString('latin1')).toContain('/data');
    expect((await test.call('probes.read-file', sized('inside.txt'))).root.toString('latin1')).toContain('inside');
    for (const path of ['../../../../etc/passwd', '/etc/passwd'])
      expect((await test.call('probes.read-file', sized(path))).root[0]).toBe(1);
  });

  it('exit ends the call, not the runner', async () => {
    await using test = await runComponent(hostileComponent('hostile-probes'));
    const [pid] = test.component.pids;
    for (const status of ['00', '01']) {
      expect(await test.call('probes.exit', status)).toMatchObject({
        failure: 'error',
        detail: expect.stringContaining('exit'),
        ends: 1,
      });
    }
    expect(await test.call('probes.program-arguments')).toMatchObject({ failure: undefined });
    expect(test.component.pids).toEqual([pid]);
  });

  it('GST-20 a flood of lines passes at 1 MB/s, each one printable', async () => {
    await using test = await runComponent(hostileComponent('hostile-probes'));
    await test.call('probes.print', Buffer.concat([Buffer.from([1]), sized('line\r\x1b[31mred\x07\nforged {"level":50}\n')]));
    expect(test.lines.length).toBeGreaterThanOrEqual(2);
    expect(test.lines.join('')).toMatch(/^[\x20-\x7e]*$/);
    test.lines.length = 0;
    const startedMs = performance.now();
    const { failure } = await test.call('probes.flood', Buffer.concat([Buffer.from([0]), leb(100_000), leb(1_000)]));
    expect(failure).toBeUndefined();
    const seconds = (performance.now() - startedMs) / 1_000;
    const bytes = test.lines.reduce((sum, line) => sum + line.length, 0);
    expect(bytes).toBeLessThan((1 + seconds) * 1_100_000);
    expect(bytes).toBeGreaterThan(100_000);
  });
});

describe('a runner that dies', () => {
  it('GST-15 fails the calls that may have begun at once, and nobody else', async () => {
    await using other = await runComponent(echoComponent(), { policy: 'reuse' });
    await takesAtMost(100, async () => {
      await using test = await runComponent(hostileComponent('hostile'), { maxInstances: 1 });
      const [pid] = test.component.pids;
      const spinning = test.call('attacks.loop', '', { timeoutMs: 60_000 });
      await busy(pid!);
      const waiting = test.call('attacks.recall', '', { timeoutMs: 60_000 });
      const killedMs = performance.now();
      process.kill(pid!, 'SIGKILL');
      expect(await spinning).toMatchObject({ failure: 'unavailable', ends: 1 });
      const toldMs = performance.now() - killedMs;
      expect(await waiting).toMatchObject({ failure: undefined, ends: 1 });
      return toldMs;
    });
    expect(await other.call('values.echo-bytes', '00')).toMatchObject({ failure: undefined });
  });

  it('GST-16 is replaced within a second', async () => {
    await takesAtMost(1_000, async () => {
      await using test = await runComponent(hostileComponent('hostile'));
      const [pid] = test.component.pids;
      const killedMs = performance.now();
      process.kill(pid!, 'SIGKILL');
      await until(() => !test.component.pids.includes(pid!));
      expect(await test.call('attacks.recall')).toMatchObject({ failure: undefined });
      return performance.now() - killedMs;
    });
  });

  it('GST-16 again and again is replaced ever more slowly, and callers are told at once', async () => {
    await using test = await runComponent(hostileComponent('hostile'));
    let answer = await test.call('attacks.recall');
    for (let i = 0; i < 12 && answer.failure !== 'unavailable'; i++) {
      const [pid] = test.component.pids;
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
      await until(() => !test.component.pids.includes(pid ?? 0));
      answer = await test.call('attacks.recall', '', { timeoutMs: 20_000 });
    }
    expect(answer).toMatchObject({ failure: 'unavailable' });
    await until(async () => (await test.call('attacks.recall')).failure === undefined);
  });
});

/** A runner whose "component" is JavaScript of the attacker's choice, as if a name had escaped the translator. */
async function runScript(body: string, grants: ComponentGrants = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'trellis-script-'));
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
  writeFileSync(join(dir, 'c.js'), `export function instantiate() { return { 'a:b/c': { run: (what) => { ${body} } } }; }`);
  const fn = {
    name: 'run',
    wireName: 'run',
    params: [{ name: 'what', type: { kind: 'string' as const } }],
    result: { kind: 'string' as const },
    async: false,
  };
  const log = (): void => {};
  const component = await startComponent(
    {
      id: componentId('script'),
      transpiled: {
        dir,
        digest: '',
        entry: 'c.js',
        coreModules: [],
        manifestPath: '',
        asyncMode: 'sync',
        imports: [],
        cached: true,
      },
      types: { imports: [], exports: [{ name: 'a:b/c', functions: [fn] }] },
      policy: 'reuse',
      maxInstances: 1,
      maxQueue: 10,
      maxMemoryBytes: 32 * MIB,
      maxResultBytes: MIB,
      maxParamsBytes: MIB,
      timeoutMs: 10_000,
      env: {},
      args: [],
      config: {},
      grants,
    },
    {
      log: { debug: log, info: log, warn: log, error: log },
      clock: systemClock,
      invokeImport: () => NO_HANDLE,
      onGuestLog: () => {},
    },
  );
  const run = (what: string) =>
    new Promise<{ text: string; failure: string | undefined }>((resolve) => {
      let text = '';
      component.call(
        { exportIndex: 0, params: sized(what), complete: true, timeoutMs: 8_000, depth: 0, pending: 'refuse' },
        {
          result: (root) => {
            text = Buffer.from(root).toString('utf8');
          },
          path: () => {},
          done: () => resolve({ text, failure: undefined }),
          fail: (failure, detail) => resolve({ text: detail, failure }),
        },
      );
    });
  return { component, run, [Symbol.asyncDispose]: () => component.stop() };
}

describe('GST-14 if a guest did get JavaScript to run', () => {
  const canary = 'CANARY-a41f';

  it('there is no secret to reach, and the host lives', async () => {
    process.env['TRELLIS_TEST_CANARY'] = canary;
    await using script = await runScript(`
      const attempts = {
        env: () => JSON.stringify(process.env),
        hostEnv: () => process.getBuiltinModule('fs').readFileSync('/proc/' + process.ppid + '/environ', 'latin1'),
        report: () => JSON.stringify(process.report.getReport()),
        kill: () => String(process.kill(process.ppid, 0)),
        debug: () => String(process._debugProcess(process.ppid)),
        binding: () => String(process.binding('fs')),
        builtin: () => String(process.getBuiltinModule('child_process')),
        evaluate: () => String(new Function('return 1')()),
        fetch: () => String(fetch),
        channel: () => String(new BroadcastChannel('x')),
        shared: () => String(new SharedArrayBuffer(1)),
      };
      try { return 'reached ' + attempts[what](); } catch (error) { return 'refused ' + error.message; }`);
    expect((await script.run('env')).text).not.toContain(canary);
    for (const what of ['hostEnv', 'report', 'kill', 'debug', 'binding', 'builtin', 'evaluate', 'fetch', 'channel', 'shared']) {
      const { text } = await script.run(what);
      expect(text, what).toContain('refused');
      expect(text, what).not.toContain(canary);
    }
    expect(readFileSync(`/proc/${script.component.pids[0]}/environ`, 'latin1')).not.toContain(canary);
    delete process.env['TRELLIS_TEST_CANARY'];
  });

  it.each([
    ['', {}],
    [', nor with a network grant', { network: ['127.0.0.1:1'] }],
  ])('it cannot import what is not its own%s', async (_what, grants) => {
    await using script = await runScript(
      `
      if (what !== 'said') {
        globalThis.said = 'waiting';
        import(what).then(() => { globalThis.said = 'reached'; }, (error) => { globalThis.said = 'refused ' + error.message; });
      }
      if (what === 'said' && typeof fetch === 'function') return 'fetch';
      return globalThis.said;`,
      grants,
    );
    for (const what of [
      'node:fs',
      'node:child_process',
      'node:worker_threads',
      'node:inspector',
      'node:net',
      'node:http',
      'node:dns',
      'fs',
      '../../etc/x.js',
      './x/../../../etc/x.js',
      'data:text/javascript,1',
      'file:///etc/passwd',
    ]) {
      await script.run(what);
      let said = 'waiting';
      await until(async () => (said = (await script.run('said')).text) !== 'waiting');
      expect(said, what).toContain('refused');
    }
  });

  it('frames of its own making end its runner and nothing else', async () => {
    // The attacker cannot reach the socket by name; a result that lies about the call comes closest.
    await using script = await runScript(`
      if (what === 'spin') for (;;) {}
      if (what === 'grow') { const kept = []; for (;;) kept.push(new ArrayBuffer(1 << 24).slice(0)); }
      if (what === 'fill') { const kept = []; for (;;) { const part = new Uint8Array(1 << 24); part.fill(1); kept.push(part); } }
      if (what === 'throw') throw { toString() { throw 1; } };
      return what;`);
    expect(await script.run('throw')).toMatchObject({ failure: 'trap' });
    // GST-04: memory outside of wasm and of the JavaScript heap, seen by the watchdog.
    const filled = await script.run('fill');
    expect(filled.failure).toMatch(/trap|unavailable|timeout/);
    expect(await script.run('fine')).toMatchObject({ text: '\x04fine' });
  });
});
