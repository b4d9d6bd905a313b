import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtGuest } from '../support/built-guest.ts';
import type { GoldenCallsFile } from '../support/golden-calls.ts';
import { ProviderReplay } from '../support/golden-calls-replay.ts';
import { RawPeer } from '../support/raw-peer.ts';
import { startTwoHosts, type TwoHosts } from '../support/two-hosts.ts';

/** Guests by the id of the component that had them in the recording, and what they import along a link to which provider. */
const COMPONENTS = [
  { id: 'storefront', guest: 'storefront', links: [['client', 'wasi:http', 'outgoing-handler']], calls: [] },
  {
    id: 'notebook',
    guest: 'notebook',
    links: [['store', 'wasi:keyvalue', 'store', 'atomics', 'batch']],
    calls: ['trellis-tests:notebook/notes'],
  },
  {
    id: 'librarian',
    guest: 'librarian',
    links: [['files', 'wasi:blobstore', 'blobstore', 'container', 'types']],
    calls: ['trellis-tests:librarian/shelves'],
  },
  {
    id: 'archivist',
    guest: 'librarian',
    links: [['objects', 'wasi:blobstore', 'blobstore', 'container', 'types']],
    calls: ['trellis-tests:librarian/shelves'],
  },
  { id: 'courier', guest: 'courier', links: [['broker', 'wasmcloud:messaging', 'consumer']], calls: [] },
] as const;

/** What real providers said and were answered, played against components of a host. */
describe('golden calls of providers', () => {
  let lab: TwoHosts;
  let peer: RawPeer;
  beforeAll(async () => {
    const front = await Promise.all(
      COMPONENTS.map(async ({ id, guest }) => ({ id, file: (await builtGuest(guest)).file, maxInstances: 4 })),
    );
    const links = COMPONENTS.flatMap(({ id, links: each }) =>
      each.map(([target, name, ...interfaces]) => {
        const [namespace, wit] = name.split(':') as [string, string];
        return { source: id, target, namespace, package: wit, interfaces };
      }),
    );
    const callable = COMPONENTS.flatMap(({ id, calls }) => calls.map((call) => `${id} ${call}`));
    lab = await startTwoHosts({ verify: 'observe', front, back: [], links }, callable);
    peer = await RawPeer.connect(lab.url);
  });
  afterAll(async () => {
    await peer[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });

  it.each(['providers-1.9.2/calls', 'wasmcloud-1.9.2/http-client'])(
    '%s',
    async (name) => {
      const path = new URL(`../fixtures/golden/${name}.json`, import.meta.url);
      const { steps } = JSON.parse(readFileSync(path, 'utf8')) as GoldenCallsFile;
      const replay = new ProviderReplay(
        peer,
        COMPONENTS.map(({ id }) => id),
      );
      for (const step of steps) {
        const differences = await replay.play(step, (id, operation, ...args) => lab.call(id, operation, ...args));
        expect(differences, step.name).toEqual([]);
      }
      expect(peer.faults).toEqual([]);
    },
    60_000,
  );
});
