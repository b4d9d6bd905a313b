import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { hostPort } from '../../../../ids.ts';

/**
 * Where a component may connect to: the `host:port` entries of its grant, compared as text in one canonical form. A name
 * stands for whatever addresses it resolves to, and is resolved here, so that what was checked is what is connected to.
 */

/** An address as text. */
export interface Address {
  readonly address: string;
  readonly family: 4 | 6;
}

/** Addresses that no name leads to, whatever DNS says: this machine, its link, and none in particular. */
// Two lists: one alone would take each IPv4 address also for the IPv6 address that wraps it.
const NEVER_BY_NAME = { 4: new BlockList(), 6: new BlockList() };
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
] as const) {
  NEVER_BY_NAME[4].addSubnet(net, prefix, 'ipv4');
}
for (const [net, prefix] of [
  ['::', 96],
  ['::ffff:0:0', 96],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
] as const) {
  NEVER_BY_NAME[6].addSubnet(net, prefix, 'ipv6');
}
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** A name has addresses, and none of them may be connected to. */
export class AddressProhibited extends Error {
  readonly code = 'TRELLIS_ADDRESS_PROHIBITED';
}

/** True if a granted `name` may lead to `address`: `localhost` to this machine only, every other name anywhere but there. */
export function mayLeadTo(name: string, { address, family }: Address): boolean {
  // An address of one interface only: of the link, in a form the lists do not know.
  if (address.includes('%')) return false;
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  return name === 'localhost' ? LOOPBACK.check(address, kind) : !NEVER_BY_NAME[family].check(address, kind);
}

/** Resolves a name to all its addresses, in the order to try them. */
export type Resolver = (name: string) => Promise<readonly Address[]>;

const systemResolver: Resolver = async (name) => (await lookup(name, { all: true })) as Address[];

/** Addresses of one name that are looked at. */
const MAX_ADDRESSES = 64;

/** The network grant of a component. */
export class NetworkGrants {
  readonly #ports = new Map<string, Set<number>>();
  readonly #resolver: Resolver;

  /** @param list `host:port` entries. Throws an `Error` that names one that is not. */
  constructor(list: readonly string[], resolver: Resolver = systemResolver) {
    this.#resolver = resolver;
    for (const entry of list) {
      const parsed = hostPort(entry);
      if (parsed === undefined) throw new Error(`the network grant ${JSON.stringify(entry)} is not host:port`);
      const ports = this.#ports.get(parsed.host);
      if (ports === undefined) this.#ports.set(parsed.host, new Set([parsed.port]));
      else ports.add(parsed.port);
    }
  }

  /** True if `host` (in its canonical form) is granted with this port. */
  allows(host: string, port: number): boolean {
    return this.#ports.get(host)?.has(port) ?? false;
  }

  /** The ports `host` is granted with; none if it is not granted at all. */
  portsOf(host: string): ReadonlySet<number> {
    return this.#ports.get(host) ?? NO_PORTS;
  }

  /**
   * Resolves a granted host to the addresses it may lead to. Rejects with the resolver's error, or with
   * {@link AddressProhibited} if none is left.
   */
  async resolve(host: string): Promise<readonly Address[]> {
    const family = isIP(host);
    if (family !== 0) return [{ address: host, family: family as 4 | 6 }];
    const found = await this.#resolver(host);
    const allowed = found.slice(0, MAX_ADDRESSES).filter((address) => mayLeadTo(host, address));
    if (allowed.length === 0) throw new AddressProhibited(`${host} leads to no address that a name may lead to`);
    return allowed;
  }
}

const NO_PORTS: ReadonlySet<number> = new Set();
