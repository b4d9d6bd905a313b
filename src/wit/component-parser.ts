/** Bytes → {@link Definition}s. Follows the component-model binary format, version 0x0d, with the async (P3) additions. */
import { readAlias, readDeclaredName, readExtern, readSort, readType } from './component-type-parser.ts';
import type { Definition, NamedItem } from './component-syntax.ts';
import { skipCoreType } from './core-syntax.ts';
import { malformed, unsupported, WasmCursor } from './wasm-cursor.ts';

/** Deepest nesting of components. Real ones nest two or three deep. */
const MAX_NESTING = 16;
/** Definitions, fields and parameters of one file, and steps of its evaluation. The largest components need some thousands. */
export const MAX_STEPS = 500_000;
const MAGIC = 0x6d736100; // "\0asm", little-endian

const CORE_MODULE = 0x0000_0001;
const COMPONENT = 0x0001_000d;

/** True if `bytes` begins like a core module. Cheap, and no promise about the rest. */
export function looksLikeCoreModule(bytes: Uint8Array): boolean {
  if (bytes.length < 8) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return view.getUint32(0, true) === MAGIC && view.getUint32(4, true) === CORE_MODULE;
}

/** A parsed file and the budget left for evaluating it. */
export interface ParsedComponent {
  readonly definitions: readonly Definition[];
  readonly cursor: WasmCursor;
}

/**
 * Parses a component. Costs time and memory proportional to its type sections; core modules are skipped.
 * @throws TRELLIS_WIT_MALFORMED, TRELLIS_WIT_UNSUPPORTED
 */
export function parseComponent(bytes: Uint8Array): ParsedComponent {
  const cursor = new WasmCursor(bytes, 0, bytes.length, { steps: MAX_STEPS });
  return { definitions: readComponentBody(cursor, 0), cursor };
}

function readComponentBody(cursor: WasmCursor, depth: number): Definition[] {
  if (depth > MAX_NESTING) throw malformed('components are nested too deeply', cursor.pos);
  readPreamble(cursor);
  const definitions: Definition[] = [];
  while (!cursor.done) {
    const id = cursor.byte();
    const section = cursor.sub(cursor.u32());
    readSection(id, section, definitions, depth);
    if (id !== 0 && !section.done) throw malformed(`section ${id} has trailing bytes`, section.pos);
  }
  return definitions;
}

function readPreamble(cursor: WasmCursor): void {
  const word = (): number => cursor.byte() + cursor.byte() * 2 ** 8 + cursor.byte() * 2 ** 16 + cursor.byte() * 2 ** 24;
  if (word() !== MAGIC) throw malformed('it does not begin with the WebAssembly magic', 0);
  const version = word();
  if (version === COMPONENT) return;
  if (version === CORE_MODULE) throw malformed('it is a core module, not a component', 4);
  throw unsupported(`version 0x${version.toString(16)} of the binary format`);
}

function readSection(id: number, section: WasmCursor, out: Definition[], depth: number): void {
  const each = (read: () => void): void => {
    for (let n = section.count(); n > 0; n--) read();
  };
  switch (id) {
    case 0: // custom
      section.skip(section.end - section.pos);
      return;
    case 1:
      section.charge(1);
      out.push({ kind: 'core-module', start: section.pos, end: section.end });
      section.skip(section.end - section.pos);
      return;
    case 2:
      return each(() => out.push({ kind: 'core-names', names: readCoreInstance(section) }));
    case 3:
      return each(() => {
        const names: string[] = [];
        skipCoreType(section, names, 0);
        out.push({ kind: 'core-names', names });
      });
    case 4:
      section.charge(1);
      out.push({ kind: 'component', definitions: readComponentBody(section, depth + 1) });
      return;
    case 5:
      return each(() => out.push(readInstance(section)));
    case 6:
      return each(() => out.push(readAlias(section)));
    case 7:
      return each(() => out.push({ kind: 'type', type: readType(section, 0) }));
    case 8:
      return each(() => readCanon(section, out));
    case 9:
      throw unsupported('a start function');
    case 10:
      return each(() => {
        const [name, names] = readDeclaredName(section);
        out.push({ kind: 'import', name, names, extern: readExtern(section) });
      });
    case 11:
      return each(() => out.push(readExport(section)));
    case 12:
      throw unsupported('value definitions');
    default:
      throw malformed(`it has an unknown section ${id}`, section.pos);
  }
}

function readCoreInstance(cursor: WasmCursor): string[] {
  const names: string[] = [];
  const written = cursor.oneOf('a core instance', 0, 1) === 1;
  if (!written) cursor.u32();
  for (let n = cursor.count(); n > 0; n--) {
    names.push(cursor.name());
    cursor.byte(); // sort
    cursor.u32();
  }
  return names;
}

function readInstance(cursor: WasmCursor): Definition {
  if (cursor.oneOf('an instance', 0, 1) === 1) {
    const items: NamedItem[] = [];
    for (let n = cursor.count(); n > 0; n--) {
      const [name] = readDeclaredName(cursor);
      items.push({ name, sort: readSort(cursor), index: cursor.u32() });
    }
    return { kind: 'written-instance', items };
  }
  const component = cursor.u32();
  const args: NamedItem[] = [];
  for (let n = cursor.count(); n > 0; n--) args.push({ name: cursor.name(), sort: readSort(cursor), index: cursor.u32() });
  return { kind: 'instantiate', component, args };
}

function readExport(cursor: WasmCursor): Definition {
  const [name, names] = readDeclaredName(cursor);
  const sort = readSort(cursor);
  const index = cursor.u32();
  const extern = cursor.oneOf('the type of an export', 0, 1) === 1 ? readExtern(cursor) : null;
  return { kind: 'export', name, names, sort, index, extern };
}

// The immediates of every canonical built-in that makes a core function: they are read past. `t` a type or function index or
// another u32, `o` options, `b` a flag byte, `v` a core value type, `r` a result list. Codes from the binary format, P3.
const BUILTINS: ReadonlyMap<number, string> = new Map(
  (
    '02:t 03:t 04:t 05: 06:b 07:t 08: 09:ro 0a:vt 0b:vt 0c:b 0d: 0e:t 0f:to 10:to 11:tb 12:tb 13:t 14:t 15:t 16:to 17:to 18:tb ' +
    '19:tb 1a:t 1b:t 1c:o 1d:o 1e: 1f: 20:bt 21:bt 22: 23: 24: 25: 26: 27:tt 28: 29:b 2a:b 2b:b 2c:b 2d:b 40:bt 41:btt 42:b'
  )
    .split(' ')
    .map((each) => [Number.parseInt(each.slice(0, 2), 16), each.slice(3)]),
);

function readCanon(cursor: WasmCursor, out: Definition[]): void {
  const code = cursor.byte();
  if (code === 0) {
    cursor.oneOf('a lifted function', 0);
    cursor.u32();
    skipOptions(cursor);
    out.push({ kind: 'lift', type: cursor.u32() });
    return;
  }
  if (code === 1) {
    cursor.oneOf('a lowered function', 0);
    cursor.u32();
    skipOptions(cursor);
    return;
  }
  const immediates = BUILTINS.get(code);
  if (immediates === undefined) throw unsupported(`the canonical built-in 0x${code.toString(16)}`);
  for (const immediate of immediates) {
    if (immediate === 't') cursor.u32();
    else if (immediate === 'o') skipOptions(cursor);
    else if (immediate === 'v') cursor.s33();
    else if (immediate === 'b') cursor.byte();
    else skipResults(cursor);
  }
}

function skipResults(cursor: WasmCursor): void {
  if (cursor.oneOf('a result list', 0, 1) === 0) cursor.s33();
  else cursor.oneOf('a result list', 0);
}

function skipOptions(cursor: WasmCursor): void {
  for (let n = cursor.count(); n > 0; n--) {
    const code = cursor.oneOf('a canonical option', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    // string encodings (0–2), async (6) and gc (9) stand alone; the others name a memory, a function or a type
    if ((code >= 3 && code <= 5) || code === 7 || code === 8) cursor.u32();
  }
}
