import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Caller } from '../../src/caller.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { addLeafUsers, type LeafHub, startLeaf, startLeafHub, templateRights, writeLeaf } from '../support/leaf.ts';
import { callTiny, LeafLattice, tiny } from '../support/leaf-lattice.ts';
import type { NatsUser } from '../support/accounts.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { startTrustCaller, startTrustHost, type TrustHost, until } from '../support/trust-lattice.ts';

let root: string;
let hub: LeafHub;
let lattice: LeafLattice;
let behind: TrustHost;
let near: Caller;
let far: Caller;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'trellis-test-'));
  hub = await startLeafHub(root);
  lattice = await LeafLattice.start(hub, 'both', 'faults');
  await lattice.host(lattice.direct(), [tiny('far')]);
  behind = await lattice.host(lattice.behind(), [tiny('near')]);
  near = await lattice.caller(lattice.behind());
  far = await lattice.caller(lattice.direct());
});
afterAll(async () => {
  await lattice[Symbol.asyncDispose]();
  await hub[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

/** For calls of which none may be lost: a slow machine loses none. */
const PATIENT_MS = 15_000;
/** For calls that may be lost. */
const CALL_MS = 1_000;
/** The time of one failed call is how exactly can be told when they pass again. */
const PROBE_MS = 250;
const isThrough = (caller: Caller, target: string): Promise<boolean> =>
  callTiny(caller, target, PROBE_MS).then(
    () => true,
    () => false,
  );
/** Time until a call passes again, milliseconds. */
async function untilThrough(caller: Caller, target: string): Promise<number> {
  const start = performance.now();
  await until(() => isThrough(caller, target));
  return performance.now() - start;
}

/** Calls without a pause, until told to stop; counts what was lost, and the longest time without an answer. */
class Load {
  calls = 0;
  lost = 0;
  longestGapMs = 0;
  readonly #over = new AbortController();
  readonly #done: Promise<unknown>;

  constructor(caller: Caller, target: string, inFlight: number, timeoutMs = PATIENT_MS) {
    let lastMs = performance.now();
    const work = async (): Promise<void> => {
      while (!this.#over.signal.aborted) {
        this.calls++;
        await callTiny(caller, target, timeoutMs).then(
          () => {
            const nowMs = performance.now();
            this.longestGapMs = Math.max(this.longestGapMs, nowMs - lastMs);
            lastMs = nowMs;
          },
          async () => {
            this.lost++;
            await sleep(5);
          },
        );
      }
    };
    this.#done = Promise.all(Array.from({ length: inFlight }, work));
  }

  async stop(): Promise<this> {
    this.#over.abort();
    await this.#done;
    return this;
  }
}

const reconnects = (caller: Caller): number[] => [caller.member.ctl.stats.reconnects, caller.member.rpc.stats.reconnects];
const leaf = () => lattice.sidecar[0]!;
/** Resolves when both connections have come back since `before`; each once. */
async function reconnected(caller: Caller, before: readonly number[]): Promise<void> {
  await until(() => reconnects(caller).every((count, i) => count > before[i]!));
  expect(reconnects(caller)).toEqual(before.map((count) => count + 1));
}

describe('a leaf node', () => {
  beforeEach(async () => {
    await untilThrough(far, 'near');
    await untilThrough(near, 'far');
  });

  it('NAT-10 whose hub is lost loses no call between those behind it, and reaches the hub again within 2 s of its return', async () => {
    const local = new Load(near, 'near', 8);
    await sleep(300);
    await hub.server.kill();
    await sleep(2_000);
    await until(() => local.calls > 20);
    // Beyond the leaf nothing answers, and that is said at once rather than after a timeout.
    const start = performance.now();
    await expect(callTiny(near, 'far', 60_000)).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_NO_RESPONDERS' });
    expect(performance.now() - start).toBeLessThan(30_000);
    const withoutHub = local.calls;
    await hub.server.restart();
    const backMs = await untilThrough(near, 'far');
    await takesAtMost(2_000 + PROBE_MS, () => backMs);
    const { calls, lost } = await local.stop();
    expect({ lost, goesOn: calls > withoutHub }).toEqual({ lost: 0, goesOn: true });
    expect(behind.host.status().ready).toBe(true);
  });

  it('NAT-09 that restarts is used again within 2 s, by those behind it and across the hub', async () => {
    const before = reconnects(near);
    await leaf().restart();
    const [localMs, acrossMs, backMs] = await Promise.all([
      untilThrough(near, 'near'),
      untilThrough(near, 'far'),
      untilThrough(far, 'near'),
    ]);
    await takesAtMost(2_000 + PROBE_MS, () => Math.max(localMs, acrossMs, backMs));
    await reconnected(near, before);
  });

  /** New credentials for the rpc user with the same rights, below the same inbox. */
  const renewed = (expiresInMs?: number): NatsUser => {
    const rights = templateRights('host-rpc-leaf', lattice.name);
    const own = (subject: string): string => subject.replace('{user}', lattice.users.rpc.publicKey);
    return addLeafUsers(hub, lattice.name, {
      rpc: {
        publish: rights.publish!.map(own),
        subscribe: rights.subscribe!.map(own),
        ...(expiresInMs === undefined ? {} : { expiresInMs }),
      },
    }).rpc;
  };

  it('CRD-11 whose credentials end takes the file that is there by then, and nobody behind it notices', async () => {
    const file = lattice.users.rpc.credsFile;
    copyFileSync(renewed(6_000).credsFile, file);
    const atFirst = reconnects(near);
    await leaf().restart();
    for (const target of ['near', 'far']) await untilThrough(near, target);
    await reconnected(near, atFirst);
    const before = reconnects(near);
    const local = new Load(near, 'near', 8);
    const across = new Load(near, 'far', 8, CALL_MS);
    copyFileSync(renewed().credsFile, file);
    // The hub ends the connection when the old JWT has ended; the leaf comes back with the new one.
    await until(() => /expired/i.test(hub.server.log().slice(-200_000)) || across.lost > 0);
    await sleep(2_500);
    await until(() => local.calls > 50);
    await until(() => isThrough(near, 'far'));
    const [l, a] = await Promise.all([local.stop(), across.stop()]);
    expect(l.lost).toBe(0);
    await takesAtMost(2_500, () => a.longestGapMs);
    expect(reconnects(near)).toEqual(before);
  });

  it('CRD-12 that is told to take other credentials (SIGHUP) does so in well under a second, and nobody behind it notices', async () => {
    const { file } = lattice.written.files[0]!;
    const text = readFileSync(file, 'utf8');
    const other = renewed();
    const replaced = text.replace(lattice.users.rpc.credsFile, other.credsFile);
    expect(replaced).not.toBe(text);
    const before = reconnects(near);
    const local = new Load(near, 'near', 8);
    const across = new Load(near, 'far', 8, CALL_MS);
    await sleep(300);
    const [major, minor] = leaf().version.split('.').map(Number) as [number, number];
    if (major === 2 && minor < 14) {
      // Older servers change nothing about remotes while they run: there the file's content is replaced.
      await expect(leaf().reload(replaced)).rejects.toMatchObject({ code: 'TRELLIS_NATS_SERVER_FAILED' });
    } else {
      await leaf().reload(replaced);
      await until(() => leaf().log().includes(other.credsFile));
    }
    await sleep(700);
    await until(() => isThrough(near, 'far'));
    const [l, a] = await Promise.all([local.stop(), across.stop()]);
    expect(l.lost).toBe(0);
    expect(reconnects(near)).toEqual(before);
    await takesAtMost(CALL_MS + 500, () => a.longestGapMs);
    // What was under way at that moment is all that can be lost.
    expect(a.lost).toBeLessThanOrEqual(8 * 2);
  });

  it('CRD-13 beside a second one loses no call when it is told to go (SIGUSR2), within and across the hub', async () => {
    const dir = join(root, 'second');
    mkdirSync(dir);
    const users = { ctl: lattice.users.ctl, rpc: renewed() };
    const args = ['--name', 'second', '--ctl-seed', join(root, 'faults', 'leaf-ctl.seed')];
    const written = await writeLeaf(hub, users, { dir, lattice: lattice.name, args });
    const both = (settings: HostConfigInput): HostConfigInput => {
      const servers = [leaf(), { url: `nats://127.0.0.1:${written.files[0]!.port}` }].map(({ url }) => url);
      return { ...settings, ctl: { ...settings.ctl, servers }, rpc: { ...settings.rpc, servers } };
    };
    // The host begins at the first one, which is alone until then; so there is something to move.
    await using host = await startTrustHost(lattice.config(both(lattice.behind()), [tiny('mover')]));
    await using caller = await startTrustCaller(lattice.config(both(lattice.behind())));
    const [second] = await startLeaf(written);
    await using server = second!;
    await untilThrough(caller, 'mover');
    await untilThrough(far, 'mover');
    expect(caller.member.rpc.server).toContain(String(leaf().port));
    // Both leaves have spread what they know of before anything moves.
    await until(() => server.log().split('JetStream').length > 2);

    const local = new Load(caller, 'mover', 8);
    const inwards = new Load(far, 'mover', 8);
    const outwards = new Load(caller, 'far', 8);
    await sleep(500);
    leaf().signal('SIGUSR2');
    const moved = String(written.files[0]!.port);
    await until(() =>
      [host.host.member!, caller.member].every(({ ctl, rpc }) => ctl.server.endsWith(moved) && rpc.server.endsWith(moved)),
    );
    await sleep(1_000);
    const running = [local, inwards, outwards];
    await until(() => running.every(({ calls }) => calls > 20));
    const loads = await Promise.all(running.map((load) => load.stop()));
    expect(loads.map(({ lost }) => lost)).toEqual([0, 0, 0]);
    await leaf().restart();
  });
});
