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

/** Bytes of a pending value, with its end or without. */
export interface PathFrame {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly eof: boolean;
}

/** Proves the frames of pending values. */
export interface FrameSealer {
  /** The largest header block that {@link seal} gives, bytes: it counts toward the server's limit. */
  readonly maxHeaderBytes: number;
  /** The headers of a frame. Called once for each, in the order in which they leave; an empty one ends its path. */
  seal(path: string, bytes: Uint8Array): BusHeaders;
}

const EMPTY = new Uint8Array(0);

/** Cuts bytes of a pending value into messages, each with its proof if there is a sealer. */
export function sendFrames(
  frame: PathFrame,
  sealer: FrameSealer | undefined,
  maxPayloadBytes: number,
  publish: (bytes: Uint8Array, headers: BusHeaders | undefined) => void,
): void {
  const { path, bytes, eof } = frame;
  const limit = maxPayloadBytes - (sealer?.maxHeaderBytes ?? 0);
  sendChunks(bytes, 0, limit, (piece) => publish(piece, sealer?.seal(path, piece)));
  if (eof) publish(EMPTY, sealer?.seal(path, EMPTY));
}

/** Calls `send` with `bytes` from `start` on, in pieces of at most `limitBytes`: views, no copies. Nothing for no bytes. */
export function sendChunks(bytes: Uint8Array, start: number, limitBytes: number, send: (piece: Uint8Array) => void): void {
  if (start === 0 && bytes.length <= limitBytes) {
    if (bytes.length > 0) send(bytes);
    return;
  }
  for (let at = start; at < bytes.length; at += limitBytes) send(bytes.subarray(at, at + limitBytes));
}
