import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchArtifact, loadArtifact } from '../../src/component/artifact.ts';
import { Registries } from '../../src/component/oci/registries.ts';

let scratch: string;
let file: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'trellis-artifact-'));
  file = join(scratch, 'a b.wasm');
  writeFileSync(file, 'abc');
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('loadArtifact', () => {
  it('reads a path or a file URL and says its digest', async () => {
    for (const ref of [file, pathToFileURL(file).href, relative(process.cwd(), file)]) {
      const { bytes, digest, path } = await loadArtifact(ref, { maxBytes: 3 });
      expect(Buffer.from(bytes).toString()).toBe('abc');
      expect(digest).toBe('sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
      expect(path).toBe(file);
    }
  });

  it.each([
    ['a file that is too large', () => file, 2, 'TRELLIS_COMPONENT_TOO_LARGE'],
    ['a missing file', () => join(scratch, 'none'), 9, 'TRELLIS_COMPONENT_NOT_FOUND'],
    ['a folder', () => scratch, 9, 'TRELLIS_COMPONENT_NOT_FOUND'],
    ['a device', () => '/dev/zero', 9, 'TRELLIS_COMPONENT_NOT_FOUND'],
    ['another kind of reference', () => 'https://example.com/a.wasm', 9, 'TRELLIS_COMPONENT_UNSUPPORTED'],
    ['a file URL of another machine', () => 'file://elsewhere/a.wasm', 9, 'TRELLIS_COMPONENT_UNSUPPORTED'],
    ['a path with NUL', () => `${file}\0`, 9, 'TRELLIS_COMPONENT_UNSUPPORTED'],
    ['nothing', () => '', 9, 'TRELLIS_COMPONENT_UNSUPPORTED'],
  ])('refuses %s', async (_what, ref, maxBytes, code) => {
    await expect(loadArtifact(ref(), { maxBytes })).rejects.toMatchObject({ code });
  });
});

describe('fetchArtifact from files', () => {
  const options = { maxBytes: 9, registries: new Registries() };

  it('reads a file URL where files are allowed', async () => {
    const { bytes, digest } = await fetchArtifact(pathToFileURL(file).href, { ...options, allowFiles: true });
    expect(Buffer.from(bytes).toString()).toBe('abc');
    expect(digest).toMatch(/^sha256:ba7816bf/);
  });

  it('reads none where they are not, whatever the file is, in the words of 1.x', async () => {
    for (const ref of [pathToFileURL(file).href, 'file:///does/not/exist.wasm']) {
      await expect(fetchArtifact(ref, { ...options, allowFiles: false })).rejects.toMatchObject({
        code: 'TRELLIS_ARTIFACT_FILES',
        message: 'unable to start component from file, file loading is disabled',
      });
    }
  });

  it('takes no path without file://, and no builtin', async () => {
    for (const ref of [file, './a.wasm', '', 'wasmcloud+builtin://http-server']) {
      await expect(fetchArtifact(ref, { ...options, allowFiles: true })).rejects.toMatchObject({
        code: 'TRELLIS_ARTIFACT_REFERENCE',
      });
    }
  });
});
