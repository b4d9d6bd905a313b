import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { startComponent } from '../../src/component/component-host.ts';
import type { ImportEvents, OutboundImport } from '../../src/component/component.ts';
import { componentId } from '../../src/ids.ts';
import {
  echoComponent,
  echoStreamsComponent,
  greeterChainComponent,
  helloComponent,
  hostileComponent,
} from '../support/components.ts';
import { delay, leb, runComponent, sized, type TestComponent } from '../support/running-component.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('a component in its runner', () => {
  it('gives back results, declared errors, and refuses what does not fit', async () => {
    await using test = await runComponent(echoComponent());
    expect(await test.call('values.echo-bytes', '03010203')).toMatchObject({ hex: '03010203', failure: undefined, ends: 1 });
    expect(await test.call('values.echo-result', '010141')).toMatchObject({ hex: '010141', failure: undefined });
    expect(await test.call('values.nothing')).toMatchObject({ hex: '', failure: undefined });
    expect(await test.call('.shout', '0161')).toMatchObject({ failure: undefined });
    expect(await test.call('values.echo-bytes', '0301')).toMatchObject({ failure: 'bad-params', ends: 1 });
    expect(await test.call('values.echo-bool', '02')).toMatchObject({ failure: 'bad-params' });
    const nowhere = test.component.call(
      { exportIndex: 9_999, params: new Uint8Array(), complete: true, timeoutMs: 100, depth: 0, pending: 'allow' },
      { result: () => {}, path: () => {}, done: () => {}, fail: (status) => expect(status).toBe('error') },
    );
    nowhere.cancel();
    expect(test.component.inFlight).toBe(0);
  });

  it('takes many calls at once, in one process, and answers each', async () => {
    await using test = await runComponent(echoComponent(), { policy: 'reuse' });
    const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => test.call('values.echo-string', sized(`call ${i}`))));
    expect(answers.map((answer) => answer.root.subarray(1).toString())).toEqual(
      Array.from({ length: 500 }, (_, i) => `call ${i}`),
    );
    expect(test.component.pids).toHaveLength(1);
    expect(test.component.stats).toMatchObject({ calls: 500, restarts: 0, late: 0, queued: 0 });
  });

  it('carries parameters and results of megabytes', async () => {
    await using test = await runComponent(echoComponent(), { policy: 'reuse' });
    const params = sized(Buffer.alloc(3 * MIB, 0xab));
    const answers = await Promise.all([1, 2, 3].map(() => test.call('values.echo-bytes', params)));
    for (const answer of answers) expect(answer.root.equals(params)).toBe(true);
  });

  it('has params copied before call returns', async () => {
    await using test = await runComponent(echoComponent(), { policy: 'reuse' });
    for (const size of [10, 20_000, 100_000]) {
      const params = sized(Buffer.alloc(size, 1));
      const answers = [test.call('values.echo-bytes', params), test.call('values.echo-bytes', params)];
      params.fill(0);
      for (const answer of await Promise.all(answers)) expect(answer.root.at(-1)).toBe(1);
    }
  });

  it('waits in the queue, and is busy beyond it', async () => {
    await using test = await runComponent(hostileComponent('hostile'), { maxInstances: 1, maxQueue: 2 });
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => test.call('attacks.spin', leb(20_000_000))));
    expect(answers.map((answer) => answer.failure)).toEqual([undefined, undefined, undefined, 'busy', 'busy']);
  });

  it('runs more or fewer calls at once when it is told to, in the same process and with none of them lost', async () => {
    const open: ImportEvents[] = [];
    const invokeImport = (_call: OutboundImport, events: ImportEvents) => {
      open.push(events);
      return { sendPath: () => {}, cancel: () => {} };
    };
    await using test = await runComponent(hostileComponent('hostile-calls'), { maxInstances: 2 }, { invokeImport });
    const [pid] = test.component.pids;
    const answers = Array.from({ length: 12 }, () => test.call('calls.storm', Buffer.from([1, 3])));
    const answerAll = (): void => {
      for (const events of open.splice(0)) events.result(sized('abc'), false);
    };
    await until(() => open.length === 2);
    test.component.setMaxInstances(5);
    await until(() => open.length === 5);
    test.component.setMaxInstances(1);
    answerAll();
    // Seven are left: one by one, and at once again with room for all.
    await until(() => open.length === 1);
    await delay(50);
    expect(open.length).toBe(1);
    test.component.setMaxInstances(100);
    await until(() => open.length === 7);
    answerAll();
    for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ failure: undefined, ends: 1 });
    expect(test.component.pids).toEqual([pid]);

    // A runner that takes the place of this one is told as well.
    process.kill(pid!, 'SIGKILL');
    await until(() => test.component.pids.length === 1 && test.component.pids[0] !== pid);
    const more = Array.from({ length: 9 }, () => test.call('calls.storm', Buffer.from([1, 3])));
    await until(() => open.length === 9);
    answerAll();
    await Promise.all(more);
  });

  it('is busy when the bytes that wait are too many', async () => {
    await using test = await runComponent(hostileComponent('hostile'), { maxInstances: 1, maxQueue: 10_000 });
    const looping = test.begin('attacks.loop');
    const params = sized(Buffer.alloc(3 * MIB));
    const outcomes = Array.from({ length: 60 }, () => test.begin('attacks.take', params));
    expect(outcomes.length).toBe(60);
    const first = await Promise.race(outcomes.map(({ outcome }) => outcome));
    expect(first).toMatchObject({ failure: 'busy', ends: 1 });
    looping.handle.cancel();
    const answers = await Promise.all(outcomes.map(({ outcome }) => outcome));
    expect(new Set(answers.map((answer) => answer.failure))).toEqual(new Set([undefined, 'busy']));
    expect(test.component.inFlight).toBe(0);
    expect(test.component.stats.queued).toBe(0);
    // All that waited has been let go of.
    expect(await test.call('attacks.take', params)).toMatchObject({ failure: undefined });
  });

  it('refuses parameters that are too large', async () => {
    await using test = await runComponent(echoComponent(), { maxParamsBytes: 100 });
    expect(await test.call('values.echo-bytes', sized(Buffer.alloc(100)))).toMatchObject({ failure: 'too-large' });
    expect(await test.call('values.echo-bytes', sized(Buffer.alloc(99)))).toMatchObject({ failure: undefined });
  });

  it('drains: takes no more, and ends when all have ended', async () => {
    await using test = await runComponent(hostileComponent('hostile'));
    const running = [1, 2, 3].map(() => test.call('attacks.spin', leb(50_000_000)));
    const drained = test.component.drain();
    expect(await test.call('attacks.recall')).toMatchObject({ failure: 'unavailable' });
    await drained;
    expect(test.component.inFlight).toBe(0);
    expect((await Promise.all(running)).every((answer) => answer.failure === undefined)).toBe(true);
  });

  it('stops: what is in flight fails, and no process is left', async () => {
    await using test = await runComponent(hostileComponent('hostile'), { maxInstances: 1 });
    const running = [1, 2, 3].map(() => test.call('attacks.loop'));
    const [pid] = test.component.pids;
    await delay(50);
    await test.component.stop();
    expect((await Promise.all(running)).map((answer) => answer.failure)).toEqual(Array(3).fill('unavailable'));
    expect(isAlive(pid!)).toBe(false);
    expect(test.component.pids).toEqual([]);
  });

  it('forgets a cancelled call without an event', async () => {
    await using test = await runComponent(hostileComponent('hostile'), { maxInstances: 1 });
    const cancelled = test.begin('attacks.spin', leb(100_000_000));
    const queued = test.begin('attacks.loop');
    cancelled.handle.cancel();
    queued.handle.cancel();
    expect(test.component.inFlight).toBe(0);
    expect(await test.call('attacks.recall')).toMatchObject({ failure: undefined });
    expect(await Promise.race([cancelled.outcome, queued.outcome, delay(100)])).toBeUndefined();
  });
});

describe('a component that cannot run', () => {
  it('says why', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'trellis-broken-'));
    writeFileSync(join(dir, 'c.js'), 'export function instantiate() { throw new TypeError("no such import"); }');
    writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
    const transpiled = {
      dir,
      digest: '',
      entry: 'c.js',
      coreModules: [],
      manifestPath: '',
      asyncMode: 'sync',
      imports: [],
      cached: true,
    } as const;
    const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
    const start = startComponent(
      {
        id: componentId('broken'),
        transpiled,
        types: { imports: [], exports: [] },
        policy: 'fresh',
        maxInstances: 1,
        maxQueue: 1,
        maxMemoryBytes: MIB,
        maxResultBytes: MIB,
        timeoutMs: 1_000,
        env: {},
        args: [],
        config: {},
        grants: {},
      },
      { log, clock: systemClock, invokeImport: () => ({ sendPath: () => {}, cancel: () => {} }), onGuestLog: () => {} },
    );
    await expect(start).rejects.toMatchObject({
      code: 'TRELLIS_COMPONENT_START',
      message: expect.stringContaining('no such import'),
    });
  });

  it('because its initialiser does not end is given up in time', async () => {
    await expect(runComponent(hostileComponent('hostile-start'), { startTimeoutMs: 600 })).rejects.toMatchObject({
      code: 'TRELLIS_RUNNER_START',
      message: expect.stringContaining('not ready after 600 ms'),
    });
  });
});

describe('streams and futures', () => {
  it('travel inside the root when all must be signed', async () => {
    await using test = await runComponent(echoStreamsComponent());
    const refuse = { pending: 'refuse' } as const;
    for (const [name, hex] of [
      ['echo-bytes', '03616263'],
      ['echo-numbers', '02018001'],
      ['echo-strings', '0201610162'],
      ['echo-future', '01056c61746572'],
      ['echo-maybe', '0103616263'],
      ['echo-maybe', '00'],
      ['copy-bytes', '03616263'],
    ]) {
      expect(await test.call(`streams.${name}`, hex, refuse)).toMatchObject({ hex, failure: undefined, paths: [] });
    }
    expect((await test.call('streams.make-bytes', leb(1_000), refuse)).root).toHaveLength(1_002);
    expect(await test.call('streams.make-bytes', '00', refuse)).toMatchObject({ failure: 'unsigned-values', ends: 1 });
    expect(await test.call('streams.echo-bytes', '00', refuse)).toMatchObject({ failure: 'unsigned-values', ends: 1 });
  });

  it('travel on their paths when they may', async () => {
    await using test = await runComponent(echoStreamsComponent());
    expect(await test.call('streams.echo-bytes', '03616263')).toMatchObject({ hex: '00', paths: ['0=', '0=03616263', '0=00!'] });
    const { handle, outcome } = test.begin('streams.echo-message', '0000016100', { complete: false });
    handle.params('', Buffer.alloc(0), true);
    handle.params('0.0', Buffer.from('03616263', 'hex'), false);
    await delay(20);
    handle.params('0.1', Buffer.from('00', 'hex'), true);
    handle.params('0.0', Buffer.from('0264', 'hex'), false);
    handle.params('0.0', Buffer.from('65', 'hex'), false);
    handle.params('0.0', Buffer.alloc(0), true);
    const answer = await outcome;
    expect(answer).toMatchObject({ hex: '0000016100', failure: undefined, ends: 1 });
    const body = answer.paths.filter((path) => path.startsWith('0.0=')).map((path) => path.slice(4).replace('!', ''));
    expect(body.join('').replaceAll(/0[1-3](?=6)/g, '')).toBe('616263646500');
    expect(answer.paths).toContain('0.1=00!');
  });

  it('that break off fail the call, and never look like short ones', async () => {
    await using test = await runComponent(echoStreamsComponent());
    for (const name of ['copy-bytes', 'echo-bytes', 'count-bytes']) {
      const { handle, outcome } = test.begin(`streams.${name}`, '00', { complete: false });
      handle.params('', Buffer.alloc(0), true);
      handle.params('0', Buffer.from('0364', 'hex'), true);
      expect(await outcome).toMatchObject({ failure: 'bad-params', ends: 1 });
    }
    expect(await test.call('streams.echo-later', '0161')).toMatchObject({ hex: '0161' });
  });

  it('hold no more bytes than a result may have', async () => {
    await using test = await runComponent(echoStreamsComponent(), { maxResultBytes: 100_000 });
    expect(await test.call('streams.make-bytes', leb(1_000_000))).toMatchObject({ failure: 'too-large', ends: 1 });
    expect(await test.call('streams.make-bytes', leb(1_000_000), { pending: 'refuse' })).toMatchObject({ failure: 'too-large' });
    expect(await test.call('streams.make-bytes', leb(90_000))).toMatchObject({ failure: undefined });
  });

  it('wait for a root that comes in pieces', async () => {
    await using test = await runComponent(echoStreamsComponent());
    const { handle, outcome } = test.begin('streams.echo-later', '05', { complete: false });
    for (const hex of ['61', '62', '636465']) {
      await delay(5);
      handle.params('', Buffer.from(hex, 'hex'), false);
    }
    handle.params('', Buffer.alloc(0), true);
    expect(await outcome).toMatchObject({ hex: '056162636465', ends: 1 });
    const short = test.begin('streams.echo-later', '05', { complete: false });
    short.handle.params('', Buffer.from('6161', 'hex'), true);
    expect(await short.outcome).toMatchObject({ failure: 'bad-params' });
  });
});

describe('resources', () => {
  it('are opaque handles that live as long as their instance', async () => {
    await using test = await runComponent(echoComponent(), { policy: 'reuse' });
    const one = (await test.call('counters.counter', '05')).root;
    const two = (await test.call('counters.counter', '07')).root;
    expect(one).toHaveLength(17);
    expect(await test.call('counters.counter.up', Buffer.concat([one, leb(2)]))).toMatchObject({ hex: '07' });
    expect(await test.call('counters.peek', one)).toMatchObject({ hex: '07' });
    const merged = (await test.call('counters.counter.merge', Buffer.concat([one, two]))).root;
    expect(await test.call('counters.counter.value', merged)).toMatchObject({ hex: '0e' });
    // Handed over, so gone.
    expect(await test.call('counters.peek', one)).toMatchObject({ failure: 'bad-params' });
    expect(await test.call('counters.counter.merge', Buffer.concat([merged, merged]))).toMatchObject({ failure: 'bad-params' });
    expect(await test.call('counters.finish', merged)).toMatchObject({ hex: '0e' });
    expect(await test.call('counters.finish', merged)).toMatchObject({ failure: 'bad-params' });
    expect(await test.call('counters.peek', sized(Buffer.alloc(16, 1)))).toMatchObject({ failure: 'bad-params' });
  });

  it('do not outlive a fresh instance', async () => {
    await using test = await runComponent(echoComponent());
    const { root } = await test.call('counters.counter', '05');
    expect(await test.call('counters.peek', root)).toMatchObject({ failure: 'bad-params' });
  });
});

describe('imports', () => {
  const names = (...list: string[]): Buffer => Buffer.concat([leb(list.length), ...list.map(sized)]);

  function linkTo(target: TestComponent, seen: OutboundImport[] = []) {
    return (call: OutboundImport, events: ImportEvents) => {
      seen.push({ ...call, params: Buffer.from(call.params) });
      const handle = target.component.call(
        {
          exportIndex: target.index('greeting', 'greet'),
          params: call.params,
          complete: true,
          timeoutMs: 10_000,
          depth: call.depth,
          pending: 'refuse',
        },
        {
          result: (root) => events.result(root, true),
          path: () => {},
          done: () => {},
          fail: (status, detail) => events.fail(`${status}: ${detail}`),
        },
      );
      return { sendPath: () => {}, cancel: () => handle.cancel() };
    };
  }

  it('leave with the depth, deadline and trace of their call, and come back as values', async () => {
    await using hello = await runComponent(helloComponent(), { policy: 'reuse', maxMemoryBytes: 64 * MIB });
    const seen: OutboundImport[] = [];
    await using chain = await runComponent(
      greeterChainComponent(),
      { maxMemoryBytes: 64 * MIB },
      { invokeImport: linkTo(hello, seen) },
    );
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const answer = await chain.call('greeter.greet-all', names('Ada', 'Grace'), { depth: 3, trace });
    expect(answer.root.toString('latin1')).toMatch(/Ada[^]*Grace/);
    expect(seen).toHaveLength(2);
    expect(seen[0]).toMatchObject({
      instance: 'trellis-samples:hello/greeting@0.1.0',
      func: 'greet',
      depth: 4,
      trace,
      hasPending: false,
    });
    expect(Buffer.from(seen[0]!.params)).toEqual(sized('Ada'));
    expect(seen[0]!.deadlineMs - performance.now()).toBeGreaterThan(1_000);
    // A declared error of the chain itself.
    expect((await chain.call('greeter.greet-all', names())).root[0]).toBe(1);
  });

  it('that fail trap the guest, with the reason for the log', async () => {
    await using test = await runComponent(hostileComponent('hostile-calls'));
    expect(await test.call('calls.storm', Buffer.from([1, 3]))).toMatchObject({
      failure: 'trap',
      detail: expect.stringContaining('no link'),
    });
  });

  it('that answer what does not fit trap the guest', async () => {
    const invokeImport = (_call: OutboundImport, events: ImportEvents) => {
      events.result(Buffer.from('0561', 'hex'), false);
      return { sendPath: () => {}, cancel: () => {} };
    };
    await using test = await runComponent(hostileComponent('hostile-calls'), {}, { invokeImport });
    expect(await test.call('calls.storm', Buffer.from([1, 3]))).toMatchObject({
      failure: 'trap',
      detail: expect.stringContaining('does not fit'),
    });
  });

  it('that nobody answers end with their call, and the runner lives on', async () => {
    let cancelled = 0;
    const open: ImportEvents[] = [];
    const invokeImport = (_call: OutboundImport, events: ImportEvents) => {
      open.push(events);
      return { sendPath: () => {}, cancel: () => void cancelled++ };
    };
    await using test = await runComponent(hostileComponent('hostile-calls'), { maxInstances: 4 }, { invokeImport });
    const [pid] = test.component.pids;
    await takesAtMost(1_250, async () => {
      const ends = [1, 2, 3, 4].map(() => test.call('calls.storm', Buffer.from([1, 3]), { timeoutMs: 1_000 }));
      const answers = await Promise.all(ends);
      for (const answer of answers) expect(answer).toMatchObject({ failure: 'timeout', ends: 1 });
      return Math.max(...answers.map(({ ms }) => ms));
    });
    expect(open.length).toBeGreaterThan(0);
    expect(cancelled).toBe(open.length);
    // Answers that come now reach nobody.
    for (const events of open) events.result(sized('late'), false);
    await delay(400);
    expect(test.component.pids).toEqual([pid]);
    expect(test.component.stats.restarts).toBe(0);
    // The instances were given up, so there is room again.
    expect(await test.call('calls.storm', Buffer.from([0, 0]))).toMatchObject({ hex: '00' });
  });
});

describe('the runner process', () => {
  it('has no environment, and permissions and flags that keep it in', async () => {
    await using test = await runComponent(echoComponent());
    const [pid] = test.component.pids;
    expect(
      readFileSync(`/proc/${pid}/environ`, 'latin1')
        .replaceAll('\0', ' ')
        .replaceAll(/(?:PWD|OLDPWD|SHLVL|_)=\S*/g, '')
        .trim(),
    ).toBe('');
    const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
    for (const flag of [
      '--permission',
      '--disallow-code-generation-from-strings',
      '--disable-sigusr1',
      '--wasm-max-mem-pages=1024',
    ]) {
      expect(command).toContain(flag);
    }
    expect(command.filter((flag) => /^--allow-(?!fs-read)/.test(flag))).toEqual([]);
    expect(readFileSync(`/proc/${pid}/limits`, 'latin1')).toMatch(/Max core file size\s+0\s/);
  });

  it('ends when the host is killed, even while a guest spins', async () => {
    const support = new URL('../support/running-component.ts', import.meta.url).href;
    const components = new URL('../support/components.ts', import.meta.url).href;
    const script = `
      const { runComponent } = await import(${JSON.stringify(support)});
      const { hostileComponent } = await import(${JSON.stringify(components)});
      const test = await runComponent(hostileComponent('hostile'));
      test.begin('attacks.loop');
      setTimeout(() => console.log(test.component.pids[0]), 100);`;
    const host = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const pid = Number(await new Promise((resolve) => void host.stdout.once('data', resolve)));
    expect(isAlive(pid)).toBe(true);
    host.kill('SIGKILL');
    await until(() => !isAlive(pid));
  });
});
