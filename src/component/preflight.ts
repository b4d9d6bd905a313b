import { TrellisError } from '../errors.ts';
import { scanComponent, scanCoreModule, type ComponentScan } from '../wit/component-names.ts';
import { readComponent } from '../wit/component-reader.ts';
import type { ComponentTypes } from '../wit/types.ts';
import { wireFormsOfImport } from '../wit/wire/wire-forms.ts';
import { digestOf } from './artifact.ts';
import { grantFor, isFreeInvoker, isLaterWasi } from './builtin-imports.ts';
import { PAGE_BYTES } from './core-module.ts';
import { checkExportedFunctions, checkNames } from './guest-names.ts';

/** What a component is, before any code is generated from it or run. */
export interface Preflight {
  readonly types: ComponentTypes;
  /** `sha256:<hex>` of the bytes. */
  readonly digest: string;
  /** Size of the component. */
  readonly bytes: number;
  readonly coreModules: number;
  /** Functions defined in all core modules together. */
  readonly functions: number;
  /** What all memories together start with, bytes. */
  readonly memoryBytes: number;
  /** Interfaces the runner itself provides, as the component names them. */
  readonly builtins: readonly string[];
  /** Interfaces that must be linked; `''` stands for functions of the world itself. */
  readonly links: readonly string[];
  /** What an operator must grant for every import to work: `filesystem`, `network`, `http`, `link <interface>`. */
  readonly grantsNeeded: readonly string[];
}

/** Limits of {@link preflight}; each has a default that real components stay far below. */
export interface PreflightLimits {
  readonly maxBytes: number;
  readonly maxCoreModules?: number;
  readonly maxFunctions?: number;
}

/**
 * Looks at a component without trusting it: size, form, every name in it, what it imports. Nothing may see the bytes
 * before this has passed.
 *
 * @throws TRELLIS_COMPONENT_TOO_LARGE, _INVALID (no component), _NAME (a name that could become code), _LIMIT,
 *   _UNSUPPORTED (a later WASI, `wrpc:rpc`); TRELLIS_WIT_MALFORMED and TRELLIS_WIT_UNSUPPORTED of the reader.
 */
export function preflight(bytes: Uint8Array, limits: PreflightLimits): Preflight {
  checkSize(bytes, limits);
  checkForm(bytes);
  const core = checkContent(scanComponent(bytes), limits);
  const types = readComponent(bytes);
  checkExportedFunctions(types);
  const builtins: string[] = [];
  const links: string[] = [];
  const needed = new Set<string>();
  for (const { name, functions } of types.imports) {
    const grant = name === '' ? undefined : grantFor(name);
    if (grant !== undefined && isLaterWasi(name)) {
      throw new TrellisError('TRELLIS_COMPONENT_UNSUPPORTED', {
        message: `the component imports ${name}; this host offers WASI 0.2`,
        remedy: 'Build the component for WASI 0.2.',
        details: { import: name },
      });
    }
    if (functions.length > 0 && isFreeInvoker(name)) {
      throw new TrellisError('TRELLIS_COMPONENT_UNSUPPORTED', {
        message: `the component imports ${name}, by which it would call functions that it does not name in its imports`,
        remedy: 'Import the interfaces that the component calls, and link them.',
        details: { import: name },
      });
    }
    if (grant !== undefined) {
      builtins.push(name);
      if (grant !== 'none') needed.add(grant);
    } else if (functions.length > 0 && !isLocal(name)) {
      links.push(name);
      needed.add(`link ${name === '' ? '(functions of the world)' : name}`);
    }
  }
  return { types, digest: digestOf(bytes), bytes: bytes.length, ...core, builtins, links, grantsNeeded: [...needed] };
}

/**
 * Looks at a core module without trusting it: size, every name that it imports or exports, functions. Nothing may make a component of it
 * before this has passed; what is made is looked at as any component is.
 *
 * @throws TRELLIS_COMPONENT_TOO_LARGE, _NAME, _LIMIT; TRELLIS_WIT_MALFORMED and TRELLIS_WIT_UNSUPPORTED of the reader.
 */
export function preflightCoreModule(bytes: Uint8Array, limits: PreflightLimits): void {
  checkSize(bytes, limits);
  checkContent(scanCoreModule(bytes), limits);
}

/** True for resources that other interfaces send about: nobody is called by their functions alone. */
const isLocal = (name: string): boolean => wireFormsOfImport(name)?.length === 0;

const MAX_CORE_MODULES = 128;
const MAX_FUNCTIONS = 100_000;

function checkSize(bytes: Uint8Array, { maxBytes }: PreflightLimits): void {
  if (bytes.length <= maxBytes) return;
  throw new TrellisError('TRELLIS_COMPONENT_TOO_LARGE', {
    message: `the component has ${bytes.length} bytes; this host accepts ${maxBytes}`,
    details: { bytes: bytes.length, maxBytes },
  });
}

/** The generator also takes the text form, where our checks would see nothing: only the binary form passes. */
function checkForm(bytes: Uint8Array): void {
  const isWasm = bytes.length >= 8 && bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d;
  if (!isWasm) throw new TrellisError('TRELLIS_COMPONENT_INVALID', { message: 'the file is not WebAssembly in binary form' });
  if (bytes[4] === 1 && bytes[6] === 0) {
    throw new TrellisError('TRELLIS_COMPONENT_INVALID', {
      message: 'the file is a core module, not a component',
      remedy: 'Make a component of it with `wasm-tools component new`.',
    });
  }
}

function checkContent(
  { names, coreModules }: ComponentScan,
  limits: PreflightLimits,
): { coreModules: number; functions: number; memoryBytes: number } {
  checkNames(names);
  let functions = 0;
  let pages = 0;
  for (const module of coreModules) {
    functions += module.functions;
    for (const memory of module.memories) pages += memory.min;
  }
  checkCount('core modules', coreModules.length, limits.maxCoreModules ?? MAX_CORE_MODULES);
  checkCount('functions', functions, limits.maxFunctions ?? MAX_FUNCTIONS);
  return { coreModules: coreModules.length, functions, memoryBytes: pages * PAGE_BYTES };
}

function checkCount(what: string, count: number, max: number): void {
  if (count <= max) return;
  throw new TrellisError('TRELLIS_COMPONENT_LIMIT', {
    message: `the component has ${count} ${what}; this host accepts ${max}`,
    details: { what, count, max },
  });
}
