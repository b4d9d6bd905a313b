import type { ComponentTypes, WitInterface } from '../types.ts';
import { BLOBSTORE, OLD_BLOBSTORE } from './blobstore.ts';
import { HTTP_INCOMING, HTTP_OUTGOING } from './http.ts';
import { KEYVALUE_ATOMICS, KEYVALUE_BATCH, KEYVALUE_STORE, KEYVALUE_WATCHER } from './keyvalue.ts';
import { MESSAGING_CONSUMER, MESSAGING_HANDLER } from './messaging.ts';

/**
 * Interfaces that have another form on the wire than in a component, as in wasmCloud 1.x: their resources are strings and streams there, and
 * `wasi:` is `wrpc:`; `wasmcloud:messaging@0.3.0` is 0.2.0. The component's process changes one form into the other.
 */

/** The form on the wire of what a component imports, by its exact name there; `0.2.x` stands for all of these. */
const IMPORTED: ReadonlyMap<string, readonly WitInterface[]> = new Map([
  ['wasi:keyvalue/store@0.2.0-draft', [KEYVALUE_STORE]],
  ['wasi:keyvalue/atomics@0.2.0-draft', [KEYVALUE_ATOMICS]],
  ['wasi:keyvalue/batch@0.2.0-draft', [KEYVALUE_BATCH]],
  ['wasi:http/outgoing-handler@0.2.x', [HTTP_OUTGOING]],
  ['wasi:blobstore/blobstore@0.2.0-draft', [BLOBSTORE, OLD_BLOBSTORE]],
  ['wasi:blobstore/container@0.2.0-draft', [BLOBSTORE, OLD_BLOBSTORE]],
  ['wasi:blobstore/types@0.2.0-draft', []],
  ['wasmcloud:messaging/producer@0.3.0', [MESSAGING_CONSUMER]],
  ['wasmcloud:messaging/request-reply@0.3.0', [MESSAGING_CONSUMER]],
  ['wasmcloud:messaging/types@0.3.0', []],
]);

/** The same for what it exports. */
const EXPORTED: ReadonlyMap<string, WitInterface> = new Map([
  ['wasi:keyvalue/watcher@0.2.0-draft', KEYVALUE_WATCHER],
  ['wasi:http/incoming-handler@0.2.x', HTTP_INCOMING],
  ['wasmcloud:messaging/incoming-handler@0.3.0', MESSAGING_HANDLER],
]);

const listed = (name: string): string => name.replace(/@0\.2\.\d+$/, '@0.2.x');

/** The interfaces as which calls of an imported one leave, or `undefined` if it leaves as it is. */
export function wireFormsOfImport(name: string): readonly WitInterface[] | undefined {
  return IMPORTED.get(listed(name));
}

/** An interface as it is served. */
export interface ServedInterface {
  readonly wit: WitInterface;
  /** What the component calls it, where that is another name. */
  readonly guestInstance?: string;
}

/** The exported interfaces in their form on the wire. What a component exports in both forms is served as it is on the wire. */
export function servedInterfaces({ exports }: Pick<ComponentTypes, 'exports'>): readonly ServedInterface[] {
  const own = new Set(exports.map(({ name }) => name));
  return exports.flatMap((wit): ServedInterface[] => {
    const form = EXPORTED.get(listed(wit.name));
    if (form === undefined) return [{ wit }];
    return own.has(form.name) ? [] : [{ wit: form, guestInstance: wit.name }];
  });
}

/** The types as the lattice sees them: what is exported, in its form on the wire. */
export function wireTypes(types: ComponentTypes): ComponentTypes {
  return { ...types, exports: servedInterfaces(types).map(({ wit }) => wit) };
}
