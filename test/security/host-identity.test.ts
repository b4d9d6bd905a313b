import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { claimIdentity, type ClaimOptions, type IdentityClaim } from '../../src/control/sole-instance.ts';
import type { TrellisError } from '../../src/errors.ts';
import { latticeName } from '../../src/ids.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { signInstanceAnswer } from '../../src/trust/instance-answer.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { newTokenId } from '../../src/trust/signer.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { Program, runProgram } from '../support/program.ts';
import { memberConfig, seedFile, startTrustHost, until } from '../support/trust-lattice.ts';

const lattice = latticeName('default');
let server: TestServer;
let dir: string;
beforeAll(async () => {
  server = await startServer();
  dir = mkdtempSync(join(tmpdir(), 'trellis-identity-'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const duplicate = expect.objectContaining({ code: 'TRELLIS_HOST_DUPLICATE', exitCode: 78 }) as unknown;

/** A process of a host, as far as its identity goes. */
interface Process extends AsyncDisposable {
  readonly ctl: LatticeConnection;
  readonly claim: IdentityClaim;
  readonly lost: TrellisError[];
}
async function connection(url: string): Promise<LatticeConnection> {
  return connectPartition({ partition: 'ctl', lattice, servers: [url], name: 'test', log: silentLogger() });
}
async function claimOn(ctl: LatticeConnection, key: SigningKey, more: Partial<ClaimOptions> = {}): Promise<Process> {
  const lost: TrellisError[] = [];
  const options = { ctl, lattice, key, clock: systemClock, log: silentLogger(), waitMs: 3_000, listenMs: 250 };
  const claim = await claimIdentity({ ...options, onLost: (error) => lost.push(error), ...more }).catch(
    async (error: unknown) => {
      await ctl.close();
      throw error;
    },
  );
  return {
    ctl,
    claim,
    lost,
    async [Symbol.asyncDispose]() {
      claim.end();
      await ctl.close();
    },
  };
}
const claim = async (key: SigningKey): Promise<Process> => claimOn(await connection(server.url), key);

describe('NAT-23 two processes of one host', () => {
  it('NAT-23 are not both started: the second ends with 78, and the first serves on', async () => {
    const hostSeedFile = seedFile(dir, 'host', SigningKey.generate('server'));
    const env = (name: string): Record<string, string> => ({
      TRELLIS_CTL_SERVERS: server.url,
      TRELLIS_RPC_SERVERS: server.url,
      TRELLIS_HOST_SEED_FILE: hostSeedFile,
      TRELLIS_STATE_DIR: join(dir, name),
      TRELLIS_ADMIN_LISTEN: 'false',
      TRELLIS_DEV: 'true',
    });
    await using first = new Program('daemon', [], { env: env('first') });
    await first.logLine(({ msg }) => msg === 'ready');
    const second = await runProgram('daemon', [], { env: env('second') });
    expect(second.code).toBe(78);
    expect(second.stderr).toContain('TRELLIS_HOST_DUPLICATE');
    expect(second.stderr).not.toContain('"msg":"ready"');
    first.signal('SIGTERM');
    expect((await first.ended).code).toBe(0);
  });

  it('NAT-23 that start at once: exactly one of them does, each time', async () => {
    for (let round = 0; round < 5; round++) {
      const key = SigningKey.generate('server');
      const connections = await Promise.all([1, 2, 3].map(() => connection(server.url)));
      const started = await Promise.allSettled(
        connections.map(async (ctl, i) => {
          await sleep(i * round * 12);
          return claimOn(ctl, key);
        }),
      );
      const held = started.filter((each) => each.status === 'fulfilled');
      expect(held.length, `round ${round}`).toBe(1);
      for (const each of started) if (each.status === 'rejected') expect(each.reason).toEqual(duplicate);
      for (const { value } of held) {
        expect(value.lost).toEqual([]);
        await value[Symbol.asyncDispose]();
      }
    }
  });

  it('follow each other in a rolling restart: the new one waits for the old one to end', async () => {
    const hostSeedFile = seedFile(dir, 'rolling', SigningKey.generate('server'));
    const config = (name: string) => memberConfig(server.url, { hostSeedFile, stateDir: join(dir, name) });
    const old = await startTrustHost(config('old'));
    let ended = false;
    const stopping = old.stop().then(() => (ended = true));
    await using next = await startTrustHost(config('next'));
    expect(ended).toBe(true);
    expect(next.host.status().ready).toBe(true);
    expect(next.host.id).toBe(old.host.id);
    await stopping;
  });

  it('waits for one that stops, but not for ever', async () => {
    const key = SigningKey.generate('server');
    await using old = await claim(key);
    old.claim.draining();
    const startedMs = performance.now();
    await expect(connection(server.url).then((ctl) => claimOn(ctl, key, { waitMs: 500 }))).rejects.toEqual(duplicate);
    expect(performance.now() - startedMs).toBeGreaterThan(500);
    const waiting = claim(key);
    await sleep(300);
    old.claim.end();
    await using next = await waiting;
    expect(next.lost).toEqual([]);
  });

  it('NAT-23 that both serve after a split: the later gives way, the earlier does not', async () => {
    await using way = await FaultProxy.start(server.port);
    const key = SigningKey.generate('server');
    await using early = await claimOn(await connection(way.url), key);
    await way.cut();
    // The first one is away, so nobody objects.
    await using late = await claimOn(await connection(server.url), key);
    await way.heal();
    await until(() => late.lost.length > 0);
    expect(late.lost[0]).toEqual(duplicate);
    expect(early.ctl.state).toBe('connected');
    expect(early.lost).toEqual([]);
  });

  it('are hosts of other keys and lattices to each other', async () => {
    await using first = await claim(SigningKey.generate('server'));
    await using second = await claim(SigningKey.generate('server'));
    expect([...first.lost, ...second.lost]).toEqual([]);
  });
});

describe('somebody on the ctl connection without the key of the host', () => {
  it('NAT-23 cannot keep it from starting or make it stop, with forged, foreign and repeated answers', async () => {
    const key = SigningKey.generate('server');
    const other = SigningKey.generate('server');
    await using attacker = await connection(server.url);
    const subject = `wasmbus.ctl.v1.${lattice}.host.instance.${key.publicKey}`;
    const old = { instance: newTokenId(), state: 'serving' as const, sinceMs: 1, nonce: newTokenId() };
    let asked = 0;
    attacker.subscribe(subject, {}, ({ payload, reply }) => {
      asked++;
      const { nonce } = JSON.parse(Buffer.from(payload).toString()) as { nonce: string };
      const texts = [
        signInstanceAnswer(other, lattice, { ...old, nonce }),
        signInstanceAnswer(key, 'elsewhere', { ...old, nonce }),
        // What the host itself once said, to another question.
        signInstanceAnswer(key, lattice, old),
        '',
        'hin2s.e30.AA',
      ];
      for (const text of texts) attacker.publish(reply, Buffer.from(text));
      attacker.publish(subject, Buffer.from('{}'), { reply: `${attacker.inboxPrefix}.x` });
      attacker.publish(subject, payload, { reply: `${attacker.inboxPrefix}.x` });
    });
    await attacker.flush();
    await using host = await claim(key);
    for (let i = 0; i < 20; i++) {
      attacker.publish(subject, Buffer.from(JSON.stringify({ instance: newTokenId(), nonce: newTokenId() })), {
        reply: `${attacker.inboxPrefix}.x`,
      });
    }
    await attacker.flush();
    await sleep(400);
    expect(asked).toBeGreaterThan(0);
    expect(host.lost).toEqual([]);
  });

  it('NAT-23 delays its start by so many rounds and no more, however often it asks', async () => {
    const key = SigningKey.generate('server');
    await using attacker = await connection(server.url);
    const subject = `wasmbus.ctl.v1.${lattice}.host.instance.${key.publicKey}`;
    const asking = setInterval(() => {
      attacker.publish(subject, Buffer.from(JSON.stringify({ instance: newTokenId(), nonce: newTokenId() })), {
        reply: `${attacker.inboxPrefix}.x`,
      });
    }, 5);
    try {
      await using host = await claim(key);
      expect(host.lost).toEqual([]);
    } finally {
      clearInterval(asking);
    }
  });
});
