/** The parts of core WebAssembly that a component can hold: core types, and the names and sizes of core modules. */
import { malformed, unsupported, type WasmCursor } from './wasm-cursor.ts';

/** Limits of a memory or table, in pages or elements; `max` is `null` when there is none. */
export interface CoreLimits {
  readonly min: number;
  readonly max: number | null;
  readonly shared: boolean;
  readonly memory64: boolean;
}

/** Reads the limits of a memory or table. */
export function readLimits(cursor: WasmCursor): CoreLimits {
  const flags = cursor.byte();
  if (flags > 0x0f) throw malformed('a memory has unknown limits', cursor.pos);
  const min = cursor.u64();
  const max = flags & 1 ? cursor.u64() : null;
  if (flags & 8) cursor.u32(); // custom page size
  return { min, max, shared: (flags & 2) !== 0, memory64: (flags & 4) !== 0 };
}

function skipCoreValueType(cursor: WasmCursor): void {
  const code = cursor.byte();
  if (code === 0x63 || code === 0x64) cursor.s33(); // a reference with its heap type
}

/** A table's element type and limits, with the form that carries an initial value refused. */
export function skipTableType(cursor: WasmCursor): void {
  skipCoreValueType(cursor);
  readLimits(cursor);
}

/** What an import or export of a core module is. */
export interface CoreExtern {
  readonly kind: 'func' | 'table' | 'memory' | 'global' | 'tag';
  /** Only for a memory. */
  readonly limits?: CoreLimits;
}

/** Reads the description of a core import. */
export function readCoreExtern(cursor: WasmCursor): CoreExtern {
  switch (cursor.oneOf('a core import', 0, 1, 2, 3, 4)) {
    case 0:
      cursor.u32();
      return { kind: 'func' };
    case 1:
      skipTableType(cursor);
      return { kind: 'table' };
    case 2:
      return { kind: 'memory', limits: readLimits(cursor) };
    case 3:
      skipCoreValueType(cursor);
      cursor.byte();
      return { kind: 'global' };
    default:
      cursor.byte();
      cursor.u32();
      return { kind: 'tag' };
  }
}

/** Reads past a core type definition; names in it are added to `names`. */
export function skipCoreType(cursor: WasmCursor, names: string[], depth: number): void {
  if (depth > 2) throw malformed('core types are nested too deeply', cursor.pos);
  const code = cursor.byte();
  switch (code) {
    case 0x50:
      for (let n = cursor.count(); n > 0; n--) skipModuleDeclaration(cursor, names, depth);
      return;
    case 0x4e: // a group of recursive types
      for (let n = cursor.count(); n > 0; n--) skipSubType(cursor, cursor.byte());
      return;
    case 0x00:
      return skipSubType(cursor, cursor.byte());
    default:
      return skipSubType(cursor, code);
  }
}

function skipSubType(cursor: WasmCursor, code: number): void {
  if (code !== 0x50 && code !== 0x4f) return skipCompositeType(cursor, code);
  for (let n = cursor.count(); n > 0; n--) cursor.u32();
  skipCompositeType(cursor, cursor.byte());
}

function skipCompositeType(cursor: WasmCursor, code: number): void {
  switch (code) {
    case 0x60:
      for (let list = 0; list < 2; list++) for (let n = cursor.count(); n > 0; n--) skipCoreValueType(cursor);
      return;
    case 0x5f:
      for (let n = cursor.count(); n > 0; n--) skipStorageType(cursor);
      return;
    case 0x5e:
      return skipStorageType(cursor);
    default:
      throw unsupported(`the core type 0x${code.toString(16)}`);
  }
}

function skipStorageType(cursor: WasmCursor): void {
  skipCoreValueType(cursor);
  cursor.byte(); // mutability
}

function skipModuleDeclaration(cursor: WasmCursor, names: string[], depth: number): void {
  switch (cursor.oneOf('a declaration of a core module type', 0, 1, 2, 3)) {
    case 0:
      names.push(cursor.name(), cursor.name());
      readCoreExtern(cursor);
      return;
    case 1:
      return skipCoreType(cursor, names, depth + 1);
    case 2:
      cursor.oneOf('a core alias', 0x10);
      cursor.oneOf('a core alias', 0x01);
      cursor.u32();
      cursor.u32();
      return;
    default:
      names.push(cursor.name());
      readCoreExtern(cursor);
  }
}
