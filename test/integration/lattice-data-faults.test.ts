import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from '@nats-io/jetstream';
import { describe, expect, it } from 'vitest';
import { type DataHost, linkOf, openCtl, startDataHost } from '../support/lattice-data.ts';
import { startJwtServer, startServer, type TestServer } from '../support/nats-server.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { until } from '../support/trust-lattice.ts';

const DATA = 'KV_LATTICEDATA_default';
const CONFIG = 'KV_CONFIGDATA_default';
const ROLLBACK = 'TRELLIS_ALARM_LATTICE_DATA_ROLLBACK';
const AWAY = 'TRELLIS_ALARM_LATTICE_DATA';
const KEY = { name: 'default', wit_namespace: 'wasi', wit_package: 'keyvalue' };

const targets = ({ data }: DataHost): string[] =>
  data
    .links()
    .map(({ source_id, target }) => `${source_id}>${target}`)
    .toSorted();

/** As hosts of wasmCloud 1.x ask for a bucket. */
const rustWish = (name: string): Partial<StreamConfig> & { name: string } => ({
  name: `KV_${name}`,
  description: '',
  subjects: [`$KV.${name}.>`],
  retention: RetentionPolicy.Limits,
  max_consumers: 0,
  max_msgs: 0,
  max_bytes: 0,
  discard: DiscardPolicy.New,
  max_age: 0,
  max_msgs_per_subject: 1,
  max_msg_size: 0,
  storage: StorageType.File,
  num_replicas: 1,
  no_ack: false,
  duplicate_window: 0,
  sealed: false,
  allow_rollup_hdrs: true,
  deny_delete: true,
  deny_purge: false,
  allow_direct: true,
  mirror_direct: false,
});

describe('the buckets', () => {
  it('are made as hosts of wasmCloud 1.x make them: whoever comes second asks for the same', async () => {
    await using server = await startServer({ jetstream: true });
    await using host = await startDataHost(server.url);
    const streams = await host.streams();
    // The server refuses a wish that differs from what is there.
    for (const name of ['LATTICEDATA_default', 'CONFIGDATA_default']) await streams.add(rustWish(name));
    await expect(streams.add({ ...rustWish('LATTICEDATA_default'), deny_delete: false })).rejects.toThrow('already in use');
    for (const name of ['LATTICEDATA_early', 'CONFIGDATA_early']) await streams.add(rustWish(name));
    await using second = await startDataHost(server.url, 'early');
    expect(second.data.state).toBe('current');
    expect(await second.data.putLink(linkOf('a', 'x'))).toBe('set');
  });

  it('are taken as they are when they have other settings, and read to the last of several values', async () => {
    await using server = await startServer({ jetstream: true });
    await using admin = await startDataHost(server.url, 'other');
    const streams = await admin.streams();
    await streams.add({ ...rustWish('LATTICEDATA_default'), max_msgs_per_subject: 5, discard: DiscardPolicy.Old });
    await using a = await startDataHost(server.url);
    for (const target of ['x', 'y', 'z']) {
      await a.data.putLink(linkOf('a', target));
      await a.data.deleteLink({ source_id: 'a', ...KEY });
      await a.data.putLink(linkOf('b', target, { name: target }));
    }
    await using b = await startDataHost(server.url);
    expect(targets(b)).toEqual(['b>x', 'b>y', 'b>z']);
    expect([b.data.state, b.standing()]).toEqual(['current', []]);
  });

  it('are made by several hosts that start at once', async () => {
    await using server = await startServer({ jetstream: true });
    const hosts = await Promise.all(Array.from({ length: 6 }, () => startDataHost(server.url)));
    expect(hosts.map(({ data }) => data.state)).toEqual(hosts.map(() => 'current'));
    await Promise.all(hosts.map((host) => host[Symbol.asyncDispose]()));
  });

  it('have entries that are no specs, claims or configurations: they are left alone, and so is what was known before', async () => {
    await using server = await startServer({ jetstream: true });
    await using host = await startDataHost(server.url);
    await host.data.putLink(linkOf('a', 'x'));
    const publish = (key: string, text: string): Promise<unknown> =>
      host.ctl.request(`$KV.LATTICEDATA_default.${key}`, Buffer.from(text), { timeoutMs: 5_000 });
    const bad = ['', '{', '[]', 'null', '{"url":1,"links":[]}', '{"url":"","links":[{"source_id":"a"}]}', '\xff\xfe'];
    for (const text of bad) {
      await publish('COMPONENT_a', text);
      await publish('CLAIMS_MA', text);
      await publish('LINKDEF_old', text);
    }
    await publish('CLAIMS_MA', '{"sub":"ANOTHER"}');
    await publish('COMPONENT_b', JSON.stringify({ url: '', links: [linkOf('b', 'y')] }));
    await until(() => targets(host).includes('b>y'));
    expect([targets(host), host.data.claims(), host.data.state]).toEqual([['a>x', 'b>y'], [], 'current']);
    await expect(host.data.putLink(linkOf('a', 'y'))).rejects.toMatchObject({ code: 'TRELLIS_LATTICE_ENTRY' });
    await expect(host.data.ensureSpec('a', 'file:///a')).rejects.toMatchObject({ code: 'TRELLIS_LATTICE_ENTRY' });
    await publish('COMPONENT_a', '{"url":"","links":[]}');
    await until(() => targets(host).length === 1);
  });

  it('take no source with more links than a message can hold, and say so', async () => {
    await using server = await startServer({ jetstream: true, configText: 'max_payload: 16KB' });
    await using host = await startDataHost(server.url);
    const put = async (): Promise<unknown> => {
      for (let at = 0; ; at++) {
        const outcome = await host.data.putLink(linkOf('a', 'x', { name: `n${at}` })).catch((error: unknown) => error);
        if (outcome !== 'set') return outcome;
      }
    };
    expect(await put()).toMatchObject({
      code: 'TRELLIS_NATS_PAYLOAD_TOO_LARGE',
      message: expect.stringContaining('COMPONENT_a'),
    });
    const { length } = host.data.links();
    expect(length).toBeGreaterThan(50);
    expect(await host.data.deleteLink({ ...KEY, source_id: 'a', name: 'n0' })).toMatchObject({ deleted: { name: 'n0' } });
    await expect(host.data.putConfig('one', { a: 'x'.repeat(20_000) })).rejects.toMatchObject({
      code: 'TRELLIS_NATS_PAYLOAD_TOO_LARGE',
    });
    expect([host.ctl.stats.reconnects, host.data.state]).toEqual([0, 'current']);
  });

  it('count, and not what merely passes by on their subjects', async () => {
    await using server = await startServer({ jetstream: true });
    await using host = await startDataHost(server.url);
    await host.data.putLink(linkOf('a', 'x'));
    const forged = JSON.stringify({ url: '', links: [linkOf('a', 'forged')] });
    let heard = 0;
    host.ctl.subscribe('$KV.LATTICEDATA_default.>', {}, () => heard++);
    // The store refuses it: the key has another revision. All who listen to the subject hear it all the same.
    const headers = { entries: [['Nats-Expected-Last-Subject-Sequence', '999']] } as const;
    const answer = await host.ctl.request('$KV.LATTICEDATA_default.COMPONENT_a', Buffer.from(forged), {
      timeoutMs: 5_000,
      headers,
    });
    expect(Buffer.from(answer.payload).toString()).toContain('wrong last sequence');
    await until(() => heard === 1);
    await sleep(300);
    expect(targets(host)).toEqual(['a>x']);
  });

  it('forget a marker of a deleted key, and a marker means no links', async () => {
    await using server = await startServer({ jetstream: true });
    await using host = await startDataHost(server.url);
    await using other = await startDataHost(server.url);
    await host.data.putLink(linkOf('a', 'x'));
    await until(() => targets(other).length === 1);
    const headers = { entries: [['KV-Operation', 'DEL']] } as const;
    await host.ctl.request('$KV.LATTICEDATA_default.COMPONENT_a', Buffer.alloc(0), { timeoutMs: 5_000, headers });
    for (const each of [host, other]) await until(() => targets(each).length === 0);
    expect(await other.data.deleteLink({ source_id: 'a', ...KEY })).toEqual({ spec: false });
    await (await host.streams()).purge(DATA, { filter: '$KV.LATTICEDATA_default.COMPONENT_a' });
    await sleep(1_200);
    expect([host.standing(), host.data.state]).toEqual([[], 'current']);
    expect(await host.data.putLink(linkOf('a', 'y'))).toBe('set');
    await until(() => targets(other)[0] === 'a>y');
  });
});

describe('a store that is away', () => {
  it('NAT-11 is waited for when it is not there at the start', async () => {
    await using server = await startServer();
    await using host = await startDataHost(server.url);
    // A host may go without; whoever has one told to do something is told.
    expect([host.data.state, host.data.links(), host.standing()]).toEqual(['absent', [], []]);
    const warned = (): unknown[] => host.logged.filter(({ msg }) => String(msg).startsWith('there is no JetStream'));
    expect(warned()).toHaveLength(2);
    const refused = await Promise.allSettled([
      host.data.putLink(linkOf('a', 'x')),
      host.data.deleteLink({ source_id: 'a', ...KEY }),
      host.data.ensureSpec('a', ''),
      host.data.putConfig('one', {}),
      host.data.getConfig('one'),
      host.data.deleteConfig('one'),
      host.data.missingConfig(['one']),
      host.data.openConfig(['one']),
    ]);
    for (const each of refused) expect(each).toMatchObject({ status: 'rejected', reason: { code: 'TRELLIS_LATTICE_DATA' } });
    expect(warned()).toHaveLength(2);
    await server.restartWith(`jetstream { store_dir: "${join(server.dir, 'late')}" }`);
    const startMs = performance.now();
    await until(() => host.data.state === 'current');
    // The connection itself comes back within a second or two of the server.
    const currentMs = performance.now() - startMs;
    await takesAtMost(10_000, () => currentMs);
    expect(host.standing()).toEqual([]);
    expect(await host.data.putLink(linkOf('a', 'x'))).toBe('set');
    expect(targets(host)).toEqual(['a>x']);
  });

  it('NAT-12 takes nothing away when its buckets are deleted, and is written again with the first change', async () => {
    await using server = await startServer({ jetstream: true });
    await using a = await startDataHost(server.url);
    await using b = await startDataHost(server.url);
    for (const target of ['x', 'y']) await a.data.putLink(linkOf('front', target, { name: target }));
    await a.data.putLink(linkOf('other', 'z'));
    await a.data.putConfig('one', { a: '1' });
    await until(() => b.data.links().length === 3);
    const bundle = await b.data.openConfig(['one']);
    let changes = 0;
    bundle.onChange(() => changes++);
    const streams = await a.streams();
    await streams.delete(DATA);
    await streams.delete(CONFIG);
    for (const host of [a, b]) {
      await until(() => host.standing().filter((code) => code === AWAY).length === 2);
      expect([host.data.state, host.data.links().length]).toEqual(['stale', 3]);
    }
    expect([bundle.values(), changes]).toEqual([{ a: '1' }, 0]);
    // Nobody makes it again unasked: it could not be put back from a backup otherwise.
    await sleep(1_500);
    await expect(streams.info(DATA)).rejects.toThrow('not found');
    // What is in use is known, also to who begins to use it now.
    const again = await b.data.openConfig(['one']);
    expect(again.values()).toEqual({ a: '1' });

    expect(await a.data.putLink(linkOf('front', 'new', { name: 'new' }))).toBe('set');
    await a.data.putConfig('two', { b: '2' });
    for (const host of [a, b]) {
      await until(() => host.data.links().length === 4 && host.standing().includes(ROLLBACK) && !host.standing().includes(AWAY));
      expect(host.alarms.list().find(({ code, scope }) => code === ROLLBACK && scope.startsWith('LATTICE'))?.detail).toContain(
        '1 of the entries that this host knows are missing or older there: COMPONENT_other',
      );
    }
    await until(() => b.alarms.list().some(({ code, scope }) => code === ROLLBACK && scope.startsWith('CONFIG')));
    expect([bundle.values(), changes]).toEqual([{ a: '1' }, 0]);
    // Putting what is known already puts it back.
    expect(await b.data.putLink(linkOf('other', 'z'))).toBe('set');
    await b.data.putConfig('one', { a: '1' });
    for (const host of [a, b]) await until(() => host.standing().length === 0 && host.data.state === 'current');
    await using fresh = await startDataHost(server.url);
    expect(targets(fresh)).toEqual(['front>new', 'front>x', 'front>y', 'other>z']);
  });

  it('NAT-12 takes nothing away when the server comes back without its files', async () => {
    await using server = await startServer({ jetstream: true });
    await using host = await startDataHost(server.url);
    await host.data.putLink(linkOf('a', 'x'));
    await server.stop();
    rmSync(join(server.dir, 'jetstream'), { recursive: true });
    await server.restart();
    await until(() => host.standing().includes(AWAY));
    expect(targets(host)).toEqual(['a>x']);
    // A host that starts makes the buckets, as those of 1.x do; those that know more still go by it.
    await using fresh = await startDataHost(server.url);
    expect(targets(fresh)).toEqual([]);
    await until(() => host.standing().join() === ROLLBACK);
    expect(targets(host)).toEqual(['a>x']);
    expect(await host.data.putLink(linkOf('a', 'x'))).toBe('set');
    await until(() => targets(fresh).join() === 'a>x');
    await until(() => host.standing().length === 0);
  });

  it('NAT-13 is caught up with after a gap, also when nothing that is written is heard of', async () => {
    await using jwt = await startJwtServer();
    const all = jwt.ctl.addUser('all');
    const deafUser = jwt.ctl.addUser('deaf', { publish: ['>'], subscribe: ['_INBOX_CTL.>'] });
    await using writer = await startDataHost(jwt.url, 'default', { ctl: await openCtl(jwt.url, 'default', all.credsFile) });
    await using deaf = await startDataHost(jwt.url, 'default', { ctl: await openCtl(jwt.url, 'default', deafUser.credsFile) });
    await writer.data.putConfig('one', { a: '1' });
    const bundle = await deaf.data.openConfig(['one']);
    await writer.data.putLink(linkOf('a', 'x'));
    await until(() => targets(deaf).join() === 'a>x');
    await writer.data.putLink(linkOf('b', 'x'));
    await writer.data.deleteLink({ source_id: 'a', ...KEY });
    await writer.data.putConfig('one', { a: '2' });
    await until(() => targets(deaf).join() === 'b>x' && bundle.values()['a'] === '2');
    expect(deaf.standing()).toEqual([]);
  });

  it('NAT-13 hands over the last of many quick changes of one key, and each of many keys', async () => {
    await using server = await startServer({ jetstream: true });
    await using writer = await startDataHost(server.url);
    await using reader = await startDataHost(server.url, 'default', { checkEveryMs: 60_000 });
    await writer.data.putConfig('one', { at: '-1' });
    const bundle = await reader.data.openConfig(['one']);
    for (let at = 0; at < 200; at++) void writer.data.putConfig('one', { at: String(at) });
    await Promise.all(Array.from({ length: 100 }, (_, at) => writer.data.putLink(linkOf(`s${at}`, 'x'))));
    await writer.data.putConfig('one', { at: 'last' });
    await until(() => bundle.values()['at'] === 'last' && reader.data.links().length === 100);
  });
});

/** Copies the files of a stopped server, or puts the copy back. */
function backup(server: TestServer): { putBack(): void } {
  const [live, copy] = [join(server.dir, 'jetstream'), join(server.dir, 'copy')];
  rmSync(copy, { recursive: true, force: true });
  cpSync(live, copy, { recursive: true });
  return {
    putBack() {
      rmSync(live, { recursive: true });
      cpSync(copy, live, { recursive: true });
    },
  };
}

describe('NAT-14 a store that went back', () => {
  async function withBackup(server: TestServer, host: DataHost): Promise<{ putBack(): void }> {
    await host.data.putLink(linkOf('kept', 'x'));
    await host.data.putLink(linkOf('changed', 'before'));
    await host.data.putLink(linkOf('deleted', 'x'));
    await host.data.putConfig('one', { a: 'before' });
    await server.stop();
    const copy = backup(server);
    await server.restart();
    await until(async () => (await host.data.getConfig('one').catch(() => undefined)) !== undefined);
    await host.data.deleteLink({ source_id: 'deleted', ...KEY });
    await host.data.deleteLink({ source_id: 'changed', ...KEY });
    await host.data.putLink(linkOf('changed', 'after'));
    await host.data.putLink(linkOf('added', 'x'));
    await host.data.putConfig('one', { a: 'after' });
    return copy;
  }

  it('is noticed and not followed, and what is written there since counts', async () => {
    await using server = await startServer({ jetstream: true });
    await using host = await startDataHost(server.url);
    const copy = await withBackup(server, host);
    const bundle = await host.data.openConfig(['one']);
    const known = ['added>x', 'changed>after', 'kept>x'];
    expect(targets(host)).toEqual(known);
    await server.stop();
    copy.putBack();
    await server.restart();
    await until(() => host.standing().filter((code) => code === ROLLBACK).length === 2);
    expect([targets(host), bundle.values(), host.data.state]).toEqual([known, { a: 'after' }, 'stale']);
    expect(host.logged.some(({ code, msg }) => code === ROLLBACK && String(msg).includes('it lost entries that it had'))).toBe(
      true,
    );
    // Its own answers and writes go by what is known, too.
    expect(await host.data.putLink(linkOf('changed', 'another'))).toBe('conflict');
    expect(await host.data.putLink(linkOf('changed', 'after'))).toBe('set');
    expect(await host.data.deleteLink({ source_id: 'deleted', ...KEY })).toEqual({ spec: true });
    await host.data.putConfig('one', { a: 'later' });
    await host.data.putLink(linkOf('added', 'x'));
    await until(() => host.standing().length === 0 && bundle.values()['a'] === 'later');
    await using fresh = await startDataHost(server.url);
    expect(targets(fresh)).toEqual(known);
  });

  it('is noticed although more was written there than was known', async () => {
    await using server = await startServer({ jetstream: true });
    await using host = await startDataHost(server.url, 'default', { checkEveryMs: 60_000 });
    const copy = await withBackup(server, host);
    await server.stop();
    copy.putBack();
    // Another host is faster to be back, and writes: the numbers of its entries are those that were lost.
    await using elsewhere = await startServer({ configText: `jetstream { store_dir: "${join(server.dir, 'jetstream')}" }` });
    await using other = await startDataHost(elsewhere.url);
    for (let at = 0; at < 20; at++) await other.data.putLink(linkOf('kept', `late${at}`, { name: `n${at}` }));
    await elsewhere.stop();
    await server.restart();
    await until(() => host.standing().includes(ROLLBACK));
    const links = targets(host);
    expect(links).toEqual(expect.arrayContaining(['added>x', 'changed>after', 'kept>x', 'kept>late19']));
    expect(links).not.toContain('deleted>x');
  });

  it('is noticed when single entries vanish from it without a trace', async () => {
    await using server = await startServer({ jetstream: true });
    await using host = await startDataHost(server.url);
    for (const source of ['a', 'b', 'c']) await host.data.putLink(linkOf(source, 'x'));
    await (await host.streams()).purge(DATA, { filter: '$KV.LATTICEDATA_default.COMPONENT_b' });
    await until(() => host.standing().includes(ROLLBACK));
    expect([targets(host), host.data.state]).toEqual([['a>x', 'b>x', 'c>x'], 'stale']);
    await host.data.putLink(linkOf('b', 'y', { name: 'second' }));
    await until(() => host.standing().length === 0);
    expect(targets(host)).toEqual(['a>x', 'b>x', 'b>y', 'c>x']);
  });
});
