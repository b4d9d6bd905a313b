import { FRAME_HEADER_BYTES } from './frames.ts';

/** Gets each frame. The body is a view of what arrived, which nobody writes to again; keeping it keeps the bytes around it. */
export type OnFrame = (type: number, id: number, body: Buffer) => void;

/**
 * Cuts a byte stream into frames. It holds no more than one frame beyond what arrived and never trusts a length: a frame
 * longer than `maxBodyBytes` makes {@link push} return false, and the stream is of no use from then on.
 */
export class FrameReader {
  readonly #maxBodyBytes: number;
  readonly #onFrame: OnFrame;
  #parts: Buffer[] = [];
  #partBytes = 0;
  /** Bytes of the frame whose beginning is in `#parts`, header included; the header's own until that is whole. */
  #wanted = FRAME_HEADER_BYTES;
  #broken = false;

  constructor(maxBodyBytes: number, onFrame: OnFrame) {
    this.#maxBodyBytes = maxBodyBytes;
    this.#onFrame = onFrame;
  }

  /** Takes the next bytes and calls back for each frame they complete. False: the stream is malformed. */
  push(chunk: Buffer): boolean {
    if (this.#broken) return false;
    if (this.#partBytes === 0) return this.#cut(chunk);
    this.#parts.push(chunk);
    this.#partBytes += chunk.length;
    while (this.#partBytes >= this.#wanted) {
      const whole = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts, this.#partBytes);
      const body = whole.readUInt32LE(0);
      if (body > this.#maxBodyBytes) return this.#break();
      this.#wanted = FRAME_HEADER_BYTES + body;
      if (whole.length >= this.#wanted) {
        this.#forget();
        return this.#cut(whole);
      }
      this.#parts = [whole];
    }
    return true;
  }

  #cut(chunk: Buffer): boolean {
    const end = chunk.length;
    let at = 0;
    while (end - at >= FRAME_HEADER_BYTES) {
      const body = chunk.readUInt32LE(at);
      if (body > this.#maxBodyBytes) return this.#break();
      const next = at + FRAME_HEADER_BYTES + body;
      if (next > end) {
        this.#wanted = FRAME_HEADER_BYTES + body;
        break;
      }
      this.#onFrame(chunk[at + 4]!, chunk.readUInt32LE(at + 5), chunk.subarray(at + FRAME_HEADER_BYTES, next));
      if (this.#broken) return false;
      at = next;
    }
    if (at < end) {
      this.#parts = [at === 0 ? chunk : chunk.subarray(at)];
      this.#partBytes = end - at;
    }
    return true;
  }

  #forget(): void {
    this.#parts = [];
    this.#partBytes = 0;
    this.#wanted = FRAME_HEADER_BYTES;
  }

  #break(): false {
    this.#broken = true;
    this.#forget();
    return false;
  }
}
