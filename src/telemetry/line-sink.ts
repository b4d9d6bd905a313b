import { write, writeSync } from 'node:fs';

/** What a {@link LineSink} needs of the operating system; a test passes its own. */
export interface SinkFiles {
  write(fd: number, bytes: Uint8Array, done: (error: NodeJS.ErrnoException | null, written: number) => void): void;
  /** @throws NodeJS.ErrnoException */
  writeSync(fd: number, bytes: Uint8Array): number;
}

/** What {@link LineSink} takes. */
export interface SinkOptions {
  readonly fd: number;
  /** Lines are dropped while this many bytes wait for a reader. */
  readonly maxBufferedBytes: number;
  readonly files?: SinkFiles;
}

const FILES: SinkFiles = {
  write: (fd, bytes, done) => write(fd, bytes, 0, bytes.length, null, done),
  writeSync: (fd, bytes) => writeSync(fd, bytes),
};
/** How often a reader that takes nothing is asked again. */
const RETRY_MS = 20;
/** A reader that has gone comes back as another one, never on the same descriptor. */
const GONE: ReadonlySet<string | undefined> = new Set(['EPIPE', 'EBADF', 'ECONNRESET', 'EIO']);
const BUSY: ReadonlySet<string | undefined> = new Set(['EAGAIN', 'EBUSY']);

/**
 * Writes lines to a descriptor without waiting for its reader. A reader that stops reading costs a bounded amount of memory and then
 * lines; one that has gone, or a full disk, costs lines. Neither ever holds up the process, not even its end: SonicBoom, which pino
 * brings along, waits in `flushSync` for ever for a reader that has gone.
 */
export class LineSink {
  readonly #fd: number;
  readonly #maxBufferedBytes: number;
  readonly #files: SinkFiles;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** While the operating system has a chunk. */
  #writing = false;
  #gone = false;

  constructor({ fd, maxBufferedBytes, files = FILES }: SinkOptions) {
    this.#fd = fd;
    this.#maxBufferedBytes = maxBufferedBytes;
    this.#files = files;
  }

  /** Takes a line, which ends with a line feed. Never throws, and returns at once. */
  write(line: string): void {
    if (this.#gone) return;
    const bytes = Buffer.from(line);
    if (this.#waitingBytes + bytes.length > this.#maxBufferedBytes) return;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#writeNext();
  }

  /** Writes what waits before it returns, for the last moment before an exit; gives up after `timeoutMs`. Never throws. */
  flushSync(timeoutMs: number): void {
    const endMs = performance.now() + timeoutMs;
    let rest = this.#take();
    while (rest.length > 0 && !this.#gone) {
      try {
        rest = rest.subarray(this.#files.writeSync(this.#fd, rest));
      } catch (error) {
        if (!this.#isBusy(error as NodeJS.ErrnoException) || performance.now() >= endMs) return;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      }
    }
  }

  /** All that waits, as one chunk; nothing waits any more. */
  #take(): Buffer {
    const chunk = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    return chunk;
  }

  #writeNext(): void {
    if (this.#writing || this.#waiting.length === 0) return;
    this.#writing = true;
    this.#writeChunk(this.#take());
  }

  #writeChunk(chunk: Buffer): void {
    this.#files.write(this.#fd, chunk, (error, written) => {
      this.#writing = false;
      if (error !== null) {
        if (this.#isBusy(error)) this.#putBack(chunk);
        if (!this.#gone) setTimeout(() => this.#writeNext(), RETRY_MS).unref();
        return;
      }
      if (written < chunk.length) this.#putBack(chunk.subarray(written));
      this.#writeNext();
    });
  }

  #putBack(chunk: Buffer): void {
    this.#waiting.unshift(chunk);
    this.#waitingBytes += chunk.length;
  }

  /** True if the same bytes may be taken later. Without a reader nothing is kept any more. */
  #isBusy({ code }: NodeJS.ErrnoException): boolean {
    if (GONE.has(code)) {
      this.#gone = true;
      this.#take();
    }
    return BUSY.has(code);
  }
}
