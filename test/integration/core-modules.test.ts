import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/component/artifact.ts';
import { verifyClaims } from '../../src/component/claims.ts';
import { preflight } from '../../src/component/preflight.ts';
import { asComponent } from '../../src/component/wrapped-module.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { coreModule } from '../support/component-binary.ts';
import { echoComponent, tellerModule } from '../support/components.ts';
import { runComponent, sized, type TestComponent } from '../support/running-component.ts';
import { customSection, signComponent } from '../support/signed-component.ts';
import { startTwoHosts } from '../support/two-hosts.ts';

const MIB = 1024 * 1024;
let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'trellis-core-modules-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const limits = { maxBytes: MIB, timeoutMs: 30_000 };

/** A module written in C, compiled with a C library for preview1, run as a component. */
describe('a core module', () => {
  let teller: TestComponent;
  beforeAll(async () => {
    const folder = join(scratch, 'granted');
    mkdirSync(folder);
    writeFileSync(join(folder, 'note'), 'hello from a file');
    teller = await runComponent(tellerModule(), {
      env: { COLOUR: 'green' },
      grants: { preopens: [{ guest: '/data', host: folder, writable: false }] },
    });
  });
  afterAll(() => teller[Symbol.asyncDispose]());

  it('writes lines, and reads what it is given', async () => {
    expect(await teller.call('tell.say', sized('good morning'))).toMatchObject({ failure: undefined });
    expect(teller.lines).toEqual(['info good morning']);
    const { root: colour } = await teller.call('tell.variable', sized('COLOUR'));
    expect(colour).toEqual(Buffer.concat([Buffer.of(1), sized('green')]));
    expect((await teller.call('tell.variable', sized('HOME'))).hex).toBe('00');
    const { root: note } = await teller.call('tell.read', sized('/data/note'));
    expect(note).toEqual(Buffer.concat([Buffer.of(0), sized('hello from a file')]));
  });

  it('sees no file that was not granted', async () => {
    for (const path of ['/etc/passwd', '/data/../../etc/passwd', 'note']) {
      const { root } = await teller.call('tell.read', sized(path));
      expect(root[0]).toBe(1);
    }
  });

  it('has time, random numbers, and sleep', async () => {
    const [first, second] = await Promise.all([teller.call('tell.random'), teller.call('tell.random')]);
    expect(first.hex).not.toBe(second.hex);
    const before = Math.floor(Date.now() / 1_000);
    const { root } = await teller.call('tell.now');
    const seconds = root.reduce((sum, byte, i) => sum + (byte & 0x7f) * 2 ** (7 * i), 0);
    expect(seconds).toBeGreaterThanOrEqual(before);
    expect(seconds).toBeLessThanOrEqual(Date.now() / 1_000);
    const slept = await teller.call('tell.sleep', Buffer.of(30));
    expect(slept).toMatchObject({ failure: undefined });
    expect(slept.ms).toBeGreaterThanOrEqual(29);
  });
});

describe('a component of a core module', () => {
  const teller = readFileSync(tellerModule().file);

  it('is served under the digest and with the claims of the module, and has links', async () => {
    const account = SigningKey.generate('account');
    const signed = signComponent(teller, { account });
    expect(verifyClaims(signed, { nowMs: Date.now(), issuers: [account.publicKey] })?.issuer).toBe(account.publicKey);
    const file = join(scratch, 'signed.wasm');
    writeFileSync(file, signed);
    const digest = digestOf(signed);
    await using lab = await startTwoHosts(
      {
        front: [{ id: 'teller', file, digest }],
        back: [{ id: 'echo', file: echoComponent().file }],
        links: [{ source: 'teller', target: 'echo', namespace: 'trellis-samples', package: 'echo', interfaces: ['values'] }],
      },
      ['teller trellis-tests:teller/other'],
    );
    expect((await lab.caller.describe('teller', 20_000)).digest).toBe(digest);
    expect(await lab.call('teller', 'other.answer')).toBe(42);
  });

  it('is made once, and made again where the cache was damaged', async () => {
    const cacheDir = join(scratch, 'cache');
    const made = Buffer.from(await asComponent(teller, { ...limits, cacheDir }));
    expect(preflight(made, limits).types.exports.map(({ name }) => name)).toContain('trellis-tests:teller/tell@0.1.0');
    const [entry] = readdirSync(cacheDir);
    const file = join(cacheDir, entry!, 'component.wasm');
    expect(readFileSync(file)).toEqual(made);
    // What no time is enough for comes from the cache.
    const cached = { ...limits, cacheDir, timeoutMs: 1 };
    expect(Buffer.compare(await asComponent(teller, cached), made)).toBe(0);
    writeFileSync(file, made.fill(0, 100, 200));
    await expect(asComponent(teller, cached)).rejects.toMatchObject({ code: 'TRELLIS_COMPONENT_TRANSPILE_TIMEOUT' });
    await asComponent(teller, { ...limits, cacheDir });
    expect(readdirSync(cacheDir)).toEqual([entry]);
    expect(readFileSync(file).equals(made)).toBe(false);
  });

  it('is not made of a component, which stays what it is', async () => {
    const echo = readFileSync(echoComponent().file);
    expect(await asComponent(echo, limits)).toBe(echo);
  });
});

describe('a core module is refused', () => {
  const refusal = (bytes: Iterable<number>, maxBytes = MIB): Promise<unknown> =>
    asComponent(Uint8Array.from(bytes), { ...limits, maxBytes }).catch((error: unknown) => error);
  const imports = (module: string, field: string): number[] =>
    coreModule({ imports: [{ module, field }], memories: [{ min: 1 }], exports: ['run'] });

  it('with the reason, where no component can be made of it', async () => {
    expect(await refusal(imports('wasmbus', '__guest_response'))).toMatchObject({
      code: 'TRELLIS_COMPONENT_INVALID',
      message: 'the file is a core module of which no component can be made: module requires an import interface named `wasmbus`',
    });
    const types = customSection('component-type:teller', Buffer.of(1, 2, 3));
    expect(await refusal([...coreModule({}), ...types])).toMatchObject({ code: 'TRELLIS_COMPONENT_INVALID' });
  });

  it('before any tool sees it, for its size, its names, or its number of functions', async () => {
    expect(await refusal(coreModule({}), 20)).toMatchObject({ code: 'TRELLIS_COMPONENT_TOO_LARGE' });
    expect(await refusal(imports("a';b", 'c'))).toMatchObject({ code: 'TRELLIS_COMPONENT_NAME' });
    expect(await refusal(coreModule({ exports: ['a\nb'] }))).toMatchObject({ code: 'TRELLIS_COMPONENT_NAME' });
    expect(await refusal(coreModule({ extraFunctions: 100_000 }))).toMatchObject({ code: 'TRELLIS_COMPONENT_LIMIT' });
    expect(await refusal(coreModule({}).slice(0, -3))).toMatchObject({ code: 'TRELLIS_WIT_MALFORMED' });
  });
});
