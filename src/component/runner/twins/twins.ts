import type { Lifetime } from '../wasi/poll.ts';
import { createBlobstore } from './blobstore.ts';
import type { HttpTwin, WireRequest } from './http.ts';
import { createKeyvalue, watcher } from './keyvalue.ts';
import { createMessaging, messageHandler } from './messaging.ts';

/** Guests' forms of interfaces that have another one on the wire (`src/wit/wire/wire-forms.ts`). */

/**
 * Calls a function of an interface in its form on the wire; rejects with a `WitError` for the error case of its result.
 * @param link Name of the link; where it is left out the guest's `set-link-name` counts.
 */
export type WireCalls = (instance: string, func: string, values: readonly unknown[], link?: string) => Promise<unknown>;

/** Functions by their JavaScript names. */
export type GuestFunctions = Readonly<Record<string, (...values: unknown[]) => unknown>>;

/** Returns the interfaces that a guest may import whose calls leave in another form, by their exact names. */
export function twinImports(wire: WireCalls, lifetime: Lifetime): Record<string, object> {
  return { ...createKeyvalue(wire), ...createBlobstore(wire, lifetime), ...createMessaging(wire) };
}

/** What one instance has for the other form of its interfaces. */
export interface Twins {
  readonly wire: WireCalls;
  readonly http: HttpTwin | undefined;
}

/** Returns the functions of an exported interface in the form on the wire, over those of the guest. They may give an {@link EarlyResult}. */
export function twinExports(guestInstance: string, guest: GuestFunctions, { wire, http }: Twins): GuestFunctions {
  if (guestInstance.startsWith('wasi:keyvalue/watcher@')) return watcher(guest, wire);
  if (guestInstance.startsWith('wasmcloud:messaging/incoming-handler@')) return messageHandler(guest);
  if (http !== undefined) return { handle: (request) => http.serve(guest, request as WireRequest) };
  throw new Error(`${guestInstance} has one form only`);
}
