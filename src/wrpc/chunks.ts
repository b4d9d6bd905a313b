import { type BusHeaders, headerBlockBytes } from './bus.ts';

/**
 * How bytes are cut into messages (wRPC over NATS, chunking). Boundaries carry no meaning, except that an empty message is
 * the end: so no empty piece is ever produced.
 */

/**
 * Returns how many payload bytes the first message may carry: the server's limit less the header block, and less the reply
 * subject, which is what Rust subtracts.
 */
export function firstMessageLimit(maxPayloadBytes: number, reply: string, headers: BusHeaders | undefined): number {
  return Math.max(0, maxPayloadBytes - reply.length - headerBlockBytes(headers));
}

/** Calls `send` with `bytes` from `start` on, in pieces of at most `limitBytes`: views, no copies. Nothing for no bytes. */
export function sendChunks(bytes: Uint8Array, start: number, limitBytes: number, send: (piece: Uint8Array) => void): void {
  if (start === 0 && bytes.length <= limitBytes) {
    if (bytes.length > 0) send(bytes);
    return;
  }
  for (let at = start; at < bytes.length; at += limitBytes) send(bytes.subarray(at, at + limitBytes));
}
