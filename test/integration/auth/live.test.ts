import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Caller } from '../../../src/caller.ts';
import type { AddedMember } from '../../../src/auth/members.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { runAuth } from '../../support/auth-command.ts';
import { credsOf } from '../../support/auth-lattice.ts';
import { type ResolverLattice, startResolverLattice } from '../../support/resolver-lattice.ts';
import { takesAtMost } from '../../support/takes-at-most.ts';
import {
  callTiny,
  memberConfig,
  seedFile,
  startTrustCaller,
  startTrustHost,
  TINY,
  type TrustHost,
} from '../../support/trust-lattice.ts';

const issuer = SigningKey.generate('cluster');
let test: ResolverLattice;
let first: TrustHost;
let second: TrustHost;
let caller: Caller;
let timer: NodeJS.Timeout;
let [answered, lost]: [number, unknown[]] = [0, []];

const config = (member: AddedMember, name: string, more: object = {}) =>
  memberConfig(test.server.url, {
    lattice: 'lab',
    stateDir: join(test.lattice.dir, name),
    ...more,
    ctl: { servers: [test.server.url], credsFile: credsOf(member, 'ctl') },
    rpc: { servers: [test.server.url], credsFile: credsOf(member, 'rpc') },
    trust: {
      clusterIssuers: [issuer.publicKey],
      clusterSeedFile: seedFile(test.lattice.dir, 'cluster', issuer),
      unlinkedOrigins: ['caller'],
    },
  });

beforeAll(async () => {
  test = await startResolverLattice();
  const { addMember } = test.lattice;
  const [web1, web2, ada] = [
    await addMember('host', 'web-1'),
    await addMember('host', 'web-2'),
    await addMember('caller', 'ada'),
  ];
  first = await startTrustHost(config(web1, 'web-1', { components: [TINY] }));
  // It serves nothing, so that its end ends no call.
  second = await startTrustHost(config(web2, 'web-2'));
  caller = await startTrustCaller(config(ada, 'ada'));
  await callTiny(caller);
  timer = setInterval(() => {
    callTiny(caller).then(
      () => answered++,
      (error: unknown) => lost.push(error),
    );
  }, 10);
});
afterAll(async () => {
  clearInterval(timer);
  await caller[Symbol.asyncDispose]();
  for (const host of [first, second]) await host.stop();
  await test[Symbol.asyncDispose]();
});

const moved = (host: TrustHost): number => host.logged.filter((line) => line['msg'] === 'moved to a new connection').length;
async function run(...args: string[]): Promise<void> {
  const end = await runAuth(...args);
  expect([end.code, end.stderr], end.stdout).toEqual([0, '']);
}
/** Calls are made all the time, and none is lost. */
async function unharmed(): Promise<void> {
  const before = answered;
  await expect.poll(() => answered).toBeGreaterThan(before + 50);
  expect(lost).toEqual([]);
}

describe('a lattice at work', () => {
  it('moves to the new credentials of its hosts', async () => {
    await run('rotate', 'web-1', '--tenant', 'acme', '--store', test.lattice.store.dir);
    await expect.poll(() => moved(first)).toBe(2);
    await unharmed();
  });

  it('CRD-03 loses a host that is revoked within 5 s, and gets it back, while the others work', async () => {
    await run('revoke', 'web-2', '--tenant', 'acme', ...test.flags);
    const revokedMs = performance.now();
    await expect.poll(() => second.host.status().connections).toEqual({ ctl: false, rpc: false });
    const lostMs = performance.now() - revokedMs;
    await takesAtMost(5_000, () => lostMs);
    await unharmed();
    await run('revoke', 'web-2', '--tenant', 'acme', '--undo', ...test.flags);
    await expect.poll(() => second.host.status().connections).toEqual({ ctl: true, rpc: true });
    await unharmed();
  });

  it('has the key of a role replaced without anybody noticing', async () => {
    const args = ['rotate', '--role', 'host-rpc', '--tenant', 'acme', ...test.flags];
    const before = moved(first);
    await run(...args);
    await expect.poll(() => moved(first)).toBe(before + 1);
    await unharmed();
    // The connections before are let go once their calls are done.
    await expect.poll(async () => (await runAuth(...args, '--finish')).code, { interval: 500 }).toBe(0);
    await unharmed();
    expect(second.host.status().connections).toEqual({ ctl: true, rpc: true });
  });

  it('takes new tenants and hosts that get a key of their own', async () => {
    await test.lattice.addTenant('beta', { lattice: 'other' });
    await test.lattice.addMember('host', 'web-3', { components: ['echo'] });
    await run('push', ...test.flags);
    await unharmed();
  });
});
