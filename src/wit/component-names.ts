/**
 * Every name a component holds, for checks that have to see all of them before a tool turns names into code: imports,
 * exports, labels of types, arguments, also inside nested components and core modules, whether or not anything uses them.
 */
import { MAX_STEPS, parseComponent } from './component-parser.ts';
import type { Declaration, Definition, TypeSyntax } from './component-syntax.ts';
import { readCoreExtern, readLimits, type CoreLimits } from './core-syntax.ts';
import { malformed, type Budget, WasmCursor } from './wasm-cursor.ts';

/** A name and where it stands. */
export interface FoundName {
  /** For people: `component/module 0 import module`, `component/type label`. */
  readonly where: string;
  /**
   * Which grammar it has to satisfy: `extern` (imports, exports and arguments of components), `label` (parameters, fields,
   * cases, flags), `attribute` (what the attributes of an extern name), `core` (any UTF-8 as far as the format goes).
   */
  readonly grammar: 'extern' | 'label' | 'attribute' | 'core';
  readonly name: string;
}

/** Sizes of one core module, for limits. */
export interface CoreModuleStats {
  /** Its size in the file, bytes. */
  readonly bytes: number;
  /** Functions it defines, without imported ones. */
  readonly functions: number;
  /** Memories it defines; the limits count 64 KiB pages. */
  readonly memories: readonly CoreLimits[];
  /** Memories it imports. */
  readonly importedMemories: readonly CoreLimits[];
  readonly imports: number;
  readonly exports: number;
  /** Code and data, bytes. */
  readonly codeBytes: number;
  readonly dataBytes: number;
}

/** Everything {@link scanComponent} found. */
export interface ComponentScan {
  readonly names: readonly FoundName[];
  readonly coreModules: readonly CoreModuleStats[];
  /** Components nested in the file, itself not counted. */
  readonly nestedComponents: number;
}

/**
 * Finds every name and measures every core module. Names in custom sections are left out: nothing gives them a meaning.
 * Bounded like reading the types of the component; a core module costs by its import and export sections.
 * @throws TRELLIS_WIT_MALFORMED, TRELLIS_WIT_UNSUPPORTED
 */
export function scanComponent(bytes: Uint8Array): ComponentScan {
  const { definitions, cursor } = parseComponent(bytes);
  const scan = new Scan(bytes, cursor.budget);
  scan.definitions(definitions, 'component');
  return scan;
}

/**
 * The same of a file that is one core module. @throws TRELLIS_WIT_MALFORMED, TRELLIS_WIT_UNSUPPORTED
 */
export function scanCoreModule(bytes: Uint8Array): ComponentScan {
  const scan = new Scan(bytes, { steps: MAX_STEPS });
  scan.module(0, bytes.length, 'module');
  return scan;
}

/** Every name of {@link scanComponent}. */
export function scanNames(bytes: Uint8Array): Iterable<FoundName> {
  return scanComponent(bytes).names;
}

class Scan implements ComponentScan {
  readonly names: FoundName[] = [];
  readonly coreModules: CoreModuleStats[] = [];
  nestedComponents = 0;
  readonly #bytes: Uint8Array;
  readonly #budget: Budget;

  constructor(bytes: Uint8Array, budget: Budget) {
    this.#bytes = bytes;
    this.#budget = budget;
  }

  #add(where: string, grammar: FoundName['grammar'], name: string): void {
    this.names.push({ where, grammar, name });
  }

  definitions(definitions: readonly Definition[], at: string): void {
    for (const each of definitions) {
      switch (each.kind) {
        case 'core-module': {
          this.module(each.start, each.end, `${at}/module ${this.coreModules.length}`);
          break;
        }
        case 'component':
          this.definitions(each.definitions, `${at}/component ${this.nestedComponents++}`);
          break;
        case 'instantiate':
          for (const arg of each.args) this.#add(`${at}/instance argument`, 'extern', arg.name);
          break;
        case 'written-instance':
          for (const item of each.items) this.#add(`${at}/instance export`, 'extern', item.name);
          break;
        case 'export':
          this.#add(`${at}/export`, 'extern', each.name);
          for (const name of each.names) this.#add(`${at}/export attribute`, 'attribute', name);
          break;
        case 'lift':
          break;
        default:
          this.#declaration(each, at);
      }
    }
  }

  #declaration(each: Declaration, at: string): void {
    switch (each.kind) {
      case 'type':
        return this.#type(each.type, at);
      case 'core-names':
        for (const name of each.names) this.#add(`${at}/core name`, 'core', name);
        return;
      case 'alias-export':
        return this.#add(`${at}/alias`, 'extern', each.name);
      case 'import':
      case 'declare-export': {
        const where = `${at}/${each.kind === 'import' ? 'import' : 'export'}`;
        this.#add(where, 'extern', each.name);
        for (const name of each.names) this.#add(`${where} attribute`, 'attribute', name);
        return;
      }
      case 'alias-outer':
        return;
    }
  }

  #type(type: TypeSyntax, at: string): void {
    const labels = (names: readonly string[]): void => {
      for (const name of names) this.#add(`${at}/type label`, 'label', name);
    };
    switch (type.kind) {
      case 'record':
        return labels(type.fields.map((field) => field.name));
      case 'variant':
        return labels(type.cases.map((each) => each.name));
      case 'enum':
      case 'flags':
        return labels(type.names);
      case 'func':
        return labels(type.params.map((param) => param.name));
      case 'component':
      case 'instance':
        for (const each of type.declarations) this.#declaration(each, `${at}/${type.kind} type`);
        return;
      default:
    }
  }

  module(start: number, end: number, at: string): void {
    this.coreModules.push(this.#measure(new WasmCursor(this.#bytes, start, end, this.#budget), at));
  }

  #measure(cursor: WasmCursor, at: string): CoreModuleStats {
    const preamble = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
    const bytes = cursor.end - cursor.pos;
    if (preamble.some((byte) => cursor.byte() !== byte)) throw malformed('a core module does not begin like one', cursor.pos);
    const stats = { bytes, functions: 0, imports: 0, exports: 0, codeBytes: 0, dataBytes: 0 };
    const memories: CoreLimits[] = [];
    const importedMemories: CoreLimits[] = [];
    while (!cursor.done) {
      const id = cursor.byte();
      const section = cursor.sub(cursor.u32());
      switch (id) {
        case 2:
          for (let n = section.count(); n > 0; n--, stats.imports++) {
            this.#add(`${at} import module`, 'core', section.name());
            this.#add(`${at} import name`, 'core', section.name());
            const { limits } = readCoreExtern(section);
            if (limits !== undefined) importedMemories.push(limits);
          }
          break;
        case 3:
          // One byte at least for each function; they are only counted, and not charged: large guests have many.
          stats.functions += section.u32();
          break;
        case 5:
          for (let n = section.count(); n > 0; n--) memories.push(readLimits(section));
          break;
        case 7:
          for (let n = section.count(); n > 0; n--, stats.exports++) {
            this.#add(`${at} export`, 'core', section.name());
            section.byte();
            section.u32();
          }
          break;
        case 10:
          stats.codeBytes += section.end - section.pos;
          break;
        case 11:
          stats.dataBytes += section.end - section.pos;
          break;
        default:
          if (id > 13) throw malformed(`a core module has an unknown section ${id}`, section.pos);
      }
    }
    return { ...stats, memories, importedMemories };
  }
}
