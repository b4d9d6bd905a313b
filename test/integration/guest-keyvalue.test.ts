import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtGuest } from '../support/built-guest.ts';
import { startTwoHosts, type TwoHosts } from '../support/two-hosts.ts';

const bytes = (text: string): { hex: string } => ({ hex: Buffer.from(text).toString('hex') });
const some = <T>(value: T): { some: T } => ({ some: value });

/** A component that imports `wasi:keyvalue`, on one host; a store that serves `wrpc:keyvalue`, on another; both under `enforce`. */
describe('wasi:keyvalue over wrpc:keyvalue', () => {
  let lab: TwoHosts;
  beforeAll(async () => {
    const [notebook, shelf] = await Promise.all([builtGuest('notebook'), builtGuest('shelf')]);
    // As wash puts them: the interfaces as the component has them.
    const link = { source: 'notebook', target: 'shelf', namespace: 'wasi', package: 'keyvalue' };
    lab = await startTwoHosts(
      {
        front: [
          { id: 'notebook', file: notebook.file },
          { id: 'unlinked', file: notebook.file },
        ],
        back: [{ id: 'shelf', file: shelf.file, policy: 'reuse', maxInstances: 1 }],
        links: [{ ...link, interfaces: ['store', 'atomics', 'batch'] }],
      },
      [
        'notebook trellis-tests:notebook/notes',
        'unlinked trellis-tests:notebook/notes',
        'notebook wrpc:keyvalue/watcher',
        'shelf wrpc:keyvalue/store',
      ],
    );
  });
  afterAll(() => lab[Symbol.asyncDispose]());
  const notes = (func: string, ...args: readonly unknown[]): Promise<unknown> => lab.call('notebook', `notes.${func}`, ...args);

  it('reads and writes', async () => {
    expect(await notes('read', 'box', 'k')).toEqual({ ok: null });
    expect(await notes('put', 'box', 'k', bytes('v'))).toEqual({ ok: null });
    expect(await notes('read', 'box', 'k')).toEqual({ ok: some(bytes('v')) });
    expect(await lab.call('shelf', 'store.get', 'box', 'k')).toEqual({ ok: some(bytes('v')) });
    expect(await notes('forget', 'box', 'none')).toEqual({ ok: ['nothing'] });
    expect(await notes('forget', 'box', 'k')).toEqual({ ok: [] });
  });

  it('lists keys by pages, counts, and does several at once', async () => {
    expect(await notes('many', 'lot')).toEqual({ ok: [some(['a', bytes('1')]), null, some(['c', bytes('3')])] });
    await notes('put', 'lot', 'd', []);
    expect(await notes('keys-from', 'lot', null)).toEqual({ ok: [['a', 'c'], some('2')] });
    expect(await notes('keys-from', 'lot', some(2))).toEqual({ ok: [['d'], null] });
    expect(await notes('count', 'lot', 'n', 2)).toEqual({ ok: '2' });
    expect(await notes('count', 'lot', 'n', 5)).toEqual({ ok: '7' });
  });

  it('gives the guest the errors of the store, of every operation', async () => {
    expect(await notes('read', 'missing', 'k')).toEqual({ err: 'no-such-store' });
    expect(await notes('put', 'closed', 'k', [1])).toEqual({ err: 'access-denied' });
    expect(await notes('forget', 'broken', 'k')).toEqual({ err: 'other: the disk is full' });
    expect(await notes('keys-from', 'missing', null)).toEqual({ err: 'no-such-store' });
    expect(await notes('count', 'closed', 'k', 1)).toEqual({ err: 'access-denied' });
    expect(await notes('many', 'broken')).toEqual({ err: 'other: the disk is full' });
  });

  it('tells a watcher, with the bucket as a resource', async () => {
    await notes('put', 'box', 'w', bytes('x'));
    expect(await lab.call('notebook', 'watcher.on-set', 'box', 'w', bytes('x'))).toBeNull();
    expect(await notes('read', 'heard', 'w')).toEqual({ ok: some(bytes('xx')) });
    await lab.call('notebook', 'watcher.on-delete', 'box', 'nothing');
    expect(await notes('read', 'heard', 'nothing')).toEqual({ ok: some(bytes('gone')) });
  });

  it('traps where there is no link, and the log says what is missing', async () => {
    await expect(lab.call('unlinked', 'notes.read', 'box', 'k')).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_TRAP' });
    expect(lab.logged.find((line) => line['code'] === 'TRELLIS_LINK_MISSING')).toMatchObject({
      component: 'unlinked',
      detail: 'link `default` not found for instance `wasi:keyvalue/store`',
    });
  });
});
