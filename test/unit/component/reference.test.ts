import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { imageText, readReference, strippedReference } from '../../../src/component/reference.ts';

const HEX = 'a'.repeat(64);

const imageOf = (text: string) => {
  const reference = readReference(text);
  return reference.kind === 'image' ? imageText(reference.image) : reference;
};

describe('references', () => {
  it.each([
    ['registry.example/acme/hello:1.0', 'registry.example/acme/hello:1.0'],
    ['oci://registry.example/acme/hello:1.0', 'registry.example/acme/hello:1.0'],
    ['http://registry.example/hello:1', 'registry.example/hello:1'],
    ['https://registry.example:8443/hello:1', 'registry.example:8443/hello:1'],
    ['localhost:5000/hello:v1', 'localhost:5000/hello:v1'],
    ['localhost/hello:v1', 'localhost/hello:v1'],
    ['[::1]:5000/hello:v1', '[::1]:5000/hello:v1'],
    [`registry.example/hello@sha256:${HEX}`, `registry.example/hello@sha256:${HEX}`],
    [`registry.example/hello:1@sha256:${HEX}`, `registry.example/hello:1@sha256:${HEX}`],
    // All of it is taken in lower case, as 1.x does.
    ['OCI://Registry.Example/Acme/Hello:V1', 'registry.example/acme/hello:v1'],
    ['registry.example/hello', 'registry.example/hello:latest'],
    ['acme/hello:1', 'docker.io/acme/hello:1'],
    ['hello:1', 'docker.io/library/hello:1'],
  ])('reads %s', (text, image) => {
    expect(imageOf(text)).toBe(image);
  });

  it('tells a tag latest that stands there from one that is only meant', () => {
    const says = (text: string) => {
      const reference = readReference(text);
      return reference.kind === 'image' && reference.image.saysLatest;
    };
    expect(says('registry.example/hello:latest')).toBe(true);
    expect(says('registry.example/hello:LATEST')).toBe(true);
    expect(says('registry.example/hello')).toBe(false);
    expect(says(`registry.example/hello:latest@sha256:${HEX}`)).toBe(false);
  });

  it('reads files and builtins', () => {
    expect(readReference('file:///srv/a%20b.wasm')).toEqual({ kind: 'file', path: '/srv/a b.wasm' });
    expect(readReference('wasmcloud+builtin://http-server')).toEqual({ kind: 'builtin', name: 'http-server' });
  });

  it.each([
    '',
    '/srv/hello.wasm',
    './hello.wasm',
    '../hello.wasm',
    'file://hello.wasm',
    'file:hello.wasm',
    'file://elsewhere/hello.wasm',
    'ftp://registry.example/hello:1',
    'registry.example/hello:',
    'registry.example/hello:1:2',
    'registry.example/hello@sha256:12',
    `registry.example/hello@sha512:${HEX}`,
    `registry.example/hello@sha256:${HEX}@sha256:${HEX}`,
    'registry.example:0/hello:1',
    'registry.example:70000/hello:1',
    'user:password@registry.example/hello:1',
    'registry.example//hello:1',
    'registry.example/hello/:1',
    'registry.example/he llo:1',
    'registry.example/hello?x=1',
    'registry.example/hello#x',
    'registry.example/h\u00e9llo:1',
    'registry.example\\hello:1',
    'wasmcloud+builtin://../x',
    `registry.example/${'a'.repeat(300)}:1`,
    'x'.repeat(5_000),
  ])('refuses %j', (text) => {
    expect(readReference(text)).toMatchObject({ kind: 'invalid' });
  });

  it.each([
    'file:///srv/../etc/passwd',
    'file:///srv/%2e%2e/etc/passwd',
    'file:///srv/.%2E/etc/passwd',
    'file:///srv\\..\\etc',
    'registry.example/../hello:1',
    'registry.example/a/..:1',
    'registry.example/hello:../../x',
    'registry.example/%2e%2e/hello:1',
    'file:///srv/a%2fb',
    'file:///srv/a%00b',
  ])('ART-04 refuses %j, which climbs or hides a separator', (text) => {
    expect(readReference(text)).toMatchObject({ kind: 'invalid' });
  });

  it('reports providers without the scheme', () => {
    expect(strippedReference('oci://a.b/c:1')).toBe('a.b/c:1');
    expect(strippedReference('file:///srv/x')).toBe('/srv/x');
    expect(strippedReference('wasmcloud+builtin://http-client')).toBe('http-client');
    expect(strippedReference('strange://x')).toBe('strange://x');
  });

  it('never throws, and what it reads has parts of fixed alphabets that read the same again', () => {
    const near = fc.stringMatching(/^(?:oci:\/\/|file:\/\/\/?|)[a-zA-Z0-9.:/@_%\\-]{0,60}$/);
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 200 }), near), (text) => {
        const reference = readReference(text);
        if (reference.kind !== 'image') return;
        const { registry, repository, tag, digest } = reference.image;
        expect(registry).toMatch(/^[a-z0-9.:[\]-]+$/);
        expect(repository).toMatch(/^[a-z0-9/._-]+$/);
        expect(repository.split('/')).not.toContain('..');
        expect(tag ?? 'x').toMatch(/^[a-z0-9_][a-z0-9_.-]*$/);
        expect(digest === undefined || tag === undefined || digest.startsWith('sha256:')).toBe(true);
        expect(imageOf(imageText(reference.image))).toBe(imageText(reference.image));
      }),
    );
  });
});
