import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';
import type { FoundName } from '../wit/component-names.ts';
import type { ComponentTypes } from '../wit/types.ts';
import { isExternName, isLabel } from '../wit/wasm-cursor.ts';

/**
 * The names a component may hold. Code is generated from them, and the generator writes them without escaping: this is the
 * place where text of a stranger would become code. So everything outside two narrow grammars is refused, before the
 * generator sees any of it.
 */

/** Longest name inside a core module that is accepted, characters. Mangled names of compilers stay below. */
export const MAX_CORE_NAME_CHARS = 1_024;

/**
 * Names inside core modules may be anything; toolchains use little of it. No quote, backslash, bracket that closes a
 * statement, comment, white space, line end or character outside ASCII.
 */
const CORE_NAME = /^[A-Za-z0-9_.:/@#$+\-[\]~|,=<>]*$/;

/** True for a name that a core module may use. */
export function isCoreName(name: string): boolean {
  // `__proto__` as a key would set an object's prototype instead of adding an entry.
  return name.length <= MAX_CORE_NAME_CHARS && name !== '__proto__' && CORE_NAME.test(name);
}

const ALLOWED: Readonly<Record<FoundName['grammar'], (name: string) => boolean>> = {
  extern: isExternName,
  label: isLabel,
  attribute: isExternName,
  core: isCoreName,
};

/** Checks every name of a component. @throws TRELLIS_COMPONENT_NAME, which shows the name escaped and cut */
export function checkNames(names: readonly FoundName[]): void {
  for (const { where, grammar, name } of names) {
    if (ALLOWED[grammar](name)) continue;
    throw new TrellisError('TRELLIS_COMPONENT_NAME', {
      message: `the component holds the name ${quote(name)} (${where}), which is refused`,
      details: { where, length: name.length },
    });
  }
}

/**
 * Names the generated code uses itself (jco-transpile 0.15: each of its identifiers was tried). A function of such a name
 * hides the generator's own.
 */
const OF_THE_GENERATOR =
  /^(?:arguments|get-or-create-async-state|create-new-current-task|(?:module|exports|memory|realloc|post-return)[0-9]+(?:-async)?)$/;

/**
 * Refuses exported functions that generated code cannot offer under their name. Beside the generator's own names that is
 * `then` for a function of the world or a resource: the instance or the resource would look like a promise, and whoever
 * awaits it would call the guest.
 *
 * @throws TRELLIS_COMPONENT_NAME
 */
export function checkExportedFunctions(types: ComponentTypes): void {
  for (const { name, functions } of types.exports) {
    for (const { wireName } of functions) {
      const own = wireName.slice(wireName.lastIndexOf('.') + 1);
      const thenable = own === 'then' && (name === '' || own !== wireName);
      if (!thenable && !OF_THE_GENERATOR.test(own)) continue;
      throw new TrellisError('TRELLIS_COMPONENT_NAME', {
        message: `the component exports a function called ${quote(wireName)}${name === '' ? '' : ` in ${quote(name)}`}, a name that generated code needs itself`,
        remedy: 'Rename the function in the WIT of the component.',
        details: { function: wireName, interface: name },
      });
    }
  }
}
