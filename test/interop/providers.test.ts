import { afterAll, beforeAll, expect, it } from 'vitest';
import { callByJson } from '../support/call-by-json.ts';
import { until } from '../support/raw-peer.ts';
import { BLOBSTORE_FS, BLOBSTORE_NATS, HTTP_SERVER, KEYVALUE, MESSAGING_NATS, WASH, WASMCLOUD } from './peer-programs.ts';
import { LINKS, putLink, startProviderLattice, type ProviderLattice } from './provider-lattice.ts';
import { describeWithPeers } from './with-peers.ts';

const PROVIDERS = [HTTP_SERVER, KEYVALUE, BLOBSTORE_FS, BLOBSTORE_NATS, MESSAGING_NATS];
const STAGES = [
  { host: 'none', name: 'providers beside a Trellis host', peers: [WASH, ...PROVIDERS] },
  {
    host: 'wasmcloud',
    name: 'providers on a wasmCloud 1.9 host, components on a Trellis host',
    peers: [WASH, WASMCLOUD, ...PROVIDERS],
  },
] as const;
const MIB = 1024 * 1024;
const hex = (text: string | Uint8Array): { hex: string } => ({ hex: Buffer.from(text as string).toString('hex') });
const some = <T>(value: T): { some: T } => ({ some: value });

for (const { host, name, peers } of STAGES) {
  describeWithPeers(name, peers, () => {
    let lab: ProviderLattice;
    beforeAll(async () => {
      lab = await startProviderLattice('enforce', host);
    }, 180_000);
    afterAll(() => lab[Symbol.asyncDispose]());
    const call = (component: string, operation: string, ...args: readonly unknown[]): Promise<unknown> =>
      callByJson(lab.caller, component, operation, args);
    /** The first call of all: the link reaches the provider after the command that put it. */
    const whenLinked = async (component: string, operation: string, ...args: readonly unknown[]): Promise<void> => {
      await until(`${component} has its provider`, () =>
        call(component, operation, ...args).then(
          (answer) => typeof answer === 'object' && answer !== null && 'ok' in answer,
          () => false,
        ),
      );
    };

    it('HTTP comes in by the HTTP server', async () => {
      const info = await fetch(`${lab.url}/info?x=1`, { headers: { 'x-a': '1, 2' } });
      expect([info.status, info.headers.get('content-type')]).toEqual([200, 'application/json']);
      expect(await info.json()).toMatchObject({
        method: 'get',
        path: '/info?x=1',
        scheme: 'HTTP',
        authority: lab.url.slice('http://'.length),
        headers: expect.arrayContaining([['x-a', '1, 2']]),
      });
      const echo = await fetch(`${lab.url}/echo`, { method: 'POST', body: 'some words' });
      expect([echo.status, echo.headers.get('x-echo'), await echo.text()]).toEqual([201, '1, 2', 'some words']);
      expect((await fetch(`${lab.url}/elsewhere`)).status).toBe(404);
      expect(await (await fetch(`${lab.url}/empty`)).text()).toBe('');
      for (const path of ['/error', '/trap', '/none']) expect((await fetch(lab.url + path)).status, path).toBe(500);
    });

    it('HTTP bodies of megabytes pass', async () => {
      const body = Uint8Array.from({ length: 5 * MIB }, (_, i) => (i * 7) % 251);
      const echo = await fetch(`${lab.url}/echo`, { method: 'POST', body });
      expect(Buffer.compare(Buffer.from(await echo.arrayBuffer()), body)).toBe(0);
    }, 60_000);

    it('many HTTP requests at once get their own answers', async () => {
      const ask = (body: string): Promise<string> =>
        fetch(`${lab.url}/echo`, { method: 'POST', body, signal: AbortSignal.timeout(5_000) }).then((answer) => answer.text());
      // Now and then the library of providers drops an acknowledgement that comes before it has noted that it waits for one
      // (wrpc-transport-nats, `drop message with no subscriber`); then its call hangs, whoever answers.
      const one = (i: number): Promise<string> => ask(`body ${i}`).catch(() => ask(`body ${i}`));
      for (let round = 0; round < 5; round += 1) {
        const numbers = Array.from({ length: 8 }, (_, i) => round * 8 + i);
        expect(await Promise.all(numbers.map(one))).toEqual(numbers.map((i) => `body ${i}`));
      }
    }, 60_000);

    if (host === 'wasmcloud') {
      it('HTTP goes out by the HTTP client', async () => {
        const forward = await fetch(`${lab.url}/forward`, { method: 'POST', body: 'words', headers: { 'x-to': lab.elsewhere } });
        expect([forward.status, forward.headers.get('x-from')]).toEqual([203, 'elsewhere']);
        expect(await forward.text()).toBe('PUT /goods?id=1 yes words');
      });
    }

    it('a key-value store is read, written and counted in', async () => {
      await whenLinked('notebook', 'notes.put', 'box', 'k', hex('v'));
      expect(await call('notebook', 'notes.read', 'box', 'k')).toEqual({ ok: some(hex('v')) });
      expect(await call('notebook', 'notes.read', 'box', 'other')).toEqual({ ok: null });
      expect(await call('notebook', 'notes.forget', 'box', 'k')).toEqual({ ok: [] });
      expect(await call('notebook', 'notes.many', 'lot')).toEqual({ ok: [some(['a', hex('1')]), null, some(['c', hex('3')])] });
      expect(await call('notebook', 'notes.put', 'lot', 'd', hex(''))).toEqual({ ok: null });
      expect(await call('notebook', 'notes.keys-from', 'lot', null)).toEqual({ ok: [['a', 'c'], some('2')] });
      expect(await call('notebook', 'notes.keys-from', 'lot', some(2))).toEqual({ ok: [['d'], null] });
      expect(await call('notebook', 'notes.count', 'numbers', 'n', 2)).toEqual({ ok: '2' });
      expect(await call('notebook', 'notes.count', 'numbers', 'n', 5)).toEqual({ ok: '7' });
      expect(await call('notebook', 'notes.count', 'lot', 'd', 1)).toEqual({ err: 'other: no number' });
      expect(await call('notebook', 'notes.read', 'missing', 'k')).toEqual({ err: 'no-such-store' });
      expect(await call('notebook', 'notes.put', 'closed', 'k', hex('v'))).toEqual({ err: 'access-denied' });
      const long = Uint8Array.from({ length: 3 * MIB }, (_, i) => i % 253);
      expect(await call('notebook', 'notes.put', 'box', 'long', hex(long))).toEqual({ ok: null });
      expect(await call('notebook', 'notes.read', 'box', 'long')).toEqual({ ok: some(hex(long)) });
    }, 60_000);

    // The one reads up to the end, without it. The other reads all of an object, whatever is asked for, and still has what was deleted.
    it.each([
      ['librarian', 'el', ['true false true', 'false false', 'false']],
      ['archivist', 'hello', ['true true true', 'true true', 'false']],
    ])(
      'objects are written, read as streams, listed and removed: %s',
      async (id, read, tidied) => {
        await whenLinked(id, 'shelves.make', 'books');
        expect(await call(id, 'shelves.open', 'books')).toEqual({ ok: 'books' });
        expect(await call(id, 'shelves.open', 'none')).toEqual({ err: 'container does not exist' });
        expect(await call(id, 'shelves.write', 'books', 'a', hex('hello'))).toEqual({ ok: null });
        expect(await call(id, 'shelves.read', 'books', 'a', 1, 3)).toEqual({ ok: hex(read) });
        expect(await call(id, 'shelves.about', 'books', 'a')).toEqual({ ok: [true, '5'] });
        const long = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
        expect(await call(id, 'shelves.write', 'books', 'b', hex(long))).toEqual({ ok: null });
        expect(await call(id, 'shelves.read-slowly', 'books', 'b')).toEqual({ ok: [hex(long), String(long.length)] });
        expect(await call(id, 'shelves.names', 'books')).toMatchObject({
          ok: ['skipped 1', expect.stringMatching(/^[ab]$/), 'end'],
        });
        if (id === 'librarian') expect(lab.files('books')).toEqual(['a', 'b']);
        expect(await call(id, 'shelves.tidy', 'books')).toEqual({ ok: tidied });
      },
      60_000,
    );

    it('messages come in, are asked and sent', async () => {
      lab.nc.subscribe('inner', {
        callback: (_error, message) => void message.respond(Buffer.concat([Buffer.from('inner '), message.data])),
      });
      const ask = async (words: string): Promise<string> =>
        (await lab.nc.request('orders.one', words, { timeout: 5_000 })).string();
      await until('the courier has its provider', () =>
        ask('first').then(
          () => true,
          () => false,
        ),
      );
      expect(await ask('words')).toBe('inner words');
      const many = Array.from({ length: 20 }, (_, i) => `words ${i}`);
      expect(await Promise.all(many.map(ask))).toEqual(many.map((words) => `inner ${words}`));
    }, 60_000);

    it('a link taken away is gone for the provider, and back when it is put again, by whichever host', async () => {
      const hosts = [lab.trellis.id, ...(lab.wasmcloud === undefined ? [] : [lab.wasmcloud.id])];
      const link = LINKS.find(({ source }) => source === 'librarian')!;
      const putBy = new Set<string>();
      lab.nc.subscribe('wasmbus.evt.default.linkdef_set', {
        callback: (_error, message) => void putBy.add(message.json<{ source: string }>().source),
      });
      const makes = async (): Promise<boolean> => {
        const answer = await call('librarian', 'shelves.make', 'again').catch(() => ({}));
        return 'ok' in (answer as object);
      };
      const round = async (): Promise<boolean> => {
        await lab.wash.json('link', 'del', link.source, link.namespace, link.package);
        await until('the provider has no folder for it', async () => !(await makes()));
        await putLink(lab.wash, link);
        await until('the provider has a folder for it', makes);
        return hosts.every((id) => putBy.has(id));
      };
      await until('each host has put it once', round, 120_000);
    }, 150_000);

    it('refuses nothing that the links and pairs allow', () => {
      const said = lab.trellis.daemon.program.logLines();
      // The test's own caller is asked for its delegation once.
      expect(said.filter(({ outcome, origin }) => outcome === 'denied' && origin !== 'caller')).toEqual([]);
    });
  });
}
