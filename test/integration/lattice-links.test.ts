import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleComponents } from '../../src/development.ts';
import { latticeDataPlace, trustBucketPlace } from '../../src/config/bucket-places.ts';
import { LinkTable } from '../../src/invocation/link-table.ts';
import { followLatticeLinks } from '../../src/host/lattice-links.ts';
import { startTestLattice } from '../support/lattice.ts';
import { linkOf, startDataHost } from '../support/lattice-data.ts';
import { link } from '../support/links.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { memberConfig, until } from '../support/trust-lattice.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ jetstream: true });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const KEY = { name: 'default', wit_namespace: 'wasi', wit_package: 'keyvalue' };
const STORE = 'wasi:keyvalue/store@0.2.0-draft';

describe('links of the lattice', () => {
  it('lead calls as long as they are there, and are rights', async () => {
    await using writer = await startDataHost(server.url);
    await writer.data.putLink(linkOf('before', 'kv'));
    await using reader = await startDataHost(server.url);
    const table = new LinkTable([link('filed', 'x')]);
    const { log, logged } = recordedLog();
    const end = followLatticeLinks(reader.data, table, log);
    expect(table.resolve('before', 'default', STORE)).toBe('kv');

    await writer.data.putLink(linkOf('front', 'kv'));
    await until(() => table.allows('front', 'default', STORE, 'kv'));
    expect(table.allows('front', 'default', STORE, 'other')).toBe(false);
    await writer.data.deleteLink({ source_id: 'front', ...KEY });
    await until(() => !table.allows('front', 'default', STORE, 'kv'));

    // The file says otherwise: it wins, and that is said once, whatever is put again.
    const other = linkOf('filed', 'y', { wit_namespace: 'a', wit_package: 'b', interfaces: ['c'] });
    for (const source_config of [[], ['again'], []]) {
      await writer.data.putLink({ ...other, source_config });
      await until(() => reader.data.linksOf('filed')[0]?.source_config.length === source_config.length);
    }
    expect(table.resolve('filed', 'default', 'a:b/c')).toBe('x');
    const warned = logged.filter(({ fileTarget }) => fileTarget === 'x');
    expect(new Set(warned.map((line) => JSON.stringify(line['link'])))).toEqual(
      new Set([JSON.stringify({ source_id: 'filed', target: 'y', name: 'default', wit_namespace: 'a', wit_package: 'b' })]),
    );
    expect(warned).toHaveLength(1);

    end();
    await writer.data.putLink(linkOf('late', 'kv'));
    await until(() => reader.data.linksOf('late').length === 1);
    expect(table.resolve('late', 'default', STORE)).toBeUndefined();
  });
});

describe('calls between components', () => {
  it('NAT-12 go by the links of the lattice as they change, and go on by them when the bucket is gone', async () => {
    const [hello, chain] = sampleComponents();
    await using test = await startTestLattice({ components: [hello!, { ...hello!, id: 'hello-two' }, chain!], links: [] });
    await using writer = await startDataHost(test.lattice.url);
    const KEY = { source_id: 'greeter-chain', name: 'default', wit_namespace: 'trellis-samples', wit_package: 'hello' };
    const greeting = (target: string) => linkOf('greeter-chain', target, { ...KEY, interfaces: ['greeting'] });
    const call = async (): Promise<unknown> => {
      try {
        return (await test.call('greeter-chain', 'greeter.greet-all', [['Ada']])).json;
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    const works = { ok: [expect.stringMatching(/Ada/)] };
    expect(await call()).not.toEqual(works);
    expect(test.logged.findLast(({ msg }) => msg === 'import failed')).toMatchObject({ code: 'TRELLIS_LINK_MISSING' });

    await writer.data.putLink(greeting('hello'));
    await expect.poll(call).toEqual(works);
    expect([test.runs('hello'), test.runs('hello-two')]).toEqual([1, 0]);
    expect(test.logged.findLast(({ component }) => component === 'hello')).toMatchObject({ outcome: 'ok', verified: true });

    // The other side goes by the link as well: whoever was linked before may call no more.
    await writer.data.deleteLink(KEY);
    await expect.poll(call).not.toEqual(works);
    await writer.data.putLink(greeting('hello-two'));
    await expect.poll(call).toEqual(works);
    const before = test.runs('hello');
    expect(test.runs('hello-two')).toBeGreaterThan(0);

    for (const bucket of ['LATTICEDATA', 'CONFIGDATA']) await (await writer.streams()).delete(`KV_${bucket}_default`);
    const alarms = () => test.lattice.host.status().alarms.map(({ code }) => code);
    await until(() => alarms().includes('TRELLIS_ALARM_LATTICE_DATA'));
    expect(await call()).toEqual(works);
    expect(
      test.lattice.host
        .status()
        .components.map(({ id }) => id)
        .toSorted(),
    ).toEqual(['greeter-chain', 'hello', 'hello-two']);
    // Another host makes it again, with nothing in it.
    await using other = await startDataHost(test.lattice.url);
    expect(other.data.links()).toEqual([]);
    await until(() => alarms().includes('TRELLIS_ALARM_LATTICE_DATA_ROLLBACK'));
    expect(await call()).toEqual(works);
    expect(test.runs('hello')).toBe(before);
  });
});

describe('the domain of JetStream', () => {
  it('is the same for all buckets, unless the trust bucket has its own', () => {
    const here = memberConfig(server.url);
    for (const place of [latticeDataPlace(here), trustBucketPlace(here)])
      expect(place).toEqual({ domain: undefined, viaLeaf: false });
    const hub = memberConfig(server.url, { jsDomain: 'hub' });
    expect([latticeDataPlace(hub).domain, trustBucketPlace(hub).domain]).toEqual(['hub', 'hub']);
    const own = memberConfig(server.url, { jsDomain: 'hub', trust: { storeDomain: 'own' } });
    expect([latticeDataPlace(own).domain, trustBucketPlace(own).domain]).toEqual(['hub', 'own']);
  });
});
