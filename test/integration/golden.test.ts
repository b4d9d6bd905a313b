import { fileURLToPath } from 'node:url';
import { connect } from 'nats';
import { describe, expect, it } from 'vitest';
import {
  type GoldenExchange,
  goldenFiles,
  type GoldenFile,
  type GoldenStep,
  isObject,
  type Json,
  Placeholders,
} from '../support/golden.ts';
import { type KnownDifference, replay, type ReplayEnd, type ReplayOptions } from '../support/golden-replay.ts';
import { LatticeRecorder } from '../support/lattice-recorder.ts';
import { startLatticeHost } from '../support/lattice-host.ts';
import { startServer } from '../support/nats-server.ts';

const COMPONENTS = fileURLToPath(new URL('../fixtures/components/words', import.meta.url));

/** wadm sends nothing else about a component before it has heard that it was scaled. */
function isScaled({ subject, request }: GoldenExchange, step: GoldenStep): boolean {
  if (!subject.includes('.component.scale.') || !isObject(request)) return true;
  return step.events.some(
    ({ data }) =>
      isObject(data) &&
      data['component_id'] === request['component_id'] &&
      (data['max_instances'] === request['count'] || data['error'] !== undefined),
  );
}

/** Plays a golden file against a Trellis host, on a server of its own. */
async function play(
  file: GoldenFile,
  known: readonly KnownDifference[],
  settled: ReplayOptions['settled'] = () => true,
): Promise<ReplayEnd> {
  await using server = await startServer({ jetstream: true });
  const placeholders = new Placeholders();
  placeholders.set('components', COMPONENTS);
  placeholders.set('nats', `nats://127.0.0.1:${server.port}`);
  await using recorder = await LatticeRecorder.start(server.url, placeholders);
  const nc = await connect({ servers: server.url });
  try {
    await using host = await startLatticeHost(server.url, { labels: { zone: 'here' } });
    placeholders.set('host', host.id);
    placeholders.set('friendly name', host.friendlyName);
    placeholders.set('version', host.version);
    return await replay(file, { nc, recorder, known, withinMs: 20_000, settled });
  } finally {
    await nc.close();
  }
}

const UPDATE_FAILED = {
  path: /^events\.component_scale_failed$/,
  event: 'component_scale_failed',
  why: 'wasmCloud 1.9.2 tells nobody that an update has failed',
};

const CONTROL: readonly KnownDifference[] = [
  { step: /^update: a file that is none$/, ...UPDATE_FAILED },
  { step: /^scale: an id that is no token$/, path: /./, why: 'an id becomes part of a subject: only tokens are taken' },
  {
    step: /^inventory (?:with limits|after it)$/,
    path: /^exchanges\[0\]\.replies\[0\]\.response\.components/,
    why: 'that component does not run; and a scale that names no limits leaves them as they are',
  },
  {
    step: /^scale: (?:a file that is none|no component|no reference|a path without scheme)$/,
    path: /^events\.component_scale_failed\[0\]\.error$/,
    why: 'the same failure in the words of Trellis',
  },
  {
    step: /^auction: (?:wanted|label fits)$/,
    path: /^exchanges\[0\]\.replies\[0\]\.response\.component_id$/,
    why: 'wasmCloud 1.9.2 says the reference where the id belongs',
  },
  {
    step: /^auction: running already$/,
    path: /^exchanges\[0\]\.replies/,
    why: 'wasmCloud 1.9.2 looks for the wrong id, and bids',
  },
  { step: /^provider auction$/, path: /^exchanges/, why: 'providers come later: this host bids for none' },
  {
    step: /^provider start: a file that is none$/,
    path: /^exchanges|^events\.provider_start_failed\[0\]\.error$/,
    why: 'providers come later: that is the answer at once',
  },
  { step: /^config: get a name that is no key$/, path: /^exchanges/, why: 'no such configuration, as for any other name' },
];

const WASH: readonly KnownDifference[] = [
  { step: /^update component asker .*nobody/, ...UPDATE_FAILED },
  {
    step: /^start component .*(?:speaker|configured)/,
    path: /^exchanges\[0\]\.replies\[0\]\.response\.component_id$/,
    why: 'wasmCloud 1.9.2 says the reference where the id belongs',
  },
  {
    step: /^start component .*(?:nobody|misconfigured)/,
    path: /^events\.component_scale_failed\[0\]\.error$/,
    why: 'the same failure in the words of Trellis',
  },
  {
    step: /^scale component .*speaker-one.wasm speaker --max-instances 7/,
    path: /^exchanges\[0\]\.replies\[0\]\.message$|^events\.component_scaled\[0\]\.image_ref$/,
    why: 'wasmCloud 1.9.2 took the reference of a scale for that of what runs',
  },
  {
    step: /./,
    path: /\.annotations\.team$/,
    why: 'wash sends a map without annotations with every scale: that leaves them as they are, as they are how wadm knows its own',
  },
  {
    step: /--allow-update/,
    path: /^events\.component_scaled\[0\]\.claims\.(?:revision|version)$/,
    why: 'wasmCloud 1.9.2 says the claims of the image that does not run yet',
  },
];

/**
 * wasmCloud 1.9.2 says after each update that it has stopped the component, which it has not, and then that a scale that came with the
 * update was to the old image. Here it is updated, and that is what is said.
 */
function corrected(file: GoldenFile): GoldenFile {
  const isStop = (data: Json): boolean => (data as Record<string, Json>)['max_instances'] === 0;
  const steps = file.steps.map((step) =>
    /^update component|--allow-update/.test(step.name)
      ? { ...step, events: step.events.filter(({ data }) => !isStop(data)) }
      : step,
  );
  return { ...file, steps };
}

const WRITES = /^wasmbus\.ctl\.v1\.[^.]+\.(?:component\.scale|link\.(?:put|del)|config\.(?:put|del))/;

/** The commands of wadm alone: what it asks in between depends on when it asks. */
function commandsOf(file: GoldenFile): GoldenFile {
  const steps = file.steps.map((step) => ({
    ...step,
    exchanges: step.exchanges.filter(({ subject }) => WRITES.test(subject)),
  }));
  return { ...file, steps };
}

describe('golden traffic, played against a Trellis host', () => {
  it.each([
    ['the control interface of wasmCloud 1.9.2', goldenFiles('wasmcloud-1.9.2').get('control')!, CONTROL],
    ['the commands of wash 0.43.0', corrected(goldenFiles('wash-0.43.0').get('commands')!), WASH],
    [
      'an application that wadm 0.21.1 deploys, scales, updates and undeploys',
      commandsOf(goldenFiles('wadm-0.21.1').get('application')!),
      [],
      isScaled,
    ],
  ] as const)('%s', async (_name, file, known, settled = () => true) => {
    const { unknown, unused } = await play(file, known, settled);
    expect(unknown).toEqual([]);
    expect(unused).toEqual([]);
  });

  it('makes the buckets with the settings that wasmCloud 1.9.2 makes them with', async () => {
    const { streams } = goldenFiles('wasmcloud-1.9.2').get('control')!;
    await using server = await startServer({ jetstream: true });
    await using host = await startLatticeHost(server.url);
    expect(host.id).toMatch(/^N/);
    const nc = await connect({ servers: server.url });
    try {
      for (const [name, golden] of Object.entries(streams!)) {
        const { config } = (await nc.request(`$JS.API.STREAM.INFO.${name}`)).json<{ config: Record<string, unknown> }>();
        // What the server adds of itself depends on its version.
        const { metadata: _ours, ...ours } = config;
        const { metadata: _theirs, ...theirs } = golden as Record<string, unknown>;
        expect(ours).toEqual(theirs);
      }
    } finally {
      await nc.close();
    }
  });
});
