import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectCaller, type Caller } from '../../src/caller.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { leb } from '../support/running-component.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';

let test: TestLattice;
let eve: Caller;
beforeAll(async () => {
  test = await startTestLattice();
  const config = { ...test.lattice.callerConfig, trust: { ...test.lattice.callerConfig.trust } };
  delete config.trust.clusterSeedFile;
  eve = await connectCaller({ config, log: silentLogger(), metrics: createMetrics({ eventLoop: false }), origin: 'eve' });
});
afterAll(async () => {
  await eve[Symbol.asyncDispose]();
  await test[Symbol.asyncDispose]();
});

it('FRM-10 values that a stranger sends to the parameters inbox reach no component and end no call', async () => {
  // A call that takes long is acknowledged twice.
  const acknowledged = new Set<string>();
  const subscription = eve.member.rpc.subscribe('_INBOX_RPC.>', {}, (message) => {
    if (message.header('Lattice-Accept') === undefined) return;
    acknowledged.add(message.reply);
    for (const path of ['.0', '.0.1']) eve.member.rpc.publish(`${message.reply}.params${path}`, Buffer.from('x'));
  });
  await eve.member.rpc.flush();
  // Several messages, so that the host has to open an inbox for the rest.
  const params = Buffer.concat([Buffer.from(leb(3_000_000)), Buffer.alloc(3_000_000, 7)]);
  for (let call = 0; call < 6; call++) {
    const request = { target: 'echo', instance: 'trellis-samples:echo/values@0.1.0', func: 'echo-bytes', params };
    expect(params.equals(await test.caller.call({ ...request, timeoutMs: 10_000 }))).toBe(true);
  }
  subscription.unsubscribe();
  expect(acknowledged.size).toBe(6);
  expect(await test.metric('trellis_denials_total', 'code="TRELLIS_PATH_UNSIGNED_VALUES"')).toBeGreaterThan(0);
});
