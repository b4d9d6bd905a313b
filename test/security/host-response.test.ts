import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectCaller, type Caller } from '../../src/caller.ts';
import { componentId, latticeName } from '../../src/ids.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { createTokenSigner } from '../../src/trust/signer.ts';
import { requestDigest } from '../../src/trust/token.ts';
import type { BusMessage } from '../../src/wrpc/bus.ts';
import { VICTIM } from '../support/attacker.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';

const FORGED = Buffer.from('\u0006FORGED', 'latin1');
const params = (n: number): Buffer => Buffer.from(`\u0006${String(n).padStart(6, '0')}`, 'latin1');

/** Somebody who hears every call and answers it before the component can. */
describe('a caller under forged answers', () => {
  let test: TestLattice;
  let eve: Caller;
  const stop: (() => void)[] = [];

  beforeAll(async () => {
    test = await startTestLattice();
    // Another member's connection, with a key of its own: rpc credentials and nothing else.
    const config = { ...test.lattice.callerConfig, trust: { ...test.lattice.callerConfig.trust } };
    delete config.trust.clusterSeedFile;
    eve = await connectCaller({ config, log: silentLogger(), metrics: createMetrics({ eventLoop: false }), origin: 'eve' });
  });
  afterAll(async () => {
    await eve[Symbol.asyncDispose]();
    await test[Symbol.asyncDispose]();
  });

  /** Has `answer` called for each invocation of the victim while `during` runs. */
  async function eavesdrop(answer: (message: BusMessage) => void, during: () => Promise<void>): Promise<void> {
    const subject = `default.${VICTIM.target}.wrpc.0.0.1.${VICTIM.instance}.${VICTIM.func}`;
    const subscription = eve.member.rpc.subscribe(subject, {}, answer);
    stop.push(() => subscription.unsubscribe());
    await eve.member.rpc.flush();
    await during();
    subscription.unsubscribe();
    await eve.member.rpc.flush();
  }

  async function callMany(count: number): Promise<void> {
    for (let n = 0; n < count; n += 50) {
      const results = await Promise.all(
        Array.from({ length: 50 }, (_, i) => test.caller.call({ ...VICTIM, params: params(n + i), timeoutMs: 10_000 })),
      );
      results.forEach((result, i) => expect(Buffer.from(result)).toEqual(params(n + i)));
    }
  }

  it('RSP-01 an unsigned answer that comes first is dropped; 10,000 calls', async () => {
    let forged = 0;
    await eavesdrop(
      (message) => {
        forged++;
        eve.member.rpc.publish(message.reply, FORGED, { headers: { entries: [['Lattice-Result', 'unsigned ok']] } });
      },
      () => callMany(10_000),
    );
    expect(forged).toBe(10_000);
  });

  it('RSP-01 an answer signed by a stranger, or without any proof, is dropped', async () => {
    const signer = createTokenSigner({
      key: SigningKey.generate('cluster'),
      lattice: latticeName('default'),
      clock: eve.member.clock,
    });
    await eavesdrop(
      (message) => {
        const { reply } = message;
        eve.member.rpc.publish(reply, FORGED);
        signer.result(
          {
            request: requestDigest(message.header('Lattice-Invocation') ?? ''),
            server: componentId(VICTIM.target),
            status: 'ok',
            result: FORGED,
          },
          (proof) => eve.member.rpc.publish(reply, FORGED, { headers: { entries: [['Lattice-Result', proof]] } }),
        );
        signer.flush();
      },
      () => callMany(500),
    );
  });

  it('RSP-02, RSP-03 a genuine answer to another call, or the same one again, changes nothing', async () => {
    const replies: BusMessage[] = [];
    const taps = eve.member.rpc.subscribe('_INBOX_RPC.>', {}, (message) => {
      if (message.header('Lattice-Result') !== undefined) replies.push(copyOf(message));
    });
    await eve.member.rpc.flush();
    await callMany(50);
    await expect.poll(() => replies.length).toBeGreaterThanOrEqual(50);
    await eavesdrop(
      (message) => {
        for (const old of replies.slice(0, 3)) {
          eve.member.rpc.publish(message.reply, old.payload, {
            headers: { entries: [['Lattice-Result', old.header('Lattice-Result') ?? '']] },
          });
        }
      },
      () => callMany(200),
    );
    // And once more to the inboxes of calls that are over.
    for (const old of replies.slice(0, 50)) {
      eve.member.rpc.publish(old.subject, old.payload, {
        headers: { entries: [['Lattice-Result', old.header('Lattice-Result') ?? '']] },
      });
    }
    await eve.member.rpc.flush();
    taps.unsubscribe();
    await callMany(50);
  });

  it.each([
    [503, ''],
    [401, 'invocation denied'],
    [500, 'component failed'],
  ])('RSP-04 a forged %i does not end the call', async (status, statusText) => {
    await eavesdrop(
      (message) => eve.member.rpc.publish(message.reply, new Uint8Array(0), { headers: { entries: [], status, statusText } }),
      () => callMany(500),
    );
  });

  it('RSP-04 a forged end of the long form does not end the call', async () => {
    await eavesdrop(
      (message) => {
        eve.member.rpc.publish(`${message.reply}.results`, FORGED);
        eve.member.rpc.publish(`${message.reply}.results`, new Uint8Array(0), {
          headers: { entries: [['Lattice-Result', 'unsigned ok']] },
        });
      },
      () => callMany(500),
    );
  });

  it('RSP-06 a result larger than the caller takes is a bounded error', async () => {
    const config = { ...test.lattice.callerConfig, limits: { ...test.lattice.callerConfig.limits, maxResultBytes: 100_000 } };
    await using small = await connectCaller({
      config,
      log: silentLogger(),
      metrics: createMetrics({ eventLoop: false }),
      origin: 'trellis-cli',
    });
    const body = Buffer.concat([Buffer.from([0x80, 0x89, 0x7a]), Buffer.alloc(2_000_000)]);
    await expect(small.call({ ...VICTIM, func: 'echo-bytes', params: body, timeoutMs: 10_000 })).rejects.toMatchObject({
      code: 'TRELLIS_PATH_TOO_LARGE',
    });
  });

  it('RSP-07 nobody there and nobody in time are different codes', async () => {
    await expect(test.caller.call({ ...VICTIM, target: 'nobody', params: params(1), timeoutMs: 5_000 })).rejects.toMatchObject({
      code: 'TRELLIS_INVOKE_NO_RESPONDERS',
    });
    const silent = eve.member.rpc.subscribe('default.silent.wrpc.>', {}, () => {});
    await eve.member.rpc.flush();
    await expect(test.caller.call({ ...VICTIM, target: 'silent', params: params(1), timeoutMs: 300 })).rejects.toMatchObject({
      code: 'TRELLIS_INVOKE_TIMEOUT',
    });
    silent.unsubscribe();
  });
});

function copyOf(message: BusMessage): BusMessage {
  const proof = message.header('Lattice-Result');
  return {
    line: message.line,
    subject: message.subject,
    reply: message.reply,
    payload: new Uint8Array(message.payload),
    headerCount: message.headerCount,
    status: message.status,
    statusText: message.statusText,
    header: (name) => (name === 'Lattice-Result' ? proof : undefined),
  };
}
