import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';

/**
 * The names a component may hold. Code is generated from them, and the generator writes them without escaping: this is the
 * place where text of a stranger would become code. So everything outside two narrow grammars is refused, before the
 * generator sees any of it.
 */

/** Longest name that is accepted, characters. Mangled names of compilers stay below. */
export const MAX_NAME_CHARS = 1_024;

// A WIT label: words of lower or upper case letters and digits.
const LABEL = '(?:[a-z][a-z0-9]*|[A-Z][A-Z0-9]*)(?:-(?:[a-z0-9]+|[A-Z0-9]+))*';
const VERSION = '[0-9]+\\.[0-9]+\\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\\+[0-9A-Za-z.-]+)?';
const INTERFACE = `(?:${LABEL}:)+${LABEL}(?:/${LABEL})+(?:@${VERSION})?`;
const FUNCTION = `(?:\\[async\\])?${LABEL}|\\[constructor\\]${LABEL}|\\[(?:async )?(?:method|static)\\]${LABEL}\\.${LABEL}`;

const LABEL_NAME = new RegExp(`^${LABEL}$`);
/** A label, a resource member, or an interface with optional version. Dependency and URL forms are left out. */
const EXTERN_NAME = new RegExp(`^(?:${FUNCTION}|${INTERFACE})$`);
/**
 * Names inside core modules may be anything; toolchains use little of it. No quote, backslash, bracket that closes a
 * statement, comment, white space, line end or character outside ASCII.
 */
const CORE_NAME = /^[A-Za-z0-9_.:/@#$+\-[\]~|,=<>!?&%^]*$/;

/** True for a name that a core module may use. */
export function isCoreName(name: string): boolean {
  // `__proto__` as a key would set an object's prototype instead of adding an entry.
  return name.length <= MAX_NAME_CHARS && name !== '__proto__' && CORE_NAME.test(name);
}

/** True for a name that a component may import, export or alias something under. */
export function isExternName(name: string): boolean {
  return name.length <= MAX_NAME_CHARS && EXTERN_NAME.test(name);
}

/** True for a parameter, field, case or flag. */
export function isLabel(name: string): boolean {
  return name.length <= MAX_NAME_CHARS && LABEL_NAME.test(name);
}

/**
 * True for an exported function that generated code cannot offer under its name. A `then` of the world or of a resource
 * would make the instance or the resource look like a promise, and be called by whoever awaits it; `arguments` names no
 * function in strict JavaScript.
 */
export function isReservedFunction(interfaceName: string, wireName: string): boolean {
  return wireName === 'arguments' || wireName.endsWith('.then') || (wireName === 'then' && interfaceName === '');
}

/** Says that a name is refused. The name itself is shown escaped and cut. */
export function refusedName(where: string, name: string): TrellisError {
  return new TrellisError('TRELLIS_COMPONENT_NAME', {
    message: `the component holds the name ${quote(name)} (${where}), which is refused`,
    details: { where, length: name.length },
  });
}
