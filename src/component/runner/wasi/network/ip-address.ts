import { isIPv4 } from 'node:net';
import { hostName } from '../../../../ids.ts';

/** Addresses of `wasi:sockets` and their text: the form in which they are compared and connected to. */

type V4 = readonly [number, number, number, number];
type V6 = readonly [number, number, number, number, number, number, number, number];

/** WIT's `ip-address`. */
export type IpAddress = { readonly tag: 'ipv4'; readonly val: V4 } | { readonly tag: 'ipv6'; readonly val: V6 };

/** WIT's `ip-socket-address`. */
export type IpSocketAddress =
  | { readonly tag: 'ipv4'; readonly val: { readonly port: number; readonly address: V4 } }
  | {
      readonly tag: 'ipv6';
      readonly val: { readonly port: number; readonly flowInfo: number; readonly address: V6; readonly scopeId: number };
    };

/** Returns an address as text, or `undefined` for an IPv6 address that only wraps an IPv4 address. */
export function toText({ tag, val }: IpAddress): string | undefined {
  return tag === 'ipv4' ? val.join('.') : hostName(`[${val.map((part) => part.toString(16)).join(':')}]`);
}

/** Returns the address that `text` stands for. */
export function fromText(text: string): IpAddress {
  if (isIPv4(text)) return { tag: 'ipv4', val: text.split('.').map(Number) as unknown as V4 };
  const [before = '', after] = text.split('::');
  const parts = (half: string): number[] => (half === '' ? [] : half.split(':').map((part) => parseInt(part, 16)));
  const head = parts(before);
  const tail = parts(after ?? '');
  const val = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail] as unknown as V6;
  return { tag: 'ipv6', val };
}

/** Returns host and port as a WIT socket address. */
export function toSocketAddress(text: string, port: number): IpSocketAddress {
  const address = fromText(text);
  if (address.tag === 'ipv4') return { tag: 'ipv4', val: { port, address: address.val } };
  return { tag: 'ipv6', val: { port, flowInfo: 0, address: address.val, scopeId: 0 } };
}
