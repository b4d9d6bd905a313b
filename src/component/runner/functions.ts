import { hasAsync, type ComponentTypes, type WitFunction, type WitInterface } from '../../wit/types.ts';
import { servedInterfaces, wireFormsOfImport } from '../../wit/wire/wire-forms.ts';

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

/** A function that a component exports. */
export interface NumberedExport extends NumberedFunction {
  /** The interface as the component exports it, where `instance` and `fn` are the form on the wire. */
  readonly guestInstance?: string;
}

function numbered(interfaces: readonly WitInterface[]): NumberedFunction[] {
  const all = interfaces.flatMap((each) => each.functions.map((fn) => ({ instance: each.name, fn })));
  return all.map(({ instance, fn }, index) => ({
    index,
    instance,
    fn,
    asyncParams: fn.params.some((param) => hasAsync(param.type)),
    asyncResult: hasAsync(fn.result),
  }));
}

/** The functions a component exports, in their form on the wire, as `call` frames number them. */
export function exportedFunctions(types: ComponentTypes): readonly NumberedExport[] {
  const served = servedInterfaces(types);
  const guestNames = new Map(served.map(({ wit, guestInstance }) => [wit.name, guestInstance]));
  return numbered(served.map(({ wit }) => wit)).map((each) => {
    const guestInstance = guestNames.get(each.instance);
    return guestInstance === undefined ? each : { ...each, guestInstance };
  });
}

/** The functions a component imports, WASI included, in their form on the wire, as `import` frames number them. */
export function importedFunctions(types: ComponentTypes): readonly NumberedFunction[] {
  // Several may have one form in common, and a component may import that as well.
  const own = new Set(types.imports.map(({ name }) => name));
  const forms = (name: string): readonly WitInterface[] | undefined =>
    wireFormsOfImport(name)?.filter((form) => !own.has(form.name));
  return numbered([...new Set(types.imports.flatMap((wit) => forms(wit.name) ?? [wit]))]);
}
