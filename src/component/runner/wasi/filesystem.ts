import * as fs from 'node:fs';
import type { Stats } from 'node:fs';
import { relative } from 'node:path';
import { attempt, describe, hash, toNumber, typeOf } from './file-status.ts';
import { InputStream, OutputStream } from './io.ts';
import type { Lifetime } from './poll.ts';
import { resolveBelow } from './sandbox-path.ts';
import { WitError } from './wit-error.ts';

/**
 * `wasi:filesystem`: nothing, or the folders an operator granted. Links are followed inside a folder, never made; times
 * and advice are not set.
 */

/** A folder that a component may open. */
export interface Preopen {
  /** The path the guest sees. */
  readonly guest: string;
  /** The folder on this machine, absolute. */
  readonly host: string;
  readonly writable: boolean;
}

/** Files one instance may hold open. */
const MAX_OPEN_FILES = 256;
/** Bytes of one read. */
const MAX_READ_BYTES = 1_048_576;

interface Place {
  readonly lifetime: Lifetime;
  /** Of the instance: how many files are open. */
  readonly open: { count: number };
  /** The granted folder this descriptor was reached through. */
  readonly root: string;
  readonly writable: boolean;
}

type OpenFlags = Partial<Record<'create' | 'directory' | 'exclusive' | 'truncate', boolean>>;
type SyncFlag = 'fileIntegritySync' | 'dataIntegritySync' | 'requestedWriteSync';
type DescriptorFlags = Partial<Record<'read' | 'write' | 'mutateDirectory' | SyncFlag, boolean>>;
type PathFlags = { symlinkFollow?: boolean };

class Descriptor {
  readonly #place: Place;
  /** Below the granted folder; not a host path, which could lead elsewhere by the time it is used. */
  readonly #path: string;
  readonly #flags: DescriptorFlags;
  #fd: number | undefined;
  #forget: (() => void) | undefined;

  /** @param fd of an open file; a folder has none. */
  constructor(place: Place, path: string, flags: DescriptorFlags, fd?: number) {
    this.#place = place;
    this.#path = path;
    this.#flags = flags;
    this.#fd = fd;
    if (fd !== undefined) this.#forget = place.lifetime.onStop(() => this.#close());
  }

  openAt(pathFlags: PathFlags, path: string, openFlags: OpenFlags, flags: DescriptorFlags): Descriptor {
    const follow = pathFlags.symlinkFollow === true;
    const target = this.#below(path, follow);
    const changes = openFlags.create || openFlags.truncate || flags.write || flags.mutateDirectory;
    if (changes) this.#needWritable();
    return attempt(() => {
      const stat = fs.lstatSync(target, { throwIfNoEntry: false });
      if (stat?.isSymbolicLink()) throw new WitError('loop');
      if (stat?.isDirectory()) {
        if (flags.write || openFlags.truncate) throw new WitError('is-directory');
        if (openFlags.exclusive && openFlags.create) throw new WitError('exist');
        const writable = this.#place.writable && flags.mutateDirectory === true;
        return new Descriptor({ ...this.#place, writable }, relative(this.#place.root, target), flags);
      }
      if (openFlags.directory) throw new WitError(stat === undefined ? 'no-entry' : 'not-directory');
      // Anything else (a pipe, a device) may block or act on being opened.
      if (stat !== undefined && !stat.isFile()) throw new WitError('not-permitted');
      return this.#openFile(target, openFlags, flags);
    });
  }

  #openFile(target: string, openFlags: OpenFlags, flags: DescriptorFlags): Descriptor {
    if (this.#place.open.count >= MAX_OPEN_FILES) throw new WitError('insufficient-memory');
    const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_NOFOLLOW, O_SYNC, O_DSYNC } = fs.constants;
    let mode = flags.write ? (flags.read ? O_RDWR : O_WRONLY) : O_RDONLY;
    if (openFlags.create) mode |= O_CREAT;
    if (openFlags.exclusive) mode |= O_EXCL;
    if (openFlags.truncate) mode |= O_TRUNC;
    if (flags.fileIntegritySync) mode |= O_SYNC;
    else if (flags.dataIntegritySync || flags.requestedWriteSync) mode |= O_DSYNC;
    const fd = fs.openSync(target, mode | O_NOFOLLOW, 0o600);
    this.#place.open.count += 1;
    return new Descriptor(this.#place, relative(this.#place.root, target), flags, fd);
  }

  read(length: bigint, offset: bigint): [Uint8Array, boolean] {
    const size = length < MAX_READ_BYTES ? Number(length) : MAX_READ_BYTES;
    const bytes = this.#readAt(size, offset);
    return [bytes, size > 0 && bytes.length === 0];
  }

  #readAt(size: number, offset: bigint): Uint8Array {
    const fd = this.#file();
    if (this.#flags.read === false) throw new WitError('bad-descriptor');
    const buffer = new Uint8Array(size);
    return buffer.subarray(
      0,
      attempt(() => fs.readSync(fd, buffer, 0, size, toNumber(offset))),
    );
  }

  write(bytes: Uint8Array, offset: bigint): bigint {
    const fd = this.#file();
    if (!this.#flags.write) throw new WitError('bad-descriptor');
    return BigInt(attempt(() => fs.writeSync(fd, bytes, 0, bytes.length, toNumber(offset))));
  }

  readViaStream(offset: bigint): InputStream {
    let at = offset;
    this.#file();
    return new InputStream((maxBytes) => {
      const bytes = this.#readAt(maxBytes, at);
      at += BigInt(bytes.length);
      return bytes.length === 0 && maxBytes > 0 ? undefined : bytes;
    });
  }

  writeViaStream(offset: bigint): OutputStream {
    let at = offset;
    this.#file();
    return new OutputStream((bytes) => {
      for (let done = 0; done < bytes.length;) {
        const written = this.write(bytes.subarray(done), at);
        done += Number(written);
        at += written;
      }
    });
  }

  appendViaStream(): OutputStream {
    const fd = this.#file();
    return this.writeViaStream(BigInt(attempt(() => fs.fstatSync(fd).size)));
  }

  readDirectory(): DirectoryEntryStream {
    const target = this.#below('.', true);
    return new DirectoryEntryStream(attempt(() => fs.readdirSync(target, { withFileTypes: true })));
  }

  createDirectoryAt(path: string): void {
    this.#needWritable();
    const target = this.#below(path, false);
    attempt(() => fs.mkdirSync(target, 0o700));
  }

  removeDirectoryAt(path: string): void {
    this.#needWritable();
    const target = this.#below(path, false);
    attempt(() => fs.rmdirSync(target));
  }

  unlinkFileAt(path: string): void {
    this.#needWritable();
    const target = this.#below(path, false);
    attempt(() => {
      if (fs.lstatSync(target).isDirectory()) throw new WitError('is-directory');
      fs.unlinkSync(target);
    });
  }

  renameAt(oldPath: string, newDescriptor: Descriptor, newPath: string): void {
    this.#needWritable();
    newDescriptor.#needWritable();
    const from = this.#below(oldPath, false);
    const to = newDescriptor.#below(newPath, false);
    attempt(() => fs.renameSync(from, to));
  }

  stat(): object {
    return describe(this.#stat());
  }

  statAt(pathFlags: PathFlags, path: string): object {
    const target = this.#below(path, pathFlags.symlinkFollow === true);
    return describe(attempt(() => fs.lstatSync(target)));
  }

  readlinkAt(path: string): string {
    const target = this.#below(path, false);
    return attempt(() => fs.readlinkSync(target));
  }

  setSize(size: bigint): void {
    const fd = this.#file();
    if (!this.#flags.write) throw new WitError('bad-descriptor');
    attempt(() => fs.ftruncateSync(fd, toNumber(size)));
  }

  getFlags(): DescriptorFlags {
    return this.#flags;
  }

  getType(): string {
    return this.#forget === undefined ? 'directory' : 'regular-file';
  }

  isSameObject(other: Descriptor): boolean {
    return this.#place.root === other.#place.root && this.#path === other.#path;
  }

  metadataHash(): { lower: bigint; upper: bigint } {
    return hash(this.#stat());
  }

  metadataHashAt(pathFlags: PathFlags, path: string): { lower: bigint; upper: bigint } {
    const target = this.#below(path, pathFlags.symlinkFollow === true);
    return hash(attempt(() => fs.lstatSync(target)));
  }

  sync(): void {
    this.syncData();
  }

  syncData(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    try {
      fs.fsyncSync(fd);
    } catch (error) {
      // Node's permission model refuses it for every file. A guest must not believe its data is safe; the sync flags of
      // open-at work.
      throw new WitError((error as NodeJS.ErrnoException).code === 'ERR_ACCESS_DENIED' ? 'unsupported' : 'io');
    }
  }

  advise(): void {}

  setTimes(): never {
    throw new WitError('unsupported');
  }

  setTimesAt(): never {
    throw new WitError('unsupported');
  }

  linkAt(): never {
    throw new WitError('not-permitted');
  }

  symlinkAt(): never {
    throw new WitError('not-permitted');
  }

  [Symbol.dispose](): void {
    this.#forget?.();
    this.#close();
  }

  #close(): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    this.#place.open.count -= 1;
    try {
      fs.closeSync(fd);
    } catch {
      // Nothing of the guest's depends on it any more.
    }
  }

  /** Host path of a path below this folder. */
  #below(path: string, followLast: boolean): string {
    this.#folder();
    return attempt(() => resolveBelow(this.#place.root, this.#path, path, followLast));
  }

  #stat(): Stats {
    const fd = this.#fd;
    if (fd !== undefined) return attempt(() => fs.fstatSync(fd));
    const target = this.#below('.', true);
    return attempt(() => fs.lstatSync(target));
  }

  #file(): number {
    if (this.#fd === undefined) throw new WitError(this.#forget === undefined ? 'is-directory' : 'bad-descriptor');
    return this.#fd;
  }

  #folder(): void {
    if (this.#forget !== undefined) throw new WitError('not-directory');
  }

  #needWritable(): void {
    if (!this.#place.writable) throw new WitError('read-only');
  }
}

class DirectoryEntryStream {
  readonly #entries: fs.Dirent[];
  #next = 0;

  constructor(entries: fs.Dirent[]) {
    this.#entries = entries;
  }

  readDirectoryEntry(): { type: string; name: string } | undefined {
    const entry = this.#entries[this.#next];
    this.#next += 1;
    return entry === undefined ? undefined : { type: typeOf(entry), name: entry.name };
  }
}

/** Returns the `wasi:filesystem` interfaces of one instance; without `preopens` there is nothing to open. */
export function createFilesystem(lifetime: Lifetime, preopens: readonly Preopen[]): Record<string, object> {
  const open = { count: 0 };
  return {
    'wasi:filesystem/preopens': {
      getDirectories: () =>
        preopens.map((preopen) => {
          const place: Place = { lifetime, open, root: preopen.host, writable: preopen.writable };
          return [new Descriptor(place, '', { read: true, mutateDirectory: preopen.writable }), preopen.guest];
        }),
    },
    'wasi:filesystem/types': { Descriptor, DirectoryEntryStream, filesystemErrorCode: () => undefined },
  };
}
