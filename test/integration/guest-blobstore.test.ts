import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BLOBSTORE, OLD_BLOBSTORE } from '../../src/wit/wire/blobstore.ts';
import { ReadyStream } from '../../src/wit/js-shapes.ts';
import { builtGuest } from '../support/built-guest.ts';
import { RawPeer } from '../support/raw-peer.ts';
import { startTwoHosts, type TwoHosts } from '../support/two-hosts.ts';
import { serveWire, type SigningProvider, startSigningProvider, type WireFunctions } from '../support/wire-provider.ts';

interface ObjectId {
  readonly container: string;
  readonly object: string;
}

/** A blob store in memory, as providers serve it: `old` in version 0.1.0, whose streams say nothing at their ends. */
function blobStore(old: boolean): WireFunctions {
  const containers = new Map<string, Map<string, Uint8Array>>();
  const of = (name: string): Map<string, Uint8Array> => {
    const found = containers.get(name);
    if (found === undefined) throw `no container ${name}`; // oxlint-disable-line typescript/only-throw-error
    return found;
  };
  const get = ({ container, object }: ObjectId): Uint8Array => {
    const found = of(container).get(object);
    if (found === undefined) throw `no object ${object}`; // oxlint-disable-line typescript/only-throw-error
    return found;
  };
  const done = (reason?: string): Promise<unknown> =>
    Promise.resolve(reason === undefined ? { tag: 'ok', val: undefined } : { tag: 'err', val: reason });
  async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
  }
  async function* each(names: Iterable<string>): AsyncGenerator<string> {
    yield* names;
  }
  return {
    'clear-container': (name: string) => of(name).clear(),
    'container-exists': (name: string) => containers.has(name),
    'create-container': (name: string) => void containers.set(name, new Map()),
    'delete-container': (name: string) => void containers.delete(name),
    'get-container-info': (name: string) => ({ createdAt: BigInt(of(name).size + 7) }),
    'list-container-objects': (name: string) => (old ? each(of(name).keys()) : [each(of(name).keys()), done()]),
    'copy-object': (src: ObjectId, dest: ObjectId) => void of(dest.container).set(dest.object, get(src)),
    'delete-object': ({ container, object }: ObjectId) => void of(container).delete(object),
    'delete-objects'(container: string, names: string[]) {
      for (const name of names) of(container).delete(name);
    },
    'get-container-data'(id: ObjectId, start: bigint, end: bigint) {
      const bytes = get(id).subarray(Number(start), Number(end) + 1);
      return old ? pieces(bytes) : [pieces(bytes), done(id.object === 'torn' ? 'the disk is torn' : undefined)];
    },
    'get-object-info': (id: ObjectId) => ({ createdAt: 1n, size: BigInt(get(id).length) }),
    'has-object': ({ container, object }: ObjectId) => of(container).has(object),
    'move-object'(src: ObjectId, dest: ObjectId) {
      of(dest.container).set(dest.object, get(src));
      of(src.container).delete(src.object);
    },
    async 'write-container-data'({ container, object }: ObjectId, data: ReadyStream | AsyncIterable<Uint8Array>) {
      const chunks: Uint8Array[] = data instanceof ReadyStream ? [Uint8Array.from(data.items as Iterable<number>)] : [];
      if (!(data instanceof ReadyStream)) for await (const chunk of data) chunks.push(chunk);
      of(container).set(object, Buffer.concat(chunks));
      return old ? undefined : done(object === 'full' ? 'the disk is full' : undefined);
    },
  };
}

const hex = (bytes: Uint8Array | string): { hex: string } => ({ hex: Buffer.from(bytes as string).toString('hex') });

/**
 * A component that imports `wasi:blobstore`, under enforce: with providers of both versions as 1.x has them, which operators have listed
 * as unsigned, and with one that signs.
 */
describe('wasi:blobstore over wrpc:blobstore', () => {
  let lab: TwoHosts;
  let peer: RawPeer;
  let signing: SigningProvider;
  beforeAll(async () => {
    const { file } = await builtGuest('librarian');
    const link = { namespace: 'wasi', package: 'blobstore', interfaces: ['blobstore', 'container', 'types'] };
    lab = await startTwoHosts(
      {
        unsigned: [
          { source: 'librarian', target: 'blobs', interface: 'wasi:blobstore/blobstore' },
          { source: 'archivist', target: 'old-blobs', interface: 'wrpc:blobstore/blobstore' },
        ],
        front: ['librarian', 'archivist', 'curator', 'orphan'].map((id) => ({ id, file })),
        back: [],
        links: [
          { source: 'librarian', target: 'blobs', ...link },
          // As people put it who name what they call first.
          { source: 'archivist', target: 'old-blobs', ...link, interfaces: ['blobstore'] },
          { source: 'curator', target: 'signed-blobs', ...link },
          { source: 'orphan', target: 'nobody', ...link },
        ],
      },
      ['librarian', 'archivist', 'curator', 'orphan'].map((id) => `${id} trellis-tests:librarian/shelves`),
    );
    peer = await RawPeer.connect(lab.url);
    await serveWire(peer, 'blobs', BLOBSTORE, blobStore(false));
    await serveWire(peer, 'old-blobs', OLD_BLOBSTORE, blobStore(true));
    signing = await startSigningProvider(lab.config, 'signed-blobs', BLOBSTORE, () => blobStore(false));
  });
  afterAll(async () => {
    await signing[Symbol.asyncDispose]();
    await peer[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });

  describe.each(['librarian', 'archivist', 'curator'])('%s', (id) => {
    const shelves = (func: string, ...args: readonly unknown[]): Promise<unknown> => lab.call(id, `shelves.${func}`, ...args);

    it('makes and opens containers', async () => {
      expect(await shelves('make', 'books')).toEqual({ ok: '7' });
      expect(await shelves('open', 'books')).toEqual({ ok: 'books' });
      expect(await shelves('open', 'none')).toEqual({ err: 'container does not exist' });
    });

    it('writes and reads objects, whole, in part and as streams', async () => {
      const long = Uint8Array.from({ length: 50_000 }, (_, i) => i % 251);
      expect(await shelves('write', 'books', 'a', hex('hello'))).toEqual({ ok: null });
      expect(await shelves('write', 'books', 'long', hex(long))).toEqual({ ok: null });
      expect(await shelves('write', 'books', 'empty', hex(''))).toEqual({ ok: null });
      expect(await shelves('read', 'books', 'a', 0, 100)).toEqual({ ok: hex('hello') });
      expect(await shelves('read', 'books', 'a', 1, 3)).toEqual({ ok: hex('ell') });
      expect(await shelves('read', 'books', 'empty', 0, 9)).toEqual({ ok: hex('') });
      expect(await shelves('read-slowly', 'books', 'long')).toEqual({ ok: [hex(long), '50000'] });
      expect(await shelves('read', 'books', 'none', 0, 1)).toEqual({ err: 'no object none' });
      expect(await shelves('about', 'books', 'long')).toEqual({ ok: [true, '50000'] });
      expect(await shelves('about', 'books', 'none')).toEqual({ ok: [false, '0'] });
    });

    it('lists names, and tidies up', async () => {
      expect(await shelves('names', 'books')).toEqual({ ok: ['skipped 1', 'long', 'empty', 'more', 'end'] });
      expect(await shelves('tidy', 'books')).toEqual({ ok: ['true false true', 'false false', 'false'] });
      expect([...peer.faults, ...signing.faults]).toEqual([]);
    });
  });

  it('tells the guest what a store says only at the end', async () => {
    const shelves = (func: string, ...args: readonly unknown[]): Promise<unknown> =>
      lab.call('librarian', `shelves.${func}`, ...args);
    await shelves('make', 'bad');
    expect(await shelves('write', 'bad', 'full', hex('x'))).toEqual({ err: 'the disk is full' });
    await shelves('write', 'bad', 'torn', hex('abc'));
    expect(await shelves('read', 'bad', 'torn', 0, 10)).toEqual({ err: 'the disk is torn' });
    expect(await shelves('read-slowly', 'bad', 'torn')).toMatchObject({ err: expect.any(String) });
  });

  it('traps where nobody serves either version', async () => {
    await expect(lab.call('orphan', 'shelves.open', 'x')).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_TRAP' });
  });
});
