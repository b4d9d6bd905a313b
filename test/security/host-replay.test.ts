import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startHostProcess } from '../../src/bench/processes.ts';
import { systemClock } from '../../src/clock.ts';
import { startHost } from '../../src/host.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { Attacker, PARAMS, ShiftedClock, VICTIM } from '../support/attacker.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';

/** Messages that are genuine in every bit, sent again. */
describe('a host under replay', () => {
  const clock = new ShiftedClock();
  let test: TestLattice;
  let attacker: Attacker;
  let key: SigningKey;

  beforeAll(async () => {
    test = await startTestLattice({ components: echoOnly() }, clock);
    attacker = new Attacker(test);
    key = keyOf(test);
  });
  afterAll(() => test[Symbol.asyncDispose]());

  const signed = (): { token: string; reply: string } => {
    const reply = attacker.reply();
    return { token: attacker.token(key, clock, { rpl: reply }), reply };
  };

  it('RPL-01 the same message twice runs once', async () => {
    const message = signed();
    const runs = test.runs(VICTIM.target);
    expect((await attacker.send(message)).kind).toBe('result');
    expect((await attacker.send(message)).text).toBe('401 invocation denied');
    expect(test.runs(VICTIM.target)).toBe(runs + 1);
    expect(test.logged.findLast((line) => line['msg'] === 'invocation denied')).toMatchObject({
      code: 'TRELLIS_VERIFY_REPLAYED',
    });
    expect(await test.metric('trellis_denials_total', 'code="TRELLIS_VERIFY_REPLAYED"')).toBeGreaterThanOrEqual(1);
  });

  it('RPL-02 a thousand copies at once run once', async () => {
    const message = signed();
    const runs = test.runs(VICTIM.target);
    const bus = test.caller.member.rpc;
    const entries = [
      ['Lattice-Reply', 'unary'],
      ['Lattice-Invocation', message.token],
    ] as const;
    for (let n = 0; n < 1_000; n++) bus.publish(attacker.subject, PARAMS, { reply: message.reply, headers: { entries } });
    // The last copy is behind all others on the same connection; when it is answered, all have been judged.
    await attacker.send({ ...message, headers: [] }, 10_000);
    await expect.poll(() => test.lattice.host.status().inFlight).toBe(0);
    expect(test.runs(VICTIM.target)).toBe(runs + 1);
  });

  it('RPL-05 the wall clock set back an hour opens nothing', async () => {
    const message = signed();
    expect((await attacker.send(message)).kind).toBe('result');
    const runs = test.runs(VICTIM.target);
    clock.pass(60_000);
    clock.setBy(-60_000);
    expect((await attacker.send(message)).text).toBe('401 invocation denied');
    clock.setBy(-3_600_000);
    expect((await attacker.send(message)).text).toBe('401 invocation denied');
    expect(test.runs(VICTIM.target)).toBe(runs);
    clock.setBy(3_660_000);
  });

  it('RPL-07 with another reply subject', async () => {
    const { token } = signed();
    const runs = test.runs(VICTIM.target);
    expect((await attacker.send({ token, reply: attacker.reply() })).text).toBe('401 invocation denied');
    expect(test.runs(VICTIM.target)).toBe(runs);
  });

  it('RPL-08 with the id in other letters', async () => {
    const { token, reply } = signed();
    expect((await attacker.send({ token, reply })).kind).toBe('result');
    const runs = test.runs(VICTIM.target);
    const [header, claims, proof] = token.split('.') as [string, string, string];
    const text = Buffer.from(claims, 'base64url').toString('latin1');
    const jti = /"jti":"([^"]+)"/.exec(text)?.[1] ?? '';
    for (const variant of [jti.toUpperCase(), jti.toLowerCase(), `${jti} `, jti.slice(1), `${jti}=`]) {
      const other = `${header}.${Buffer.from(text.replace(jti, variant)).toString('base64url')}.${proof}`;
      if (other !== token) expect((await attacker.send({ token: other, reply })).text).toBe('401 invocation denied');
    }
    expect(test.runs(VICTIM.target)).toBe(runs);
  });

  it('RPL-09 at the edge of its life and leeway', async () => {
    const message = signed();
    expect((await attacker.send(message)).kind).toBe('result');
    const runs = test.runs(VICTIM.target);
    for (const ms of [29_000, 5_500, 1_000]) {
      clock.pass(ms);
      expect((await attacker.send(message)).text).toBe('401 invocation denied');
    }
    expect(test.runs(VICTIM.target)).toBe(runs);
    const codes = test.logged
      .filter((line) => line['msg'] === 'invocation denied')
      .slice(-3)
      .map((line) => line['code']);
    expect(codes).toEqual(['TRELLIS_VERIFY_REPLAYED', 'TRELLIS_VERIFY_REPLAYED', 'TRELLIS_VERIFY_EXPIRED']);
  });
});

describe('hosts that share a queue group or a past', () => {
  it('RPL-03 local: at most one execution for each of two hosts', async () => {
    await using test = await startTestLattice({ components: echoOnly() });
    const second = await startHost({
      config: test.lattice.config,
      log: silentLogger(),
      metrics: createMetrics({ eventLoop: false }),
    });
    try {
      const attacker = new Attacker(test);
      const reply = attacker.reply();
      const token = attacker.token(keyOf(test), systemClock, { rpl: reply });
      for (let n = 0; n < 30; n++) await attacker.send({ token, reply });
      const ran = [test.runs(VICTIM.target), second.status().components[0]?.calls ?? 0];
      expect(Math.max(...ran)).toBe(1);
      expect(ran[0]! + ran[1]!).toBeGreaterThanOrEqual(1);
    } finally {
      await second.stop();
    }
  });

  it('RPL-04 a host killed and started again refuses what it ran before', async () => {
    await using test = await startTestLattice({ components: [] });
    const dir = mkdtempSync(join(tmpdir(), 'trellis-replay-'));
    try {
      const file = join(dir, 'host.yaml');
      const { config } = test.lattice;
      const settings = {
        dev: true,
        ctl: { servers: config.ctl.servers },
        rpc: { servers: config.rpc.servers },
        trust: { clusterSeedFile: config.trust.clusterSeedFile, unlinkedOrigins: ['trellis-cli'] },
        components: echoOnly(),
        admin: { listen: false },
        cacheDir: config.cacheDir,
        stateDir: dir,
      };
      writeFileSync(file, JSON.stringify(settings), { mode: 0o600 });
      const attacker = new Attacker(test);
      const first = await startHostProcess(file);
      const reply = attacker.reply();
      // From a clock 2 s ahead: its issue time is still to come when the next host starts.
      const iat = Date.now() + 2_000;
      const token = attacker.token(keyOf(test), systemClock, { rpl: reply, iat, exp: iat + 30_000 });
      expect((await attacker.send({ token, reply })).kind).toBe('result');
      process.kill(first.pid, 'SIGKILL');
      const again = await startHostProcess(file);
      try {
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, iat + 200 - Date.now())));
        expect((await attacker.send({ token, reply })).text).toBe('401 invocation denied');
        const next = attacker.reply();
        const later = Date.now() + 1_500;
        expect(
          (
            await attacker.send({
              token: attacker.token(keyOf(test), systemClock, { rpl: next, iat: later, exp: later + 9_000 }),
              reply: next,
            })
          ).kind,
        ).toBe('result');
      } finally {
        await again.stop();
      }
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

function echoOnly() {
  return [{ id: 'echo', file: new URL('../../components/echo/echo.wasm', import.meta.url).pathname }];
}

function keyOf(test: TestLattice): SigningKey {
  return SigningKey.fromSeed(readFileSync(test.lattice.config.trust.clusterSeedFile ?? '', 'utf8').trim(), 'cluster');
}
