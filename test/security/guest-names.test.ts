import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { preflight } from '../../src/component/preflight.ts';
import { transpileComponent } from '../../src/component/transpile.ts';
import type { TranspiledComponent } from '../../src/component/transpile.ts';
import { TrellisError } from '../../src/errors.ts';
import { componentOf, componentWith, coreModule, NAME_PLACES } from '../support/component-binary.ts';
import { takesAtMost } from '../support/takes-at-most.ts';

const MIB = 1_048_576;
const LIMITS = { maxBytes: 8 * MIB };
let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'trellis-names-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Numbers in [0, below), the same in every run. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    // Mulberry32.
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** What ends a string, a template, a comment or a statement, or is read as something else than it looks like. */
const DANGEROUS = [
  "'",
  '"',
  '`',
  '\\',
  '\n',
  '\r',
  '\u2028',
  '\u2029',
  '*/',
  '/*',
  '${',
  '{',
  '}',
  '(',
  ')',
  ';',
  '\0',
  '\t',
  ' ',
  'é',
  '\u202e',
  '\ufeff',
];
const HARMLESS = ['a', 'run', 'f', '-', '.', '0', 'x1', ':', '/', '@', '#', '[', ']', '$', '_'];

function verdict(bytes: Uint8Array): string {
  try {
    preflight(bytes, LIMITS);
    return 'accepted';
  } catch (error) {
    return error instanceof TrellisError ? error.code : `unexpected: ${String(error)}`;
  }
}

describe('names of a component', () => {
  it('are accepted when they are ordinary', () => {
    expect(verdict(componentWith({}))).toBe('accepted');
    for (const name of [
      '$root',
      'wasi:io/poll@0.2.0#[method]pollable.block',
      '[export]a:b/c',
      '',
      'cabi_realloc',
      '_ZN4core3fmt5Write9write_fmt17h0E.llvm.1',
    ]) {
      expect(verdict(componentWith({ coreImportModule: name, coreImportField: name })), name).toBe('accepted');
    }
  });

  it('GST-10 are refused in every place when they could become code (100,000 components)', () => {
    const random = generator(20_260_801);
    const pick = (from: readonly string[]): string => from[random(from.length)]!;
    const counts = new Map<string, number>();
    for (let i = 0; i < 100_000; i += 1) {
      const place = NAME_PLACES[i % NAME_PLACES.length]!;
      const parts = Array.from({ length: 1 + random(4) }, () => pick(HARMLESS));
      parts.splice(random(parts.length + 1), 0, pick(DANGEROUS), ...(random(2) ? ['globalThis.marker=1'] : []));
      const code = verdict(componentWith({ [place]: parts.join('') }));
      counts.set(code, (counts.get(code) ?? 0) + 1);
    }
    expect(counts.get('accepted') ?? 0).toBe(0);
    expect([...counts.keys()].filter((code) => !/^TRELLIS_(COMPONENT_NAME|WIT_MALFORMED)$/.test(code))).toEqual([]);
    // The reader refuses some labels before their names are looked at.
    expect(counts.get('TRELLIS_COMPONENT_NAME')).toBeGreaterThan(70_000);
  });

  it('GST-10 never run anything, whatever passes (4,096 allowed names in one component)', async () => {
    const random = generator(7);
    const alphabet = 'abzAZ019_.:/@#$+-[]~|,=<>';
    const names = new Set([
      'eval',
      'then',
      'constructor',
      'prototype',
      'arguments',
      'await',
      'this',
      'toString',
      'valueOf',
      'hasOwnProperty',
    ]);
    while (names.size < 4_096) {
      names.add(Array.from({ length: 1 + random(12) }, () => alphabet[random(alphabet.length)]!).join(''));
    }
    const component = componentOf([coreModule({ exports: ['run', ...[...names].filter((name) => name !== 'run')] })]);
    const answer = runInChild(await translate(component), 'run');
    expect(answer).toEqual({ ran: true, added: [] });
  });

  it.each(['eval', 'then', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'await', 'default', 'arguments'])(
    'GST-11 %s works as a name in a core module',
    async (name) => {
      const component = componentWith({ coreImportModule: name, coreImportField: name, coreExport: name });
      expect(runInChild(await translate(component), 'run')).toEqual({ ran: true, added: [] });
    },
  );

  it.each(['coreImportModule', 'coreImportField', 'coreExport', 'inlineExport'])('GST-11 __proto__ is refused as %s', (place) => {
    expect(verdict(componentWith({ [place]: '__proto__' }))).toBe('TRELLIS_COMPONENT_NAME');
  });

  it.each(['then', 'arguments', 'memory0', 'module12', 'realloc0-async', 'create-new-current-task'])(
    'GST-11 an exported function called %s is refused with a reason',
    (name) => {
      expect(() => preflight(componentWith({ componentExport: name }), LIMITS)).toThrow(
        expect.objectContaining({ code: 'TRELLIS_COMPONENT_NAME', remedy: 'Rename the function in the WIT of the component.' }),
      );
    },
  );

  it('INJ-07 cost no more than their length to judge', async () => {
    await takesAtMost(500, () => {
      const startedMs = performance.now();
      for (const name of [
        `a${'-1'.repeat(200)}!`,
        `a:b/c@1.0.0-${'1.'.repeat(200)}!`,
        `${'a:'.repeat(200)}!`,
        `${'['.repeat(900)}'`,
      ]) {
        for (const place of NAME_PLACES) expect(verdict(componentWith({ [place]: name }))).toMatch(/^TRELLIS_/);
      }
      return performance.now() - startedMs;
    });
  });

  it.each(['eval', 'constructor', 'default', 'await', 'delete', 'to-string'])(
    'GST-11 an exported function called %s works',
    async (name) => {
      const camel = name === 'to-string' ? 'toString' : name;
      expect(runInChild(await translate(componentWith({ componentExport: name })), camel)).toEqual({ ran: true, added: [] });
    },
  );

  it('do not reach a log line raw', () => {
    try {
      preflight(componentWith({ coreExport: "\u001b[31m'\r\nfake log line" }), LIMITS);
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message).toMatch(/^[\x20-\x7e]+$/);
    }
  });
});

describe('what a component imports', () => {
  it.each(['wrpc:rpc/invoker@0.1.0', 'wrpc:rpc/transport@0.1.0', 'wrpc:rpc/error@0.1.0', 'wasmcloud:bus/error@2.0.1'])(
    'GST-23 says all that it can reach: %s is refused, which calls what a guest names later',
    (interfaceImport) => {
      expect(() => preflight(componentWith({ interfaceImport }), LIMITS)).toThrow(
        expect.objectContaining({
          code: 'TRELLIS_COMPONENT_UNSUPPORTED',
          message: `the component imports ${interfaceImport}, by which it would call functions that it does not name in its imports`,
        }),
      );
    },
  );

  it('may be called alike', () => {
    expect(preflight(componentWith({ interfaceImport: 'wrpc:rpc/invokers@0.1.0' }), LIMITS).links).toContain(
      'wrpc:rpc/invokers@0.1.0',
    );
  });
});

describe('the form of a component', () => {
  it('is the binary one: the generator would also take text', () => {
    expect(verdict(new TextEncoder().encode('(component (core module (import "a" "b" (func))))'))).toBe(
      'TRELLIS_COMPONENT_INVALID',
    );
    expect(verdict(Uint8Array.from(coreModule({})))).toBe('TRELLIS_COMPONENT_INVALID');
    expect(verdict(new Uint8Array(0))).toBe('TRELLIS_COMPONENT_INVALID');
    expect(() => preflight(componentWith({}), { maxBytes: 100 })).toThrow(
      expect.objectContaining({ code: 'TRELLIS_COMPONENT_TOO_LARGE' }),
    );
  });

  it('GST-21 has a limit for functions and core modules, and below it translating takes no longer than allowed', async () => {
    const functions = (count: number): Uint8Array => componentOf([coreModule({ exports: ['run'], extraFunctions: count - 1 })]);
    expect(() => preflight(functions(100_001), LIMITS)).toThrow(expect.objectContaining({ code: 'TRELLIS_COMPONENT_LIMIT' }));
    const modules = componentOf(Array.from({ length: 129 }, () => coreModule({ exports: ['run'] })));
    expect(() => preflight(modules, LIMITS)).toThrow(expect.objectContaining({ code: 'TRELLIS_COMPONENT_LIMIT' }));
    // One function more each time: what has been translated is kept.
    let count = 25_000;
    await takesAtMost(5_000, async () => {
      const startedMs = performance.now();
      await translate(functions(count++));
      return performance.now() - startedMs;
    });
  });

  it('ART-12 never makes the host throw anything but its own errors (20,000 mutations)', () => {
    const random = generator(99);
    const good = componentWith({});
    for (let i = 0; i < 20_000; i += 1) {
      const bytes = good.slice();
      for (let flips = 1 + random(3); flips > 0; flips -= 1) bytes[random(bytes.length)] = random(256);
      expect(verdict(random(4) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes)).toMatch(/^(accepted|TRELLIS_)/);
    }
  });
});

async function translate(component: Uint8Array): Promise<TranspiledComponent> {
  const checked = preflight(component, LIMITS);
  return transpileComponent(component, checked, {
    cacheDir: join(scratch, 'cache'),
    limits: { maxMemoryBytes: MIB },
    timeoutMs: 60_000,
  });
}

/** Loads the generated code in another process and calls an export; says which globals appeared meanwhile. */
function runInChild(transpiled: TranspiledComponent, exported: string): unknown {
  const program = `
    const { readFileSync } = await import('node:fs');
    const before = new Set(Object.getOwnPropertyNames(globalThis));
    const glue = await import(process.argv[1] + '/c.js');
    const compile = (name) => new WebAssembly.Module(readFileSync(process.argv[1] + '/' + name));
    const imports = { helper: { default() {} }, 'demo:names/api@0.1.0': { get() {} } };
    const instance = await glue.instantiate(compile, imports);
    instance[process.argv[2]]();
    const added = Object.getOwnPropertyNames(globalThis).filter((name) => !before.has(name));
    process.stdout.write(JSON.stringify({ ran: true, added }));`;
  const flags = ['--permission', `--allow-fs-read=${transpiled.dir}`, '--disallow-code-generation-from-strings'];
  const child = spawnSync(process.execPath, [...flags, '--input-type=module', '-e', program, transpiled.dir, exported], {
    env: {},
    encoding: 'utf8',
    timeout: 60_000,
  });
  return child.status === 0 ? JSON.parse(child.stdout) : child.stderr;
}
