import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import { createWasi } from '../../../src/component/runner/wasi/wasi.ts';
import type { WasiOptions } from '../../../src/component/runner/wasi/wasi.ts';
import { MAX_LINE_BYTES } from '../../../src/component/runner/wasi/stdio.ts';
import { GuestExit } from '../../../src/component/runner/wasi/wit-error.ts';
import type { WitInterface } from '../../../src/wit/types.ts';

const wit = (name: string, functions: string[] = []): WitInterface => ({
  name,
  functions: functions.map((each) => ({ name: each, wireName: each, params: [], result: null, async: false })),
});

class TestClock implements Clock {
  wall = 1_700_000_000_123.75;
  monotonic = 5_000.9;
  wallMs(): number {
    return this.wall;
  }
  monotonicMs(): number {
    return this.monotonic;
  }
}

function setup(names: (string | WitInterface)[], options: Partial<WasiOptions> = {}) {
  const lines: string[] = [];
  const exits: number[] = [];
  const clock = new TestClock();
  const wasi = createWasi({
    imports: names.map((name) => (typeof name === 'string' ? wit(name) : name)),
    stdout: (line) => lines.push(`out ${Buffer.from(line).toString()}`),
    stderr: (line) => lines.push(`err ${Buffer.from(line).toString()}`),
    clock,
    onExit: (code) => exits.push(code),
    ...options,
  });
  // The shape of each interface is WASI's own; tests call it the way generated code does.
  // oxlint-disable-next-line typescript/no-explicit-any
  const get = (name: string): any => wasi.imports[name];
  return { wasi, get, lines, exits, clock };
}

/** The value a host function throws for the error case of its result. */
function payloadOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return (error as { payload: unknown }).payload;
  }
  return undefined;
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('createWasi', () => {
  it('finds an interface by its name, whatever its version, and leaves links out', () => {
    const { wasi } = setup([
      'wasi:cli/exit@0.2.0',
      'wasi:cli/exit@0.2.6',
      'demo:hello/api@1.0.0',
      'wasi:keyvalue/store@0.2.0-draft',
    ]);
    expect(Object.keys(wasi.imports)).toEqual(['wasi:cli/exit@0.2.0', 'wasi:cli/exit@0.2.6']);
  });

  it('GST-13 shows no environment, argument, folder or terminal that was not granted', () => {
    const { get } = setup([
      'wasi:cli/environment@0.2.0',
      'wasi:cli/terminal-stdout@0.2.0',
      'wasi:filesystem/preopens@0.2.0',
      'wasi:config/store@0.2.0-rc.1',
    ]);
    expect(get('wasi:cli/environment@0.2.0').getEnvironment()).toEqual([]);
    expect(get('wasi:cli/environment@0.2.0').getArguments()).toEqual([]);
    expect(get('wasi:cli/environment@0.2.0').initialCwd()).toBeUndefined();
    expect(get('wasi:cli/terminal-stdout@0.2.0').getTerminalStdout()).toBeUndefined();
    expect(get('wasi:filesystem/preopens@0.2.0').getDirectories()).toEqual([]);
    expect(get('wasi:config/store@0.2.0-rc.1').get('__proto__')).toBeUndefined();
  });

  it('shows what was granted', () => {
    const { get } = setup(['wasi:cli/environment@0.2.0', 'wasi:config/runtime@0.2.0-draft'], {
      env: { A: '1' },
      args: ['x'],
      config: () => ({ k: 'v' }),
    });
    expect(get('wasi:cli/environment@0.2.0').getEnvironment()).toEqual([['A', '1']]);
    expect(get('wasi:cli/environment@0.2.0').getArguments()).toEqual(['x']);
    expect(get('wasi:config/runtime@0.2.0-draft').get('k')).toBe('v');
    expect(get('wasi:config/runtime@0.2.0-draft').getAll()).toEqual([['k', 'v']]);
  });

  it('GST-13 refuses sockets and HTTP in the words of their own interfaces', () => {
    const { get } = setup([
      'wasi:sockets/instance-network@0.2.0',
      'wasi:sockets/network@0.2.0',
      'wasi:sockets/tcp-create-socket@0.2.0',
      'wasi:sockets/ip-name-lookup@0.2.0',
      'wasi:http/outgoing-handler@0.2.0',
      wit('wasi:http/types@0.2.0', ['[constructor]fields', '[method]fields.append']),
    ]);
    const { Network } = get('wasi:sockets/network@0.2.0');
    expect(get('wasi:sockets/instance-network@0.2.0').instanceNetwork()).toBeInstanceOf(Network);
    expect(payloadOf(() => get('wasi:sockets/tcp-create-socket@0.2.0').createTcpSocket('ipv4'))).toBe('access-denied');
    expect(payloadOf(() => get('wasi:sockets/ip-name-lookup@0.2.0').resolveAddresses())).toBe('access-denied');
    expect(payloadOf(() => get('wasi:http/outgoing-handler@0.2.0').handle())).toEqual({ tag: 'HTTP-request-denied' });
    const { Fields } = get('wasi:http/types@0.2.0');
    expect(() => new Fields().append()).toThrow('not granted');
  });

  it('traps on a function that a later version added', () => {
    const { get } = setup([wit('wasi:cli/environment@0.2.9', ['get-environment', 'get-secrets'])]);
    expect(get('wasi:cli/environment@0.2.9').getEnvironment()).toEqual([]);
    expect(() => get('wasi:cli/environment@0.2.9').getSecrets()).toThrow('get-secrets is not granted');
  });

  it('ends the call, not the process, on exit', () => {
    const { get, exits } = setup(['wasi:cli/exit@0.2.0']);
    expect(() => get('wasi:cli/exit@0.2.0').exit({ tag: 'err' })).toThrow(GuestExit);
    expect(() => get('wasi:cli/exit@0.2.0').exitWithCode(7)).toThrow('exit(7)');
    expect(exits).toEqual([1, 7]);
  });
});

describe('standard streams', () => {
  it('hand over lines, and the rest on flush', () => {
    const { get, lines, wasi } = setup(['wasi:cli/stdout@0.2.0', 'wasi:cli/stderr@0.2.0']);
    const out = get('wasi:cli/stdout@0.2.0').getStdout();
    out.write(utf8('one\r\ntw'));
    out.blockingWriteAndFlush(utf8('o\n\nrest'));
    get('wasi:cli/stderr@0.2.0').getStderr().write(utf8('oops\n'));
    expect(lines).toEqual(['out one', 'out two', 'out ', 'err oops']);
    wasi.flush();
    wasi.flush();
    expect(lines.slice(4)).toEqual(['out rest']);
  });

  it('cut a line that never ends', () => {
    const { get, lines } = setup(['wasi:cli/stdout@0.2.0']);
    const out = get('wasi:cli/stdout@0.2.0').getStdout();
    for (let i = 0; i < 5; i += 1) out.write(new Uint8Array(4_000).fill(97));
    expect(lines.map((line) => line.length - 4)).toEqual([MAX_LINE_BYTES, MAX_LINE_BYTES]);
  });

  it('trap on a write that was not allowed, and stdin is at its end', () => {
    const { get } = setup(['wasi:cli/stdout@0.2.0', 'wasi:cli/stdin@0.2.0']);
    const out = get('wasi:cli/stdout@0.2.0').getStdout();
    expect(() => out.write(new Uint8Array(Number(out.checkWrite()) + 1))).toThrow('check-write');
    expect(() => out.writeZeroes(1n << 40n)).toThrow('check-write');
    expect(payloadOf(() => get('wasi:cli/stdin@0.2.0').getStdin().blockingRead(10n))).toEqual({ tag: 'closed' });
  });
});

describe('clocks', () => {
  it('GST-22 step by a millisecond and do not tell how long the machine is up', () => {
    const { get, clock } = setup(['wasi:clocks/monotonic-clock@0.2.0', 'wasi:clocks/wall-clock@0.2.0']);
    const monotonic = get('wasi:clocks/monotonic-clock@0.2.0');
    expect(monotonic.now()).toBe(0n);
    clock.monotonic += 0.05;
    expect(monotonic.now()).toBe(0n);
    clock.monotonic += 10;
    expect(monotonic.now()).toBe(10_000_000n);
    expect(monotonic.resolution()).toBe(1_000_000n);
    expect(get('wasi:clocks/wall-clock@0.2.0').now()).toEqual({ seconds: 1_700_000_000n, nanoseconds: 123_000_000 });
  });
});

describe('poll', () => {
  const names = ['wasi:clocks/monotonic-clock@0.2.0', 'wasi:io/poll@0.2.0', 'wasi:cli/stdout@0.2.0'];

  it('answers at once when something is ready', () => {
    const { get } = setup(names);
    const timer = get(names[0]!).subscribeDuration(1_000_000_000n);
    const ready = get(names[2]!).getStdout().subscribe();
    expect(timer.ready()).toBe(false);
    expect(get(names[1]!).poll([timer, ready])).toEqual(Uint32Array.of(1));
    expect(() => get(names[1]!).poll([])).toThrow('unusable');
  });

  it('waits for the earliest timer', async () => {
    const { get, clock } = setup(names);
    const [late, soon] = [100n, 3n].map((ms) => get(names[0]!).subscribeDuration(ms * 1_000_000n));
    const waiting = get(names[1]!).poll([late, soon]) as Promise<Uint32Array>;
    clock.monotonic += 4;
    expect(await waiting).toEqual(Uint32Array.of(1));
    clock.monotonic += 100;
    expect(late.block()).toBeUndefined();
  });

  it('rejects whatever waits when the instance ends, and whatever waits after that', async () => {
    const { get, wasi } = setup(names);
    const timer = get(names[0]!).subscribeDuration(60_000_000_000n);
    const waiting = [get(names[1]!).poll([timer]), timer.block()] as Promise<unknown>[];
    const reason = new Error('the deadline has passed');
    wasi.stop(reason);
    wasi.stop(new Error('again'));
    for (const each of [...waiting, timer.block() as Promise<unknown>]) await expect(each).rejects.toBe(reason);
  });
});

describe('random', () => {
  it('gives as many bytes as asked, within a limit', () => {
    const { get } = setup(['wasi:random/random@0.2.0', 'wasi:random/insecure-seed@0.2.0']);
    const random = get('wasi:random/random@0.2.0');
    const many = random.getRandomBytes(200_000n) as Uint8Array;
    expect(many.length).toBe(200_000);
    expect(new Set(many.subarray(-1_000)).size).toBeGreaterThan(100);
    expect(random.getRandomU64()).not.toBe(random.getRandomU64());
    expect(get('wasi:random/insecure-seed@0.2.0').insecureSeed()).toHaveLength(2);
    expect(() => random.getRandomBytes(1n << 32n)).toThrow('random bytes');
  });
});

describe('logging', () => {
  it('hands over level, context and message, cut to length', () => {
    const got: unknown[] = [];
    const { get } = setup(['wasi:logging/logging@0.1.0-draft'], { log: (...line) => got.push(line) });
    get('wasi:logging/logging@0.1.0-draft').log('warn', 'ctx', 'x'.repeat(20_000));
    expect(got).toEqual([['warn', 'ctx', 'x'.repeat(MAX_LINE_BYTES)]]);
  });
});
