/** Writes small components byte by byte, with any name in any place: what no toolchain would make. */

type Bytes = readonly number[];

/** Unsigned LEB128. */
export function leb(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  do {
    const more = rest >= 0x80;
    out.push((rest % 0x80) | (more ? 0x80 : 0));
    rest = Math.floor(rest / 0x80);
  } while (rest > 0);
  return out;
}

const text = (name: string): number[] => {
  const bytes = new TextEncoder().encode(name);
  return [...leb(bytes.length), ...bytes];
};
const list = (items: readonly Bytes[]): number[] => [...leb(items.length), ...items.flat()];
const section = (id: number, body: Bytes): number[] => [id, ...leb(body.length), ...body];

/** A core module; every function takes and returns nothing. */
export interface CoreModuleShape {
  readonly imports?: readonly { readonly module: string; readonly field: string }[];
  /** Names under which the module's one function is exported. */
  readonly exports?: readonly string[];
  /** Functions beside the first, all alike. */
  readonly extraFunctions?: number;
  readonly memories?: readonly { readonly min: number; readonly max?: number; readonly flags?: number }[];
  readonly tables?: readonly { readonly min: number; readonly max?: number }[];
  /** Instructions of the first function, without `end`. */
  readonly code?: Bytes;
}

/** Returns the bytes of a core module. */
export function coreModule(shape: CoreModuleShape): number[] {
  const imports = shape.imports ?? [];
  const functions = 1 + (shape.extraFunctions ?? 0);
  const limits = (limit: { min: number; max?: number; flags?: number }): number[] =>
    limit.max === undefined
      ? [limit.flags ?? 0, ...leb(limit.min)]
      : [(limit.flags ?? 0) | 1, ...leb(limit.min), ...leb(limit.max)];
  const body = (code: Bytes): number[] => [...leb(code.length + 2), 0, ...code, 0x0b];
  const out = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...section(1, [1, 0x60, 0, 0])];
  if (imports.length > 0) {
    out.push(...section(2, list(imports.map(({ module, field }) => [...text(module), ...text(field), 0, 0]))));
  }
  out.push(...section(3, list(Array.from({ length: functions }, () => [0]))));
  if (shape.tables) out.push(...section(4, list(shape.tables.map((table) => [0x70, ...limits(table)]))));
  if (shape.memories) out.push(...section(5, list(shape.memories.map(limits))));
  if (shape.exports) out.push(...section(7, list(shape.exports.map((name) => [...text(name), 0, ...leb(imports.length)]))));
  const bodies = Array.from({ length: functions }, (_, i) => body(i === 0 ? (shape.code ?? []) : []));
  return [...out, ...section(10, list(bodies))];
}

/** Where {@link componentWith} may put a name. */
export interface ComponentNames {
  readonly coreImportModule?: string;
  readonly coreImportField?: string;
  readonly coreExport?: string;
  readonly inlineExport?: string;
  readonly componentExport?: string;
  readonly componentImport?: string;
  /** Of the interface that is imported; it has one function. */
  readonly interfaceImport?: string;
  readonly instanceExport?: string;
  readonly parameter?: string;
  readonly field?: string;
}

/** The places of {@link ComponentNames}. */
export const NAME_PLACES = [
  'coreImportModule',
  'coreImportField',
  'coreExport',
  'inlineExport',
  'componentExport',
  'componentImport',
  'instanceExport',
  'parameter',
  'field',
] as const satisfies readonly (keyof ComponentNames)[];

const PREAMBLE = [0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0];

/**
 * Returns a component with one exported function, in which every kind of name can be chosen. Without any it is valid and
 * its function does nothing.
 */
export function componentWith(names: ComponentNames): Uint8Array {
  const importModule = names.coreImportModule ?? 'env';
  const importField = names.coreImportField ?? 'f';
  const coreExport = names.coreExport ?? 'run';
  const inlineExport = names.inlineExport ?? importField;
  const provider = coreModule({ exports: [importField] });
  const user = coreModule({ imports: [{ module: importModule, field: importField }], exports: [coreExport] });
  const record = [0x72, ...list([[...text(names.field ?? 'value'), 0x79]])];
  const types = [
    // 0: a record, 1: func(), 2: func(p: u32), 3: an instance with one function
    record,
    [0x40, 0, 1, 0],
    [0x40, 1, ...text(names.parameter ?? 'count'), 0x79, 1, 0],
    [
      0x42,
      ...list([
        [1, 0x40, 0, 1, 0],
        [4, 0, ...text(names.instanceExport ?? 'get'), 1, 0],
      ]),
    ],
  ];
  return Uint8Array.from([
    ...PREAMBLE,
    ...section(1, provider),
    ...section(1, user),
    ...section(7, list(types)),
    // Imports: one function, one interface.
    ...section(
      10,
      list([
        [0, ...text(names.componentImport ?? 'helper'), 1, 2],
        [0, ...text(names.interfaceImport ?? 'demo:names/api@0.1.0'), 5, 3],
      ]),
    ),
    // Core instances: the provider, its function under an inline name, the user.
    ...section(2, list([[0, 0, 0]])),
    ...section(6, list([[0, 0, 1, 0, ...text(importField)]])),
    ...section(
      2,
      list([
        [1, ...list([[...text(inlineExport), 0, 0]])],
        [0, 1, ...list([[...text(importModule), 0x12, 1]])],
      ]),
    ),
    ...section(6, list([[0, 0, 1, 2, ...text(coreExport)]])),
    ...section(8, list([[0, 0, 1, 0, 1]])),
    ...section(11, list([[0, ...text(names.componentExport ?? 'run'), 1, 1, 0]])),
  ]);
}

/** Returns a component that instantiates the given core modules and exports the function `run` of the first. */
export function componentOf(modules: readonly Bytes[]): Uint8Array {
  return Uint8Array.from([
    ...PREAMBLE,
    ...modules.flatMap((module) => section(1, module)),
    ...section(7, list([[0x40, 0, 1, 0]])),
    ...section(2, list(modules.map((_, i) => [0, ...leb(i), 0]))),
    ...section(6, list([[0, 0, 1, 0, ...text('run')]])),
    ...section(8, list([[0, 0, 0, 0, 0]])),
    ...section(11, list([[0, ...text('run'), 1, 0, 0]])),
  ]);
}
