import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Caller } from '../../src/caller.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { greeterChainComponent, helloComponent } from '../support/components.ts';
import { memberConfig, seedFile, startTrustCaller, TINY, until } from '../support/trust-lattice.ts';
import { startWorkloadLattice, type WorkloadHost, type WorkloadLattice } from '../support/workload-lattice.ts';

/** Links count everywhere from the moment at which `link.put` is answered, also on a host that has not heard of them. */

let lattice: WorkloadLattice;
/** Hears of what is written only when it looks by itself, every 5 s, and takes no `link.put`. */
let held: WorkloadHost;
let near: WorkloadHost;
let caller: Caller;

beforeAll(async () => {
  const login = SigningKey.generate('user');
  const deaf = ['$KV.>', 'wasmbus.ctl.v1.default.link.put'].map((subject) => JSON.stringify(subject)).join(', ');
  const configText = `
    authorization {
      users = [
        { user: any, password: any }
        { nkey: ${login.publicKey}, permissions: { publish: ">", subscribe: { allow: ">", deny: [${deaf}] } } }
      ]
    }
    no_auth_user: any
  `;
  lattice = await startWorkloadLattice({ configText });
  const { server, issuer } = lattice;
  const trust = { clusterSeedFile: seedFile(server.dir, 'members', issuer) };
  near = await lattice.host({ components: [{ ...TINY, id: 'near' }], trust });
  held = await lattice.host({
    ctl: { servers: [server.url], seedFile: seedFile(server.dir, 'login', login) },
    components: [{ ...TINY, id: 'held' }],
    trust,
  });
  caller = await startTrustCaller(memberConfig(server.url, { trust }), 'newcomer');
});
afterAll(async () => {
  await caller[Symbol.asyncDispose]();
  await lattice[Symbol.asyncDispose]();
});

const BYTES = { wit_namespace: 'trellis-samples', wit_package: 'echo', interfaces: ['bytes'] };
const call = (target: string, link: string): Promise<string> =>
  caller
    .call({
      target,
      link,
      instance: 'trellis-samples:echo/bytes@0.1.0',
      func: 'echo-bytes',
      params: Uint8Array.of(1, 7),
      timeoutMs: 10_000,
    })
    .then(
      () => 'ran',
      (error: unknown) => (error as { code: string }).code,
    );

describe('a link that was put a moment ago', () => {
  it('lets its source call at once, 200 times, hosts that heard of it and one that did not', async () => {
    const outcomes: string[] = [];
    for (let at = 0; at < 200; at++) {
      const target = at % 4 === 0 ? 'near' : 'held';
      const name = `link-${at}`;
      const answer = await lattice.client.ask('link.put', { source_id: 'newcomer', target, name, ...BYTES });
      expect(answer).toMatchObject({ success: true });
      outcomes.push(await call(target, name));
    }
    expect(outcomes.filter((each) => each !== 'ran')).toEqual([]);
  });

  it('does so for many calls that come together', async () => {
    await lattice.client.ask('link.put', { source_id: 'newcomer', target: 'held', name: 'together', ...BYTES });
    const outcomes = await Promise.all(Array.from({ length: 32 }, () => call('held', 'together')));
    expect(outcomes.filter((each) => each !== 'ran')).toEqual([]);
  });

  it('lets a component call whose own host has not heard of it', async () => {
    for (const [id, { file }] of Object.entries({ chain: greeterChainComponent(), hello: helloComponent() }))
      expect(await held.scaled(id, { component_ref: pathToFileURL(file).href, count: 1 })).toMatchObject({
        name: 'component_scaled',
      });
    const link = {
      source_id: 'chain',
      target: 'hello',
      name: 'default',
      wit_namespace: 'trellis-samples',
      wit_package: 'hello',
    };
    expect(await lattice.client.ask('link.put', { ...link, interfaces: ['greeting'] })).toMatchObject({ success: true });
    expect(await lattice.call('chain', 'greet-all', ['Ada'])).toMatchObject({
      json: { ok: [expect.stringContaining('Ada')] },
    });
  });

  it('is missed as ever where there is none', async () => {
    expect(await call('held', 'nowhere')).toBe('TRELLIS_INVOKE_DENIED');
    await until(() => held.logged.some(({ code }) => code === 'TRELLIS_VERIFY_LINK'));
    expect(near.logged.some(({ code }) => code === 'TRELLIS_VERIFY_LINK')).toBe(false);
  });
});
