import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startLatticeHost } from '../support/lattice-host.ts';
import { startServer } from '../support/nats-server.ts';
import { until } from '../support/raw-peer.ts';
import { WADM, WASH } from './peer-programs.ts';
import { wordsApplication, WORDS_VERSIONS, type WordsVersion } from './recording/words-application.ts';
import { appStatus, startWadm } from './wadm.ts';
import { Wash } from './wash.ts';
import { describeWithPeers } from './with-peers.ts';
import { ASK, takesWords, WORD, WORDS } from './words.ts';

interface Running {
  readonly id: string;
  readonly image_ref: string;
  readonly max_instances: number;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Ids that wadm makes of the application's and the component's name. */
const WADM_CALLS = [
  { source: 'asker', target: 'words-speaker', name: 'words' },
  { source: 'wash', target: 'words-configured', name: 'settings' },
];

describeWithPeers('the real wadm and two Trellis hosts', [WASH, WADM], () => {
  it('deploys, scales, updates and undeploys an application with links and configuration', async () => {
    await using server = await startServer({ jetstream: true });
    const settings = { labels: { zone: 'here' }, heartbeatIntervalMs: 5_000, ...takesWords(WADM_CALLS) };
    await using wadm = startWadm(server.port);
    await wadm.said('Creating API subscriber');
    await using first = await startLatticeHost(server.url, settings);
    await using second = await startLatticeHost(server.url, settings);
    using wash = new Wash(server.port);

    const running = async (): Promise<Running[]> => {
      const { inventories } = await wash.json('get', 'inventory');
      return (inventories as unknown as { components: Running[] }[]).flatMap(({ components }) => components);
    };
    const total = async (id: string): Promise<number> =>
      (await running()).filter((each) => each.id === id).reduce((sum, each) => sum + each.max_instances, 0);
    const deploy = async (version: WordsVersion): Promise<void> => {
      const manifest = join(wash.home, 'words.json');
      writeFileSync(manifest, wordsApplication(WORDS, version));
      await wash.json('app', 'put', manifest);
      await wash.json('app', 'deploy', 'words', version.version);
      await appStatus(wash, 'words', 'deployed');
    };
    // wash gives a call two seconds, which a busy machine may need more than once.
    const says = async (id: string, what: string, word: string): Promise<void> =>
      until(
        `${id} says ${word}`,
        async () => {
          const end = await wash.run('call', id, what);
          return end.code === 0 && (end.json as { result?: string }).result === word;
        },
        60_000,
      );
    const [v1, v2, v3] = WORDS_VERSIONS;

    await deploy(v1!);
    const components = await running();
    // The daemon scaler runs `asker` on both hosts, the others run once.
    expect(components.map(({ id }) => id).toSorted()).toEqual(['asker', 'asker', 'words-configured', 'words-speaker']);
    for (const { annotations } of components) {
      expect(annotations).toMatchObject({ 'wasmcloud.dev/managed-by': 'wadm', 'wasmcloud.dev/appspec': 'words' });
    }
    await says('asker', ASK, 'one');
    await says('words-configured', WORD, 'first');

    await deploy(v2!);
    expect(await total('words-speaker')).toBe(3);
    await says('words-configured', WORD, 'second');

    await deploy(v3!);
    expect(await total('words-speaker')).toBe(3);
    await says('asker', ASK, 'two');
    const images = (await running()).filter(({ id }) => id === 'words-speaker').map(({ image_ref }) => image_ref);
    expect(new Set(images)).toEqual(new Set([`file://${WORDS}/speaker-two.wasm`]));

    // What somebody takes away, wadm puts back.
    await wash.json('link', 'del', 'asker', 'trellis-samples', 'words');
    await until('the link is back', async () => ((await wash.json('get', 'links'))['links'] as unknown[]).length === 1, 60_000);
    await says('asker', ASK, 'two');

    await wash.json('app', 'undeploy', 'words');
    await until('all have stopped', async () => (await running()).length === 0, 60_000);
    await until('no link is left', async () => ((await wash.json('get', 'links'))['links'] as unknown[]).length === 0, 60_000);
    await until('no configuration is left', async () => (await wash.run('config', 'get', 'words-words')).code !== 0, 60_000);
    expect([first.daemon.program, second.daemon.program].map(({ stderr }) => stderr.includes('"level":60'))).toEqual([
      false,
      false,
    ]);
  }, 300_000);
});
