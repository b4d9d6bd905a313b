import { hasAsync } from '../wit/types.ts';
import type { ComponentTypes, WitFunction, WitInterface } from '../wit/types.ts';
import { isBuiltin, mayWait } from './builtin-imports.ts';

/** How a component is to be translated; decided by its types alone. */
export interface TranspilePlan {
  /** `'jspi'` when some function may have to wait: such code costs more per call, so it is used only where needed. */
  readonly asyncMode: 'sync' | 'jspi';
  /** Imports that return promises, by exact name: a wildcard breaks components whose initialiser calls WASI. */
  readonly asyncImports: readonly string[];
  readonly asyncExports: readonly string[];
  /** Import name → key in the imports object. Exact entries keep the version, so two versions do not collide. */
  readonly map: Readonly<Record<string, string>>;
}

/** Returns the plan for a component of these types. */
export function planFor(types: ComponentTypes): TranspilePlan {
  const map: Record<string, string> = {};
  const asyncImports: string[] = [];
  let needsAsync = types.exports.some((exported) => exported.functions.some(isAsync));
  for (const imported of types.imports) {
    if (imported.name !== '') map[imported.name] = imported.name;
    const builtin = imported.name !== '' && isBuiltin(imported.name);
    for (const fn of imported.functions) {
      if (imported.name === '') map[fn.name] = fn.name;
      // A class of JavaScript makes its objects at once.
      if (fn.name.startsWith('[constructor]')) continue;
      if (builtin && !mayWait(imported.name, fn.name, types)) continue;
      asyncImports.push(imported.name === '' ? fn.name : `${imported.name}#${fn.name}`);
      needsAsync = true;
    }
  }
  if (!needsAsync) return { asyncMode: 'sync', asyncImports: [], asyncExports: [], map };
  return { asyncMode: 'jspi', asyncImports, asyncExports: types.exports.flatMap(waitingExports), map };
}

/**
 * Every exported function: one that is not marked could not wait for an import. Except constructors, which JavaScript
 * cannot make wait: one that calls a link traps.
 */
function waitingExports(exported: WitInterface): string[] {
  const waiting = exported.functions.filter((fn) => !fn.name.startsWith('[constructor]'));
  return waiting.map((fn) => (exported.name === '' ? fn.name : `${exported.name}#${fn.name}`));
}

function isAsync(fn: WitFunction): boolean {
  return fn.async || hasAsync(fn.result) || fn.params.some((param) => hasAsync(param.type));
}
