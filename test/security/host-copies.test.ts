import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectCaller, type Caller } from '../../src/caller.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { BusMessage } from '../../src/wrpc/bus.ts';
import { hostileComponent } from '../support/components.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { leb } from '../support/running-component.ts';

const INSTANCE = 'trellis-samples:hostile/probes@0.1.0';
const SUBJECT = `default.probes.wrpc.0.0.1.${INSTANCE}.sleep`;
const SLEEP_MS = 400;
/** How long the caller holds a refusal back by default; a host says that a call runs well within it. */
const GRACE_MS = 1_000;

/** Somebody who hears a call and sends the host a copy of it while the call runs. The host refuses the copy, and signs that. */
describe('a slow call whose request is copied', () => {
  let test: TestLattice;
  let eve: Caller;

  beforeAll(async () => {
    test = await startTestLattice({
      components: [{ id: 'probes', file: hostileComponent('hostile-probes').file }],
    });
    const config = { ...test.lattice.callerConfig, trust: { ...test.lattice.callerConfig.trust } };
    delete config.trust.clusterSeedFile;
    eve = await connectCaller({ config, log: silentLogger(), metrics: createMetrics({ eventLoop: false }), origin: 'eve' });
  });
  afterAll(async () => {
    await eve[Symbol.asyncDispose]();
    await test[Symbol.asyncDispose]();
  });

  const headersOf = (message: BusMessage): [string, string][] =>
    ['source-id', 'link-name', 'Lattice-Invocation', 'Lattice-Reply'].map((name) => [name, message.header(name) ?? '']);

  it.each<[string, string, (message: BusMessage) => { payload: Uint8Array; entries: [string, string][] }]>([
    ['a replay', 'TRELLIS_VERIFY_REPLAYED', (m) => ({ payload: m.payload, entries: headersOf(m) })],
    ['an altered copy', 'TRELLIS_VERIFY_REPLAYED', (m) => ({ payload: Buffer.from([1]), entries: headersOf(m) })],
    [
      'a malformed copy',
      'TRELLIS_PATH_MALFORMED',
      (m) => ({ payload: m.payload, entries: headersOf(m).with(0, ['source-id', 'not.an.id']) }),
    ],
  ])('RSP-04 is not ended by the refusal of %s', async (_what, code, forge) => {
    const refusals = (): number => test.logged.filter((line) => line['code'] === code).length;
    const [runsBefore, refusalsBefore] = [test.runs('probes'), refusals()];
    let copies = 0;
    const subscription = eve.member.rpc.subscribe(SUBJECT, {}, (message) => {
      if (copies++ > 0) return;
      const { payload, entries } = forge(message);
      eve.member.rpc.publish(SUBJECT, payload, { reply: message.reply, headers: { entries } });
    });
    await eve.member.rpc.flush();
    const params = Buffer.from(leb(SLEEP_MS * 1_000_000));
    const call = { target: 'probes', instance: INSTANCE, func: 'sleep', params, timeoutMs: 5_000 };
    await expect(test.caller.call(call)).resolves.toHaveLength(0);
    subscription.unsubscribe();
    expect(test.runs('probes')).toBe(runsBefore + 1);
    expect(refusals()).toBe(refusalsBefore + 1);
  });

  it('RSP-04 is not ended by forged refusals, however long it takes, once the host has said that it runs', async () => {
    const forged = [401, 403, 413, 429, 500, 503, 504];
    const inboxes: string[] = [];
    const told: string[] = [];
    const calls = eve.member.rpc.subscribe(SUBJECT, {}, (message) => void inboxes.push(message.reply));
    const answers = eve.member.rpc.subscribe('_INBOX_RPC.>', {}, (message) => {
      if (message.header('Lattice-Accept') !== undefined) told.push(message.subject);
    });
    await eve.member.rpc.flush();
    const flood = setInterval(() => {
      for (const inbox of inboxes) {
        for (const status of forged)
          eve.member.rpc.publish(inbox, new Uint8Array(0), { headers: { entries: [], status, statusText: 'no' } });
      }
    }, 50);
    // Longer than the time that a refusal is held back.
    const params = Buffer.from(leb(2 * GRACE_MS * 1_000_000));
    const call = { target: 'probes', instance: INSTANCE, func: 'sleep', params, timeoutMs: 10_000 };
    await expect(test.caller.call(call)).resolves.toHaveLength(0);
    clearInterval(flood);
    expect(told.filter((subject) => subject === inboxes[0])).toHaveLength(1);
    // A short call is told nothing.
    const before = told.length;
    await test.caller.call({ ...call, params: Buffer.from(leb(1_000_000)) });
    expect(told).toHaveLength(before);
    calls.unsubscribe();
    answers.unsubscribe();
  });

  it('RSP-04 yields no signed refusal that could be passed on to the caller', async () => {
    const answers: (string | undefined)[] = [];
    const inbox = '_INBOX_EVE.copies';
    const listening = eve.member.rpc.subscribe(inbox, {}, (message) => void answers.push(message.header('Lattice-Result')));
    const subscription = eve.member.rpc.subscribe(SUBJECT, {}, (message) => {
      if (message.reply !== inbox)
        eve.member.rpc.publish(SUBJECT, message.payload, { reply: inbox, headers: { entries: headersOf(message) } });
    });
    await eve.member.rpc.flush();
    const params = Buffer.from(leb(1_000_000));
    await test.caller.call({ target: 'probes', instance: INSTANCE, func: 'sleep', params, timeoutMs: 5_000 });
    await expect.poll(() => answers).toEqual(['unsigned denied']);
    subscription.unsubscribe();
    listening.unsubscribe();
  });

  it('an honest caller still learns that it was refused, and before its deadline', async () => {
    const call = { target: 'probes', instance: INSTANCE, func: 'sleep', params: new Uint8Array(0) };
    const startedMs = performance.now();
    await expect(test.caller.call({ ...call, timeoutMs: 60_000 })).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_BAD_PARAMS' });
    expect(performance.now() - startedMs).toBeLessThan(30_000);
    await expect(test.caller.call({ ...call, timeoutMs: GRACE_MS - 100 })).rejects.toMatchObject({
      code: 'TRELLIS_INVOKE_BAD_PARAMS',
    });
  });
});
