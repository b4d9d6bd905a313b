/** WIT types and functions as text. */
import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';
import type { ComponentTypes, PrimitiveKind, WitFunction, WitType } from './types.ts';
import { isLabel } from './wasm-cursor.ts';

/** Deepest nesting of a type written as text. */
const MAX_DEPTH = 64;
/** Longest text of a type, characters. */
const MAX_TEXT = 100_000;

const PRIMITIVES: ReadonlySet<string> = new Set<PrimitiveKind>(
  'bool u8 s8 u16 s16 u32 s32 u64 s64 f32 f64 char string'.split(' ') as PrimitiveKind[],
);

function bad(message: string): never {
  throw new TrellisError('TRELLIS_WIT_TYPE_TEXT', { message });
}

/**
 * The type that `text` describes: WIT, with records, variants, enums and flags written in place, as in
 * `result<option<list<u8>>, variant{a, other(string)}>`. Names are kebab-case labels.
 * @throws TRELLIS_WIT_TYPE_TEXT
 */
export function parseWitType(text: string): WitType {
  if (text.length > MAX_TEXT) return bad('the type is too long');
  const tokens = text.match(/[A-Za-z0-9-]+|[<>{}(),:_]|\S/g) ?? [];
  const parser = new TypeParser(tokens);
  const type = parser.type(0);
  parser.expectEnd();
  return type;
}

class TypeParser {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? 'the end';
  }

  #take(token: string): boolean {
    const found = this.#tokens[this.#at] === token;
    if (found) this.#at++;
    return found;
  }

  #expect(token: string): void {
    if (!this.#take(token)) bad(`expected ${token} before ${quote(this.#peek())}`);
  }

  expectEnd(): void {
    if (this.#at < this.#tokens.length) bad(`expected the end before ${quote(this.#peek())}`);
  }

  #label(): string {
    const word = this.#peek();
    if (this.#at >= this.#tokens.length || !isLabel(word)) return bad(`expected a name in kebab case, got ${quote(word)}`);
    this.#at++;
    return word;
  }

  #items<T>(open: string, close: string, read: () => T): T[] {
    const out: T[] = [];
    this.#expect(open);
    while (!this.#take(close)) {
      out.push(read());
      if (this.#take(close)) break;
      this.#expect(',');
    }
    return out;
  }

  #named<T extends { name: string }>(what: string, items: T[]): T[] {
    if (new Set(items.map((each) => each.name)).size < items.length) bad(`a ${what} has the same name twice`);
    return items;
  }

  #argument(depth: number): WitType {
    this.#expect('<');
    const type = this.type(depth);
    this.#expect('>');
    return type;
  }

  type(depth: number): WitType {
    if (depth > MAX_DEPTH) return bad('the type is nested too deeply');
    const word = this.#peek();
    this.#at++;
    const inner = (): WitType => this.type(depth + 1);
    if (PRIMITIVES.has(word)) return { kind: word as PrimitiveKind };
    switch (word) {
      case 'list':
        return { kind: 'list', elem: this.#argument(depth + 1) };
      case 'option':
        return { kind: 'option', some: this.#argument(depth + 1) };
      case 'tuple':
        return { kind: 'tuple', elems: this.#items('<', '>', inner) };
      case 'stream':
        return { kind: 'stream', elem: this.#peek() === '<' ? this.#argument(depth + 1) : null };
      case 'future':
        return { kind: 'future', some: this.#peek() === '<' ? this.#argument(depth + 1) : null };
      case 'result':
        return this.#result(inner);
      case 'own':
      case 'borrow': {
        this.#expect('<');
        const name = this.#label();
        this.#expect('>');
        return { kind: word, name };
      }
      case 'record': {
        const fields = this.#items('{', '}', () => {
          const name = this.#label();
          this.#expect(':');
          return { name, ty: inner() };
        });
        return { kind: 'record', fields: this.#named('record', fields) };
      }
      case 'variant': {
        const cases = this.#items('{', '}', () => {
          const name = this.#label();
          if (!this.#take('(')) return { name, ty: null };
          const ty = inner();
          this.#expect(')');
          return { name, ty };
        });
        return { kind: 'variant', cases: this.#named('variant', cases) };
      }
      case 'enum':
      case 'flags': {
        const names = this.#items('{', '}', () => ({ name: this.#label() }));
        return { kind: word, names: this.#named(word, names).map((each) => each.name) };
      }
      default:
        return bad(`${quote(word)} is not a WIT type`);
    }
  }

  #result(inner: () => WitType): WitType {
    if (!this.#take('<')) return { kind: 'result', ok: null, err: null };
    const ok = this.#take('_') ? null : inner();
    const err = this.#take(',') ? inner() : null;
    this.#expect('>');
    return { kind: 'result', ok, err };
  }
}

/** The text of a type, as {@link parseWitType} reads it. */
export function printWitType(type: WitType): string {
  switch (type.kind) {
    case 'list':
      return `list<${printWitType(type.elem)}>`;
    case 'option':
      return `option<${printWitType(type.some)}>`;
    case 'tuple':
      return `tuple<${type.elems.map(printWitType).join(', ')}>`;
    case 'stream':
      return type.elem === null ? 'stream' : `stream<${printWitType(type.elem)}>`;
    case 'future':
      return type.some === null ? 'future' : `future<${printWitType(type.some)}>`;
    case 'result':
      if (type.err !== null) return `result<${type.ok === null ? '_' : printWitType(type.ok)}, ${printWitType(type.err)}>`;
      return type.ok === null ? 'result' : `result<${printWitType(type.ok)}>`;
    case 'own':
    case 'borrow':
      return `${type.kind}<${type.name}>`;
    case 'record':
      return `record{${type.fields.map((field) => `${field.name}: ${printWitType(field.ty)}`).join(', ')}}`;
    case 'variant':
      return `variant{${type.cases.map((each) => (each.ty === null ? each.name : `${each.name}(${printWitType(each.ty)})`)).join(', ')}}`;
    case 'enum':
    case 'flags':
      return `${type.kind}{${type.names.join(', ')}}`;
    default:
      return type.kind;
  }
}

/** The text of a function: `[method]counter.up: async func(self: borrow<counter>, by: u32) -> u32`. */
export function printFunction(fn: WitFunction): string {
  const params = fn.params.map((param) => `${param.name}: ${printWitType(param.type)}`).join(', ');
  const result = fn.result === null ? '' : ` -> ${printWitType(fn.result)}`;
  return `${fn.name}: ${fn.async ? 'async ' : ''}func(${params})${result}`;
}

/** What a component imports and exports, one function a line. Types are written in place: a component holds no WIT source. */
export function printWorld(types: ComponentTypes): string {
  const lines: string[] = [`world ${types.worldName ?? '(component)'} {`];
  for (const side of ['import', 'export'] as const) {
    for (const { name, functions } of side === 'import' ? types.imports : types.exports) {
      if (name === '') {
        for (const fn of functions) lines.push(`  ${side} ${printFunction(fn)};`);
      } else if (functions.length === 0) {
        lines.push(`  ${side} ${name};`);
      } else {
        lines.push(`  ${side} ${name} {`, ...functions.map((fn) => `    ${printFunction(fn)};`), '  }');
      }
    }
  }
  return [...lines, '}'].join('\n');
}
