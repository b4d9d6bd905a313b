import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleComponents } from '../../src/development.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { RawPeer } from '../support/raw-peer.ts';
import { echoComponent } from '../support/components.ts';

const COUNTERS = 'trellis-samples:echo/counters@0.1.0';

let test: TestLattice;
let peer: RawPeer;
beforeAll(async () => {
  const { file } = echoComponent();
  test = await startTestLattice({
    trust: { verify: 'observe' },
    components: [
      ...sampleComponents().filter(({ id }) => id === 'echo'),
      { id: 'kept', file, policy: 'reuse', maxInstances: 1 },
      { id: 'other', file, policy: 'reuse', maxInstances: 1 },
    ],
    links: [],
  });
  peer = await RawPeer.connect(test.lattice.server.url);
});
afterAll(async () => {
  await peer[Symbol.asyncDispose]();
  await test[Symbol.asyncDispose]();
});

/** Calls a function of `counters` as a Trellis peer does, signed; params and result as hex. */
const signed = async (component: string, func: string, params: string): Promise<string> =>
  Buffer.from(
    await test.caller.call({ target: component, instance: COUNTERS, func, params: Buffer.from(params, 'hex'), timeoutMs: 5_000 }),
  ).toString('hex');
/** The same as a 1.x peer does; '' is what it sees of a failure. */
const plain = async (component: string, func: string, params: string): Promise<string> =>
  (await peer.invoke(`default.${component}.wrpc.0.0.1.${COUNTERS}.${func}`, params)).toString('hex');

const lastFailure = (): Record<string, unknown> | undefined =>
  test.logged.findLast(({ outcome }) => outcome !== undefined && outcome !== 'ok');

describe.each([
  ['a Trellis peer', signed],
  ['a 1.x peer', plain],
])('resources over the wire, for %s', (_who, call) => {
  it('are opaque bytes: constructed, used, borrowed, merged, handed back, used up', async () => {
    const a = await call('kept', 'counter', '05');
    // As long as a wasmtime host's, which insists on it.
    expect(a).toMatch(/^10[0-9a-f]{32}$/);
    expect(await call('kept', 'counter.up', `${a}02`)).toBe('07');
    expect(await call('kept', 'counter.value', a)).toBe('07');
    expect(await call('kept', 'peek', a)).toBe('07');
    const b = await call('kept', 'counter', '01');
    expect(b).not.toBe(a);
    const merged = await call('kept', 'counter.merge', a + b);
    expect(await call('kept', 'counter.value', merged)).toBe('08');
    const passed = await call('kept', 'pass', merged);
    expect(await call('kept', 'finish', passed)).toBe('08');
  });

  const refused = async (component: string, func: string, params: string): Promise<void> => {
    const result = await call(component, func, params).catch((error: unknown) => error);
    if (call === signed) expect(result).toMatchObject({ code: 'TRELLIS_INVOKE_BAD_PARAMS' });
    else expect(result).toBe('');
    expect(lastFailure()).toMatchObject({ code: 'TRELLIS_INVOKE_BAD_PARAMS', outcome: 'bad-params', component });
    expect(String(lastFailure()!['detail'])).toContain('handle');
  };

  it('are gone once given away', async () => {
    const handle = await call('kept', 'counter', '05');
    expect(await call('kept', 'finish', handle)).toBe('05');
    await refused('kept', 'counter.value', handle);
    const twice = await call('kept', 'counter', '05');
    await refused('kept', 'counter.merge', twice + twice);
    // A refused call takes nothing.
    expect(await call('kept', 'counter.value', twice)).toBe('05');
  });

  it('of a fresh instance end with the call that made them', async () => {
    const handle = await call('echo', 'counter', '05');
    expect(handle).toMatch(/^10[0-9a-f]{32}$/);
    await refused('echo', 'counter.value', handle);
  });

  it('belong to their component, and cannot be made up', async () => {
    const handle = await call('kept', 'counter', '05');
    await refused('other', 'counter.value', handle);
    await refused('kept', 'counter.value', '080000000000000000');
    await refused('kept', 'counter.value', `10${'00'.repeat(16)}`);
    await refused('kept', 'counter.value', '00');
    expect(await call('kept', 'counter.value', handle)).toBe('05');
  });
});
