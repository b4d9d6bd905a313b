import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { readTrust } from '../../src/control/trust-file.ts';
import { startTrustSync, type TrustSync, type TrustSyncOptions } from '../../src/control/trust-sync.ts';
import { latticeName } from '../../src/ids.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { openTrustFileIn } from '../../src/state-dir.ts';
import { createLogger, silentLogger } from '../../src/telemetry/log.ts';
import { signIssuerSet } from '../../src/trust/issuer-set.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { signRevocation } from '../../src/trust/revocation.ts';
import { TrustState } from '../../src/trust/trust-state.ts';
import { TrustedTime } from '../../src/trust/trusted-time.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { until } from '../support/until.ts';

let server: TestServer;
let dir: string;
beforeAll(async () => {
  server = await startServer({ jetstream: true });
  dir = mkdtempSync(join(tmpdir(), 'trellis-test-'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const [A, B, C] = [1, 2, 3].map(() => SigningKey.generate('cluster')) as [SigningKey, SigningKey, SigningKey];
let lattices = 0;

function setOf(lattice: string, epoch: number, by: SigningKey, keys: readonly SigningKey[], min = 0): string {
  const set = keys.map((key) => key.publicKey).toSorted();
  const act = keys[0]!.publicKey;
  return signIssuerSet(by, {
    v: 2,
    iat: Date.now(),
    lat: lattice,
    iss: by.publicKey,
    epc: epoch,
    min,
    act,
    set: set.join(','),
  });
}

/** A member of a lattice of the test's own, as far as trust goes. */
async function member(lattice: string, more: Partial<TrustSyncOptions> = {}, issuers = [A]) {
  const logged: Record<string, unknown>[] = [];
  const log = createLogger({
    level: 'debug',
    format: 'json',
    destination: { write: (line) => void logged.push(JSON.parse(line) as Record<string, unknown>) },
  });
  const ctl: LatticeConnection = await connectPartition({
    partition: 'ctl',
    lattice: 'default',
    servers: [server.url],
    name: 'test',
    log: silentLogger(),
  });
  const freshState = (): TrustState =>
    new TrustState({ lattice, issuers: issuers.map((key) => key.publicKey), time: new TrustedTime(systemClock), skewMs: 5_000 });
  const state = freshState();
  let sync: TrustSync;
  try {
    sync = await startTrustSync({
      ctl,
      lattice: latticeName(lattice),
      state,
      freshState,
      mode: 'auto',
      maxStaleMs: 60_000,
      log,
      checkEveryMs: 100,
      ...more,
    });
  } catch (error) {
    await ctl.close();
    throw error;
  }
  return {
    state,
    sync,
    ctl,
    bucket: sync.bucket!,
    alarms: () => logged.filter((line) => line['code'] === 'TRELLIS_TRUST_ROLLBACK').length,
    async [Symbol.asyncDispose]() {
      sync.close();
      await ctl.close();
    },
  };
}

describe('following the trust bucket', () => {
  it('lets a newcomer walk from its configured issuers to the current ones', async () => {
    const lattice = `walk${++lattices}`;
    await using first = await member(lattice);
    await first.bucket.create('issuers.1', setOf(lattice, 1, A, [A, B]));
    await first.bucket.create('issuers.2', setOf(lattice, 2, B, [B, A]));
    await first.bucket.create('issuers.3', setOf(lattice, 3, B, [B]));
    await until(() => first.state.epoch === 3);
    await using newcomer = await member(lattice);
    expect(newcomer.state).toMatchObject({ epoch: 3, issuers: [B.publicKey], active: B.publicKey });
    // One that was set up after the rotation knows the new key only.
    await using late = await member(lattice, {}, [B]);
    expect(late.state).toMatchObject({ epoch: 3, issuers: [B.publicKey] });
    expect(late.alarms()).toBe(0);
  });

  it('NAT-14 lets a newcomer walk to the current ones in whatever order the bucket gives them', async () => {
    const lattice = `walk${++lattices}`;
    await using first = await member(lattice);
    const host = SigningKey.generate('server').publicKey;
    const iat = Date.now();
    const ban = signRevocation(C, { v: 2, iat, lat: lattice, iss: C.publicKey, sub: host, frm: iat });
    const [one, two] = [setOf(lattice, 1, A, [B]), setOf(lattice, 2, B, [C])];
    await first.bucket.create('issuers.1', one);
    await first.bucket.create('issuers.2', two);
    await first.bucket.put(`revoked.${host}`, ban);
    await until(() => first.state.epoch === 2);
    // A genuine text once more, after those that stand on it: anybody on the ctl connection can do that.
    await first.bucket.put('issuers.1', one);
    await using newcomer = await member(lattice);
    expect([newcomer.state.epoch, ...newcomer.state.issuers]).toEqual([2, C.publicKey]);
    expect(newcomer.state.snapshot().revocations).toEqual([ban]);
  });

  it('NAT-14 takes a set that came before the one it stands on, and what its issuers revoked', async () => {
    const lattice = `walk${++lattices}`;
    await using reader = await member(lattice);
    const host = SigningKey.generate('server').publicKey;
    const iat = Date.now();
    const ban = signRevocation(C, { v: 2, iat, lat: lattice, iss: C.publicKey, sub: host, frm: iat });
    await reader.bucket.put(`revoked.${host}`, ban);
    await reader.bucket.create('issuers.2', setOf(lattice, 2, B, [C]));
    await reader.sync.check();
    await sleep(300);
    expect(reader.state.epoch).toBe(0);
    await reader.bucket.create('issuers.1', setOf(lattice, 1, A, [B]));
    await until(() => reader.state.epoch === 2 && reader.state.snapshot().revocations.length === 1);
  });

  it('CRD-12 hears of a new epoch and of a revocation at once', async () => {
    const lattice = `walk${++lattices}`;
    await using writer = await member(lattice);
    // The store is looked at every ten minutes only: what comes, comes as it is written.
    await using reader = await member(lattice, { checkEveryMs: 600_000 });
    let known = 0;
    await takesAtMost(1_000, async () => {
      const sub = SigningKey.generate('server').publicKey;
      const startMs = performance.now();
      known++;
      await writer.bucket.create(`issuers.${known}`, setOf(lattice, known, A, [A, B]));
      const iat = Date.now();
      await writer.bucket.put(`revoked.${sub}`, signRevocation(A, { v: 2, iat, lat: lattice, iss: A.publicKey, sub, frm: iat }));
      await until(() => reader.state.epoch === known && reader.state.snapshot().revocations.length === known);
      return performance.now() - startMs;
    });
  });

  it('NAT-14 does not follow a bucket that was deleted and filled with an older set, and puts back what it knows', async () => {
    const lattice = `walk${++lattices}`;
    await using host = await member(lattice);
    const old = setOf(lattice, 1, A, [A, B]);
    await host.bucket.create('issuers.1', old);
    const current = setOf(lattice, 2, B, [B], 2);
    await host.bucket.create('issuers.2', current);
    await until(() => host.state.epoch === 2);
    await (await host.ctl.withClient((client) => jetstreamManager(client))).streams.delete(`KV_LATTICETRUST_${lattice}`);
    await until(() => host.alarms() > 0);
    // Whoever holds the retired key A and ctl credentials tries to begin again.
    await host.bucket.put('issuers.1', setOf(lattice, 1, A, [A, C]));
    await host.bucket.put('issuers.2', setOf(lattice, 2, A, [A, C]));
    await until(async () => (await host.bucket.list('issuers')).some(({ text }) => text === current));
    expect(host.state).toMatchObject({ epoch: 2, minEpoch: 2, issuers: [B.publicKey] });
    expect(host.alarms()).toBeGreaterThan(0);
    await using newcomer = await member(lattice);
    await until(() => newcomer.state.issuers.includes(B.publicKey));
  });

  it('puts a deleted revocation back', async () => {
    const lattice = `walk${++lattices}`;
    await using host = await member(lattice);
    const sub = SigningKey.generate('server').publicKey;
    const claims = { v: 2, iat: Date.now(), lat: lattice, iss: A.publicKey, sub, frm: Date.now() } as const;
    const text = signRevocation(A, claims);
    await host.bucket.put(`revoked.${sub}`, text);
    await until(() => host.state.snapshot().revocations.length === 1);
    await host.bucket.delete(`revoked.${sub}`);
    await until(async () => (await host.bucket.list('revoked')).some((entry) => entry.text === text));
    await host.bucket.put(`revoked.${sub}`, 'rubbish');
    await until(async () => (await host.bucket.list('revoked')).some((entry) => entry.text === text));
    expect(host.alarms()).toBeGreaterThan(0);
  });

  it('believes nobody while the bucket is out of reach for too long, and recovers', async () => {
    await using own = await startServer({ jetstream: true });
    const lattice = `walk${++lattices}`;
    const ctl = await connectPartition({
      partition: 'ctl',
      lattice: 'default',
      servers: [own.url],
      name: 'test',
      log: silentLogger(),
    });
    await using host = await member(lattice, { ctl, maxStaleMs: 1_000 });
    const believes = (): boolean => !('ok' in host.state.find(A.publicKey, undefined));
    expect(believes()).toBe(true);
    await own.kill();
    await until(() => !believes());
    expect(host.state.find(A.publicKey, undefined)).toMatchObject({ ok: false, code: 'TRELLIS_VERIFY_STALE' });
    await own.restart();
    await until(believes);
    await ctl.close();
  });
});

describe('the trust file', () => {
  const fileOf = (lattice: string) => openTrustFileIn(dir, lattice);

  it('keeps the epoch over a restart, and with it the bucket is required', async () => {
    const lattice = `file${++lattices}`;
    const file = fileOf(lattice);
    {
      await using host = await member(lattice, { file });
      await host.bucket.create('issuers.1', setOf(lattice, 1, A, [A, B]));
      await host.bucket.create('issuers.2', setOf(lattice, 2, B, [B], 2));
      await until(() => host.state.epoch === 2);
      await (await host.ctl.withClient((client) => jetstreamManager(client))).streams.delete(`KV_LATTICETRUST_${lattice}`);
    }
    expect(statSync(file.path).mode & 0o777).toBe(0o600);
    // The bucket is gone, the configuration still names A: the file knows better.
    await using again = await member(lattice, { file });
    expect(again.state).toMatchObject({ epoch: 2, issuers: [B.publicKey] });
    // Without JetStream this lattice is no longer served by configuration alone.
    await using plain = await startServer();
    const ctl = await connectPartition({
      partition: 'ctl',
      lattice: 'default',
      servers: [plain.url],
      name: 'test',
      log: silentLogger(),
    });
    let started = false;
    const waiting = member(lattice, { file, ctl }).then(
      () => (started = true),
      () => undefined,
    );
    await sleep(1_500);
    expect(started).toBe(false);
    await ctl.close();
    await waiting;
    expect(started).toBe(false);
  });

  it('stops a host that was configured back to issuers before the kept ones', async () => {
    const lattice = `file${++lattices}`;
    const file = fileOf(lattice);
    {
      await using host = await member(lattice, { file });
      await host.bucket.create('issuers.1', setOf(lattice, 1, A, [B]));
      await until(() => host.state.epoch === 1);
    }
    await expect(member(lattice, { file }, [C])).rejects.toMatchObject({ code: 'TRELLIS_TRUST_FILE' });
  });

  it('is made up for by the bucket when it is damaged, or the host does not start', async () => {
    const lattice = `file${++lattices}`;
    const file = fileOf(lattice);
    writeFileSync(file.path, '{"v":1,"hadBuck', { mode: 0o600 });
    await expect(member(lattice, { file })).rejects.toMatchObject({ code: 'TRELLIS_TRUST_FILE' });
    await using other = await member(lattice);
    await other.bucket.create('issuers.1', setOf(lattice, 1, A, [A, B]));
    await using host = await member(lattice, { file });
    expect(host.state.epoch).toBe(1);
    expect(readTrust(readFileSync(file.path, 'utf8'))).toMatchObject({ hadBucket: true, issuerSets: [expect.any(String)] });
  });

  it('is read as what was written, or not at all', () => {
    const set = setOf('default', 1, A, [A, B]);
    const good = JSON.stringify({ v: 1, hadBucket: true, issuerSets: [set], revocations: [] });
    expect(readTrust(good)).toEqual({ hadBucket: true, issuerSets: [set], revocations: [] });
    expect(readTrust(good.replace('iss2s', 'iss2b'))).toBeUndefined();
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const read = readTrust(JSON.stringify(value) ?? '');
        expect(read === undefined || typeof read.hadBucket === 'boolean').toBe(true);
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => readTrust(text) === undefined));
  });
});
