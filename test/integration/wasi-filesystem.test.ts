import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { resolveBelow } from '../../src/component/runner/wasi/sandbox-path.ts';
import { createWasi } from '../../src/component/runner/wasi/wasi.ts';
import { WitError } from '../../src/component/runner/wasi/wit-error.ts';

let scratch: string;
let granted: string;
let secret: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'trellis-wasi-fs-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
beforeEach(() => {
  const place = mkdtempSync(join(scratch, 'case-'));
  granted = join(place, 'granted');
  secret = join(place, 'secret');
  mkdirSync(join(granted, 'sub'), { recursive: true });
  writeFileSync(join(granted, 'sub', 'note'), 'hello');
  mkdirSync(secret);
  writeFileSync(join(secret, 'key'), 'canary');
});

const IMPORTS = ['wasi:filesystem/preopens@0.2.0', 'wasi:filesystem/types@0.2.0', 'wasi:io/streams@0.2.0'];

function open(writable: boolean) {
  const wasi = createWasi({
    imports: IMPORTS.map((name) => ({ name, functions: [] })),
    stdout: () => undefined,
    stderr: () => undefined,
    clock: systemClock,
    onExit: () => undefined,
    grants: { preopens: [{ guest: '/data', host: granted, writable }] },
  });
  // The shape is WASI's own; tests call it the way generated code does.
  // oxlint-disable-next-line typescript/no-explicit-any
  const [[root, path]] = (wasi.imports[IMPORTS[0]!] as any).getDirectories();
  return { wasi, root, path };
}

function codeOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error instanceof WitError ? error.payload : error;
  }
  return 'no error';
}

const READ = { read: true };
const WRITE = { read: true, write: true };
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

describe('a granted folder', () => {
  it('can be read', () => {
    const { root, path } = open(false);
    expect(path).toBe('/data');
    const file = root.openAt({}, 'sub/note', {}, READ);
    expect(text(file.read(100n, 1n)[0])).toBe('ello');
    expect(file.read(10n, 5n)).toEqual([new Uint8Array(0), true]);
    expect(text(file.readViaStream(0n).blockingRead(100n))).toBe('hello');
    expect(file.stat()).toMatchObject({ type: 'regular-file', size: 5n });
    expect(root.statAt({}, 'sub')).toMatchObject({ type: 'directory' });
    const entries = root.readDirectory();
    expect(entries.readDirectoryEntry()).toEqual({ type: 'directory', name: 'sub' });
    expect(entries.readDirectoryEntry()).toBeUndefined();
  });

  it('cannot be changed unless that was granted too', () => {
    const { root } = open(false);
    for (const attempt of [
      () => root.openAt({}, 'new', { create: true }, READ),
      () => root.openAt({}, 'sub/note', {}, WRITE),
      () => root.openAt({}, 'sub/note', { truncate: true }, READ),
      () => root.openAt({}, 'sub', {}, { mutateDirectory: true }),
      () => root.createDirectoryAt('d'),
      () => root.unlinkFileAt('sub/note'),
      () => root.removeDirectoryAt('sub'),
      () => root.renameAt('sub', root, 'other'),
    ]) {
      expect(codeOf(attempt)).toBe('read-only');
    }
    expect(codeOf(() => root.openAt({}, 'sub/note', {}, READ).write(Uint8Array.of(1), 0n))).toBe('bad-descriptor');
    expect(readdirSync(granted)).toEqual(['sub']);
  });

  it('can be changed when it was', () => {
    const { root } = open(true);
    const file = root.openAt({}, 'new', { create: true, exclusive: true }, WRITE);
    file.writeViaStream(0n).blockingWriteAndFlush(Buffer.from('one'));
    file.appendViaStream().write(Buffer.from(' two'));
    file.setSize(6n);
    expect(readFileSync(join(granted, 'new'), 'utf8')).toBe('one tw');
    expect(codeOf(() => root.openAt({}, 'new', { create: true, exclusive: true }, WRITE))).toBe('exist');
    root.createDirectoryAt('dir');
    const dir = root.openAt({}, 'dir', { directory: true }, { mutateDirectory: true });
    root.renameAt('new', dir, 'moved');
    dir.unlinkFileAt('moved');
    expect(codeOf(() => root.unlinkFileAt('dir'))).toBe('is-directory');
    root.removeDirectoryAt('dir');
    expect(readdirSync(granted)).toEqual(['sub']);
  });

  it('closes its files with the instance', () => {
    const { root, wasi } = open(false);
    const file = root.openAt({}, 'sub/note', {}, READ);
    wasi.stop(new Error('done'));
    expect(codeOf(() => file.read(1n, 0n))).toBe('bad-descriptor');
  });

  it('holds a limited number of files open', () => {
    const { root } = open(false);
    const files = Array.from({ length: 256 }, () => root.openAt({}, 'sub/note', {}, READ));
    expect(codeOf(() => root.openAt({}, 'sub/note', {}, READ))).toBe('insufficient-memory');
    files[0][Symbol.dispose]();
    expect(codeOf(() => root.openAt({}, 'sub/note', {}, READ))).toBe('no error');
  });
});

describe('GST-13 nothing leads out of a granted folder:', () => {
  it('not a path', () => {
    const { root } = open(true);
    const sub = root.openAt({}, 'sub', {}, {});
    for (const [from, path] of [
      [root, '../secret/key'],
      [root, '/etc/passwd'],
      [root, 'sub/../../secret/key'],
      [root, 'sub\\..\\..\\secret'],
      [sub, '../sub/note'],
      [root, '..'],
    ]) {
      expect(
        codeOf(() => from.openAt({ symlinkFollow: true }, path, {}, READ)),
        path,
      ).toBe('not-permitted');
      expect(
        codeOf(() => from.statAt({ symlinkFollow: true }, path)),
        path,
      ).toBe('not-permitted');
    }
    expect(codeOf(() => root.openAt({}, 'sub\0', {}, READ))).toBe('invalid');
  });

  it('not a link, in whatever step of the path', () => {
    symlinkSync(secret, join(granted, 'absolute'));
    symlinkSync('../secret', join(granted, 'relative'));
    symlinkSync('loop', join(granted, 'loop'));
    symlinkSync('sub/note', join(granted, 'inside'));
    const { root } = open(true);
    for (const path of ['absolute', 'absolute/key', 'relative', 'relative/key']) {
      expect(
        codeOf(() => root.openAt({ symlinkFollow: true }, path, {}, READ)),
        path,
      ).toBe('not-permitted');
    }
    expect(codeOf(() => root.openAt({ symlinkFollow: true }, 'loop', {}, READ))).toBe('loop');
    expect(codeOf(() => root.openAt({}, 'absolute', {}, READ))).toBe('loop');
    expect(text(root.openAt({ symlinkFollow: true }, 'inside', {}, READ).read(9n, 0n)[0])).toBe('hello');
  });

  it('not a folder that became a link after it was opened', () => {
    const { root } = open(true);
    const sub = root.openAt({}, 'sub', {}, { mutateDirectory: true });
    symlinkSync(secret, join(granted, 'out'));
    root.renameAt('sub', root, 'away');
    // Renaming a link is allowed; following it is not.
    root.renameAt('out', root, 'sub');
    for (const attempt of [
      () => sub.openAt({}, 'key', {}, READ),
      () => sub.statAt({}, 'key'),
      () => sub.readDirectory(),
      () => sub.stat(),
      () => sub.unlinkFileAt('key'),
    ]) {
      expect(codeOf(attempt)).toBe('not-permitted');
    }
    expect(existsSync(join(secret, 'key'))).toBe(true);
  });

  it('and no link can be made', () => {
    const { root } = open(true);
    expect(codeOf(() => root.symlinkAt(secret, 'mine'))).toBe('not-permitted');
    expect(codeOf(() => root.linkAt({}, 'sub/note', root, 'mine'))).toBe('not-permitted');
  });

  it('for any mixture of steps', () => {
    symlinkSync('..', join(granted, 'sub', 'up'));
    symlinkSync('../..', join(granted, 'sub', 'out'));
    const step = fc.constantFrom('..', '.', '', 'sub', 'note', 'up', 'out', 'no', 'granted', 'secret', 'key');
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), fc.boolean(), (steps, follow) => {
        try {
          const path = resolveBelow(granted, '', steps.join('/'), follow);
          expect(path === granted || path.startsWith(`${granted}/`)).toBe(true);
          expect(path).not.toContain('/../');
        } catch (error) {
          expect(error).toBeInstanceOf(WitError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
