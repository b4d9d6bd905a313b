import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fillTemplate } from '../../src/auth/permission-templates.ts';
import type { Caller } from '../../src/caller.ts';
import type { InvocationHandle } from '../../src/invocation/outbound.ts';
import { sampleFile } from '../../src/development.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { type JwtTestServer, startJwtServer } from '../support/nats-server.ts';
import { asUserPermissions, PermittedUser } from '../support/permitted-users.ts';
import { RotatingCredentials, type Replacement } from '../support/rotating-files.ts';
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

const LATTICE = 'lab';
const STREAMS = { id: 'echo-streams', file: sampleFile('echo/echo-streams.wasm') };
const issuer = SigningKey.generate('cluster');
let jwt: JwtTestServer;
let seed: string;

interface MemberFiles {
  readonly ctl: RotatingCredentials;
  readonly rpc: RotatingCredentials;
}

const filesOf = (name: string, kind: 'host' | 'caller'): MemberFiles => ({
  ctl: new RotatingCredentials(join(jwt.server.dir, `${name}-ctl.creds`), jwt.ctl, `${kind}-ctl`, LATTICE),
  rpc: new RotatingCredentials(join(jwt.server.dir, `${name}-rpc.creds`), jwt.rpc, `${kind}-rpc`, LATTICE),
});

const configOf = (name: string, files: MemberFiles, components = [TINY], rpc: { retireTimeoutMs?: number } = {}) =>
  memberConfig(jwt.url, {
    lattice: LATTICE,
    stateDir: join(jwt.server.dir, name),
    components,
    ctl: { servers: [jwt.url], credsFile: files.ctl.file },
    rpc: { servers: [jwt.url], credsFile: files.rpc.file, ...rpc },
    trust: { clusterSeedFile: seed, clusterIssuers: [issuer.publicKey], unlinkedOrigins: ['caller'] },
  });

beforeAll(async () => {
  jwt = await startJwtServer();
  // As an operator makes them: hosts have no right to.
  const rights = asUserPermissions(fillTemplate('provisioning', { lattice: LATTICE }));
  const maker = jwt.ctl.addScopedUser('provisioning', rights);
  await jwt.reload();
  await using provisioning = await PermittedUser.connect(jwt.url, maker, `_INBOX_CTL.${LATTICE}`);
  for (const bucket of ['LATTICEDATA', 'CONFIGDATA']) await new Kvm(provisioning.nc).create(`${bucket}_${LATTICE}`);
  seed = seedFile(jwt.server.dir, 'cluster', issuer);
});
afterAll(async () => {
  await jwt[Symbol.asyncDispose]();
});

const MAX_IN_FLIGHT = 200;

/** Calls at a steady pace, each answer checked; fewer at a time than a machine that is busy could not take. */
function pacedCalls(caller: Caller, perSecond: number) {
  const seen = { made: 0, right: 0, failed: [] as unknown[], slowestMs: 0 };
  const open = new Set<Promise<void>>();
  const one = async (): Promise<void> => {
    const sentMs = performance.now();
    try {
      const answer = await callTiny(caller, 10_000);
      if (Buffer.from(answer).toString('hex') === '03010203') seen.right++;
    } catch (error) {
      seen.failed.push(error);
    }
    seen.slowestMs = Math.max(seen.slowestMs, performance.now() - sentMs);
  };
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const due = Math.min(((nowMs - lastMs) / 1_000) * perSecond, MAX_IN_FLIGHT - open.size);
    lastMs = nowMs;
    for (let n = 0; n < due; n++) {
      seen.made++;
      const call = one();
      open.add(call);
      void call.then(() => open.delete(call));
    }
  }, 5);
  return {
    seen,
    async stop() {
      clearInterval(timer);
      await Promise.all(open);
      return seen;
    },
  };
}

const whole = (forMs: number): string => Array.from({ length: forMs / 20 }, (_, i) => String(i * 20).padStart(8, '.')).join('');

/** Sends a stream that takes so long, eight bytes at a time, and returns what came back of it meanwhile. */
function copyTrickle(caller: Caller, forMs: number): Promise<string> {
  const came: Buffer[] = [];
  const done = Promise.withResolvers<string>();
  let handle: InvocationHandle | undefined;
  const send = async (): Promise<void> => {
    const startedMs = performance.now();
    for (let at = 0; at < forMs;) {
      // By the clock: a busy machine sends more at a time, and not later.
      for (const now = performance.now() - startedMs; at < Math.min(now, forMs); at += 20)
        handle?.sendPath('0', Buffer.from(`\x08${String(at).padStart(8, '.')}`), false);
      await sleep(20);
    }
    handle?.sendPath('0', Uint8Array.of(0), true);
  };
  const called = caller.call({
    target: 'echo-streams',
    instance: 'trellis-samples:echo/streams@0.1.0',
    func: 'copy-bytes',
    params: Uint8Array.of(0),
    timeoutMs: 60_000,
    pendingParams: true,
    onHandle: (opened) => {
      handle = opened;
      void send();
    },
    onPath: (_path, bytes, eof) => {
      came.push(Buffer.from(bytes));
      if (eof) done.resolve(contentOf(Buffer.concat(came)));
    },
    onCut: (error) => done.reject(error),
  });
  called.then((root) => expect([...root]).toEqual([0])).catch((error: unknown) => done.reject(error));
  return done.promise.finally(() => handle?.cancel());
}

/** The elements of a stream of bytes: chunks shorter than 16 KiB, and one of none at the end. */
function contentOf(chunks: Buffer): string {
  let content = '';
  for (let at = 0; at < chunks.length;) {
    let length = chunks[at++]!;
    if (length > 127) length = (length & 127) | (chunks[at++]! << 7);
    content += chunks.toString('latin1', at, at + length);
    at += length;
  }
  return content;
}

/** Asks for a description over and over, on control. */
function askingAlways(caller: Caller) {
  const seen = { asked: 0, failed: [] as unknown[] };
  const stopped = new AbortController();
  const done = (async () => {
    for (; !stopped.signal.aborted; seen.asked++) {
      await caller.describe('tiny', 5_000).catch((error: unknown) => seen.failed.push(error));
      await sleep(10);
    }
  })();
  return {
    async stop() {
      stopped.abort();
      await done;
      return seen;
    },
  };
}

describe('credentials are rotated under load', () => {
  it('CRD-02 of two hosts and a caller: nothing is lost, nothing runs twice, and long streams stay whole', async () => {
    const files = { a: filesOf('a', 'host'), b: filesOf('b', 'host'), caller: filesOf('caller', 'caller') };
    await using a = await startTrustHost(configOf('a', files.a, [TINY, STREAMS]));
    await using b = await startTrustHost(configOf('b', files.b));
    await using caller = await startTrustCaller(configOf('caller', files.caller, []));
    const moved = { a: 0, b: 0, caller: 0 };
    const members = { a: a.host.member!, b: b.host.member!, caller: caller.member };
    for (const [name, member] of Object.entries(members)) {
      for (const connection of [member.ctl, member.rpc]) {
        connection.onStatus((event) => {
          if (event.type === 'moved') moved[name as keyof typeof moved]++;
        });
      }
    }
    const before = callsOf(a) + callsOf(b);
    const load = pacedCalls(caller, 1_000);
    const asking = askingAlways(caller);
    // A rejection is looked at below.
    const streamed = Promise.allSettled([copyTrickle(caller, 9_000), copyTrickle(caller, 4_000)]);
    const steps: [keyof typeof files, 'ctl' | 'rpc', 'replace' | 'renew', Replacement][] = [
      ['a', 'rpc', 'replace', 'rename'],
      ['caller', 'rpc', 'replace', 'in place'],
      ['b', 'rpc', 'renew', 'link'],
      ['a', 'ctl', 'replace', 'in place'],
      ['caller', 'rpc', 'renew', 'rename'],
      ['b', 'rpc', 'replace', 'link'],
      ['caller', 'ctl', 'replace', 'link'],
      ['a', 'rpc', 'renew', 'in place'],
      ['caller', 'rpc', 'replace', 'link'],
      ['b', 'ctl', 'renew', 'rename'],
    ];
    for (const [who, partition, what, how] of steps) {
      const until = moved[who] + 1;
      files[who][partition][what](how);
      await waitFor(() => moved[who] >= until, `${who} ${partition} ${what} ${how}`);
      await sleep(700);
    }
    // Two at once, on both sides of the same calls.
    const last = { ...moved };
    files.a.rpc.replace('rename');
    files.caller.rpc.replace('rename');
    await waitFor(() => moved.a > last.a && moved.caller > last.caller, 'both at once');
    await waitFor(() => load.seen.made >= 10_000, 'ten thousand calls', 60_000);
    const seen = await load.stop();
    const asked = await asking.stop();

    expect(await streamed).toEqual([9_000, 4_000].map((ms) => ({ status: 'fulfilled', value: whole(ms) })));
    expect(seen.failed).toEqual([]);
    expect(asked.failed).toEqual([]);
    expect(asked.asked).toBeGreaterThan(steps.length);
    expect(seen.right).toBe(seen.made);
    expect(seen.made).toBeGreaterThanOrEqual(10_000);
    expect(callsOf(a) + callsOf(b) - before).toBe(seen.made);
    for (const host of [a, b]) expect(callsOf(host)).toBeGreaterThan(100);
    expect(moved).toEqual({ a: 4, b: 3, caller: 5 });
    process.stdout.write(`CRD-02: ${seen.made} calls, the slowest in ${Math.round(seen.slowestMs)} ms\n`);
    for (const { host } of [a, b]) expect(host.status()).toMatchObject({ ready: true, alarms: [] });
  });
});

describe('a call that outlives the wait of a rotation', () => {
  it.each(['caller', 'host'] as const)('is ended with an error that says to try again, when the %s rotates', async (who) => {
    const files = { host: filesOf(`cut-${who}-host`, 'host'), caller: filesOf(`cut-${who}-caller`, 'caller') };
    const short = { retireTimeoutMs: 500 };
    await using host = await startTrustHost(configOf(`cut-${who}`, files.host, [STREAMS], short));
    await using caller = await startTrustCaller(configOf(`cut-${who}-caller`, files.caller, [], short));
    const started = performance.now();
    const cut = copyTrickle(caller, 20_000).catch((error: unknown) => error);
    await until(() => host.host.status().inFlight === 1);
    files[who].rpc.replace('rename');
    expect(await cut).toMatchObject({
      code: who === 'caller' ? 'TRELLIS_INVOKE_MOVED' : 'TRELLIS_INVOKE_TARGET_TIMEOUT',
      retryable: true,
    });
    expect(performance.now() - started).toBeLessThan(15_000);
    await until(() => host.host.status().inFlight === 0);
    expect(await copyTrickle(caller, 100)).toBe(whole(100));
    // The host says it of the connection and of the call.
    const said = host.logged.filter(({ code }) => code === 'TRELLIS_INVOKE_MOVED');
    if (who === 'host') expect(said.some(({ cut }) => Number(cut) > 0)).toBe(true);
  });
});

const callsOf = ({ host }: TrustHost): number => host.status().components.find(({ id }) => id === 'tiny')?.calls ?? 0;

async function waitFor(ready: () => boolean, what: string, withinMs = 20_000): Promise<void> {
  await until(ready, withinMs).catch(() => {
    throw new Error(`did not happen in time: ${what}`);
  });
}
