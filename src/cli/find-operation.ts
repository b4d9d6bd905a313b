import { nearest } from '../config/suggest.ts';
import { TrellisError } from '../errors.ts';
import type { ComponentTypes, WitFunction } from '../wit/types.ts';

/** A function of a component, with the interface it stands in. */
export interface Operation {
  /** `ns:pkg/iface@1.0.0`; `''` for a function of the world. */
  readonly instance: string;
  readonly fn: WitFunction;
}

/** The spellings under which a function may be named, longest first. */
function spellings({ instance, fn }: Operation): string[] {
  const { wireName } = fn;
  if (instance === '') return [wireName];
  const unversioned = instance.replace(/@.*$/, '');
  const bare = unversioned.slice(unversioned.lastIndexOf('/') + 1);
  return [instance, unversioned, bare].map((name) => `${name}.${wireName}`).concat(wireName);
}

/** Full name of an operation, as the command line prints it. */
export function operationName({ instance, fn }: Operation): string {
  return instance === '' ? fn.wireName : `${instance}.${fn.wireName}`;
}

/**
 * Finds the exported function that `name` means: `ns:pkg/iface@1.0.0.func`, or any shorter form (`ns:pkg/iface.func`,
 * `iface.func`, `func`) that only one function has.
 *
 * @throws TRELLIS_OPERATION_UNKNOWN listing what there is
 */
export function findOperation(types: ComponentTypes, name: string): Operation {
  const all = types.exports.flatMap((wit) => wit.functions.map((fn): Operation => ({ instance: wit.name, fn })));
  const found = all.filter((operation) => spellings(operation).includes(name));
  const only = found[0];
  if (only !== undefined && found.length === 1) return only;
  throw new TrellisError('TRELLIS_OPERATION_UNKNOWN', {
    message: found.length > 0 ? ambiguous(name, found) : unknown(name, all),
  });
}

const MAX_NAMES = 8;

function ambiguous(name: string, found: readonly Operation[]): string {
  return `"${name}" means several functions: ${list(found.map(operationName))}`;
}

function unknown(name: string, all: readonly Operation[]): string {
  const bare = all.map(({ fn }) => fn.wireName);
  const near = nearest(name.slice(name.lastIndexOf('.') + 1), bare) ?? nearest(name, bare);
  const meant = near === undefined ? '' : ` (did you mean "${near}"?)`;
  return `the component exports no function "${name}"${meant}; it exports: ${list(all.map(operationName))}`;
}

function list(names: readonly string[]): string {
  if (names.length === 0) return 'nothing';
  const more = names.length > MAX_NAMES ? `, and ${names.length - MAX_NAMES} more` : '';
  return names.slice(0, MAX_NAMES).join(', ') + more;
}
