import { Kvm } from '@nats-io/kv';
import { expect, it } from 'vitest';
import { LinkTable } from '../../src/invocation/link-table.ts';
import { followLatticeLinks } from '../../src/host/lattice-links.ts';
import { specKey, writeSpec } from '../../src/lattice/specs.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { linkOf, openCtl, startDataHost } from '../support/lattice-data.ts';
import { startServer } from '../support/nats-server.ts';
import { until } from '../support/trust-lattice.ts';

const LINKS = 10_000;

/** `MEASURE=1` prints what it took; Node's `--expose-gc` makes the memory exact. */
const say = (figures: object): void => void (process.env['MEASURE'] && process.stderr.write(`${JSON.stringify(figures)}\n`));

it.each([LINKS, 100])(
  `10,000 links of %i sources are loaded at the start, and a change costs what its source has`,
  async (sources) => {
    await using server = await startServer({ jetstream: true });
    await using ctl = await openCtl(server.url);
    await using first = await startDataHost(server.url);
    await ctl.withClient(async (client) => {
      const kv = await new Kvm(client).open('LATTICEDATA_default');
      for (let at = 0; at < sources; at += 500) {
        const some = Array.from({ length: Math.min(500, sources - at) }, (_, more) => `source-${at + more}`);
        await Promise.all(
          some.map((id) => {
            const links = Array.from({ length: LINKS / sources }, (_, n) =>
              linkOf(id, `kv-${n}`, { name: `n${n}`, target_config: ['some-config'] }),
            );
            return kv.put(specKey(id), writeSpec({ url: 'file:///x', links, rest: {} }));
          }),
        );
      }
    });
    await until(() => first.data.links().length === LINKS);

    globalThis.gc?.();
    const [before, startMs, startCpu] = [process.memoryUsage(), performance.now(), process.cpuUsage()];
    await using host = await startDataHost(server.url, 'default', { checkEveryMs: 60_000 });
    const loadedMs = performance.now() - startMs;
    const table = new LinkTable([]);
    followLatticeLinks(host.data, table, silentLogger());
    const { user, system } = process.cpuUsage(startCpu);
    expect(host.data.links()).toHaveLength(LINKS);
    globalThis.gc?.();
    const heapBytes = process.memoryUsage().heapUsed - before.heapUsed;
    say({ sources, loadedMs, tableMs: performance.now() - startMs - loadedMs, cpuMs: (user + system) / 1_000, heapBytes });
    // A whole start has 30 s; what is held is a few hundred bytes a link, much of it garbage where nobody collects.
    expect(loadedMs).toBeLessThan(30_000);
    expect(heapBytes).toBeLessThan(100 * 1024 * 1024);
    for (const at of [0, sources - 1])
      expect(table.resolve(`source-${at}`, 'n0', 'wasi:keyvalue/store@0.2.0-draft')).toBe('kv-0');

    const changed: string[] = [];
    host.data.onLinks((ids) => changed.push(...ids));
    const sent = host.ctl.stats.messagesOut;
    await first.data.putLink(linkOf('source-7', 'new', { name: 'late' }));
    await until(() => table.allows('source-7', 'late', 'wasi:keyvalue/store', 'new'));
    expect(changed).toEqual(['source-7']);
    // One look at the bucket, and a second one for news that came meanwhile; each asks for no more than what is new.
    expect(host.ctl.stats.messagesOut - sent).toBeLessThan(16);
  },
);
