/** The type sections of a component: bytes → {@link TypeSyntax}, {@link Declaration}, {@link ExternSyntax}. */
import { skipCoreType } from './core-syntax.ts';
import type { Declaration, ExternSyntax, NamedRef, Sort, TypeRef, TypeSyntax } from './component-syntax.ts';
import type { PrimitiveKind } from './types.ts';
import { checkLabel, malformed, type WasmCursor } from './wasm-cursor.ts';

/** Deepest nesting of component and instance types inside each other. */
const MAX_TYPE_NESTING = 16;

const PRIMITIVES: ReadonlyMap<number, PrimitiveKind> = new Map<number, PrimitiveKind>([
  [0x7f, 'bool'],
  [0x7e, 's8'],
  [0x7d, 'u8'],
  [0x7c, 's16'],
  [0x7b, 'u16'],
  [0x7a, 's32'],
  [0x79, 'u32'],
  [0x78, 's64'],
  [0x77, 'u64'],
  [0x76, 'f32'],
  [0x75, 'f64'],
  [0x74, 'char'],
  [0x73, 'string'],
]);

/** Reads a reference to a value type. */
export function readTypeRef(cursor: WasmCursor): TypeRef {
  const code = cursor.s33();
  if (code >= 0) return code;
  const primitive = PRIMITIVES.get(code + 0x80);
  // `error-context` may stand wherever a type does; as an index of no type it is refused where it is used.
  if (primitive === undefined) {
    if (code + 0x80 === 0x64) return Number.MAX_SAFE_INTEGER;
    throw malformed(`a type has the unknown code 0x${(code + 0x80).toString(16)}`, cursor.pos);
  }
  return primitive;
}

function optional<T>(cursor: WasmCursor, read: (cursor: WasmCursor) => T): T | null {
  return cursor.oneOf('an optional type', 0, 1) === 1 ? read(cursor) : null;
}

function readLabel(cursor: WasmCursor, seen: Set<string>): string {
  const start = cursor.pos;
  const name = checkLabel(cursor.name(), start);
  if (seen.has(name)) throw malformed(`the name "${name}" occurs twice in one type`, start);
  seen.add(name);
  return name;
}

function readNamed<Ref>(cursor: WasmCursor, readRef: (cursor: WasmCursor) => Ref): NamedRef<Ref>[] {
  const seen = new Set<string>();
  const out: NamedRef<Ref>[] = [];
  for (let n = cursor.count(); n > 0; n--) out.push({ name: readLabel(cursor, seen), type: readRef(cursor) });
  return out;
}

function readLabels(cursor: WasmCursor): string[] {
  const seen = new Set<string>();
  for (let n = cursor.count(); n > 0; n--) readLabel(cursor, seen);
  return [...seen];
}

function readCasePayload(cursor: WasmCursor): TypeRef | null {
  const payload = optional(cursor, readTypeRef);
  cursor.oneOf('a case', 0);
  return payload;
}

/** Reads a type definition. */
export function readType(cursor: WasmCursor, depth: number): TypeSyntax {
  if (depth > MAX_TYPE_NESTING) throw malformed('types are nested too deeply', cursor.pos);
  cursor.charge(1);
  const code = cursor.byte();
  switch (code) {
    case 0x72:
      return { kind: 'record', fields: readNamed(cursor, readTypeRef) };
    case 0x71:
      return { kind: 'variant', cases: readNamed(cursor, readCasePayload) };
    case 0x70:
      return { kind: 'list', of: readTypeRef(cursor) };
    case 0x6f: {
      const of: TypeRef[] = [];
      for (let n = cursor.count(); n > 0; n--) of.push(readTypeRef(cursor));
      return { kind: 'tuple', of };
    }
    case 0x6e:
      return { kind: 'flags', names: readLabels(cursor) };
    case 0x6d:
      return { kind: 'enum', names: readLabels(cursor) };
    case 0x6b:
      return { kind: 'option', of: readTypeRef(cursor) };
    case 0x6a:
      return { kind: 'result', ok: optional(cursor, readTypeRef), err: optional(cursor, readTypeRef) };
    case 0x69:
      return { kind: 'own', resource: cursor.u32() };
    case 0x68:
      return { kind: 'borrow', resource: cursor.u32() };
    case 0x66:
      return { kind: 'stream', of: optional(cursor, readTypeRef) };
    case 0x65:
      return { kind: 'future', of: optional(cursor, readTypeRef) };
    case 0x67:
      readTypeRef(cursor);
      cursor.u32();
      return { kind: 'unsupported', what: 'a list of fixed length' };
    case 0x63:
      readTypeRef(cursor);
      readTypeRef(cursor);
      return { kind: 'unsupported', what: 'a map' };
    case 0x64:
      return { kind: 'unsupported', what: 'an error-context' };
    case 0x40:
    case 0x43:
      return { kind: 'func', async: code === 0x43, params: readNamed(cursor, readTypeRef), result: readResult(cursor) };
    case 0x41:
      return { kind: 'component', declarations: readDeclarations(cursor, depth, true) };
    case 0x42:
      return { kind: 'instance', declarations: readDeclarations(cursor, depth, false) };
    case 0x3f:
      cursor.byte(); // representation
      if (cursor.oneOf('a resource type', 0, 1) === 1) cursor.u32();
      return { kind: 'resource' };
    default: {
      const primitive = PRIMITIVES.get(code);
      if (primitive === undefined) throw malformed(`a type has the unknown code 0x${code.toString(16)}`, cursor.pos - 1);
      return { kind: 'alias', of: primitive };
    }
  }
}

function readResult(cursor: WasmCursor): TypeRef | null {
  if (cursor.oneOf('the result of a function', 0, 1) === 0) return readTypeRef(cursor);
  cursor.oneOf('the result of a function', 0); // named results are gone from the format
  return null;
}

function readDeclarations(cursor: WasmCursor, depth: number, component: boolean): Declaration[] {
  const out: Declaration[] = [];
  for (let n = cursor.count(); n > 0; n--) {
    const code = component ? cursor.oneOf('a declaration', 0, 1, 2, 3, 4) : cursor.oneOf('a declaration', 0, 1, 2, 4);
    if (code === 0) {
      const names: string[] = [];
      skipCoreType(cursor, names, 0);
      out.push({ kind: 'core-names', names });
    } else if (code === 1) {
      out.push({ kind: 'type', type: readType(cursor, depth + 1) });
    } else if (code === 2) {
      out.push(readAlias(cursor));
    } else {
      const [name, names] = readDeclaredName(cursor);
      out.push({ kind: code === 3 ? 'import' : 'declare-export', name, names, extern: readExtern(cursor) });
    }
  }
  return out;
}

/** Reads the name of an import or export; the second part is what its attributes name. */
export function readDeclaredName(cursor: WasmCursor): [name: string, names: string[]] {
  const form = cursor.oneOf('a name', 0, 1, 2);
  const name = cursor.name();
  const names: string[] = [];
  if (form === 2) {
    for (let n = cursor.count(); n > 0; n--) {
      cursor.oneOf('an attribute of a name', 0, 1, 2);
      names.push(cursor.name());
    }
  }
  return [name, names];
}

/** Reads a sort. */
export function readSort(cursor: WasmCursor): Sort {
  switch (cursor.oneOf('a sort', 0, 1, 2, 3, 4, 5)) {
    case 0:
      return cursor.byte() === 0x11 ? 'core-module' : 'core';
    case 1:
      return 'func';
    case 2:
      return 'value';
    case 3:
      return 'type';
    case 4:
      return 'component';
    default:
      return 'instance';
  }
}

/** Reads an alias definition. */
export function readAlias(cursor: WasmCursor): Declaration {
  const sort = readSort(cursor);
  switch (cursor.oneOf('an alias', 0, 1, 2)) {
    case 0:
      return { kind: 'alias-export', sort, instance: cursor.u32(), name: cursor.name() };
    case 1:
      cursor.u32();
      return { kind: 'core-names', names: [cursor.name()] };
    default:
      return { kind: 'alias-outer', sort, depth: cursor.u32(), index: cursor.u32() };
  }
}

/** Reads what an import or an ascribed export is. */
export function readExtern(cursor: WasmCursor): ExternSyntax {
  switch (cursor.oneOf('an import', 0, 1, 2, 3, 4, 5)) {
    case 0:
      cursor.oneOf('an import', 0x11);
      cursor.u32();
      return { kind: 'core-module' };
    case 1:
      return { kind: 'func', type: cursor.u32() };
    case 2:
      if (cursor.oneOf('a value', 0, 1) === 0) cursor.u32();
      else readTypeRef(cursor);
      return { kind: 'value' };
    case 3:
      return { kind: 'type', bound: cursor.oneOf('the bound of a type', 0, 1) === 0 ? cursor.u32() : 'resource' };
    case 4:
      return { kind: 'component', type: cursor.u32() };
    default:
      return { kind: 'instance', type: cursor.u32() };
  }
}
