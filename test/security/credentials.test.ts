import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Caller } from '../../src/caller.ts';
import { callTyped } from '../../src/cli/call-typed.ts';
import { findOperation } from '../../src/cli/find-operation.ts';
import { sampleFile } from '../../src/development.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { type JwtTestServer, startJwtServer } from '../support/nats-server.ts';
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

const configOf = (name: string, files: MemberFiles, components = [TINY]) =>
  memberConfig(jwt.url, {
    lattice: LATTICE,
    stateDir: join(jwt.server.dir, name),
    components,
    ctl: { servers: [jwt.url], credsFile: files.ctl.file },
    rpc: { servers: [jwt.url], credsFile: files.rpc.file },
    trust: { clusterSeedFile: seed, clusterIssuers: [issuer.publicKey], unlinkedOrigins: ['caller'] },
  });

beforeAll(async () => {
  jwt = await startJwtServer();
  seed = seedFile(jwt.server.dir, 'cluster', issuer);
});
afterAll(async () => {
  await jwt[Symbol.asyncDispose]();
});

/** Calls at a steady pace, each answer checked. */
function pacedCalls(caller: Caller, perSecond: number) {
  const seen = { made: 0, right: 0, failed: [] as unknown[], slowestMs: 0 };
  const startedMs = performance.now();
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
  const timer = setInterval(() => {
    for (const due = ((performance.now() - startedMs) / 1_000) * perSecond; seen.made < due; seen.made++) {
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

/** Bytes that come one by one over `forMs`. */
async function* trickle(forMs: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < forMs; at += 20) {
    yield Buffer.from(String(at).padStart(8, '.'));
    await sleep(20);
  }
}

describe('credentials are rotated under load', () => {
  it('CRD-02 of two hosts and a caller: nothing is lost, nothing runs twice, and long streams stay whole', async () => {
    const files = { a: filesOf('a', 'host'), b: filesOf('b', 'host'), caller: filesOf('caller', 'caller') };
    const streams = { id: 'echo-streams', file: sampleFile('echo/echo-streams.wasm') };
    await using a = await startTrustHost(configOf('a', files.a, [TINY, streams]));
    await using b = await startTrustHost(configOf('b', files.b));
    await using caller = await startTrustCaller(configOf('caller', files.caller, []));
    const { types } = await caller.describe('echo-streams', 5_000);
    const copyBytes = findOperation(types, 'streams.copy-bytes');
    const long = async (forMs: number): Promise<string> => {
      const typed = { caller, target: 'echo-streams', operation: copyBytes, args: ['@-'], link: 'default', timeoutMs: 30_000 };
      const { raw } = await callTyped({ ...typed, stdin: trickle(forMs) });
      return Buffer.from(raw as Uint8Array).toString('latin1');
    };
    const whole = (forMs: number): string =>
      Array.from({ length: forMs / 20 }, (_, i) => String(i * 20).padStart(8, '.')).join('');

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
    const streamed = Promise.all([long(9_000), long(4_000)]);
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
    await waitFor(() => load.seen.made >= 10_000, 'ten thousand calls');
    const seen = await load.stop();

    expect(await streamed).toEqual([whole(9_000), whole(4_000)]);
    expect(seen.failed).toEqual([]);
    expect(seen.right).toBe(seen.made);
    expect(seen.made).toBeGreaterThanOrEqual(10_000);
    expect(callsOf(a) + callsOf(b) - before).toBe(seen.made);
    for (const host of [a, b]) expect(callsOf(host)).toBeGreaterThan(100);
    expect(moved).toEqual({ a: 4, b: 3, caller: 5 });
    for (const { host } of [a, b]) expect(host.status()).toMatchObject({ ready: true, alarms: [] });
  }, 90_000);
});

const callsOf = ({ host }: TrustHost): number => host.status().components.find(({ id }) => id === 'tiny')?.calls ?? 0;

async function waitFor(ready: () => boolean, what: string): Promise<void> {
  await until(ready).catch(() => {
    throw new Error(`did not happen in time: ${what}`);
  });
}
