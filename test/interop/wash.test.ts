import { connect } from 'nats';
import { expect, it } from 'vitest';
import { canonical, goldenFiles, momentary, Placeholders, type Json } from '../support/golden.ts';
import { startLatticeHost } from '../support/lattice-host.ts';
import { startServer } from '../support/nats-server.ts';
import { until } from '../support/raw-peer.ts';
import { WASH } from './peer-programs.ts';
import { describeWithPeers } from './with-peers.ts';
import { Wash } from './wash.ts';
import { ASK, SAY, takesWords, WORDS } from './words.ts';

/** Where wash says something else of a Trellis host than of the recorded one, by the name of the step. */
const OTHERWISE = {
  'start component {components}/nobody.wasm nobody --host-id {host}': 'the same failure in the words of Trellis',
  'start component {components}/speaker-one.wasm misconfigured --config nobody --host-id {host}':
    'the same failure in the words of Trellis',
  'get inventory {friendly name}': 'wash counts the letters of the name',
};

describeWithPeers('the real wash and a Trellis host', [WASH], () => {
  it('every command ends as it does with a wasmCloud host', async () => {
    await using server = await startServer({ jetstream: true });
    await using host = await startLatticeHost(server.url, { labels: { zone: 'here' }, ...takesWords() });
    using wash = new Wash(server.port);
    const placeholders = new Placeholders();
    placeholders.set('components', WORDS);
    placeholders.set('nats', `nats://127.0.0.1:${server.port}`);
    placeholders.set('host', host.id);
    placeholders.set('friendly name', host.friendlyName);
    placeholders.set('version', host.version);
    const differences: unknown[] = [];
    for (const { name, command, exitCode, output } of goldenFiles(`wash-${WASH.version}`).get('commands')!.steps) {
      // wash waits for ever for a component that nobody runs.
      if (command === undefined || exitCode === undefined) continue;
      const args = command.slice(1).map((each) => placeholders.fillText(each));
      const run = async () => {
        const end = await wash.run(...args);
        const said = outputOf(end, placeholders);
        return { code: end.code, said, same: end.code === exitCode && comparable(said) === comparable(output) };
      };
      let { code, said, same } = await run();
      // An update goes on after its command has ended, and a call has two seconds: such may be asked again.
      for (const endMs = performance.now() + 20_000; !same && ['get', 'call'].includes(args[0]!) && performance.now() < endMs;) {
        ({ code, said, same } = await run());
      }
      if (!same && !(name in OTHERWISE && code === exitCode)) differences.push({ name, exitCode, code, output, said });
    }
    expect(differences).toEqual([]);
    await until('the host has ended, as wash told it', async () => (await host.daemon.program.ended).code === 0);
  }, 240_000);

  it('spies on calls', async () => {
    await using server = await startServer({ jetstream: true });
    await using host = await startLatticeHost(server.url, { ...takesWords() });
    using wash = new Wash(server.port);
    await wash.json('start', 'component', `${WORDS}/speaker-one.wasm`, 'speaker');
    await wash.json('start', 'component', `${WORDS}/asker.wasm`, 'asker', '--host-id', host.id);
    await wash.json('link', 'put', 'asker', 'speaker', 'trellis-samples', 'words', '--interface', 'words');
    await using spy = wash.start('spy', 'asker', '--experimental');
    await until('wash has seen a call in and a call out', async () => {
      await wash.json('call', 'asker', ASK);
      return spy.stdout.includes('asker') && spy.stdout.includes('speaker');
    });
    expect(spy.stdout).toContain('wash');
    expect(await wash.json('call', 'speaker', SAY)).toMatchObject({ result: 'one' });
  });

  it('is stopped by `wash down`, which may take the buckets along', async () => {
    await using server = await startServer({ jetstream: true });
    await using host = await startLatticeHost(server.url);
    using wash = new Wash(server.port);
    await wash.json('config', 'put', 'words', 'word=first');
    const down = await wash.run('down', '--purge-jetstream', 'wasmcloud');
    expect(down.code, down.stderr).toBe(0);
    expect(down.json).toMatchObject({ success: true, hosts_stopped: [host.id] });
    expect((await host.daemon.program.ended).code).toBe(0);
    const nc = await connect({ servers: server.url });
    const streams = (await nc.request('$JS.API.STREAM.NAMES', '{}')).json<{ streams?: string[] }>().streams ?? [];
    await nc.close();
    expect(streams.filter((name) => name.startsWith('KV_LATTICEDATA') || name.startsWith('KV_CONFIGDATA'))).toEqual([]);
  });
});

function outputOf(end: Awaited<ReturnType<Wash['run']>>, placeholders: Placeholders): Json {
  try {
    return momentary(placeholders.hide(end.json));
  } catch {
    return placeholders.hide(end.stderr.trim());
  }
}

/**
 * The same text for the same output; an error is JSON in a text. The label of a scale stays on a Trellis host when the next one has a
 * map without any, as all of wash have.
 */
function comparable(output: Json | undefined): string {
  return textOf(output).replaceAll('{"team":"words"}', '{}');
}

function textOf(output: Json | undefined): string {
  try {
    return canonical(typeof output === 'string' ? (JSON.parse(output) as Json) : output);
  } catch {
    return canonical(output);
  }
}
