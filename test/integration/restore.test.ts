import { execFileSync } from 'node:child_process';
import { appendFileSync, copyFileSync, existsSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { headers } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Caller } from '../../src/caller.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { sampleFile } from '../../src/development.ts';
import { openDesiredStateFile } from '../../src/state-dir.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { CACHE_DIR } from '../support/cache-dir.ts';
import { switchboardComponent } from '../support/components.ts';
import { RawControlClient } from '../support/control-host.ts';
import { callEcho, type RunningDaemon, startDaemon, startLoad, writeConfig } from '../support/daemon-lattice.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { openCall, STREAMS } from '../support/open-call.ts';
import { memberConfig, seedFile, startTrustCaller, TINY, until } from '../support/trust-lattice.ts';

type Heard = Awaited<ReturnType<RawControlClient['events']>>;

let server: TestServer;
let client: RawControlClient;
let events: Heard;
let caller: Caller;
let clusterSeedFile: string;
const refs = { first: '', second: '', board: pathToFileURL(switchboardComponent().file).href };

beforeAll(async () => {
  server = await startServer({ jetstream: true });
  client = await RawControlClient.connect(server.url, 'wasmbus.ctl.v1.default');
  events = await client.events('default');
  clusterSeedFile = seedFile(server.dir, 'cluster', SigningKey.generate('cluster'));
  caller = await startTrustCaller(memberConfig(server.url, { trust: { clusterSeedFile } }));
  for (const name of ['first', 'second'] as const) {
    const file = join(server.dir, `${name}.wasm`);
    copyFileSync(sampleFile('echo/tiny.wasm'), file);
    // A custom section without content: other bytes, the same component.
    if (name === 'second') appendFileSync(file, Uint8Array.of(0, 2, 1, 0x78));
    refs[name] = pathToFileURL(file).href;
  }
});
afterAll(async () => {
  await caller[Symbol.asyncDispose]();
  await client[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

/** Settings of a daemon with an identity that lasts. */
function settings(name: string, more: HostConfigInput = {}): HostConfigInput {
  const seed = join(server.dir, `${name}.seed`);
  return {
    dev: true,
    ctl: { servers: [server.url] },
    rpc: { servers: [server.url] },
    cacheDir: CACHE_DIR,
    stateDir: join(server.dir, `state-${name}`),
    hostSeedFile: existsSync(seed) ? seed : seedFile(server.dir, name, SigningKey.generate('server')),
    restore: true,
    artifacts: { allowFiles: true },
    trust: { clusterSeedFile, unlinkedOrigins: ['caller'] },
    ...more,
  };
}

function start(name: string, more?: HostConfigInput): Promise<RunningDaemon> {
  const file = join(server.dir, `${name}.yaml`);
  writeConfig(file, settings(name, more));
  return startDaemon(name, file);
}

const idOf = ({ program }: RunningDaemon): string => String(program.logLines().find(({ msg }) => msg === 'ready')?.['host']);
const eventsOf = (id: string): Heard => events.filter(({ data }) => data['component_id'] === id);

async function inventory(host: RunningDaemon): Promise<Record<string, unknown>[]> {
  const { response } = await client.ask(`host.get.${idOf(host)}`);
  return (response as { components: Record<string, unknown>[] }).components;
}

/** Scales, and resolves with the event. */
async function scaled(host: RunningDaemon, component_id: string, asked: object): Promise<Heard[number]> {
  const before = eventsOf(component_id).length;
  expect(await client.ask(`component.scale.${idOf(host)}`, { component_id, host_id: idOf(host), ...asked })).toMatchObject({
    success: true,
  });
  await until(() => eventsOf(component_id).length > before);
  return eventsOf(component_id)[before]!;
}

const runnersOf = ({ program }: RunningDaemon): number[] =>
  execFileSync('ps', ['-o', 'pid=', '--ppid', String(program.pid)], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(Number);
const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`).length > 0;

async function purge(subject: string): Promise<void> {
  const marks = headers();
  marks.set('KV-Operation', 'PURGE');
  marks.set('Nats-Rollup', 'sub');
  await client.nc.request(subject, '', { headers: marks, timeout: 5_000 });
}

/** Ends a host as no host wants to end, and sees that nothing of it is left. */
async function kill(host: RunningDaemon): Promise<void> {
  const runners = runnersOf(host);
  expect(runners.length).toBeGreaterThan(0);
  host.program.signal('SIGKILL');
  await host.program.ended;
  await until(() => runners.every((pid) => !isAlive(pid)));
}

describe.runIf(process.platform === 'linux')('a host that is killed', () => {
  it('LIF-04 runs again what it ran, as it ran it, and nothing that had been stopped', async () => {
    const host = await start('again');
    await client.ask('config.put.again-config', { greeting: 'hello' });
    const annotations = { 'wasmcloud.dev/managed-by': 'wadm', 'wasmcloud.dev/scaler': 's-1' };
    const component_limits = { max_memory_limit: '8388608' };
    await scaled(host, 'again-a', { component_ref: refs.first, count: 3, annotations, component_limits });
    await scaled(host, 'again-b', { component_ref: refs.first, count: 4_294_967_295 });
    await client.ask(`component.update.${idOf(host)}`, {
      host_id: '',
      component_id: 'again-b',
      new_component_ref: refs.second,
      annotations,
    });
    await until(() => eventsOf('again-b').some(({ data }) => data['image_ref'] === refs.second));
    await scaled(host, 'again-board', { component_ref: refs.board, count: 1, config: ['again-config'] });
    await scaled(host, 'again-gone', { component_ref: refs.first, count: 1 });
    await scaled(host, 'again-gone', { component_ref: refs.first, count: 0 });
    // The start before it has two events: its second is not that of the stop.
    await until(() => eventsOf('again-gone').some(({ data }) => data['max_instances'] === 0));
    const before = await inventory(host);
    expect(before.map(({ id }) => id)).toEqual(['again-a', 'again-b', 'again-board']);
    await kill(host);
    const heard = events.length;

    await using back = await start('again');
    expect(idOf(back)).toBe(idOf(host));
    expect(await inventory(back)).toEqual(before);
    for (const id of ['again-a', 'again-b']) await callEcho(caller, id);
    // All of that was there before the host said that it is.
    const said = events.slice(heard).filter(({ name }) => name === 'host_started' || name === 'component_scaled');
    expect(said.at(-1)?.name).toBe('host_started');
    expect(said.filter(({ data }) => data['component_id'] === 'again-a')).toHaveLength(2);
    // What is changed from now on is kept like everything before.
    await scaled(back, 'again-a', { component_ref: refs.first, count: 9 });
    await kill(back);
    await using third = await start('again');
    expect((await inventory(third))[0]).toMatchObject({ id: 'again-a', max_instances: 9, annotations });
    expect(await inventory(third)).toHaveLength(3);
  });

  it('LIF-04 says and leaves out what the lattice has lost meanwhile, and starts the rest', async () => {
    const host = await start('lost');
    for (const name of ['lost-config', 'kept-config']) await client.ask(`config.put.${name}`, { a: name });
    await scaled(host, 'lost-a', { component_ref: refs.first, count: 1 });
    await scaled(host, 'lost-b', { component_ref: refs.first, count: 1 });
    await scaled(host, 'lost-c', { component_ref: refs.board, count: 1, config: ['lost-config'] });
    await scaled(host, 'lost-d', { component_ref: refs.board, count: 1, config: ['kept-config'] });
    await kill(host);
    // As who tidies up does it: there is no host to ask.
    await purge('$KV.LATTICEDATA_default.COMPONENT_lost-b');
    await purge('$KV.CONFIGDATA_default.lost-config');
    await using back = await start('lost');
    expect((await inventory(back)).map(({ id }) => id)).toEqual(['lost-a', 'lost-d']);
    const said = back.program.logLines().map(({ component, msg }) => `${String(component)}: ${String(msg)}`);
    expect(said).toContainEqual(expect.stringMatching(/^lost-b: .*does not know it any more/));
    expect(said).toContainEqual(expect.stringMatching(/^lost-c: .*lost-config does not exist/));
    await kill(back);
    // Neither is tried again.
    await using third = await start('lost');
    expect((await inventory(third)).map(({ id }) => id)).toEqual(['lost-a', 'lost-d']);
    expect(third.program.stderr).not.toContain('lost-b');
  });

  it('starts with its configuration alone without the flag, or when what it kept is damaged; of a component in both, the configuration counts', async () => {
    const own = [{ ...TINY, id: 'plain-own' }];
    const host = await start('plain', { components: own });
    await scaled(host, 'plain-a', { component_ref: refs.first, count: 1 });
    await scaled(host, 'plain-b', { component_ref: refs.first, count: 1 });
    await scaled(host, 'plain-own', { component_ref: pathToFileURL(String(TINY.file)).href, count: 0 });
    await kill(host);
    {
      await using bare = await start('plain', { components: own, restore: false });
      expect((await inventory(bare)).map(({ id }) => id)).toEqual(['plain-own']);
    }
    // What it had been told to run before that is still there.
    const both = await start('plain', { components: [...own, { ...TINY, id: 'plain-b' }] });
    expect((await inventory(both)).map(({ id, image_ref }) => [id, image_ref])).toEqual([
      ['plain-a', refs.first],
      ['plain-b', pathToFileURL(String(TINY.file)).href],
      ['plain-own', pathToFileURL(String(TINY.file)).href],
    ]);
    await kill(both);
    const file = join(server.dir, 'state-plain', `workloads-default-${idOf(both)}.json`);
    expect(readFileSync(file, 'utf8')).toContain('plain-a');
    const cut = readFileSync(file, 'utf8').slice(0, -20);
    writeFileSync(file, cut);
    await using damaged = await start('plain', { components: own });
    expect((await inventory(damaged)).map(({ id }) => id)).toEqual(['plain-own']);
    const line = await damaged.program.logLine(({ code }) => code === 'TRELLIS_RESTORE_DAMAGED');
    expect(line['keptAs']).toBe(`${file}.damaged`);
    // What is kept from now on does not take the place of what somebody wants to look into.
    await scaled(damaged, 'plain-a', { component_ref: refs.first, count: 1 });
    expect(readFileSync(file, 'utf8')).toContain('plain-a');
    expect(readFileSync(`${file}.damaged`, 'utf8')).toBe(cut);
  });

  it('reads nothing but a file of such a size that it can have written it', () => {
    const dir = join(server.dir, 'state-odd');
    const file = openDesiredStateFile(dir, 'default', undefined);
    expect(file.load()).toBeUndefined();
    // Somebody would have to write to it first.
    execFileSync('mkfifo', [file.path]);
    expect(file.load()).toBe('damaged');
    expect(file.setAside()).toBe(`${file.path}.damaged`);
    writeFileSync(file.path, '');
    truncateSync(file.path, 65 * 1024 * 1024);
    expect(file.load()).toBe('damaged');
  });

  it('tries what cannot be started now until it runs', async () => {
    const host = await start('later');
    const [file, elsewhere] = ['away.wasm', 'elsewhere.wasm'].map((name) => join(server.dir, name)) as [string, string];
    copyFileSync(sampleFile('echo/tiny.wasm'), file);
    await client.ask('config.put.away-config', { a: 'b' });
    await scaled(host, 'away-a', { component_ref: pathToFileURL(file).href, count: 1 });
    await scaled(host, 'away-b', { component_ref: refs.board, count: 1, config: ['away-config'] });
    await kill(host);
    renameSync(file, elsewhere);
    await using back = await start('later');
    expect((await inventory(back)).map(({ id }) => id)).toEqual(['away-b']);
    expect(eventsOf('away-a').at(-1)?.name).toBe('component_scale_failed');
    renameSync(elsewhere, file);
    // It is tried until it runs.
    await until(() => eventsOf('away-a').at(-1)?.name === 'component_scaled');
    await callEcho(caller, 'away-a');
  });
});

describe('a host that reads its configuration again', () => {
  it('goes on running what the lattice started, and takes over its labels', async () => {
    await using host = await start('reads', { components: [{ ...TINY, id: 'reads-own' }] });
    await scaled(host, 'reads-a', { component_ref: refs.first, count: 2 });
    await scaled(host, 'reads-own', { component_ref: pathToFileURL(String(TINY.file)).href, count: 0 });
    await using load = startLoad(caller, 100, { target: 'reads-a' });
    await until(() => load.ok > 20);
    writeConfig(
      host.configFile,
      settings('reads', {
        components: [
          { ...TINY, id: 'reads-own' },
          { ...TINY, id: 'reads-new' },
        ],
        labels: { zone: 'b' },
      }),
    );
    host.program.signal('SIGHUP');
    await host.program.logLine(({ msg }) => msg === 'configuration applied', 60_000);
    await until(() =>
      events.some(({ name, data }) => name === 'labels_changed' && (data['labels'] as Record<string, string>)['zone'] === 'b'),
    );
    // What the lattice stopped stays stopped: the configuration says nothing new of it.
    expect((await inventory(host)).map(({ id }) => id)).toEqual(['reads-a', 'reads-new']);
    const from = load.ok;
    await until(() => load.ok > from + 50);
    // It says something new.
    writeConfig(host.configFile, settings('reads', { components: [{ ...TINY, id: 'reads-own', maxInstances: 2 }] }));
    host.program.signal('SIGHUP');
    await until(() => host.program.logLines().filter(({ msg }) => msg === 'configuration applied').length === 2);
    expect((await inventory(host)).map(({ id }) => id)).toEqual(['reads-a', 'reads-own']);
    await load.stop();
    expect([...load.failures]).toEqual([]);
  });
});

describe('host.stop', () => {
  it('ends the process in order: what runs is finished, in the time that the request gives, and the code is 0', async () => {
    await using host = await start('ends', { components: [STREAMS], drainTimeoutMs: 1, restore: false });
    const id = idOf(host);
    const stream = openCall(caller);
    await until(async () => (await host.metric('trellis_in_flight')) === 1);
    expect(await client.ask(`host.stop.${id}`, { host_id: id, timeout: 60_000 })).toMatchObject({
      success: true,
      message: 'successfully handled stop host',
    });
    await until(() => events.some(({ name, source }) => name === 'host_stopped' && source === id));
    stream.feed();
    stream.finish();
    expect(await stream.result).toBe(3);
    const end = await host.program.ended;
    expect([end.code, end.signal]).toEqual([0, undefined]);
    expect(events.filter(({ name, source }) => name === 'host_stopped' && source === id)).toHaveLength(1);
  });

  it('waits no longer than that', async () => {
    await using host = await start('hurried', { components: [STREAMS], drainTimeoutMs: 600_000, restore: false });
    const stream = openCall(caller);
    await until(async () => (await host.metric('trellis_in_flight')) === 1);
    await client.ask(`host.stop.${idOf(host)}`, { timeout: 100 });
    expect((await host.program.ended).code).toBe(0);
    expect(await stream.result).toMatch(/^TRELLIS_/);
  });
});
