import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Json } from '../support/golden.ts';
import { startLatticeHost, type LatticeHost } from '../support/lattice-host.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { until } from '../support/raw-peer.ts';
import { WASH, WASMCLOUD } from './peer-programs.ts';
import { WasmcloudHost } from './wasmcloud-host.ts';
import { Wash } from './wash.ts';
import { describeWithPeers } from './with-peers.ts';
import { ASK, SAY, takesWords, WORD, WORDS } from './words.ts';

type Order = 'the wasmCloud host was first' | 'the Trellis host was first';

for (const order of ['the wasmCloud host was first', 'the Trellis host was first'] as const satisfies Order[]) {
  describeWithPeers(`a wasmCloud 1.9 host and a Trellis host in one lattice, ${order}`, [WASH, WASMCLOUD], () => {
    let server: TestServer;
    let nc: NatsConnection;
    let trellis: LatticeHost;
    let wasmcloud: WasmcloudHost;
    let wash: Wash;

    beforeAll(async () => {
      server = await startServer({ jetstream: true });
      nc = await connect({ servers: server.url });
      const startTrellis = async () => {
        trellis = await startLatticeHost(server.url, { labels: { made: 'trellis' }, ...takesWords() });
      };
      const startWasmcloud = async () => {
        wasmcloud = await WasmcloudHost.start(nc, { port: server.port, labels: { made: 'wasmcloud' } });
      };
      // Whoever is first makes the buckets.
      const steps = [startWasmcloud, startTrellis];
      for (const start of order === 'the wasmCloud host was first' ? steps : steps.reverse()) await start();
      wash = new Wash(server.port);
    }, 120_000);
    afterAll(async () => {
      wash[Symbol.dispose]();
      await wasmcloud[Symbol.asyncDispose]();
      await trellis[Symbol.asyncDispose]();
      await nc.close();
      await server[Symbol.asyncDispose]();
    });

    const on = (made: 'trellis' | 'wasmcloud') => ['--constraint', `made=${made}`];
    const start = (file: string, id: string, ...more: string[]) =>
      wash.json('start', 'component', `${WORDS}/${file}`, id, ...more);
    // wash gives a call two seconds, which a busy machine may need more than once.
    const call = async (id: string, what: string): Promise<unknown> => {
      for (let attempt = 0; ; attempt += 1) {
        const end = await wash.run('call', id, what);
        if (end.code === 0 || attempt === 5) return end.code === 0 ? (end.json as { result: string }).result : end.stderr;
      }
    };
    const stopAll = async (...ids: string[]) => {
      for (const host of [trellis.id, wasmcloud.id]) {
        for (const id of ids) await wash.run('stop', 'component', id, '--host-id', host);
      }
    };

    it('both are seen, each with its own', async () => {
      const { hosts } = await wash.json('get', 'hosts');
      const ids = (hosts as { id: string }[]).map(({ id }) => id);
      expect(ids.toSorted()).toEqual([trellis.id, wasmcloud.id].toSorted());
    });

    it('answers what is for one of them once, and what is for all twice', async () => {
      const ask = async (verb: string, body: Json = '') => await replies(nc, `wasmbus.ctl.v1.default.${verb}`, body);
      for (let round = 0; round < 5; round += 1) {
        expect(await ask('link.get'), 'link.get').toHaveLength(1);
        expect(await ask('claims.get'), 'claims.get').toHaveLength(1);
        expect(await ask(`config.put.round-${round}`, { round: String(round) }), 'config.put').toHaveLength(1);
        expect(await ask(`config.get.round-${round}`), 'config.get').toEqual([
          { success: true, message: '', response: { round: String(round) } },
        ]);
        expect(await ask(`config.del.round-${round}`), 'config.del').toHaveLength(1);
      }
      expect(await ask('host.ping')).toHaveLength(2);
      const auction = { component_ref: 'file:///x.wasm', component_id: 'new', constraints: {} };
      expect(await ask('component.auction', auction)).toHaveLength(2);
    });

    it('a component on the Trellis host calls one on the wasmCloud host, by a link of the lattice', async () => {
      await start('speaker-one.wasm', 'speaker', ...on('wasmcloud'));
      await start('asker.wasm', 'asker', ...on('trellis'));
      await wash.json('link', 'put', 'asker', 'speaker', 'trellis-samples', 'words', '--interface', 'words');
      expect(await call('asker', ASK)).toBe('one');
      await stopAll('speaker', 'asker');
    });

    it('a component on the wasmCloud host calls one on the Trellis host, by the same link', async () => {
      await start('speaker-two.wasm', 'speaker', ...on('trellis'));
      await start('asker.wasm', 'asker', ...on('wasmcloud'));
      await wash.json('link', 'put', 'asker', 'speaker', 'trellis-samples', 'words', '--interface', 'words');
      expect(await call('asker', ASK)).toBe('two');
      await stopAll('speaker', 'asker');
    });

    it('a component on both is called on both', async () => {
      await start('speaker-one.wasm', 'speaker', ...on('wasmcloud'));
      await start('speaker-two.wasm', 'speaker', ...on('trellis'));
      const words = new Set<unknown>();
      await until('both have answered', async () => words.add(await call('speaker', SAY)).size === 2, 60_000);
      await stopAll('speaker');
    });

    it('a deleted link is gone on both, whoever deleted it', async () => {
      await start('speaker-one.wasm', 'speaker', ...on('wasmcloud'));
      await start('asker.wasm', 'asker', ...on('trellis'));
      await wash.json('link', 'put', 'asker', 'speaker', 'trellis-samples', 'words', '--interface', 'words');
      expect(await call('asker', ASK)).toBe('one');
      await wash.json('link', 'del', 'asker', 'trellis-samples', 'words');
      await until('the link leads nowhere', async () => (await wash.run('call', 'asker', ASK)).code !== 0);
      for (let round = 0; round < 10; round += 1) {
        const [answer] = await replies(nc, 'wasmbus.ctl.v1.default.link.get', '');
        expect((answer as { response: Json[] }).response).toEqual([]);
      }
      await stopAll('speaker', 'asker');
    });

    it('a configuration reaches the components of both, also when it changes', async () => {
      await wash.json('config', 'put', 'words', 'word=first');
      for (const made of ['trellis', 'wasmcloud'] as const) {
        await start('configured.wasm', 'configured', '--config', 'words', ...on(made));
        expect(await call('configured', WORD), made).toBe('first');
        await wash.json('config', 'put', 'words', 'word=second');
        await until(`${made} has the new word`, async () => (await call('configured', WORD)) === 'second');
        await stopAll('configured');
        await wash.json('config', 'put', 'words', 'word=first');
      }
    });

    it('claims of a component on one are told by both', async () => {
      await start('speaker-one-signed.wasm', 'signed', ...on('wasmcloud'));
      await until('both tell the first revision', async () => (await toldRevisions(nc)).every((revision) => revision === '1'));
      await start('speaker-two-signed.wasm', 'signed-too', ...on('trellis'));
      await until('both tell the second revision', async () => (await toldRevisions(nc)).every((revision) => revision === '2'));
      await stopAll('signed', 'signed-too');
    });
  });
}

/** Everything that answers within 400 ms. */
async function replies(nc: NatsConnection, subject: string, body: Json): Promise<Json[]> {
  const inbox = `_INBOX.mixed.${Math.random().toString(36).slice(2)}`;
  const answers: Json[] = [];
  const subscription = nc.subscribe(inbox, { callback: (_error, message) => void answers.push(message.json<Json>()) });
  nc.publish(subject, body === '' ? '' : JSON.stringify(body), { reply: inbox });
  await new Promise((resolve) => setTimeout(resolve, 400));
  subscription.unsubscribe();
  return answers;
}

/** The revision of the signed speaker as 12 questions in a row are answered: by either host. */
async function toldRevisions(nc: NatsConnection): Promise<string[]> {
  const told: string[] = [];
  for (let round = 0; round < 12; round += 1) {
    const { response } = (await nc.request('wasmbus.ctl.v1.default.claims.get')).json<{ response: { revision: string }[] }>();
    told.push(...(response.length === 0 ? ['none'] : response.map(({ revision }) => revision)));
  }
  return told;
}
