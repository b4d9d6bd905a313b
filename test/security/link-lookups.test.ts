import { headers } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { callTiny, seedFile, TINY, until } from '../support/trust-lattice.ts';
import { CALL, createTrustWorld, forge, messageOf } from '../support/trust.ts';
import { startWorkloadLattice, type WorkloadLattice } from '../support/workload-lattice.ts';

/** What a call can make a host ask of the lattice's bucket, when it misses nothing but its link: ENV. */

describe('a request that misses its link', () => {
  const world = createTrustWorld({ links: { allows: () => false } });
  const { verifier, key, clock } = world;
  const good = (): ReturnType<typeof messageOf> => messageOf(forge(key, clock));

  it('ENV-28 is refused before its signature is looked at, and lacks no more than that only if that is good as well', () => {
    const before = verifier.stats.checks;
    expect(verifier.verify(good())).toMatchObject({ ok: false, code: 'TRELLIS_VERIFY_LINK' });
    expect(verifier.stats.checks).toBe(before);
    expect(verifier.lacksOnlyLink(good())).toBe(true);
    // The same message once more is neither used up nor let in.
    const message = good();
    expect([verifier.lacksOnlyLink(message), verifier.lacksOnlyLink(message)]).toEqual([true, true]);
    expect(verifier.verify(message)).toMatchObject({ ok: false, code: 'TRELLIS_VERIFY_LINK' });

    const stranger = SigningKey.generate('cluster');
    const faulty = {
      unsigned: { ...good(), token: undefined },
      signature: messageOf(forge(stranger, clock, { iss: key.publicKey })),
      signer: messageOf(forge(stranger, clock)),
      late: messageOf(forge(key, clock, { iat: clock.wallMs() - 60_000, exp: clock.wallMs() - 30_000 })),
      lattice: messageOf(forge(key, clock, { lat: 'other' })),
      target: messageOf(forge(key, clock, { tgt: 'other' })),
      reply: { ...good(), reply: `${CALL.reply}x` },
      header: { ...good(), sourceId: 'other' },
      params: { ...good(), params: Buffer.from('parameters of the cell') },
    };
    for (const [name, each] of Object.entries(faulty)) expect([name, verifier.lacksOnlyLink(each)]).toEqual([name, false]);
  });
});

describe('a flood of calls from sources that nobody linked', { timeout: 120_000 }, () => {
  /** Look-ups at once, and then in a second. */
  const READS = 200;
  const INSTANCE = 'trellis-samples:echo/bytes@0.1.0';
  const SUBJECT = `default.tiny.wrpc.0.0.1.${INSTANCE}.echo-bytes`;
  let lattice: WorkloadLattice;
  let reads = 0;
  let sent = 0;
  const answers: string[] = [];

  beforeAll(async () => {
    lattice = await startWorkloadLattice();
    const { server, issuer, client } = lattice;
    await lattice.host({ components: [TINY], trust: { clusterSeedFile: seedFile(server.dir, 'member', issuer) } });
    client.nc.subscribe('$JS.API.STREAM.MSG.GET.KV_LATTICEDATA_default', { callback: () => void (reads += 1) });
    client.nc.subscribe('_INBOX_FLOOD.>', { callback: (_error, { headers: said }) => void answers.push(String(said?.code)) });
    await client.nc.flush();
  });
  afterAll(async () => lattice[Symbol.asyncDispose]());

  /** Messages that lack nothing but their link, one from each origin, unless `key` is not the issuer's. All are answered when it resolves. */
  async function flood(key: SigningKey, origins: readonly string[]): Promise<{ reads: number; seconds: number }> {
    const [before, beganMs] = [reads, performance.now()];
    for (const org of origins) {
      const reply = `_INBOX_FLOOD.n.x${(sent += 1)}`;
      const claims = { iss: lattice.issuer.publicKey, org, tgt: 'tiny', ins: INSTANCE, sub: SUBJECT, rpl: reply };
      const beside = headers();
      for (const [name, value] of [
        ['source-id', org],
        ['Lattice-Reply', 'unary'],
        ['Lattice-Invocation', forge(key, systemClock, claims)],
      ] as const)
        beside.set(name, value);
      lattice.client.nc.publish(SUBJECT, CALL.params, { reply, headers: beside });
    }
    await until(() => answers.length === sent, 60_000);
    await lattice.client.nc.flush();
    return { reads: reads - before, seconds: (performance.now() - beganMs) / 1_000 };
  }
  const madeUp = (count: number): string[] => Array.from({ length: count }, (_, at) => `made-up-${at}`);

  it('ENV-28 has the bucket asked for nothing by forged signatures, and by genuine ones so often in a second', async () => {
    expect(await flood(SigningKey.generate('cluster'), madeUp(100))).toMatchObject({ reads: 0 });
    const many = await flood(lattice.issuer, madeUp(400));
    expect(many.reads).toBeGreaterThan(0);
    expect(many.reads).toBeLessThanOrEqual(READS * (1 + many.seconds));
    expect(new Set(answers)).toEqual(new Set(['401']));
    // A call that is linked is served as ever.
    expect(await callTiny(lattice.caller)).toHaveLength(4);
  });

  it('ENV-28 has it asked for one source by one reading after the other, whatever comes from there', async () => {
    const one = await flood(
      lattice.issuer,
      Array.from({ length: 200 }, () => 'insistent'),
    );
    // Twenty a second, the first and the last.
    expect(one.reads).toBeLessThanOrEqual(2 + 20 * one.seconds);
  });
});
