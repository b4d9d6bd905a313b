import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { joinPassExchange, passSubject } from '../../src/control/pass-exchange.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { startNatsServer, type NatsServer } from '../../src/nats/server.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { PassKeys } from '../../src/trust/pass-keys.ts';
import { LATTICE } from '../support/trust.ts';

interface TestMember {
  readonly ctl: LatticeConnection;
  readonly keys: PassKeys;
  readonly leave: () => void;
}

let server: NatsServer;
const connections: LatticeConnection[] = [];
beforeAll(async () => {
  server = await startNatsServer();
});
afterAll(async () => {
  await Promise.all(connections.map((connection) => connection.close()));
  await server.stop();
});

async function connect(): Promise<LatticeConnection> {
  const ctl = await connectPartition({
    partition: 'ctl',
    lattice: LATTICE,
    servers: [server.url],
    name: 'test',
    log: silentLogger(),
  });
  connections.push(ctl);
  return ctl;
}

async function join(holds: boolean, agedMs = 0): Promise<TestMember> {
  const ctl = await connect();
  const keys = new PassKeys(() => Date.now() - agedMs);
  const leave = await joinPassExchange({ ctl, lattice: LATTICE, keys, holds, clock: systemClock });
  await ctl.flush();
  return { ctl, keys, leave };
}

describe('pass keys on the control connection', () => {
  it('are made by the first host, given to who asks, and never made by a caller', async () => {
    const early = await join(false);
    expect(early.keys.text()).toBeUndefined();
    const first = await join(true);
    expect(first.keys.text()).toMatch(/^pk1 /);
    const [second, caller] = await Promise.all([join(true), join(false)]);
    // The caller that came too early has heard of the key when it was made.
    for (const { keys } of [early, second, caller]) expect(keys.text()).toBe(first.keys.text());
    // A host that went away is not needed to ask another.
    first.leave();
    const late = await join(false);
    expect(late.keys.text()).toBe(second.keys.text());
    for (const { leave } of [early, second, caller, late]) leave();
  });

  it('meet when two hosts start together', async () => {
    const hosts = await Promise.all([join(true), join(true), join(true)]);
    const texts = (): Set<string | undefined> => new Set(hosts.map(({ keys }) => keys.text()));
    await expect.poll(() => texts().size).toBe(1);
    for (const { leave } of hosts) leave();
  });

  it('are told again to who is behind', async () => {
    const old = await join(true, 60_000);
    const oldText = old.keys.text();
    old.leave();
    const host = await join(true);
    const caller = await join(false);
    old.ctl.publish(`${passSubject(LATTICE)}.key`, Buffer.from(oldText!));
    await expect.poll(() => caller.keys.text()?.split(' ').length).toBe(3);
    expect(caller.keys.text()).toBe(host.keys.text());
    host.leave();
    caller.leave();
  });

  it('NAT-18 go to inboxes only, and nonsense changes nothing', async () => {
    const host = await join(true);
    const other = await connect();
    const heard: string[] = [];
    other.subscribe('wasmbus.ctl.v1.default.host.stop.H', {}, () => heard.push('stop'));
    other.subscribe(`${other.inboxPrefix}.mine`, {}, () => heard.push('mine'));
    await other.flush();
    const text = host.keys.text();
    for (const payload of ['', 'pk1', 'pk1 1:AAAA', text!.slice(0, -1)]) {
      other.publish(`${passSubject(LATTICE)}.key`, Buffer.from(payload));
    }
    other.publish(passSubject(LATTICE), new Uint8Array(0), { reply: 'wasmbus.ctl.v1.default.host.stop.H' });
    other.publish(passSubject(LATTICE), new Uint8Array(0), { reply: `${other.inboxPrefix}.mine` });
    await expect.poll(() => heard).toEqual(['mine']);
    expect(host.keys.text()).toBe(text);
    host.leave();
  });
});
