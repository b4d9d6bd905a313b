import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { loadArtifact } from '../../src/component/artifact.ts';
import { preflight } from '../../src/component/preflight.ts';
import type { Preflight } from '../../src/component/preflight.ts';
import { createWasi } from '../../src/component/runner/wasi/wasi.ts';
import type { WasiOptions } from '../../src/component/runner/wasi/wasi.ts';
import { GuestExit } from '../../src/component/runner/wasi/wit-error.ts';
import { jcoVersion } from '../../src/component/translating-process.ts';
import { transpileComponent } from '../../src/component/transpile.ts';
import type { TranspiledComponent } from '../../src/component/transpile.ts';
import { componentOf, coreModule } from '../support/component-binary.ts';
import { echoComponent, echoStreamsComponent, greeterChainComponent, helloComponent } from '../support/components.ts';
import type { SampleComponent } from '../support/components.ts';
import { loadTranspiled } from '../support/transpiled.ts';

const MIB = 1_048_576;
let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'trellis-transpile-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A cache folder of its own. */
const freshCache = (): string => join(mkdtempSync(join(scratch, 'case-')), 'cache');

const options = (cacheDir: string, more: Partial<{ maxMemoryBytes: number; timeoutMs: number }> = {}) => ({
  cacheDir,
  limits: { maxMemoryBytes: more.maxMemoryBytes ?? 64 * MIB },
  timeoutMs: more.timeoutMs ?? 30_000,
});

async function prepare(
  sample: SampleComponent,
  cacheDir = freshCache(),
): Promise<{ checked: Preflight; transpiled: TranspiledComponent }> {
  const { bytes } = await loadArtifact(sample.file, { maxBytes: 64 * MIB });
  const checked = preflight(bytes, { maxBytes: 64 * MIB });
  return { checked, transpiled: await transpileComponent(bytes, checked, options(cacheDir)) };
}

describe('translating', () => {
  it('makes code without suspension for a component that never waits', async () => {
    const { checked, transpiled } = await prepare(echoComponent());
    expect(transpiled).toMatchObject({ asyncMode: 'sync', entry: 'c.js', digest: checked.digest, imports: [], cached: false });
    const instance = await (await loadTranspiled(transpiled))({});
    const values = instance['trellis-samples:echo/values@0.1.0']!;
    expect(values.echoBytes!(Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2));
    expect(values.echoU64!(2n ** 64n - 1n)).toBe(2n ** 64n - 1n);
  });

  it('makes code with suspension for links, keeps the version in the import name', async () => {
    const { checked, transpiled } = await prepare(greeterChainComponent());
    expect(transpiled.asyncMode).toBe('jspi');
    expect(checked.links).toEqual(['trellis-samples:hello/greeting@0.1.0']);
    expect(transpiled.imports).toContain('trellis-samples:hello/greeting@0.1.0');
  });

  it('translates streams and futures', async () => {
    const { transpiled } = await prepare(echoStreamsComponent());
    expect(transpiled.asyncMode).toBe('jspi');
    const instance = await (await loadTranspiled(transpiled))({});
    const later = await instance['trellis-samples:echo/streams@0.1.0']!.echoLater!('soon');
    expect(later).toBe('soon');
  });

  it('makes usable code of resources where functions may wait', async () => {
    const { bytes } = await loadArtifact(echoComponent().file, { maxBytes: MIB });
    const checked = preflight(bytes, { maxBytes: MIB });
    // As if it had a link: the generator's own code for static functions and constructors does not parse then.
    const link = { name: 'x:y/z', functions: [{ name: 'f', wireName: 'f', params: [], result: null, async: false }] };
    const types = { ...checked.types, imports: [link] };
    const transpiled = await transpileComponent(bytes, { ...checked, types }, options(freshCache()));
    expect(transpiled.asyncMode).toBe('jspi');
    const { Counter } = (await (await loadTranspiled(transpiled))({}))['trellis-samples:echo/counters@0.1.0'] as unknown as {
      Counter: {
        new (start: number): { up(by: number): Promise<unknown>; value(): Promise<number> };
        merge(a: object, b: object): unknown;
      };
    };
    const [a, b] = [new Counter(3), new Counter(4)];
    await a.up(10);
    const merged = (await Counter.merge(a, b)) as InstanceType<typeof Counter>;
    expect(await merged.value()).toBe(17);
  });

  it('writes a folder only this user can read, with a manifest of all it holds', async () => {
    const cacheDir = freshCache();
    const { checked, transpiled } = await prepare(echoComponent(), cacheDir);
    expect(statSync(cacheDir).mode & 0o777).toBe(0o700);
    expect(statSync(transpiled.dir).mode & 0o777).toBe(0o700);
    const manifest = JSON.parse(readFileSync(transpiled.manifestPath, 'utf8')) as Record<string, object>;
    expect(manifest).toMatchObject({ digest: checked.digest, jcoVersion: jcoVersion(), types: checked.types, asyncMode: 'sync' });
    expect([...Object.keys(manifest.files!), 'manifest.json'].toSorted()).toEqual(readdirSync(transpiled.dir).toSorted());
    expect(readdirSync(cacheDir)).toEqual([transpiled.dir.slice(cacheDir.length + 1)]);
  });
});

describe('the rejected-import correction', () => {
  it('lets a call fail when its import rejects, and leaves nothing pending', async () => {
    const { checked, transpiled } = await prepare(greeterChainComponent());
    const instantiate = await loadTranspiled(transpiled);
    const wasi = createWasi({
      imports: checked.types.imports,
      stdout: () => undefined,
      stderr: () => undefined,
      clock: systemClock,
      onExit: () => undefined,
    });
    const failing = await instantiate({
      ...wasi.imports,
      'trellis-samples:hello/greeting@0.1.0': { greet: () => Promise.reject(new Error('deadline')) },
    });
    const call = Promise.resolve(failing['trellis-samples:chain/greeter@0.1.0']!.greetAll!(['Ann']));
    await expect(Promise.race([call, new Promise((resolve) => setTimeout(resolve, 30_000, 'still pending'))])).rejects.toThrow(
      'deadline',
    );
    const working = await instantiate({
      ...wasi.imports,
      'trellis-samples:hello/greeting@0.1.0': { greet: (name: string) => Promise.resolve(`Hi ${name}`) },
    });
    expect(await working['trellis-samples:chain/greeter@0.1.0']!.greetAll!(['Ann'])).toEqual(['Hi Ann']);
  });
});

describe('the memory cap', () => {
  const grower = componentOf([
    // Grows its memory by 10,000 pages and traps if that worked.
    coreModule({
      exports: ['run'],
      memories: [{ min: 1 }],
      code: [0x41, 0x90, 0xce, 0, 0x40, 0, 0x41, 0x7f, 0x47, 0x04, 0x40, 0, 0x0b],
    }),
  ]);

  it('GST-02 makes memory.grow fail where the limit is', async () => {
    const checked = preflight(grower, { maxBytes: MIB });
    const cacheDir = freshCache();
    const run = async (maxMemoryBytes: number): Promise<unknown> => {
      const instance = await (
        await loadTranspiled(await transpileComponent(grower, checked, options(cacheDir, { maxMemoryBytes })))
      )({});
      return (instance.run as unknown as () => unknown)();
    };
    expect(await run(64 * MIB)).toBeUndefined();
    await expect(run(1_024 * MIB)).rejects.toThrow('unreachable');
    expect(readdirSync(cacheDir)).toHaveLength(2);
  });

  it('refuses a component that starts with more', async () => {
    const large = componentOf([coreModule({ exports: ['run'], memories: [{ min: 100 }] })]);
    await expect(
      transpileComponent(large, preflight(large, { maxBytes: MIB }), options(freshCache(), { maxMemoryBytes: MIB })),
    ).rejects.toMatchObject({ code: 'TRELLIS_COMPONENT_LIMIT', remedy: expect.stringContaining('maxMemoryBytes') });
  });

  it('counts what several memories start with', async () => {
    const many = componentOf(Array.from({ length: 9 }, () => coreModule({ exports: ['run'], memories: [{ min: 1 }] })));
    await expect(transpileComponent(many, preflight(many, { maxBytes: MIB }), options(freshCache()))).rejects.toMatchObject({
      code: 'TRELLIS_COMPONENT_LIMIT',
    });
  });
});

describe('the cache', () => {
  it('LIF-09 finds what was translated before, and makes a broken entry again', async () => {
    const cacheDir = freshCache();
    const sample = echoComponent();
    const { transpiled } = await prepare(sample, cacheDir);
    expect((await prepare(sample, cacheDir)).transpiled).toEqual({ ...transpiled, cached: true });
    const damage = async (file: string, change: (path: string) => void): Promise<void> => {
      change(join(transpiled.dir, file));
      expect((await prepare(sample, cacheDir)).transpiled.cached).toBe(false);
      expect((await prepare(sample, cacheDir)).transpiled.cached).toBe(true);
    };
    await damage('manifest.json', (path) => writeFileSync(path, '{"format":1'));
    await damage('c.core.wasm', (path) => rmSync(path));
    await damage('manifest.json', (path) => {
      const manifest = JSON.parse(readFileSync(path, 'utf8')) as { files: Record<string, string> };
      writeFileSync(path, JSON.stringify({ ...manifest, files: { ...manifest.files, '../c.js': '00' } }));
    });
  });

  it('ART-11 runs no byte that was changed on disk', async () => {
    const cacheDir = freshCache();
    const { transpiled } = await prepare(echoComponent(), cacheDir);
    const glue = join(transpiled.dir, 'c.js');
    const original = readFileSync(glue, 'utf8');
    writeFileSync(glue, `${original}\nglobalThis.marker = 1;`);
    expect((await prepare(echoComponent(), cacheDir)).transpiled.cached).toBe(false);
    expect(readFileSync(glue, 'utf8')).toBe(original);
  });

  it('refuses a folder that others can write to', async () => {
    const cacheDir = freshCache();
    const { transpiled } = await prepare(echoComponent(), cacheDir);
    chmodSync(transpiled.dir, 0o777);
    await expect(prepare(echoComponent(), cacheDir)).rejects.toMatchObject({ code: 'TRELLIS_COMPONENT_CACHE' });
    chmodSync(cacheDir, 0o777);
    await expect(prepare(greeterChainComponent(), cacheDir)).rejects.toMatchObject({ code: 'TRELLIS_COMPONENT_CACHE' });
  });

  it('removes what a process that died has left, and leaves what another is writing', async () => {
    const cacheDir = freshCache();
    for (const name of ['.partial-old', '.partial-new']) mkdirSync(join(cacheDir, name), { recursive: true, mode: 0o700 });
    chmodSync(cacheDir, 0o700);
    utimesSync(join(cacheDir, '.partial-old'), 0, 0);
    const { transpiled } = await prepare(echoComponent(), cacheDir);
    expect(readdirSync(cacheDir).toSorted()).toEqual(['.partial-new', transpiled.dir.slice(cacheDir.length + 1)].toSorted());
  });

  it('translates once for callers at the same time', async () => {
    const cacheDir = freshCache();
    const all = await Promise.all([1, 2, 3].map(() => prepare(echoComponent(), cacheDir)));
    expect(new Set(all.map(({ transpiled }) => transpiled)).size).toBe(1);
  });
});

describe('the translating process', () => {
  const echo = async (): Promise<{ bytes: Uint8Array; checked: Preflight }> => {
    const { bytes } = await loadArtifact(echoComponent().file, { maxBytes: MIB });
    return { bytes, checked: preflight(bytes, { maxBytes: MIB }) };
  };

  it('GST-21 is stopped when it takes too long', async () => {
    const { bytes, checked } = await echo();
    const started = performance.now();
    await expect(transpileComponent(bytes, checked, options(freshCache(), { timeoutMs: 20 }))).rejects.toMatchObject({
      code: 'TRELLIS_COMPONENT_TRANSPILE_TIMEOUT',
      retryable: true,
    });
    // Translating it takes longer than that, and the limit by default is longer still.
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it('reports what the generator refuses, without its internals', async () => {
    const { bytes, checked } = await echo();
    const broken = bytes.slice(0, bytes.length - 40);
    const error = await transpileComponent(broken, { ...checked, digest: 'sha256:00' }, options(freshCache())).catch(
      (e: unknown) => e,
    );
    expect(error).toMatchObject({ code: 'TRELLIS_COMPONENT_TRANSPILE' });
    expect((error as Error).message).toMatch(/^[\x20-\x7e]{1,500}$/);
  });

  it('leaves nothing behind when it fails', async () => {
    const cacheDir = freshCache();
    const { bytes, checked } = await echo();
    await transpileComponent(bytes.slice(0, 500), checked, options(cacheDir)).catch(() => undefined);
    expect(() => readdirSync(cacheDir)).toThrow('ENOENT');
  });
});

describe('WASI with a real guest', () => {
  const sample = (name: string): SampleComponent => ({
    file: new URL(`../../components/hostile/${name}.wasm`, import.meta.url).href,
    digest: '',
  });

  let shared: string;
  beforeAll(() => {
    shared = freshCache();
  });

  async function start(name: string, more: Partial<WasiOptions> = {}) {
    const { checked, transpiled } = await prepare(sample(name), shared);
    const lines: string[] = [];
    const exits: number[] = [];
    const wasi = createWasi({
      imports: checked.types.imports,
      stdout: (line) => lines.push(`out ${Buffer.from(line).toString()}`),
      stderr: (line) => lines.push(`err ${Buffer.from(line).toString()}`),
      clock: systemClock,
      onExit: (code) => exits.push(code),
      ...more,
    });
    const instance = await (await loadTranspiled(transpiled))(wasi.imports);
    return { wasi, lines, exits, transpiled, probes: Object.values(instance)[0]! };
  }

  it('GST-13 gives a guest no environment, argument, folder or network', async () => {
    const { probes } = await start('hostile-probes');
    expect(await probes.environment!()).toEqual([]);
    expect(await probes.programArguments!()).toEqual([]);
    expect(await probes.folders!()).toEqual([]);
    await expect(probes.readFile!('etc/passwd')).rejects.toMatchObject({ payload: 255 });
    const network = await start('hostile-network');
    expect(() => network.probes.openSocket!()).toThrow(expect.objectContaining({ payload: 1 }));
    expect(() => network.probes.lookUp!('localhost')).toThrow(expect.objectContaining({ payload: 1 }));
  });

  it('gives it what was granted, and no more', async () => {
    const granted = mkdtempSync(join(scratch, 'granted-'));
    mkdirSync(join(granted, 'inside'));
    writeFileSync(join(granted, 'inside', 'note'), 'hello');
    writeFileSync(join(scratch, 'outside'), 'secret');
    symlinkSync(join(scratch, 'outside'), join(granted, 'absolute'));
    symlinkSync('../outside', join(granted, 'relative'));
    symlinkSync('inside/note', join(granted, 'link'));
    const { probes } = await start('hostile-probes', {
      env: { LEVEL: '3' },
      args: ['probe'],
      grants: { preopens: [{ guest: '/data', host: granted, writable: false }] },
    });
    expect(await probes.environment!()).toEqual([['LEVEL', '3']]);
    expect(await probes.programArguments!()).toEqual(['probe']);
    expect(await probes.folders!()).toEqual(['/data']);
    expect(Buffer.from((await probes.readFile!('inside/note')) as Uint8Array).toString()).toBe('hello');
    expect(Buffer.from((await probes.readFile!('inside/../link')) as Uint8Array).toString()).toBe('hello');
    for (const path of ['../outside', 'inside/../../outside', '/etc/passwd', 'absolute', 'relative', 'inside', '', 'no-such']) {
      await expect(probes.readFile!(path), path).rejects.toMatchObject({ payload: expect.any(Number) });
    }
  });

  it('turns output into lines', async () => {
    const { probes, lines, wasi } = await start('hostile-probes');
    await probes.print!('stdout', 'a\nb');
    await probes.print!('stderr', 'c\n');
    wasi.flush();
    expect(lines).toEqual(['out a', 'err c', 'out b']);
  });

  it('ends the call on exit, not the process', async () => {
    const { probes, exits } = await start('hostile-probes');
    await expect(probes.exit!({ tag: 'err' })).rejects.toBeInstanceOf(GuestExit);
    expect(exits).toEqual([1]);
  });

  it('GST-22 shows clocks that step by a millisecond', async () => {
    const { probes } = await start('hostile-probes');
    expect(Number((await probes.wallClock!()) as bigint)).toBeCloseTo(Date.now() / 1_000, -1);
    expect((await probes.clockStep!(50_000)) as bigint).toBeGreaterThanOrEqual(1_000_000n);
    expect(await probes.random!(32n)).not.toEqual(await probes.random!(32n));
  });

  it('sleeps without holding up others, and wakes with an error when its instance ends', async () => {
    const { probes, wasi, transpiled } = await start('hostile-probes');
    expect(transpiled.asyncMode).toBe('jspi');
    const startedMs = performance.now();
    await probes.sleep!(20_000_000n);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(19);
    const sleeping = Promise.resolve(probes.sleep!(60_000_000_000n));
    setTimeout(() => wasi.stop(new Error('deadline')), 10);
    await expect(sleeping).rejects.toThrow('deadline');
  });

  it('runs a QuickJS component', async () => {
    const { checked, transpiled } = await prepare(helloComponent());
    const wasi = createWasi({
      imports: checked.types.imports,
      stdout: () => undefined,
      stderr: () => undefined,
      clock: systemClock,
      onExit: () => undefined,
    });
    const instance = await (await loadTranspiled(transpiled))(wasi.imports);
    expect(await instance['trellis-samples:hello/greeting@0.1.0']!.greet!('World')).toBe('Hello, World!');
  });
});
