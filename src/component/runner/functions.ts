import { hasAsync, type ComponentTypes, type WitFunction, type WitInterface } from '../../wit/types.ts';

/** A function by its number; the host and the runner count in the same order. */
export interface NumberedFunction {
  readonly index: number;
  /** Interface with version; `''` for the world. */
  readonly instance: string;
  readonly fn: WitFunction;
  /** Whether a parameter can hold a stream or a future. */
  readonly asyncParams: boolean;
  /** Whether the result can. */
  readonly asyncResult: boolean;
}

function number(interfaces: readonly WitInterface[]): NumberedFunction[] {
  const all = interfaces.flatMap((each) => each.functions.map((fn) => ({ instance: each.name, fn })));
  return all.map(({ instance, fn }, index) => ({
    index,
    instance,
    fn,
    asyncParams: fn.params.some((param) => hasAsync(param.type)),
    asyncResult: hasAsync(fn.result),
  }));
}

/** The functions a component exports, as `call` frames number them. */
export function exportedFunctions(types: ComponentTypes): readonly NumberedFunction[] {
  return number(types.exports);
}

/** The functions a component imports, WASI included, as `import` frames number them. */
export function importedFunctions(types: ComponentTypes): readonly NumberedFunction[] {
  return number(types.imports);
}
