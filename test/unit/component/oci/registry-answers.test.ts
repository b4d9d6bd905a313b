import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readChallenges } from '../../../../src/component/oci/challenge.ts';
import { readDockerConfig } from '../../../../src/component/oci/docker-config.ts';
import { chooseManifest, componentLayer, readManifest } from '../../../../src/component/oci/manifest.ts';
import { judgeRealm, judgeRedirect, mayKnowCredentials } from '../../../../src/component/oci/redirects.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const LAYER = { mediaType: 'application/wasm', digest: DIGEST, size: 3 };
const OCI = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';
const manifestOf = (value: unknown, type?: string) => readManifest(Buffer.from(JSON.stringify(value)), type);

describe('challenges', () => {
  it('are read with their parameters, several in one header', () => {
    const [bearer, basic] = readChallenges(
      'Bearer realm="https://auth.example/token",service="a, \\"b\\"", scope=x , Basic realm="r"',
    );
    expect(bearer!.scheme).toBe('bearer');
    expect({ ...bearer!.parameters }).toEqual({ realm: 'https://auth.example/token', service: 'a, "b"', scope: 'x' });
    expect(basic!.scheme).toBe('basic');
    expect(readChallenges('Negotiate, Basic').map(({ scheme }) => scheme)).toEqual(['negotiate', 'basic']);
    expect(readChallenges(undefined)).toEqual([]);
    expect(readChallenges('"')).toEqual([]);
  });

  it('take the first of two values, and never take long', () => {
    expect(readChallenges('Bearer realm="a", realm="b"')[0]!.parameters['realm']).toBe('a');
    // Any that took time beyond their length would take this test with them.
    for (const text of ['Bearer ' + 'a="\\'.repeat(2_000), ' ,'.repeat(4_000), `Bearer a="${'\\"'.repeat(4_000)}`])
      readChallenges(text);
    fc.assert(fc.property(fc.string(), (text) => Array.isArray(readChallenges(text))));
  });
});

describe('manifests', () => {
  it('are images or lists of images', () => {
    expect(manifestOf({ schemaVersion: 2, layers: [LAYER] }, `${OCI}; charset=utf-8`)).toEqual({
      kind: 'image',
      layers: [LAYER],
    });
    const manifests = [{ ...LAYER, mediaType: OCI, platform: { os: 'linux', architecture: 'amd64' } }];
    expect(manifestOf({ schemaVersion: 2, mediaType: INDEX, manifests }, INDEX)).toEqual({
      kind: 'index',
      manifests: [{ ...LAYER, mediaType: OCI, os: 'linux', architecture: 'amd64' }],
    });
  });

  it.each([
    ['no JSON', Buffer.from('{')],
    ['no object', Buffer.from('[]')],
    ['no UTF-8', Buffer.of(0xff)],
    ['version 1', { schemaVersion: 1, layers: [] }],
    ['nothing', { schemaVersion: 2 }],
    ['an image and a list at once', { schemaVersion: 2, layers: [LAYER], manifests: [] }],
    ['an image announced as a list', { schemaVersion: 2, mediaType: INDEX, layers: [LAYER] }],
    ['a list announced as an image', { schemaVersion: 2, mediaType: OCI, manifests: [] }],
    ['a kind of its own', { schemaVersion: 2, mediaType: 'application/x', layers: [LAYER] }],
    ['a digest of another kind', { schemaVersion: 2, layers: [{ ...LAYER, digest: 'sha512:aa' }] }],
    ['a digest that climbs', { schemaVersion: 2, layers: [{ ...LAYER, digest: 'sha256:../../x' }] }],
    ['a negative size', { schemaVersion: 2, layers: [{ ...LAYER, size: -1 }] }],
    ['a size as text', { schemaVersion: 2, layers: [{ ...LAYER, size: '3' }] }],
    ['too many layers', { schemaVersion: 2, layers: Array.from({ length: 1_001 }, () => LAYER) }],
  ])('ART-06 are refused with %s', (_what, value) => {
    const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
    expect(readManifest(bytes, undefined).kind).toBe('invalid');
  });

  it('are refused where header and text disagree', () => {
    expect(manifestOf({ schemaVersion: 2, mediaType: OCI, layers: [LAYER] }, INDEX).kind).toBe('invalid');
  });

  it('have one layer of a known type', () => {
    expect(componentLayer([LAYER])).toEqual(LAYER);
    expect(componentLayer([])).toHaveProperty('reason', expect.stringContaining('found 0 layers'));
    for (const mediaType of ['application/vnd.oci.image.layer.v1.tar+gzip', 'application/wasm+gzip', '', 'text/html']) {
      expect(componentLayer([{ ...LAYER, mediaType }])).toHaveProperty('reason');
    }
  });

  it('are chosen for this machine, else for WebAssembly, else if there is only one', () => {
    const of = (os: string | undefined, architecture: string | undefined, size: number) => ({ ...LAYER, os, architecture, size });
    const machine = { platform: 'linux', arch: 'x64' };
    expect(chooseManifest([of('wasi', 'wasm', 1), of('linux', 'amd64', 2)], machine)?.size).toBe(2);
    expect(chooseManifest([of('linux', 'arm64', 1), of('wasip2', 'wasm', 2)], machine)?.size).toBe(2);
    expect(chooseManifest([of(undefined, undefined, 1)], machine)?.size).toBe(1);
    expect(chooseManifest([of('linux', 'arm64', 1), of('darwin', 'arm64', 2)], machine)).toBeUndefined();
    expect(chooseManifest([], machine)).toBeUndefined();
  });

  it('never make their reader throw', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.option(fc.string(), { nil: undefined }), (value, type) =>
        ['image', 'index', 'invalid'].includes(manifestOf(value, type).kind),
      ),
    );
    fc.assert(fc.property(fc.uint8Array(), (bytes) => readManifest(bytes, undefined).kind === 'invalid'));
  });
});

describe('where a registry may send a host', () => {
  const from = new URL('https://registry.example/v2/a/blobs/x');
  const none = (): boolean => false;

  it.each([
    ['https://storage.example/x', true],
    ['/v2/elsewhere', true],
    ['http://registry.example/x', false],
    ['http://storage.example/x', false],
    ['//storage.example/x', true],
    ['file:///etc/passwd', false],
    ['data:application/wasm,x', false],
    ['ftp://storage.example/x', false],
    ['https://user:secret@storage.example/x', false],
    ['https://', false],
    [undefined, false],
  ])('ART-07 %s', (location, ok) => {
    expect(judgeRedirect(from, location, none).ok).toBe(ok);
  });

  it('ART-08 without TLS only to registries that are listed as such', () => {
    const listed = (authority: string): boolean => authority === 'localhost:5000';
    expect(judgeRedirect(new URL('http://localhost:5000/v2/'), '/x', listed).ok).toBe(true);
    expect(judgeRedirect(new URL('http://localhost:5000/v2/'), 'http://localhost:5001/x', listed).ok).toBe(false);
    expect(judgeRealm('http://localhost:5000/token', listed).ok).toBe(true);
    expect(judgeRealm('http://auth.example/token', listed).ok).toBe(false);
    expect(judgeRealm('/token', listed).ok).toBe(false);
    expect(judgeRealm(undefined, listed).ok).toBe(false);
  });

  it.each([
    ['registry.example', 'https://registry.example/token', true],
    ['registry.example:5000', 'https://registry.example:5000/token', true],
    ['gitlab.example:5050', 'https://gitlab.example/jwt/auth', true],
    ['ghcr.io:443', 'https://ghcr.io/token', true],
    ['gitlab.example:5050', 'https://gitlab.example:8443/jwt/auth', false],
    ['registry.gitlab.example', 'https://gitlab.example/jwt/auth', true],
    ['registry.gitlab.example:5050', 'https://gitlab.example/jwt/auth', true],
    ['docker.io', 'https://auth.docker.io/token', true],
    ['docker.io', 'https://auth.docker.io.example/token', false],
    ['registry.example', 'https://registry.example:8443/token', false],
    ['registry.example', 'https://auth.example/token', false],
    ['registry.example', 'https://evilregistry.example/token', false],
    ['registry.example', 'https://example.registry.example/token', false],
    ['registry.example', 'https://example/token', false],
    ['10.1.2.3', 'https://2.3/token', false],
    ['evil.example', 'https://auth.docker.io/token', false],
  ])('tells the credentials of %s to %s: %s', (registry, url, told) => {
    expect(mayKnowCredentials(registry, new URL(url), [])).toBe(told);
  });

  it('tells them to hosts that the operator names, by exact name', () => {
    const named = (url: string): boolean =>
      mayKnowCredentials('registry.example', new URL(url), ['auth.example', 'sso.example:8443']);
    expect(['https://auth.example/t', 'https://sso.example:8443/t'].map(named)).toEqual([true, true]);
    expect(['https://auth.example:444/t', 'https://x.auth.example/t', 'https://sso.example/t'].map(named)).toEqual([
      false,
      false,
      false,
    ]);
  });

  it('never throws', () => {
    const near = fc.stringMatching(/^(?:https?|file|data):\/{0,3}[a-z0-9.:@[\]%/?#-]{0,40}$/);
    fc.assert(
      fc.property(fc.oneof(fc.string(), near), (text) => {
        judgeRedirect(from, text, none);
        judgeRealm(text, none);
      }),
    );
  });
});

describe("Docker's configuration", () => {
  const auth = Buffer.from('user:pass:word').toString('base64');
  const read = (config: unknown, registry = 'ghcr.io') => readDockerConfig(JSON.stringify(config), registry);
  const basic = { kind: 'credential', credential: { kind: 'basic', username: 'user', password: 'pass:word' } };

  it('is looked up by authority, however Docker wrote it', () => {
    for (const name of ['ghcr.io', 'https://ghcr.io', 'https://ghcr.io/v2/', 'http://GHCR.io/x']) {
      expect(read({ auths: { [name]: { auth } } })).toEqual(basic);
    }
    expect(read({ auths: { 'https://index.docker.io/v1/': { auth } } }, 'docker.io')).toEqual(basic);
    expect(read({ auths: { 'ghcr.io:443': { auth }, 'evil-ghcr.io': { auth } } })).toEqual({ kind: 'none' });
  });

  it('has texts, identity tokens, and programs: the one for a registry first, the one for all last', () => {
    expect(read({ auths: { 'ghcr.io': { username: 'user', password: 'pass:word' } } })).toEqual(basic);
    expect(read({ auths: { 'ghcr.io': { auth, identitytoken: 't' } } })).toMatchObject({
      credential: { kind: 'identity', token: 't' },
    });
    expect(read({ auths: { 'ghcr.io': { registrytoken: 't' } } })).toMatchObject({ credential: { kind: 'bearer', token: 't' } });
    expect(read({ auths: { 'ghcr.io': { registrytoken: 'a\r\nb' } } })).toEqual({ kind: 'none' });
    expect(read({ auths: { 'ghcr.io': { auth } }, credHelpers: { 'ghcr.io': 'gh' } })).toEqual({
      kind: 'helper',
      helper: 'gh',
      server: 'ghcr.io',
    });
    expect(read({ auths: { 'ghcr.io': { auth } }, credsStore: 'pass' })).toEqual(basic);
    expect(read({ auths: { 'ghcr.io': {} }, credsStore: 'pass' })).toMatchObject({ kind: 'helper', helper: 'pass' });
    expect(read({ credsStore: '../../bin/sh' })).toEqual({ kind: 'none' });
    expect(read({ credsStore: 'a b' })).toEqual({ kind: 'none' });
    expect(read({ credsStore: 'desktop' }, 'docker.io')).toMatchObject({ server: 'https://index.docker.io/v1/' });
  });

  it('never makes its reader throw', () => {
    expect(readDockerConfig('{', 'x')).toBeUndefined();
    expect(readDockerConfig('[]', 'x')).toBeUndefined();
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        read(value);
        read({ auths: value, credHelpers: value, credsStore: value });
        read({ auths: { 'ghcr.io': value } });
      }),
    );
  });
});
