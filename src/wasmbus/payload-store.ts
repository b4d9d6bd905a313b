/** Payloads beyond this many bytes travel through the object store instead of the message. */
export const MAX_INLINE_BYTES = 900 * 1024;

/** Where peers of 0.82 put payloads that are too large for a message. */
export interface PayloadStore {
  /** Stores a payload under a name. @throws TRELLIS_WASMBUS_STORE */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Reads a payload of exactly `length` bytes, and deletes it once it is read. @throws TRELLIS_WASMBUS_STORE */
  take(name: string, length: number): Promise<Uint8Array>;
}

/** The name under which the payload of an answer lies; that of a call is the id itself. */
export function answerName(id: string): string {
  return `${id}-r`;
}
