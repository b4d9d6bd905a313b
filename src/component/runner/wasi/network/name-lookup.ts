import { isIP } from 'node:net';
import { hostName } from '../../../../ids.ts';
import { Pollable } from '../poll.ts';
import { WitError } from '../wit-error.ts';
import type { Connections } from './connections.ts';
import { AddressProhibited, type NetworkGrants } from './grants.ts';
import { fromText } from './ip-address.ts';
import type { IpAddress } from './ip-address.ts';

/** Addresses an instance may learn; after that it looks up nothing new. */
const MAX_LEARNED = 4_096;

/** Where one instance may connect to: addresses that were granted, and those it was given for granted names. */
export class Reachable {
  readonly #grants: NetworkGrants;
  readonly #learned = new Map<string, Set<number>>();

  constructor(grants: NetworkGrants) {
    this.#grants = grants;
  }

  /** True if a connection to this address, in canonical text, is granted. */
  allows(address: string, port: number): boolean {
    return this.#grants.allows(address, port) || (this.#learned.get(address)?.has(port) ?? false);
  }

  /** Resolves a granted name; its addresses can then be connected to, at the ports the name is granted with. */
  async lookUp(name: string): Promise<string[]> {
    const found = await this.#grants.resolve(name);
    return found.map(({ address, family }) => {
      const text = family === 6 ? (hostName(`[${address}]`) ?? address) : address;
      let ports = this.#learned.get(text);
      if (ports === undefined && this.#learned.size < MAX_LEARNED) this.#learned.set(text, (ports = new Set()));
      for (const port of this.#grants.portsOf(name)) ports?.add(port);
      return text;
    });
  }
}

function codeOf(error: unknown): string {
  if (error instanceof AddressProhibited) return 'access-denied';
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOTFOUND' || code === 'EAI_NODATA') return 'name-unresolvable';
  return code === 'EAI_AGAIN' ? 'temporary-resolver-failure' : 'permanent-resolver-failure';
}

/** `wasi:sockets/ip-name-lookup` `resolve-address-stream`. */
export class ResolveAddressStream {
  readonly #connections: Connections;
  #found: readonly string[] | undefined;
  #failure: string | undefined;
  #next = 0;

  constructor(connections: Connections, found: Promise<readonly string[]>) {
    this.#connections = connections;
    const settle = (found: readonly string[] | undefined, failure: string | undefined): void => {
      if (this.#found !== undefined || this.#failure !== undefined) return;
      this.#found = found;
      this.#failure = failure;
      forget?.();
      connections.lifetime.changed();
    };
    const forget = connections.add(() => settle(undefined, 'temporary-resolver-failure'));
    if (forget === undefined) throw new WitError('temporary-resolver-failure');
    found.then(
      (addresses) => settle(addresses, undefined),
      (error: unknown) => settle(undefined, codeOf(error)),
    );
  }

  resolveNextAddress(): IpAddress | undefined {
    if (this.#failure !== undefined) throw new WitError(this.#failure);
    if (this.#found === undefined) throw new WitError('would-block');
    const text = this.#found[this.#next];
    this.#next += 1;
    return text === undefined ? undefined : fromText(text);
  }

  subscribe(): Pollable {
    return new Pollable({
      lifetime: this.#connections.lifetime,
      ready: () => this.#found !== undefined || this.#failure !== undefined,
    });
  }
}

/** Looks up a name, as `wasi:sockets/ip-name-lookup` does. Throws the `error-code` of what is not even tried. */
export function resolveAddresses(
  name: string,
  grants: NetworkGrants,
  reachable: Reachable,
  connections: Connections,
): ResolveAddressStream {
  const host = hostName(name) ?? hostName(`[${name}]`);
  if (host === undefined) throw new WitError('invalid-argument');
  // An address is its own answer, and tells nobody anything.
  if (isIP(host) !== 0) return new ResolveAddressStream(connections, Promise.resolve([host]));
  if (grants.portsOf(host).size === 0) throw new WitError('access-denied');
  return new ResolveAddressStream(connections, reachable.lookUp(host));
}
