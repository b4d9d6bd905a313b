import { constants } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { TrellisError } from '../errors.ts';
import type { AuditKind, AuditSink } from './audit.ts';

/** What {@link openAuditFile} takes. */
export interface AuditFileOptions {
  readonly path: string;
  /** The file makes way for a new one before it grows beyond this. */
  readonly maxBytes: number;
  /** Files kept, the current one included; older ones are `path.1`, `path.2` and so on. */
  readonly maxFiles: number;
  /** Told how many records were lost, when the disk is full or gone. */
  readonly onLost: (count: number, reason: string) => void;
}

// A disk that has stopped must not make the host hold what it cannot write.
const MAX_WAITING_BYTES = 1024 * 1024;
const MAX_BATCH_BYTES = 64 * 1024;
const FLAGS = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY;

/**
 * Opens a file that takes one record a line, mode 0600, and keeps its size and number. A disk that is full costs records, which
 * are counted, and nothing else: no line is ever torn, and writing goes on when there is room again.
 * @throws TRELLIS_AUDIT_FILE if it cannot be opened now
 */
export async function openAuditFile(options: AuditFileOptions): Promise<AuditSink> {
  const file = new AuditFile(options);
  await file.open().catch((cause: unknown) => {
    const { code } = cause as NodeJS.ErrnoException;
    throw new TrellisError('TRELLIS_AUDIT_FILE', { message: `${options.path} cannot be written (${String(code)})`, cause });
  });
  return file;
}

class AuditFile implements AuditSink {
  readonly #options: AuditFileOptions;
  #handle: FileHandle | undefined;
  #size = 0;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;

  constructor(options: AuditFileOptions) {
    this.#options = options;
  }

  async open(): Promise<FileHandle> {
    const handle = await open(this.#options.path, FLAGS, 0o600);
    try {
      const stat = await handle.stat();
      // One that was there before may have been made by somebody more generous.
      if (stat.isFile() && (stat.mode & 0o077) !== 0) await handle.chmod(0o600);
      this.#size = stat.size;
    } catch (error) {
      await handle.close();
      throw error;
    }
    return (this.#handle = handle);
  }

  write(_kind: AuditKind, _time: string, json: string): void {
    const line = Buffer.from(`${json}\n`);
    if (this.#waitingBytes + line.length > MAX_WAITING_BYTES) {
      this.#options.onLost(1, 'the disk is slower than the records come');
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    this.#writing ??= this.#drain();
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#handle?.close().catch(() => {});
    this.#handle = undefined;
  }

  /** Writes until nothing waits. Never rejects. */
  async #drain(): Promise<void> {
    // What is recorded in the same turn goes out together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#take();
      try {
        await this.#append(Buffer.concat(batch));
      } catch (error) {
        this.#options.onLost(batch.length, (error as NodeJS.ErrnoException).code ?? 'unknown');
        await this.#handle?.close().catch(() => {});
        this.#handle = undefined;
      }
    }
    this.#writing = undefined;
  }

  /** The next lines that fit one write, and the current file. */
  #take(): Buffer[] {
    const room = this.#options.maxBytes - this.#size;
    let bytes = 0;
    let count = 0;
    for (const line of this.#waiting) {
      if (count > 0 && (bytes + line.length > MAX_BATCH_BYTES || (room > 0 && bytes + line.length > room))) break;
      bytes += line.length;
      count++;
    }
    this.#waitingBytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  async #append(bytes: Buffer): Promise<void> {
    let handle = this.#handle ?? (await this.open());
    if (this.#size > 0 && this.#size + bytes.length > this.#options.maxBytes) handle = await this.#rotate(handle);
    try {
      for (let at = 0; at < bytes.length;) at += (await handle.write(bytes, at)).bytesWritten;
    } catch (error) {
      // A full disk takes the beginning of a line; take it back, so that the file stays one record a line.
      await handle.truncate(this.#size).catch(() => {});
      throw error;
    }
    this.#size += bytes.length;
  }

  async #rotate(current: FileHandle): Promise<FileHandle> {
    const { path, maxFiles } = this.#options;
    this.#handle = undefined;
    await current.close();
    if (maxFiles === 1) await rm(path, { force: true });
    for (let at = maxFiles - 1; at >= 1; at--) {
      const from = at === 1 ? path : `${path}.${at - 1}`;
      await rename(from, `${path}.${at}`).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
    }
    return this.open();
  }
}
