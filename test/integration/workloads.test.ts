import { appendFileSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleFile } from '../../src/development.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { greeterChainComponent, helloComponent, switchboardComponent } from '../support/components.ts';
import { callEcho, startLoad } from '../support/daemon-lattice.ts';
import { openCall, STREAMS } from '../support/open-call.ts';
import { signComponent } from '../support/signed-component.ts';
import { TINY, until } from '../support/trust-lattice.ts';
import { type HeardEvent, startWorkloadLattice, type WorkloadHost, type WorkloadLattice } from '../support/workload-lattice.ts';

const UNBOUNDED = 4_294_967_295;
/** A custom section without content, named `x`: other bytes, the same component. */
const CUSTOM_SECTION = Uint8Array.of(0, 2, 1, 0x78);
const WADM = { 'wasmcloud.dev/managed-by': 'wadm', 'wasmcloud.dev/scaler': 'a/b-1', ' odd key ': 'ä"\\' };

let lattice: WorkloadLattice;
let host: WorkloadHost;
const refs = { first: '', second: '', board: pathToFileURL(switchboardComponent().file).href };

beforeAll(async () => {
  lattice = await startWorkloadLattice();
  for (const name of ['first', 'second'] as const) {
    const file = join(lattice.server.dir, `${name}.wasm`);
    copyFileSync(sampleFile('echo/tiny.wasm'), file);
    if (name === 'second') appendFileSync(file, CUSTOM_SECTION);
    refs[name] = pathToFileURL(file).href;
  }
  host = await lattice.host();
});
afterAll(async () => lattice[Symbol.asyncDispose]());

/** What an event says, in short. */
const short = ({ name, data }: HeardEvent): unknown[] => [name, data['image_ref'], data['max_instances'], data['annotations']];
const events = (id: string): unknown[][] => lattice.of(id).map(short);
const pidsOf = (id: string): readonly number[] => host.host.status().components.find((each) => each.id === id)?.pids ?? [];

describe('a component that the lattice scales', () => {
  it('goes through the four states of 1.x, each with the events that 1.x sends', async () => {
    const id = 'states';
    // Not running, and none wanted.
    expect(await host.scale(id, { component_ref: 'file:///nowhere.wasm', count: 0, annotations: WADM })).toEqual({
      success: true,
      message: '',
    });
    await until(() => events(id).length === 1);
    expect(events(id)).toEqual([['component_scaled', 'file:///nowhere.wasm', 0, WADM]]);
    expect(await host.inventory()).toEqual([]);

    // Not running, and some wanted: said twice.
    expect(await host.scale(id, { component_ref: refs.first, count: 3, annotations: WADM })).toEqual({
      success: true,
      message: '',
    });
    await until(() => events(id).length === 3);
    expect(events(id).slice(1)).toEqual([
      ['component_scaled', refs.first, 3, WADM],
      ['component_scaled', refs.first, 3, WADM],
    ]);
    expect(lattice.of(id)[1]).toMatchObject({ source: host.id, data: { component_id: id, host_id: host.id } });
    expect(lattice.of(id)[1]?.data).not.toHaveProperty('claims');
    expect(await host.inventory()).toEqual([
      { id, image_ref: refs.first, annotations: WADM, revision: 0, max_instances: 3, limits: null },
    ]);
    await callEcho(lattice.caller, id);
    const [pid] = pidsOf(id);

    // Running, the same once more: nothing happens, and is said.
    await host.scaled(id, { component_ref: refs.first, count: 3, annotations: { other: 'ones' } });
    expect(events(id).at(-1)).toEqual(['component_scaled', refs.first, 3, WADM]);
    expect((await host.inventory())[0]).toMatchObject({ annotations: WADM });

    // Running, another number: the event has the annotations from before, the component the new ones. Without a limit is one, too.
    await host.scaled(id, { component_ref: refs.first, count: UNBOUNDED, annotations: { other: 'ones' } });
    expect(events(id).at(-1)).toEqual(['component_scaled', refs.first, UNBOUNDED, WADM]);
    expect((await host.inventory())[0]).toMatchObject({ annotations: { other: 'ones' }, max_instances: UNBOUNDED });
    expect(pidsOf(id)).toEqual([pid]);
    // And where none are given, those that it has stay. An empty map is none, too: wash sends it of whoever gave none.
    await host.scaled(id, { component_ref: refs.first, count: 5 });
    await host.scaled(id, { component_ref: refs.first, count: 2, annotations: {} });
    expect((await host.inventory())[0]).toMatchObject({ annotations: { other: 'ones' }, max_instances: 2 });

    // Running, and none wanted: the event has what ran, whatever the request says.
    await host.scaled(id, { component_ref: 'file:///nowhere.wasm', count: 0, annotations: WADM });
    expect(events(id).at(-1)).toEqual(['component_scaled', refs.first, 0, { other: 'ones' }]);
    expect(await host.inventory()).toEqual([]);
    await expect(callEcho(lattice.caller, id)).rejects.toThrow('Nobody');
    expect(events(id)).toHaveLength(8);
  });

  it('stays with its reference when a request has another one, unless that may take its place', async () => {
    const id = 'refs';
    await host.scaled(id, { component_ref: refs.first, count: 1, annotations: WADM });
    await until(() => events(id).length === 2);
    const { message } = await host.scale(id, { component_ref: refs.second, count: 2 });
    expect(message).toContain(
      `Requested to scale existing component to a different image reference: ${refs.first} != ${refs.second}.`,
    );
    expect(message).toContain('update');
    await until(() => events(id).length === 3);
    expect(events(id).at(-1)).toEqual(['component_scaled', refs.first, 2, WADM]);
    expect((await host.inventory())[0]).toMatchObject({ image_ref: refs.first, max_instances: 2 });

    const allowed = await host.scale(id, { component_ref: refs.second, count: 4, allow_update: true, annotations: { v: '2' } });
    expect(allowed.message).toContain(`with a changed image reference: ${refs.first} != ${refs.second}`);
    await until(() => events(id).length === 5);
    expect(events(id).slice(3)).toEqual([
      ['component_scaled', refs.first, 4, WADM],
      ['component_scaled', refs.second, 4, { v: '2' }],
    ]);
    expect((await host.inventory())[0]).toMatchObject({ image_ref: refs.second, max_instances: 4, annotations: { v: '2' } });
    await callEcho(lattice.caller, id);
    await host.scaled(id, { count: 0 });
  });

  it('is updated in place, keeps its annotations, and says so once', async () => {
    const id = 'updated';
    expect(await host.update(id, refs.second)).toEqual({ success: false, message: `component ${id} not found` });
    await host.scaled(id, { component_ref: refs.first, count: 5, annotations: WADM });
    await until(() => events(id).length === 2);
    expect(await host.update(id, refs.first)).toEqual({
      success: true,
      message: `component ${id} already updated to ${refs.first}`,
    });
    expect(await host.update(id, refs.second)).toEqual({
      success: true,
      message: `component ${id} updating from ${refs.first} to ${refs.second}`,
    });
    await until(() => events(id).length === 3);
    expect(events(id).at(-1)).toEqual(['component_scaled', refs.second, 5, WADM]);
    expect((await host.inventory())[0]).toMatchObject({ image_ref: refs.second, max_instances: 5, annotations: WADM });

    // One that cannot be had changes nothing, and an event says so.
    expect((await host.update(id, 'file:///nowhere.wasm')).success).toBe(true);
    await until(() => host.logged.some(({ msg, component }) => component === id && String(msg).includes('not updated')));
    await until(() => events(id).length === 4);
    expect(events(id).at(-1)).toEqual(['component_scale_failed', 'file:///nowhere.wasm', 5, WADM]);
    expect((await host.inventory())[0]).toMatchObject({ image_ref: refs.second, annotations: WADM });
    await host.update(id, refs.first, { only: 'these' });
    await until(() => events(id).length === 5);
    expect(events(id).at(-1)).toEqual(['component_scaled', refs.first, 5, { only: 'these' }]);
    await host.scaled(id, { count: 0 });
    // Revisions that were replaced are gone, each with its process.
    await until(() => host.host.status().components.every((each) => each.id !== id));
  });

  it('says why it does not start, with the whole chain, and leaves nothing behind', async () => {
    const broken = join(lattice.server.dir, 'broken.wasm');
    writeFileSync(broken, 'no component');
    const failed = async (id: string, asked: Parameters<WorkloadHost['scaled']>[1]): Promise<string> => {
      const event = await host.scaled(id, { annotations: WADM, ...asked });
      expect(event).toMatchObject({
        name: 'component_scale_failed',
        data: { component_id: id, host_id: host.id, image_ref: asked.component_ref, max_instances: 2, annotations: WADM },
      });
      expect((await host.inventory()).filter((each) => each['id'] === id)).toEqual([]);
      return String(event.data['error']);
    };
    const asked = { component_ref: refs.first, count: 2 };
    expect(await failed('f1', { ...asked, component_ref: 'file:///nowhere.wasm' })).toContain('does not exist');
    expect(await failed('f2', { ...asked, component_ref: pathToFileURL(broken).href })).toContain('f2');
    expect(await failed('f3', { ...asked, config: ['nosuch'] })).toContain('nosuch');
    expect(await failed('f4', { ...asked, config: ['SECRET_key'] })).toMatch(
      /^secret store not configured, could not fetch secrets\. To fix it: /,
    );
    expect(await failed('f5', { ...asked, component_ref: '' })).not.toBe('');
    // Each left the delegation again.
    expect(host.host.member?.delegation.held.claims.tgt).not.toMatch(/f\d/);
  });

  it('is known by the claims in it: its name, its revision, and who signed it', async () => {
    const id = 'signed';
    const account = SigningKey.generate('account');
    const file = join(lattice.server.dir, 'signed.wasm');
    const wascap = { name: 'Tiny One', rev: 7, ver: '1.2.3', tags: ['a', 'b'], call_alias: 'tiny' };
    writeFileSync(file, signComponent(readFileSync(sampleFile('echo/tiny.wasm')), { account, wascap }));
    const ref = pathToFileURL(file).href;
    const event = await host.scaled(id, { component_ref: ref, count: 1 });
    expect(event.data).toMatchObject({
      public_key: expect.stringMatching(/^M[A-Z2-7]{55}$/),
      claims: {
        call_alias: 'tiny',
        issuer: account.publicKey,
        name: 'Tiny One',
        revision: 7,
        version: '1.2.3',
        tags: ['a', 'b'],
        not_before_human: 'never',
        expires_human: 'never',
      },
    });
    expect((await host.inventory())[0]).toMatchObject({ name: 'Tiny One', revision: 7 });
    const { response } = await lattice.client.ask('claims.get');
    expect(response).toContainEqual(
      expect.objectContaining({ sub: event.data['public_key'], name: 'Tiny One', rev: '7', tags: 'a,b' }),
    );
    // The lattice has its entry, with the reference as it was asked for.
    const spec = await lattice.client.nc.request(
      '$JS.API.DIRECT.GET.KV_LATTICEDATA_default.$KV.LATTICEDATA_default.COMPONENT_signed',
    );
    expect(spec.json()).toEqual({ url: ref, links: [] });
    // An event of one that stops says whose it was; the next revision has claims of its own.
    await host.update(id, refs.first);
    await until(() => lattice.of(id).at(-1)?.data['image_ref'] === refs.first);
    expect(lattice.of(id).at(-1)?.data).not.toHaveProperty('claims');
    expect((await host.inventory())[0]).toMatchObject({ revision: 0 });

    const broken = readFileSync(file);
    broken[broken.length - 1]! ^= 1;
    writeFileSync(file, broken);
    await host.update(id, ref);
    await until(() => host.logged.some(({ code, component }) => code === 'TRELLIS_CLAIMS_INVALID' && component === id));
    // Its event comes behind the line of the log, and is not one of the next request.
    await until(() => lattice.of(id).at(-1)?.name === 'component_scale_failed');
    await host.scaled(id, { count: 0 });
    const refused = await host.scaled(id, { component_ref: ref, count: 1 });
    expect(refused).toMatchObject({ name: 'component_scale_failed', data: { image_ref: ref } });
  });

  it('has the memory and the time that a request limits it to, but no more than the host gives', async () => {
    const id = 'limited';
    const limits = { max_memory_limit: String(4 * 1024 * 1024), max_execution_time: '2' };
    await host.scaled(id, { component_ref: refs.first, count: 1, component_limits: limits });
    expect((await host.inventory())[0]).toMatchObject({ limits });
    const [pid] = pidsOf(id);
    // The same limits with another number need no other process, other limits do.
    await host.scaled(id, { component_ref: refs.first, count: 2, component_limits: limits });
    expect(pidsOf(id)).toEqual([pid]);
    const other = { max_memory_limit: String(8 * 1024 * 1024) };
    await host.scaled(id, { component_ref: refs.first, count: 3, component_limits: other });
    await until(() => pidsOf(id).length === 1 && !pidsOf(id).includes(pid!));
    expect((await host.inventory())[0]).toMatchObject({ limits: other, max_instances: 3 });
    await callEcho(lattice.caller, id);
    // What cannot be read is as if absent, and reported as it came.
    await host.scaled(id, { component_ref: refs.first, count: 4, component_limits: { max_memory_limit: 'much' } });
    expect((await host.inventory())[0]).toMatchObject({ limits: { max_memory_limit: 'much' } });
    await host.scaled(id, { count: 0 });
  });

  it('reads its configurations merged, as they are now, and other ones without a restart', async () => {
    const id = 'board';
    const put = (name: string, values: object): Promise<unknown> => lattice.client.ask(`config.put.${name}`, values);
    const settings = async (): Promise<unknown> => {
      const answer = await lattice.call(id, 'settings');
      return Object.fromEntries((answer.json as [string, string][]).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    };
    await put('base', { a: '1', b: '1' });
    await put('over', { b: '2', c: '2' });
    await host.scaled(id, { component_ref: refs.board, count: 1, config: ['base', 'over'] });
    expect(await settings()).toEqual({ a: '1', b: '2', c: '2' });
    const [pid] = pidsOf(id);
    await put('over', { b: '3' });
    await until(async () => JSON.stringify(await settings()) === '{"a":"1","b":"3"}');
    // Another order is another list; the number stays.
    await host.scaled(id, { component_ref: refs.board, count: 1, config: ['over', 'base'] });
    expect(await settings()).toEqual({ a: '1', b: '1' });
    await host.scaled(id, { component_ref: refs.board, count: 1, config: ['base', 'nosuch'] });
    expect(lattice.of(id).at(-1)).toMatchObject({
      name: 'component_scale_failed',
      data: { error: expect.stringContaining('nosuch') },
    });
    expect(await settings()).toEqual({ a: '1', b: '1' });
    await put('base', { a: '9' });
    await until(async () => JSON.stringify(await settings()) === '{"a":"9","b":"3"}');
    // Who says nothing of them leaves them as they are; who says that there are none takes them away.
    await host.scaled(id, { component_ref: refs.board, count: 2 });
    expect(await settings()).toEqual({ a: '9', b: '3' });
    await host.scaled(id, { component_ref: refs.board, count: 2, config: [] });
    expect(await settings()).toEqual({});
    expect(pidsOf(id)).toEqual([pid]);
    await host.scaled(id, { count: 0 });
  });

  it('does last what was asked last, and each request has its end', async () => {
    const id = 'raced';
    const counts = Array.from({ length: 40 }, (_, at) => [3, 0, 1, UNBOUNDED, 7][at % 5]!);
    const answers = await Promise.all(counts.map((count) => host.scale(id, { component_ref: refs.first, count })));
    expect(answers.every(({ success }) => success)).toBe(true);
    const scaled = (): HeardEvent[] => lattice.of(id);
    // Those that found nothing running say so twice.
    const fresh = counts.filter((count, at) => count > 0 && (at === 0 || counts[at - 1] === 0)).length;
    await until(() => scaled().length === counts.length + fresh, 200_000);
    expect(scaled().every(({ name }) => name === 'component_scaled')).toBe(true);
    const said = scaled().map(({ data }) => data['max_instances']);
    expect(said).toEqual(
      counts.flatMap((count, at) => (count > 0 && (at === 0 || counts[at - 1] === 0) ? [count, count] : [count])),
    );
    expect((await host.inventory()).find((each) => each['id'] === id)).toMatchObject({ max_instances: counts.at(-1) });
    await callEcho(lattice.caller, id);
    await host.scaled(id, { count: 0 });
  });

  it('answers, and lives, while many start', async () => {
    const ids = Array.from({ length: 8 }, (_, at) => `many-${at}`);
    const answers = Promise.all(ids.map((id) => host.scale(id, { component_ref: refs.first, count: 1 })));
    expect((await answers).every(({ success }) => success)).toBe(true);
    do await host.inventory();
    while (!ids.every((id) => lattice.of(id).length > 0));
    expect(
      lattice.events
        .filter(({ name }) => name === 'component_scale_failed')
        .every(({ data }) => !ids.includes(String(data['component_id']))),
    ).toBe(true);
    await Promise.all(ids.map((id) => callEcho(lattice.caller, id)));
    await Promise.all(ids.map((id) => host.scaled(id, { count: 0 })));
    await until(() => host.host.status().components.length === 0);
    await until(() => host.host.member?.delegation.held.claims.tgt === '');
  });
});

describe('calls while the lattice scales', () => {
  it('are none of them lost: 4 updates, and 20 changes of the number', async () => {
    const id = 'loaded';
    await host.scaled(id, { component_ref: refs.first, count: 8, annotations: WADM });
    await using load = startLoad(lattice.caller, 300, { target: id });
    await until(() => load.ok > 100);
    for (const ref of [refs.second, refs.first, refs.second, refs.first]) {
      const heard = events(id).length;
      await host.update(id, ref);
      await until(() => events(id).length > heard);
      const from = load.ok;
      await until(() => load.ok > from + 250);
    }
    const [pid] = pidsOf(id);
    for (let at = 0; at < 20; at++) {
      await host.scaled(id, { component_ref: refs.first, count: [1, 16, UNBOUNDED, 2][at % 4]! });
      const from = load.ok;
      await until(() => load.ok > from + 50);
    }
    await load.stop();
    expect([...load.failures]).toEqual([]);
    expect(load.ok).toBeGreaterThan(2_000);
    expect(pidsOf(id)).toEqual([pid]);
    process.stdout.write(`${load.ok} of ${load.sent} calls answered, the slowest in ${Math.round(load.worstMs)} ms\n`);
    await host.scaled(id, { count: 0 });
  });

  it('of one component are not touched by others that start and stop, each of which changes the delegation', async () => {
    await host.scaled('calm', { component_ref: refs.first, count: 8 });
    await using load = startLoad(lattice.caller, 200, { target: 'calm' });
    await until(() => load.ok > 50);
    for (let at = 0; at < 3; at++) {
      const ids = [`noise-${at}-a`, `noise-${at}-b`];
      const started = await Promise.all(ids.map((id) => host.scaled(id, { component_ref: refs.first, count: 1 })));
      for (const event of started) expect(event).toMatchObject({ name: 'component_scaled' });
      await Promise.all(ids.map((id) => callEcho(lattice.caller, id)));
      await Promise.all(ids.map((id) => host.scaled(id, { count: 0 })));
    }
    await until(() => host.host.member?.delegation.held.claims.tgt === 'calm');
    const from = load.ok;
    await until(() => load.ok > from + 100);
    await load.stop();
    expect([...load.failures]).toEqual([]);
    await host.scaled('calm', { count: 0 });
  });

  it('end in peace when their component stops or another revision takes its place', async () => {
    const { id, file } = STREAMS;
    const streams = join(lattice.server.dir, 'streams.wasm');
    copyFileSync(String(file), streams);
    const [ref, next] = [pathToFileURL(String(file)).href, pathToFileURL(streams).href];
    await host.scaled(id, { component_ref: ref, count: 2 });
    const inFlight = (): number => host.host.status().inFlight;
    const begin = async (): Promise<ReturnType<typeof openCall>> => {
      const before = inFlight();
      const call = openCall(lattice.caller);
      await until(() => inFlight() > before);
      return call;
    };
    const first = await begin();
    await host.update(id, next);
    await until(() => lattice.of(id).at(-1)?.data['image_ref'] === next);
    const second = await begin();
    await host.scaled(id, { count: 0 });
    // Nobody is there for what comes now, and what had begun goes on: each on the revision that it began on.
    expect(await openCall(lattice.caller, 5_000).result).toBe('TRELLIS_INVOKE_NO_RESPONDERS');
    for (const call of [first, second]) {
      call.feed();
      call.feed();
      call.finish();
      expect(await call.result).toBe(6);
    }
    await until(() => host.host.status().components.every((each) => each.id !== id));
  });
});

describe('two hosts that the lattice gives the same component', () => {
  it('share its calls, and each can be left with it alone', async () => {
    const id = 'shared';
    const other = await lattice.host();
    await Promise.all([
      host.scaled(id, { component_ref: refs.first, count: 4 }),
      other.scaled(id, { component_ref: refs.first, count: 4 }),
    ]);
    const runs = (which: WorkloadHost): number => which.host.status().components.find((each) => each.id === id)?.calls ?? 0;
    await using load = startLoad(lattice.caller, 200, { target: id });
    await until(() => runs(host) > 20 && runs(other) > 20);
    await host.scaled(id, { count: 0 });
    const from = load.ok;
    await until(() => load.ok > from + 100);
    await other.update(id, refs.second);
    await until(() => lattice.of(id).some(({ source, data }) => source === other.id && data['image_ref'] === refs.second));
    await host.scaled(id, { component_ref: refs.second, count: 4 });
    await other.stop();
    const later = load.ok;
    await until(() => load.ok > later + 100);
    await load.stop();
    expect([...load.failures]).toEqual([]);
    expect(lattice.events.filter(({ name, source }) => name === 'host_stopped' && source === other.id)).toHaveLength(1);
    // A host that stops says only that: its components are gone with it, as in 1.x.
    expect(lattice.of(id).filter(({ source, data }) => source === other.id && data['max_instances'] === 0)).toEqual([]);
    await host.scaled(id, { count: 0 });
  });
});

describe('components that the lattice links', () => {
  it('call each other as soon as there is a link, and their host stops callers first', async () => {
    const other = await lattice.host();
    const [chain, hello] = [greeterChainComponent(), helloComponent()].map(({ file }) => pathToFileURL(file).href) as [
      string,
      string,
    ];
    await other.scaled('chain', { component_ref: chain, count: 8 });
    await other.scaled('greeted', { component_ref: hello, count: 8 });
    const greet = (): Promise<unknown> => lattice.call('chain', 'greet-all', ['Ada', 'Bo']).then(({ json }) => json);
    await expect(greet()).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_TRAP' });
    const link = {
      source_id: 'chain',
      target: 'greeted',
      name: 'default',
      wit_namespace: 'trellis-samples',
      wit_package: 'hello',
    };
    expect(await lattice.client.ask('link.put', { ...link, interfaces: ['greeting'] })).toMatchObject({ success: true });
    await greet();

    // Nobody else serves either: whoever is in the middle of a call still finds whom he calls.
    const outcomes: string[] = [];
    let open = 0;
    const calling = setInterval(() => {
      if (open >= 30) return;
      open += 1;
      void greet()
        .then(
          () => 'ok',
          (error: unknown) => String(error),
        )
        .then((outcome) => {
          open -= 1;
          outcomes.push(outcome);
        });
    }, 5);
    await until(() => outcomes.filter((each) => each === 'ok').length > 50);
    await lattice.client.ask(`host.stop.${other.id}`);
    await until(() => outcomes.at(-1) !== 'ok');
    clearInterval(calling);
    await until(() => open === 0);
    expect(outcomes.filter((each) => each !== 'ok' && !/Nobody|no host of lattice/.test(each))).toEqual([]);
    await lattice.client.ask('link.del', {
      source_id: 'chain',
      name: 'default',
      wit_namespace: 'trellis-samples',
      wit_package: 'hello',
    });
  });
});

describe('components of the configuration', () => {
  it('are in the inventory, can be stopped and come back as they were configured, and get no other program from outside', async () => {
    const own = await lattice.host({
      components: [{ ...TINY, id: 'own', env: { A: 'b' } }],
      allow: [],
      labels: { zone: 'x' },
    });
    const image_ref = pathToFileURL(sampleFile('echo/tiny.wasm')).href;
    expect(await own.inventory()).toEqual([
      { id: 'own', image_ref, annotations: {}, revision: 0, max_instances: 4, limits: null },
    ]);
    await own.scaled('own', { component_ref: image_ref, count: 9 });
    expect((await own.inventory())[0]).toMatchObject({ max_instances: 9 });
    expect(await own.update('own', refs.second)).toMatchObject({
      success: false,
      message: expect.stringContaining('configuration'),
    });
    await own.scale('own', { component_ref: refs.second, count: 9, allow_update: true });
    await until(() => lattice.of('own').some(({ name }) => name === 'component_scale_failed'));
    expect((await own.inventory())[0]).toMatchObject({ image_ref });
    await own.scaled('own', { count: 0 });
    expect(await own.inventory()).toEqual([]);
    await own.scaled('own', { component_ref: image_ref, count: 2 });
    await callEcho(lattice.caller, 'own');
    expect((await own.inventory())[0]).toMatchObject({ image_ref, max_instances: 2 });
  });
});

describe('a lattice without JetStream', () => {
  it('has components started and calls answered, and remembers what runs once JetStream is there', async () => {
    await using bare = await startWorkloadLattice({ jetstream: false });
    const host = await bare.host();
    const id = 'early';
    const event = await host.scaled(id, { component_ref: refs.first, count: 2, annotations: WADM });
    expect(event.name).toBe('component_scaled');
    await callEcho(bare.caller, id);
    const refused = await host.scaled('early-config', { component_ref: refs.board, count: 1, config: ['some'] });
    expect(refused.name).toBe('component_scale_failed');
    const { pids } = host.host.status().components[0]!;

    await bare.server.restartWith(`jetstream { store_dir: ${JSON.stringify(join(bare.server.dir, 'later'))} }`);
    // The entry is written without anybody asking for it.
    const subject = `$JS.API.DIRECT.GET.KV_LATTICEDATA_default.$KV.LATTICEDATA_default.COMPONENT_${id}`;
    await until(async () => {
      const answer = await bare.client.nc.request(subject, '', { timeout: 1_000 }).catch(() => undefined);
      return answer?.string().includes(refs.first) === true;
    }, 60_000);
    await until(() =>
      callEcho(bare.caller, id, 2_000).then(
        () => true,
        () => false,
      ),
    );
    expect(host.host.status().components[0]!.pids).toEqual(pids);
    expect((await host.inventory())[0]).toMatchObject({ id, annotations: WADM });
    // And gone again: what runs goes on, and says so.
    await bare.server.restartWith('');
    await until(() =>
      callEcho(bare.caller, id, 2_000).then(
        () => true,
        () => false,
      ),
    );
    await until(() =>
      host.inventory().then(
        () => true,
        () => false,
      ),
    );
    expect(host.host.status().components[0]!.pids).toEqual(pids);
    expect((await host.scaled(id, { component_ref: refs.first, count: 5 })).data['max_instances']).toBe(5);
    expect((await host.scaled(id, { count: 0 })).data['max_instances']).toBe(0);
  });
});
