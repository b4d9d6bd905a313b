import { BlockList, isIP, isIPv4 } from 'node:net';

/** Where an address leads, as far as its range says. Nobody is ever connected to at `never`. */
export type AddressKind = 'public' | 'private' | 'loopback' | 'never';

const never = new BlockList();
const loopback = new BlockList();
const inner = new BlockList();
// Unspecified, link-local (where clouds answer with credentials), multicast and reserved.
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
] as const) {
  never.addSubnet(net, bits, 'ipv4');
}
for (const [net, bits] of [
  ['::', 128],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
] as const) {
  never.addSubnet(net, bits, 'ipv6');
}
// Where clouds answer with credentials outside of the link-local ranges: Alibaba, Oracle, Azure; AWS over IPv6.
for (const address of ['100.100.100.200', '192.0.0.192', '168.63.129.16']) never.addAddress(address, 'ipv4');
never.addAddress('fd00:ec2::254', 'ipv6');
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');
for (const [net, bits] of [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
] as const) {
  inner.addSubnet(net, bits, 'ipv4');
}
inner.addSubnet('fc00::', 7, 'ipv6');

/** Returns the kind of an IP address; `never` for what is none. IPv4 addresses inside of IPv6 ones count for themselves. */
export function addressKind(address: string): AddressKind {
  const bare = address.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  if (isIP(bare) === 0) return 'never';
  const v4 = isIPv4(bare) ? bare : embeddedV4(bare);
  const [text, family] = v4 === undefined ? [bare, 'ipv6' as const] : [v4, 'ipv4' as const];
  if (never.check(text, family)) return 'never';
  if (loopback.check(text, family)) return 'loopback';
  return inner.check(text, family) ? 'private' : 'public';
}

/** True if a host that was sent on by a peer at `from` may connect to `to`: outwards, or to what is as near as the peer itself. */
export function maySendTo(from: AddressKind, to: AddressKind): boolean {
  return to !== 'never' && (to === 'public' || to === from);
}

const mapped = new BlockList();
mapped.addSubnet('::ffff:0:0', 96, 'ipv6');
mapped.addSubnet('::', 96, 'ipv6');
mapped.addSubnet('64:ff9b::', 96, 'ipv6');

/** The IPv4 address in a mapped, compatible or NAT64 address. */
function embeddedV4(address: string): string | undefined {
  if (!mapped.check(address, 'ipv6')) return undefined;
  // The URL parser writes every spelling in one form, without dots.
  const hex = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [high, low] = hex.split(':').slice(-2);
  const number = (Number.parseInt(high || '0', 16) << 16) | Number.parseInt(low || '0', 16);
  // `::` and `::1` are addresses of their own.
  if (number >>> 0 <= 1 && !hex.includes('ffff') && !hex.startsWith('64')) return undefined;
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join('.');
}
