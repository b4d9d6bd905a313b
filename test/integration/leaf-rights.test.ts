import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { startLeafCheck } from '../../src/control/leaf-check.ts';
import { probeThroughLeaf } from '../../src/nats/leaf-probe.ts';
import { componentId, latticeName } from '../../src/ids.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import type { UserPermissions } from '../support/accounts.ts';
import { addLeafUsers, type LeafHub, startLeafHub, templateRights } from '../support/leaf.ts';
import { LeafLattice, tiny } from '../support/leaf-lattice.ts';
import { seedFile, startTrustHost, until } from '../support/trust-lattice.ts';

let root: string;
let hub: LeafHub;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'trellis-test-'));
  hub = await startLeafHub(root);
});
afterAll(async () => {
  await hub[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

const without = (rights: UserPermissions, way: 'publish' | 'subscribe', part: string): UserPermissions => ({
  ...rights,
  [way]: rights[way]!.filter((subject) => !subject.includes(part)),
});
let names = 0;
/** A lattice whose leaf users are as given. */
function leafWith(rights: {
  ctl?: (name: string) => UserPermissions;
  rpc?: (name: string) => UserPermissions;
}): Promise<LeafLattice> {
  const name = `rights-${++names}`;
  const users = addLeafUsers(hub, name, {
    ...(rights.ctl === undefined ? {} : { ctl: rights.ctl(name) }),
    ...(rights.rpc === undefined ? {} : { rpc: rights.rpc(name) }),
  });
  return LeafLattice.start(hub, 'both', name, users);
}
/** The server of this machine may be one with published faults. */
const PRODUCTION: HostConfigInput = { dev: false, allow: ['vulnerable-server'] };
/** Servers tell a user's rights since 2.10; behind an older hub a host starts, and says that nothing is known. */
const hubTells = (): boolean => !hub.server.version.startsWith('2.9.');
async function startsUntold(lattice: LeafLattice, settings: HostConfigInput, partition: 'ctl' | 'rpc'): Promise<void> {
  const { logged } = await lattice.host(settings, [tiny('near')]);
  const said = logged.filter(({ msg }) => String(msg).startsWith('no hub says what'));
  expect(said.map((line) => line['partition'])).toContain(partition);
}

describe('the start of a host behind a leaf node', () => {
  it.each([
    ['ctl', 'publish', '_INBOX_CTL', 'publish _INBOX_CTL.{lattice}.*.x (answers to others)'],
    ['ctl', 'publish', 'wasmbus.evt', 'publish wasmbus.evt.{lattice}.* (audit events)'],
    ['ctl', 'subscribe', 'wasmbus.ctl', 'subscribe wasmbus.ctl.v1.{lattice}.trust.* (questions to hosts)'],
    ['ctl', 'publish', 'host.instance', 'publish wasmbus.ctl.v1.{lattice}.host.instance.* (who else runs under its identity)'],
    ['ctl', 'publish', 'LATTICETRUST', 'STREAM.INFO.KV_LATTICETRUST_{lattice} (the state of the trust bucket)'],
    ['rpc', 'publish', '_INBOX_RPC', 'publish _INBOX_RPC.{lattice}.*.x (answers to others)'],
    ['rpc', 'publish', 'wrpc', 'publish {lattice}.elsewhere.wrpc.0.0.1.* (calls to elsewhere)'],
    ['rpc', 'subscribe', 'wrpc', 'subscribe {lattice}.near.wrpc.0.0.1.* (calls of near)'],
  ] as const)('is refused when the %s user may not %s …%s…, and says what is missing', async (partition, way, part, named) => {
    await using lattice = await leafWith({
      [partition]: (name: string) => without(templateRights(`host-${partition}-leaf`, name), way, part),
    });
    const link = { source: 'near', target: 'elsewhere', namespace: 'a', package: 'b', interfaces: ['c'] };
    const hostSeedFile = seedFile(lattice.dir, 'host', SigningKey.generate('server'));
    const settings = lattice.behind({ ...PRODUCTION, links: [link], hostSeedFile });
    if (!hubTells()) return await startsUntold(lattice, settings, partition);
    const refused = startTrustHost(lattice.config(settings, [tiny('near')]));
    await expect(refused).rejects.toMatchObject({ code: 'TRELLIS_LEAF_RIGHTS', exitCode: 4 });
    const { message } = await refused.then(
      () => new Error('it started'),
      (error: Error) => error,
    );
    expect(message).toContain(named.replace('{lattice}', lattice.name));
    expect(message).toContain(`the ${partition} user of the leaf node (U`);
    expect(message).toContain('at hub');
  });

  it.each([
    ['ctl', '_INBOX_CTL.{lattice}.>', 'answers to another ctl user'],
    ['rpc', '_INBOX_RPC.{lattice}.>', 'answers to another rpc user'],
    ['rpc', '*.*.wrpc.>', 'calls of another tenant'],
  ] as const)(
    'is refused when the %s user may subscribe to %s, which only the hub could tell',
    async (partition, subject, about) => {
      const more = (name: string): UserPermissions => {
        const rights = templateRights(`host-${partition}-leaf`, name);
        return { ...rights, subscribe: [...rights.subscribe!, subject.replace('{lattice}', name)] };
      };
      await using lattice = await leafWith({ [partition]: more });
      if (!hubTells()) return await startsUntold(lattice, lattice.behind(PRODUCTION), partition);
      const refused = startTrustHost(lattice.config(lattice.behind(PRODUCTION), [tiny('near')]));
      const { message } = await refused.then(
        () => new Error('it started'),
        (error: Error) => error,
      );
      expect(message).toContain(`The ${partition} credentials reach more than they may`);
      expect(message).toContain(`subscribe ${about}`);
    },
  );

  it('says so and goes on, on a development machine', async () => {
    await using lattice = await leafWith({ rpc: (name) => without(templateRights('host-rpc-leaf', name), 'publish', 'wrpc') });
    const link = { source: 'near', target: 'elsewhere', namespace: 'a', package: 'b', interfaces: ['c'] };
    const { logged } = await lattice.host(lattice.behind({ dev: true, links: [link] }), [tiny('near')]);
    expect(logged.filter(({ code }) => code === 'TRELLIS_LEAF_RIGHTS')).toHaveLength(hubTells() ? 1 : 0);
  });

  it('goes on, and says that nothing is known, when the user may not ask or the hub is away', async () => {
    await using lattice = await leafWith({
      rpc: (name) => without(templateRights('host-rpc-leaf', name), 'publish', '$SYS.REQ.USER.INFO'),
    });
    const { logged } = await lattice.host(lattice.behind(PRODUCTION), [tiny('near')]);
    const said = logged.filter(({ msg }) => String(msg).startsWith('no hub says what'));
    expect(said.filter(({ partition }) => partition === 'rpc')).toMatchObject([
      { partition: 'rpc', unknown: expect.arrayContaining([]) as string[] },
    ]);
    expect(String((said.find(({ partition }) => partition === 'rpc')!['unknown'] as string[])[0])).toContain('its own answers');
  });
});

describe('what a hub says of a leaf node', () => {
  it('names a right that is taken away later, once, and says when it is back', async () => {
    await using lattice = await leafWith({});
    const config = lattice.config(lattice.behind(PRODUCTION), [tiny('near')]);
    await using ctl = await lattice.connect('ctl', lattice.behind());
    await using rpc = await lattice.connect('rpc', lattice.behind());
    const said: { code?: string; msg: string; partition: string }[] = [];
    const log = createLogger({
      level: 'info',
      format: 'json',
      destination: { write: (line) => void said.push(JSON.parse(line) as (typeof said)[number]) },
    });
    const end = await startLeafCheck({ ctl, rpc, config, log, everyMs: 50, timeoutMs: 500 });
    try {
      expect(new Set(said.map(({ partition }) => partition))).toEqual(new Set(['ctl', 'rpc']));
      if (!hubTells()) return;
      // The sidecar logs in with less, as after a rotation by the wrong template, for the same inboxes.
      const { publicKey } = lattice.users.rpc;
      const whole = JSON.stringify(templateRights('host-rpc-leaf', lattice.name)).replaceAll('{user}', publicKey);
      const again = (rights: UserPermissions) => addLeafUsers(hub, lattice.name, { rpc: rights }).rpc;
      await lattice.replaceCreds('rpc', again(without(JSON.parse(whole) as UserPermissions, 'subscribe', 'wrpc')));
      const missing = () => said.filter(({ code }) => code === 'TRELLIS_LEAF_RIGHTS');
      await until(() => missing().length > 0);
      await sleep(300);
      expect(missing()).toMatchObject([{ partition: 'rpc' }]);
      expect(missing()[0]!.msg).toContain(`may not subscribe ${lattice.name}.near.wrpc.0.0.1.* (calls of near)`);
      said.length = 0;
      await lattice.replaceCreds('rpc', again(JSON.parse(whole) as UserPermissions));
      await until(() => said.some(({ partition, msg }) => partition === 'rpc' && msg.startsWith('the hub grants')));
    } finally {
      end();
    }
  });

  it('is not known of a hub that is away', async () => {
    await using lattice = await leafWith({});
    await using rpc = await lattice.connect('rpc', lattice.behind());
    await hub.server.kill();
    try {
      const found = await probeThroughLeaf({
        partition: 'rpc',
        connection: rpc,
        lattice: latticeName(lattice.name),
        components: [componentId('near')],
        targets: [],
        usesBucket: false,
        sendsEvents: false,
        asksForTwins: false,
        timeoutMs: 200,
      });
      expect(found.hubs).toEqual([]);
      expect(new Set(found.findings.map(({ verdict }) => verdict))).toEqual(new Set(['unknown']));
    } finally {
      await hub.server.restart();
    }
  });
});
