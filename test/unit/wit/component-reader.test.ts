import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TrellisError } from '../../../src/errors.ts';
import { scanComponent, scanCoreModule, scanNames } from '../../../src/wit/component-names.ts';
import { readComponent } from '../../../src/wit/component-reader.ts';
import { looksLikeCoreModule } from '../../../src/wit/component-parser.ts';
import { printWorld } from '../../../src/wit/type-text.ts';
import { camelCase, wireNameOf, type WitInterface } from '../../../src/wit/types.ts';
import { isExternName, isLabel } from '../../../src/wit/wasm-cursor.ts';
import { takesAtMost } from '../../support/takes-at-most.ts';

const read = (path: string): Uint8Array => new Uint8Array(readFileSync(new URL(`../../../${path}`, import.meta.url)));
const kitchen = read('test/fixtures/components/kitchen.wasm');

const PREAMBLE = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];
function leb(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) out.push((rest & 0x7f) | 0x80);
  return [...out, rest];
}
// A reference to a type is a signed number.
const ref = (index: number): number[] => (index < 64 ? [index] : [(index & 0x7f) | 0x80, index >> 7]);
const text = (name: string): number[] => [...leb(Buffer.byteLength(name)), ...Buffer.from(name)];
const vector = (items: number[][]): number[] => [...leb(items.length), ...items.flat()];
const section = (id: number, body: number[]): number[] => [id, ...leb(body.length), ...body];
const component = (...sections: number[][]): Uint8Array => Uint8Array.from([...PREAMBLE, ...sections.flat()]);

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'fine';
  } catch (error) {
    if (error instanceof TrellisError) return `${error.code.replace('TRELLIS_WIT_', '')}: ${error.message}`;
    throw error;
  }
}

function find(interfaces: readonly WitInterface[], name: string): Record<string, string> {
  const found = interfaces.find((each) => each.name === name);
  return Object.fromEntries((found?.functions ?? []).map((fn) => [fn.name, fn.wireName]));
}

describe('a component with every kind of type', () => {
  const types = readComponent(kitchen);

  it('is read as its WIT says', () => {
    const meta = 'record{id: u64, is-XML: bool, tags: list<tuple<string, u8>>, nested: option<option<s16>>}';
    const error = 'variant{gone, code(u32), DNS-timeout(option<string>)}';
    const both = [
      ' test:kitchen/types@1.2.3-rc.1 {',
      '    [constructor]file: func(name: string) -> own<file>;',
      `    [method]file.read: func(self: borrow<file>, max: u64) -> result<list<u8>, ${error}>;`,
      `    [static]file.open: func(name: string) -> result<own<file>, ${error}>;`,
      '    future-of: func() -> future<string>;',
      `    copy: async func(input: stream<u8>, n: future) -> stream<${meta}>;`,
      '  }',
    ];
    const uses = [
      ' test:kitchen/uses@1.2.3-rc.1 {',
      `    take: func(f: own<file>, peek: borrow<file>, e: ${error}) -> tuple<${meta}, char, f32, f64, s8, s64>;`,
      '    unit: func();',
      '    bare: func(r: result, s: result<u8>, t: result<_, string>, u: stream);',
      '  }',
    ];
    const on = (side: string, lines: string[]): string[] => [`  ${side}${lines[0]}`, ...lines.slice(1)];
    expect(printWorld(types).split('\n')).toEqual([
      'world (component) {',
      ...on('import', both),
      ...on('import', uses),
      '  import inline {',
      '    close: func(f: own<file>);',
      '  }',
      '  import log: func(line: string);',
      '  export run: async func(args: list<string>) -> u8;',
      ...on('export', both),
      ...on('export', uses),
      '  export local {',
      '    [constructor]counter: func() -> own<counter>;',
      '    [method]counter.up: func(self: borrow<counter>, by: s32) -> s32;',
      '    swap: func(a: own<counter>, b: borrow<counter>) -> own<counter>;',
      '  }',
      '}',
    ]);
  });

  it('has wire names without brackets, and world functions under the empty name', () => {
    expect(find(types.exports, 'local')).toEqual({
      '[constructor]counter': 'counter',
      '[method]counter.up': 'counter.up',
      swap: 'swap',
    });
    expect(find(types.exports, '')).toEqual({ run: 'run' });
    expect(wireNameOf('[static]file.open')).toBe('file.open');
  });

  it('survives JSON', () => {
    expect(JSON.parse(JSON.stringify(types))).toEqual(types);
  });
});

describe('the sample components', () => {
  it('are read and scanned', () => {
    const echo = readComponent(read('components/echo/echo.wasm'));
    expect(echo.exports.map((each) => each.name)).toEqual([
      '',
      'trellis-samples:echo/values@0.1.0',
      'trellis-samples:echo/counters@0.1.0',
    ]);
    const streams = readComponent(read('components/echo/echo-streams.wasm'));
    expect(printWorld(streams)).toContain('copy-bytes: async func(value: stream<u8>) -> stream<u8>;');
    expect(scanComponent(read('components/echo/echo.wasm')).coreModules.length).toBeGreaterThan(0);
  });
});

describe('files that are no component', () => {
  it.each([
    ['nothing', [], 'MALFORMED: not a well-formed component: it ends too early'],
    [
      'text',
      [...Buffer.from('#!/bin/sh\necho')],
      'MALFORMED: not a well-formed component: it does not begin with the WebAssembly magic',
    ],
    [
      'a core module',
      [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      'MALFORMED: not a well-formed component: it is a core module, not a component',
    ],
    [
      'an older version',
      [0, 0x61, 0x73, 0x6d, 0x0a, 0, 1, 0],
      'UNSUPPORTED: the component uses version 0x1000a of the binary format, which is not supported',
    ],
    ['a cut section', [...PREAMBLE, 7, 5, 1], 'MALFORMED: not a well-formed component: it ends too early'],
    ['an unknown section', [...PREAMBLE, 13, 0], 'MALFORMED: not a well-formed component: it has an unknown section 13'],
    ['trailing bytes', [...PREAMBLE, 7, 2, 0, 0], 'MALFORMED: not a well-formed component: section 7 has trailing bytes'],
    [
      'a start function',
      [...PREAMBLE, 9, 3, 0, 0, 0],
      'UNSUPPORTED: the component uses a start function, which is not supported',
    ],
    [
      'a huge vector',
      [...PREAMBLE, 7, 5, 0xff, 0xff, 0xff, 0xff, 0x0f],
      'MALFORMED: not a well-formed component: a vector is longer than the file',
    ],
  ])('%s', (_what, bytes, message) => {
    expect(codeOf(() => readComponent(Uint8Array.from(bytes)))).toBe(message);
    expect(codeOf(() => scanComponent(Uint8Array.from(bytes)))).toBe(message);
  });

  it('tells components from core modules by eight bytes', () => {
    const empty = Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    expect(looksLikeCoreModule(kitchen)).toBe(false);
    expect(looksLikeCoreModule(empty)).toBe(true);
    expect(looksLikeCoreModule(empty.subarray(0, 7))).toBe(false);
  });

  it('never fails otherwise than with its own error, whatever was changed', () => {
    const echo = read('components/echo/echo.wasm');
    fc.assert(
      fc.property(fc.boolean(), fc.nat(), fc.nat(255), fc.nat(), (small, place, byte, cut) => {
        const whole = small ? kitchen : echo;
        const bytes = whole.slice(0, cut % 4 === 0 ? 8 + (cut % (whole.length - 8)) : whole.length);
        bytes[place % bytes.length] = byte;
        codeOf(() => readComponent(bytes));
        codeOf(() => scanComponent(bytes));
      }),
      { numRuns: 1500, interruptAfterTimeLimit: 2500 },
    );
  });

  it('nor for a core module', () => {
    const teller = read('test/fixtures/components/teller/teller.wasm');
    expect(codeOf(() => scanCoreModule(kitchen))).toContain('MALFORMED');
    fc.assert(
      fc.property(fc.nat(), fc.nat(255), fc.nat(), (place, byte, cut) => {
        const bytes = teller.slice(0, cut % 4 === 0 ? 8 + (cut % (teller.length - 8)) : teller.length);
        // What is read lies before the code.
        bytes[place % 2_000] = byte;
        codeOf(() => scanCoreModule(bytes));
      }),
      { numRuns: 1000, interruptAfterTimeLimit: 1500 },
    );
  });
});

describe('components made to cost much', () => {
  const functionOf = (type: number): number[] => [0x40, ...vector([[...text('a'), ...ref(type)]]), 0x01, 0x00];
  const importOf = (index: number): number[] => section(10, vector([[0x00, ...text('f'), 0x01, ...leb(index)]]));
  const quick = (bytes: Uint8Array): string => {
    const started = performance.now();
    const outcome = codeOf(() => readComponent(bytes));
    // Those that cost much would take longer than anybody waits.
    expect(performance.now() - started).toBeLessThan(15_000);
    return outcome;
  };

  it('a type that doubles 30 times', () => {
    const types = [[0x7d], ...Array.from({ length: 30 }, (_, i) => [0x6f, ...vector([ref(i), ref(i)])])];
    const bytes = component(section(7, vector([...types, functionOf(30)])), importOf(31));
    expect(quick(bytes)).toBe('UNSUPPORTED: the component uses a type that is too large, which is not supported');
  });

  it('a type nested 100 deep', () => {
    const types = [[0x7d], ...Array.from({ length: 100 }, (_, i) => [0x70, ...ref(i)])];
    const bytes = component(section(7, vector([...types, functionOf(100)])), importOf(101));
    expect(quick(bytes)).toBe('UNSUPPORTED: the component uses a type that is nested too deeply, which is not supported');
  });

  it('instance types that double 30 times', () => {
    const alias = (index: number): number[] => [0x02, 0x03, 0x02, 0x01, ...leb(index)];
    const exported = (name: string): number[] => [0x04, 0x00, ...text(name), 0x05, 0x00];
    const types = [
      [0x42, 0x00],
      ...Array.from({ length: 30 }, (_, i) => [0x42, ...vector([alias(i), exported('a'), exported('b')])]),
    ];
    const bytes = component(section(7, vector(types)), section(10, vector([[0x00, ...text('i'), 0x05, 30]])));
    expect(quick(bytes)).toBe('MALFORMED: not a well-formed component: it has too many definitions');
  });

  it('components that instantiate themselves twice, 30 times', () => {
    const twice = (index: number): number[] =>
      section(
        5,
        vector([
          [0x00, index, 0x00],
          [0x00, index, 0x00],
        ]),
      );
    const alias = (index: number): number[] => section(6, vector([[0x04, 0x02, 0x01, ...leb(index)]]));
    const nested = (body: number[][]): number[] => section(4, [...component(...body)]);
    const all = Array.from({ length: 30 }, (_, i) => (i === 0 ? nested([]) : nested([alias(i - 1), twice(0)])));
    expect(quick(component(...all, twice(29)))).toBe('MALFORMED: not a well-formed component: it has too many definitions');
  });

  it('components nested 50 deep', () => {
    let inner = [...component()];
    for (let i = 0; i < 50; i++) inner = [...component(section(4, inner))];
    expect(quick(Uint8Array.from(inner))).toBe('MALFORMED: not a well-formed component: components are nested too deeply');
  });

  it('a million empty definitions', () => {
    const body = [...leb(600_000), ...Array.from({ length: 600_000 }, () => 0x7d)];
    expect(quick(component(section(7, body)))).toBe('MALFORMED: not a well-formed component: it has too many definitions');
  });

  it('functions whose types are large together', () => {
    const names = Array.from({ length: 5000 }, (_, i) => text(`n${i}`));
    const param = (i: number): number[] => [...text(`p${i}`), 0x00];
    const fn = [0x40, ...vector(Array.from({ length: 50 }, (_, i) => param(i))), 0x01, 0x00];
    const bytes = component(section(7, vector([[0x6d, ...vector(names)], fn])), importOf(1));
    expect(quick(bytes)).toBe('UNSUPPORTED: the component uses function types that are too large, which is not supported');
  });
});

describe('names', () => {
  const labelled = (name: string): Uint8Array => component(section(7, vector([[0x72, ...vector([[...text(name), 0x7d]])]])));

  it.each(['a b', 'a"b', "a'+x+'", 'aB', '-a', 'a-', '', '1a', '__proto__', 'a.b', 'a\n', 'ä', 'a*/b'])(
    'refuses the label %j',
    (name) => {
      expect(codeOf(() => readComponent(labelled(name)))).toMatch(/^MALFORMED: .* is not a name of the component model$/);
    },
  );

  it('refuses a label twice and a name that is not UTF-8', () => {
    const twice = component(section(7, vector([[0x6e, ...vector([text('a'), text('a')])]])));
    expect(codeOf(() => readComponent(twice))).toBe(
      'MALFORMED: not a well-formed component: the name "a" occurs twice in one type',
    );
    const bytes = component(section(7, vector([[0x6e, ...vector([[2, 0xc3, 0x28]])]])));
    expect(codeOf(() => readComponent(bytes))).toBe('MALFORMED: not a well-formed component: a name is not UTF-8');
  });

  it('refuses import names outside the grammar', () => {
    const types = section(7, vector([[0x40, 0x00, 0x01, 0x00]]));
    const named = (name: string): Uint8Array => component(types, section(10, vector([[0x00, ...text(name), 0x01, 0x00]])));
    expect(codeOf(() => readComponent(named('a:b/c@1.0.0')))).toBe('fine');
    expect(codeOf(() => readComponent(named('x y')))).toMatch(/^UNSUPPORTED: the component uses the import or export name "x y"/);
    expect(codeOf(() => readComponent(named('url=<http://x>')))).toMatch(/^UNSUPPORTED/);
  });

  it('finds every name, with its grammar, also where nothing uses it', () => {
    const names = [...scanNames(kitchen)];
    const of = (grammar: string): Set<string> =>
      new Set(names.filter((each) => each.grammar === grammar).map((each) => each.name));
    for (const name of ['is-XML', 'DNS-timeout', 'peek']) expect(of('label')).toContain(name);
    for (const name of ['test:kitchen/types@1.2.3-rc.1', 'inline', '[method]counter.up', 'log'])
      expect(of('extern')).toContain(name);
    for (const name of ['cm32p2|test:kitchen/uses@1.2.3-rc.1', '[method]file.read', 'cm32p2||run'])
      expect(of('core')).toContain(name);
    for (const { grammar, name } of names) {
      if (grammar === 'label') expect(isLabel(name), name).toBe(true);
      if (grammar === 'extern') expect(isExternName(name), name).toBe(true);
    }
    const hidden = component(section(4, [...component(section(6, vector([[0x01, 0x00, 0x00, ...text('evil name')]])))]));
    expect([...scanNames(hidden)]).toEqual([{ where: 'component/component 0/alias', grammar: 'extern', name: 'evil name' }]);
  });

  it('measures core modules', () => {
    const memory = section(5, vector([[0x01, 0x02, 0x04]]));
    const imported = section(2, vector([[...text('m'), ...text('f'), 0x02, 0x00, 0x01]]));
    const module = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...imported, ...section(3, [2, 0, 0]), ...memory, ...section(10, [0, 0, 0])];
    expect(scanComponent(component(section(1, module))).coreModules).toEqual([
      {
        bytes: module.length,
        functions: 2,
        imports: 1,
        exports: 0,
        codeBytes: 3,
        dataBytes: 0,
        memories: [{ min: 2, max: 4, shared: false, memory64: false }],
        importedMemories: [{ min: 1, max: null, shared: false, memory64: false }],
      },
    ]);
  });

  it('INJ-07 refuses long names in linear time', async () => {
    await takesAtMost(50, () => {
      const started = performance.now();
      for (const name of [
        `a${'-1'.repeat(127)}!`,
        `a:a${'-1'.repeat(200)}!`,
        `a${'1'.repeat(500)}!`,
        `[method]a.a${'-1'.repeat(200)}!`,
      ]) {
        expect(isLabel(name) || isExternName(name)).toBe(false);
      }
      return performance.now() - started;
    });
  });

  it('makes the JavaScript names jco makes', () => {
    expect(['a', 'get-it', 'is-XML', 'DNS-timeout', 'x-2y', 'A', 'a1-b2'].map(camelCase)).toEqual([
      'a',
      'getIt',
      'isXml',
      'dnsTimeout',
      'x2y',
      'a',
      'a1B2',
    ]);
  });
});
