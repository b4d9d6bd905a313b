// node test/interop/record.ts [control|wash|wadm|providers|http-client]…: records golden traffic of the real peers into test/fixtures/golden.
// It needs the peers (`test/interop/peers.sh`). What it writes is data; read the difference before it is committed.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect, type NatsConnection } from 'nats';
import { momentary, Placeholders, type GoldenFile, type GoldenStep, type Json } from '../support/golden.ts';
import type { GoldenCallsFile } from '../support/golden-calls.ts';
import { LatticeRecorder } from '../support/lattice-recorder.ts';
import { startServer } from '../support/nats-server.ts';
import { until } from '../support/raw-peer.ts';
import { HTTP_SERVER, missing, WASH, WASMCLOUD, WADM, type Peer } from './peer-programs.ts';
import { CONTROL_MESSAGES } from './recording/control-messages.ts';
import { recordProviderCalls } from './recording/provider-calls.ts';
import { PROVIDER_STEPS } from './recording/provider-steps.ts';
import { WASH_COMMANDS } from './recording/wash-commands.ts';
import { wordsApplication, WORDS_VERSIONS } from './recording/words-application.ts';
import { appStatus, startWadm } from './wadm.ts';
import { Wash } from './wash.ts';
import { WasmcloudHost } from './wasmcloud-host.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/', import.meta.url));
const COMPONENTS = join(FIXTURES, 'components/words');

interface Stage {
  readonly port: number;
  readonly nc: NatsConnection;
  readonly recorder: LatticeRecorder;
  readonly placeholders: Placeholders;
  readonly host: WasmcloudHost;
  readonly start: GoldenStep;
}

/** A server, a recorder and one wasmCloud host; `record` does the rest. */
async function onStage(
  record: (stage: Stage) => Promise<readonly GoldenStep[]>,
  heartbeatSeconds = 30,
): Promise<Pick<GoldenFile, 'steps' | 'server' | 'streams'>> {
  await using server = await startServer({ jetstream: true });
  const placeholders = new Placeholders();
  placeholders.set('components', COMPONENTS);
  placeholders.set('nats', `nats://127.0.0.1:${server.port}`);
  placeholders.set('version', WASMCLOUD.version);
  await using recorder = await LatticeRecorder.start(server.url, placeholders);
  const nc = await connect({ servers: server.url });
  try {
    await using host = await WasmcloudHost.start(nc, { port: server.port, labels: { zone: 'here' }, heartbeatSeconds });
    placeholders.set('host', host.id);
    placeholders.set('friendly name', host.friendlyName);
    const start = await recorder.take('a host starts');
    const streams = await streamsOf(nc);
    const steps = await record({ port: server.port, nc, recorder, placeholders, host, start });
    return { server: `nats-server ${server.version}`, streams, steps: [start, ...steps] };
  } finally {
    await nc.close();
  }
}

async function streamsOf(nc: NatsConnection): Promise<Record<string, Json>> {
  const found: Record<string, Json> = {};
  for (const name of ['KV_LATTICEDATA_default', 'KV_CONFIGDATA_default']) {
    const info = (await nc.request(`$JS.API.STREAM.INFO.${name}`)).json<{ config: Json }>();
    found[name] = info.config;
  }
  return found;
}

async function recordWash({ port, recorder, placeholders }: Stage): Promise<GoldenStep[]> {
  using wash = new Wash(port);
  const steps: GoldenStep[] = [];
  for (const command of WASH_COMMANDS) {
    const args = command.map((each) => placeholders.fillText(each));
    const startedMs = performance.now();
    const end = await wash.run(...args);
    const tookMs = Math.round(performance.now() - startedMs);
    let output: Json = end.stderr.trim();
    try {
      output = momentary(placeholders.hide(end.json));
    } catch {
      output = placeholders.hide(output);
    }
    const step = await recorder.take(command.join(' '), {
      command: ['wash', ...command],
      ...(end.code === undefined ? {} : { exitCode: end.code }),
      output,
    });
    steps.push(step);
    console.log(`${end.code} ${tookMs} ms ${step.name}`);
  }
  return steps;
}

async function recordWadm({ port, recorder }: Stage): Promise<GoldenStep[]> {
  using wash = new Wash(port);
  await using wadm = startWadm(port);
  // It knows of the lattice from the next heartbeat on.
  await until('wadm is there', async () => (await wash.run('app', 'list')).code === 0);
  await sleep(12_000);
  const steps = [await recorder.take('wadm starts')];
  const manifest = join(wash.home, 'words.json');
  for (const version of WORDS_VERSIONS) {
    writeFileSync(manifest, wordsApplication(COMPONENTS, version));
    await wash.json('app', 'put', manifest);
    await wash.json('app', 'deploy', 'words', version.version);
    await appStatus(wash, 'words', 'deployed');
    // With each heartbeat wadm looks whether all is as it should be.
    await sleep(7_000);
    steps.push(await recorder.take(`deploy ${version.version}`));
    console.log(version.version);
  }
  await wash.json('app', 'undeploy', 'words');
  await appStatus(wash, 'words', 'undeployed');
  await sleep(7_000);
  steps.push(await recorder.take('undeploy'));
  await wash.json('app', 'delete', 'words');
  steps.push(await recorder.take('delete'));
  wadm.signal('SIGINT');
  return steps;
}

async function recordControl({ nc, recorder, placeholders }: Stage): Promise<GoldenStep[]> {
  const steps: GoldenStep[] = [];
  for (const { name, subject, body, silent } of CONTROL_MESSAGES) {
    const full = `wasmbus.ctl.v1.default.${placeholders.fillText(subject)}`;
    const filled = placeholders.fill(body ?? '');
    const payload = typeof filled === 'string' ? filled : JSON.stringify(filled);
    try {
      await nc.request(full, payload, { timeout: silent === true ? 500 : 3_000 });
    } catch (error) {
      if (silent !== true) console.log(`${name}: ${String(error)}`);
    }
    steps.push(await recorder.take(name));
    console.log(name);
  }
  return steps;
}

function write(folder: string, name: string, file: GoldenFile | GoldenCallsFile): void {
  const path = join(FIXTURES, 'golden', folder, `${name}.json`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(file, undefined, 2)}\n`);
  console.log(`wrote ${path}: ${file.steps.length} steps`);
}

const label = ({ name, version }: Peer): string => `${name} ${version}`;
const answeredBy = `${label(WASMCLOUD)} (crate wasmcloud-host 0.27.1)`;

const RECORDINGS: Readonly<Record<string, () => Promise<void>>> = {
  async control() {
    const recorded = await onStage(recordControl);
    write(`wasmcloud-${WASMCLOUD.version}`, 'control', {
      driver: 'test/interop/recording/control-messages.ts',
      answeredBy,
      recordedWith: 'node test/interop/record.ts control',
      ...recorded,
    });
  },
  async wash() {
    const recorded = await onStage(recordWash);
    write(`wash-${WASH.version}`, 'commands', {
      driver: label(WASH),
      answeredBy,
      recordedWith: 'node test/interop/record.ts wash',
      ...recorded,
    });
  },
  async wadm() {
    const recorded = await onStage(recordWadm, 5);
    write(`wadm-${WADM.version}`, 'application', {
      driver: label(WADM),
      answeredBy,
      recordedWith: 'node test/interop/record.ts wadm',
      ...recorded,
    });
  },
  async providers() {
    const names = Object.keys(PROVIDER_STEPS).filter((name) => name !== 'http-client');
    write(`${HTTP_SERVER.name}-${HTTP_SERVER.version}`, 'calls', {
      driver: 'test/interop/recording/provider-steps.ts',
      answeredBy: 'the providers of test/interop/peers/providers/Cargo.toml',
      recordedWith: 'node test/interop/record.ts providers',
      ...(await recordProviderCalls('none', names)),
    });
  },
  async 'http-client'() {
    write(`wasmcloud-${WASMCLOUD.version}`, 'http-client', {
      driver: 'test/interop/recording/provider-steps.ts',
      answeredBy,
      recordedWith: 'node test/interop/record.ts http-client',
      ...(await recordProviderCalls('wasmcloud', ['http-client'])),
    });
  },
};

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(RECORDINGS);
const away = missing([WASH, WASMCLOUD, WADM, HTTP_SERVER]);
for (const peer of away) console.error(`${label(peer)} is not in ${peer.program}: run test/interop/peers.sh`);
for (const name of wanted) await RECORDINGS[name]!();
