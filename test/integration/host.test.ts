import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';

describe('a host in a development lattice', () => {
  let test: TestLattice;
  beforeAll(async () => {
    test = await startTestLattice();
  });
  afterAll(() => test[Symbol.asyncDispose]());

  it('calls a TypeScript component, signed and verified', async () => {
    const { json } = await test.call('hello', 'greeting.greet', ['Ada']);
    expect(json).toMatch(/Ada/);
    expect(test.logged.find((line) => line['component'] === 'hello' && line['msg'] === 'invocation')).toMatchObject({
      outcome: 'ok',
      verified: true,
    });
  });

  it('calls a component that calls another through a link', async () => {
    const before = test.runs('hello');
    const { json } = await test.call('greeter-chain', 'greeter.greet-all', [['Ada', 'Grace']]);
    expect(json).toEqual({ ok: [expect.stringMatching(/Ada/), expect.stringMatching(/Grace/)] });
    expect(test.runs('hello')).toBe(before + 2);
  });

  it.each([
    ['echo-bool', true],
    ['echo-u8', 255],
    ['echo-s16', -32768],
    ['echo-u64', '18446744073709551615'],
    ['echo-s64', '-9223372036854775808'],
    ['echo-f64', 'NaN'],
    ['echo-char', '\u{1F600}'],
    ['echo-string', 'grüße'],
    ['echo-bytes', { hex: '00ff10' }],
  ])('returns what %s is given', async (func, value) => {
    expect((await test.call('echo', func, [value])).json).toEqual(value);
  });

  it('carries parameters and results of several messages', async () => {
    const hex = 'ab'.repeat(3_000_000);
    expect((await test.call('echo', 'echo-bytes', [{ hex }])).json).toEqual({ hex });
  });

  it('passes streams under enforce, inline and outside of the signed bytes', async () => {
    const value = { ready: { hex: '616263' } };
    expect((await test.call('echo-streams', 'streams.echo-bytes', [value])).json).toEqual(value);
    const empty = { ready: { hex: '' } };
    expect((await test.call('echo-streams', 'streams.echo-bytes', [empty])).json).toEqual(empty);
  });

  it('carries a trace from the caller through a component to the one it calls', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
    const params = Buffer.from('\u0001\u0003Ada', 'latin1');
    const chain = { target: 'greeter-chain', instance: 'trellis-samples:chain/greeter@0.1.0', func: 'greet-all' };
    await test.caller.call({ ...chain, params, timeoutMs: 10_000, traceparent });
    const lines = test.logged.filter((line) => line['msg'] === 'invocation' && String(line['traceparent']).includes(traceId));
    expect(lines.map((line) => line['component'])).toEqual(['hello', 'greeter-chain']);
    expect(lines[1]).toMatchObject({ traceparent });
    expect(lines[0]?.['traceparent']).not.toBe(traceparent);
  });

  it('serves a function of the world under both names that peers use', async () => {
    const params = Buffer.from('\u0002hi', 'latin1');
    for (const instance of ['', 'trellis-samples:echo/echo@0.1.0']) {
      const result = await test.caller.call({ target: 'echo', instance, func: 'shout', params, timeoutMs: 5_000 });
      expect(Buffer.from(result).toString('latin1')).toBe('\u0002HI');
    }
  });

  it('GST-16 replaces a runner that was killed, counts it, and serves on', async () => {
    const pid = test.lattice.host.status().components.find((component) => component.id === 'echo')?.pids[0] ?? 0;
    process.kill(pid, 'SIGKILL');
    await expect
      .poll(() =>
        test.call('echo', 'echo-u8', [7]).then(
          ({ json }) => json,
          () => 'lost',
        ),
      )
      .toBe(7);
    expect(await test.metric('trellis_runner_restarts_total', 'component="echo"')).toBe(1);
  });

  it('says that nobody serves a component', async () => {
    await expect(test.call('nobody', 'greet', [])).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_NO_RESPONDERS' });
  });
});
