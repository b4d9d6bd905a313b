import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Caller } from '../../src/caller.ts';
import type { HostConfig, HostConfigInput } from '../../src/config/schema.ts';
import { gatherTrustReports } from '../../src/control/trust-report.ts';
import { latticeName } from '../../src/ids.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { Program, runProgram } from '../support/program.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import {
  callTiny,
  memberConfig,
  seedFile,
  startTrustCaller,
  startTrustHost,
  TINY,
  type TrustHost,
  until,
} from '../support/trust-lattice.ts';

let server: TestServer;
let lattices = 0;
let lattice: string;
let [old, next] = [SigningKey.generate('cluster'), SigningKey.generate('cluster')];
const open: AsyncDisposable[] = [];

beforeAll(async () => {
  server = await startServer({ jetstream: true });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  lattice = `lattice${++lattices}`;
  [old, next] = [SigningKey.generate('cluster'), SigningKey.generate('cluster')];
});
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

const seeds = (name: string, ...keys: SigningKey[]): string => seedFile(server.dir, `${lattice}-${name}`, ...keys);

function configOf(name: string, clusterSeedFile: string, more: HostConfigInput = {}): HostConfig {
  return memberConfig(server.url, {
    lattice,
    stateDir: join(server.dir, `${lattice}-${name}`),
    ...more,
    // No grace: how soon a refusal is believed is not what is measured here.
    trust: {
      clusterSeedFile,
      clusterIssuers: [old.publicKey],
      unlinkedOrigins: ['caller', 'thief'],
      refusalGraceMs: 0,
      ...more.trust,
    },
  });
}

async function host(name: string, seed: string, more: HostConfigInput = {}): Promise<TrustHost> {
  const started = await startTrustHost(configOf(name, seed, more));
  open.push(started);
  return started;
}

async function caller(name: string, seed: string, more: HostConfigInput = {}): Promise<Caller> {
  const started = await startTrustCaller(configOf(name, seed, more), name);
  open.push(started);
  return started;
}

/** The configuration of the operator: public keys and a connection, no seed. */
function opsFile(issuers: readonly SigningKey[] = [old]): string {
  const file = join(server.dir, `${lattice}-ops.yaml`);
  const connection = { servers: [server.url] };
  const trust = { clusterIssuers: issuers.map((key) => key.publicKey) };
  writeFileSync(file, JSON.stringify({ dev: true, lattice, ctl: connection, rpc: connection, trust }));
  return file;
}

/** What the commands print as JSON, as far as it is looked at. */
interface KeysResult {
  readonly plan?: readonly { readonly step: string }[];
  readonly hosts?: readonly { readonly epoch?: number }[];
  readonly error?: { readonly code: string; readonly message: string };
}

/** Runs `trellis keys …` and reads its result. */
async function keys(args: readonly string[], issuers?: readonly SigningKey[]) {
  const { code, stdout } = await runProgram('cli', ['keys', ...args, '--config', opsFile(issuers), '--output', 'json']);
  return { code, data: JSON.parse(stdout) as KeysResult };
}

describe('rotating the cluster key', () => {
  it('CRD-11 CRD-12 under load loses no call and refuses none, and afterwards the old key counts no more', async () => {
    const [oldFile, newFile] = [seeds('old', old), seeds('new', next)];
    const both = seeds('both', old, next);
    const only = seeds('host', old);
    const one = await host('one', only, { components: [TINY] });
    const two = await host('two', both, { components: [TINY] });
    const load = await caller('caller', both);
    const former = await caller('thief', oldFile);
    await callTiny(former);

    const done = { calls: 0 };
    const failures: string[] = [];
    const pumping = { on: true };
    // About 1,000 a second: 10 at a time, every 10 ms.
    const pump = (async () => {
      const inFlight = new Set<Promise<void>>();
      while (pumping.on || done.calls < 10_000) {
        for (let n = 0; n < 10 && inFlight.size < 200; n++) {
          const call: Promise<void> = callTiny(load, 20_000).then(
            () => void done.calls++,
            (error: unknown) => void failures.push(String(error)),
          );
          inFlight.add(call);
          void call.then(() => inFlight.delete(call));
        }
        await sleep(10);
      }
      await Promise.all(inFlight);
    })();

    const dry = await keys(['rotate', '--from', oldFile, '--to', newFile, '--dry-run']);
    expect(dry.data).toMatchObject({ dryRun: true, epoch: 0, laggards: [] });
    expect(dry.code).toBe(0);
    expect(dry.data.plan?.map(({ step }) => step)).toEqual(['add', 'switch', 'retire', 'done']);

    const rotate = ['keys', 'rotate', '--from', oldFile, '--to', newFile, '--grace-ms', '2000', '--config', opsFile()];
    await using first = new Program('cli', [...rotate, '--output', 'json']);
    // The host with only the old seed is the one it waits for. Somebody stops the command there.
    const said = (): string => first.stderr.slice(first.stderr.lastIndexOf('waiting to'));
    await until(() => said().includes(one.host.id) && !said().includes(two.host.id));
    expect(said()).toContain('give it the new seed');
    first.signal('SIGTERM');
    await first.ended;
    const waiting = await keys(['rotate', '--from', oldFile, '--to', newFile, '--timeout-ms', '0']);
    expect(waiting.code).toBe(6);
    expect(waiting.data.error?.code).toBe('TRELLIS_ROTATION_WAITING');
    expect(waiting.data.error?.message).toContain(one.host.id);

    await using second = new Program('cli', [...rotate, '--output', 'json']);
    renameSync(seeds('host-new', next), only);
    const { code, stdout, stderr } = await second.ended;
    expect(stderr).not.toContain('error');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ done: true, epoch: 3, active: next.publicKey, issuers: [next.publicKey] });
    pumping.on = false;
    await pump;
    expect(failures).toEqual([]);
    expect(done.calls).toBeGreaterThanOrEqual(10_000);
    const served = [one, two].map((each) => each.host.status().components[0]!.calls);
    expect(served.every((count) => count > 1_000)).toBe(true);

    await expect(callTiny(former)).rejects.toMatchObject({ code: expect.stringMatching(/DENIED|SCOPE|ISSUER/) });
    for (const each of [one, two]) {
      expect(each.host.status().issuer).toBe(next.publicKey);
      expect(each.logged.filter(({ code: logged }) => typeof logged === 'string' && logged.startsWith('TRELLIS_TRUST_'))).toEqual(
        [],
      );
    }
    // A restart keeps the epoch, though the configuration still names the old key.
    await two.stop();
    const again = await host('two', both, { components: [TINY] });
    expect(again.host.status().issuer).toBe(next.publicKey);
    const table = await keys(['issuers']);
    expect(table.data).toMatchObject({ epoch: 3, issuers: [next.publicKey] });
    expect(table.data.hosts?.map(({ epoch }) => epoch)).toEqual([3, 3]);
  }, 240_000);

  it('CRD-12 a retired key is refused within a second of the epoch', async () => {
    const both = seeds('both', old, next);
    const [oldFile, newFile] = [seeds('old', old), seeds('new', next)];
    await host('one', both, { components: [TINY] });
    const former = await caller('thief', oldFile);
    await callTiny(former);
    await using rotate = new Program(
      'cli',
      ['keys', 'rotate', '--from', oldFile, '--to', newFile].concat('--grace-ms', '0', '--config', opsFile()),
    );
    await until(() => former.member.trust.epoch === 3);
    const startMs = performance.now();
    let refusedMs = Number.POSITIVE_INFINITY;
    while (refusedMs === Number.POSITIVE_INFINITY && performance.now() - startMs < 5_000) {
      await callTiny(former, 1_000).catch(() => (refusedMs = performance.now() - startMs));
    }
    await takesAtMost(1_000, () => refusedMs);
    expect((await rotate.ended).code).toBe(0);
  });
});

describe('revoking', () => {
  it('CRD-13 one command makes ten hosts refuse a stolen cluster key', async () => {
    const both = seeds('both', next, old);
    const issuers = { trust: { clusterIssuers: [old.publicKey, next.publicKey] } };
    const hosts: TrustHost[] = [];
    for (let n = 0; n < 10; n++) hosts.push(await host(`host${n}`, both, n === 0 ? { ...issuers, components: [TINY] } : issuers));
    const honest = await caller('caller', seeds('next', next), issuers);
    const thief = await caller('thief', seeds('old', old), issuers);
    await Promise.all([callTiny(honest), callTiny(thief)]);

    const revoke = ['revoke', old.publicKey, '--seed-file', seeds('next', next)];
    const dry = await keys(revoke, [old, next]);
    expect(dry.data).toMatchObject({ done: false });
    await callTiny(thief);
    const startMs = performance.now();
    const { code, data } = await keys([...revoke, '--now'], [old, next]);
    const tookMs = performance.now() - startMs;
    await takesAtMost(10_000, () => tookMs);
    expect(code).toBe(0);
    expect(data).toMatchObject({ done: true, epoch: 1, issuers: [next.publicKey], late: [] });
    expect(data.hosts).toHaveLength(10);
    await expect(callTiny(thief)).rejects.toMatchObject({ code: expect.stringMatching(/^TRELLIS_/) });
    // The others delegate to themselves again, under the new epoch.
    const { ctl } = honest.member;
    await until(async () => {
      const reports = await gatherTrustReports(ctl, latticeName(lattice), 300);
      return reports.length === 10 && reports.every(({ epoch, delegatedBy }) => epoch === 1 && delegatedBy === next.publicKey);
    });
    await callTiny(honest);
  });

  it('a revoked host is refused within a second, as caller and as server', async () => {
    const seed = seeds('old', old);
    const stolen = SigningKey.generate('server');
    await host('one', seed, { components: [TINY] });
    const thief = await caller('thief', seed, { hostSeedFile: seedFile(server.dir, `${lattice}-stolen`, stolen) });
    const honest = await caller('caller', seed);
    await callTiny(thief);
    const done = await keys(['revoke', stolen.publicKey, '--now', '--seed-file', seed]);
    expect(done.data).toMatchObject({ done: true, kind: 'server' });
    // The command has ended well after the entry was written: a call of the second after that is refused.
    await expect(callTiny(thief, 1_000)).rejects.toMatchObject({ code: expect.stringMatching(/^TRELLIS_/) });
    await callTiny(honest);
  });
});
