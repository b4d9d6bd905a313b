import { sign, X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchArtifact } from '../../src/component/artifact.ts';
import { Registries, type RegistriesOptions } from '../../src/component/oci/registries.ts';
import { AnsweringServer } from '../support/answering-server.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import {
  componentImage,
  digestOf,
  filesIn,
  REGISTRY_PASSWORD,
  REGISTRY_USER,
  startRegistry,
  type TestRegistry,
} from '../support/registry.ts';

const MIB = 1024 * 1024;
const signed = readFileSync(new URL('../fixtures/claims/signed.wasm', import.meta.url));
const plain = readFileSync(new URL('../../components/echo/echo.wasm', import.meta.url));

let scratch: string;
let registry: TestRegistry;
let dirs = 0;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'trellis-oci-'));
  registry = await startRegistry();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const newDir = (): string => join(scratch, `cache-${++dirs}`);
const trusting = (more: RegistriesOptions = {}, of: TestRegistry = registry): Registries =>
  new Registries({ caFiles: [of.certificates.caFile], retryWaitMs: 10, ...more });
const pull = (ref: string, registries: Registries, maxBytes = MIB) =>
  fetchArtifact(ref, { maxBytes, allowFiles: false, registries });

describe('pulls from docker-registry', () => {
  it.each(['application/wasm', 'application/vnd.module.wasm.content.layer.v1+wasm', 'application/vnd.oci.image.layer.v1.tar'])(
    'takes a layer of type %s',
    async (type) => {
      const digest = await registry.push('acme/typed', 'v1', componentImage(plain, type));
      const found = await pull(`${registry.authority}/acme/typed:v1`, trusting());
      expect(Buffer.compare(found.bytes, plain)).toBe(0);
      expect(found).toMatchObject({ digest: digestOf(plain), manifestDigest: digest, stale: false });
    },
  );

  it('reads and verifies the claims of a signed component', async () => {
    await registry.push('acme/signed', '1.0', componentImage(signed));
    const { claims } = await pull(`oci://${registry.authority}/acme/signed:1.0`, trusting());
    expect(claims).toMatchObject({ name: 'Tiny echo', revision: 7, version: '1.2.3', tags: ['demo', 'trellis'] });
  });

  it('chooses from a list of images by platform', async () => {
    const image = { mediaType: 'application/vnd.oci.image.manifest.v1+json' };
    const here = await registry.push('acme/many', 'here', componentImage(plain));
    const other = await registry.push('acme/many', 'other', componentImage(signed));
    const sizes = { here: manifestSize(here), other: manifestSize(other) };
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
    const index = await registry.pushManifest('acme/many', 'all', {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [
        { ...image, digest: other, size: sizes.other, platform: { os: 'plan9', architecture: 'mips' } },
        { ...image, digest: here, size: sizes.here, platform: { os: process.platform, architecture } },
      ],
    });
    const found = await pull(`${registry.authority}/acme/many:all`, trusting());
    expect(found).toMatchObject({ digest: digestOf(plain), manifestDigest: index });
  });

  it('says what an image is not there, and what is no component', async () => {
    await expect(pull(`${registry.authority}/acme/none:1`, trusting())).rejects.toMatchObject({
      code: 'TRELLIS_ARTIFACT_NOT_FOUND',
    });
    await registry.push('acme/two', '1', {
      layers: [
        { mediaType: 'application/wasm', bytes: plain },
        { mediaType: 'application/wasm', bytes: signed },
      ],
    });
    await expect(pull(`${registry.authority}/acme/two:1`, trusting())).rejects.toMatchObject({
      code: 'TRELLIS_ARTIFACT_INVALID',
      message: 'Found invalid OCI wasm artifact, expected single layer, found 2 layers',
    });
  });

  it('keeps to the rule about latest as 1.x does: only where the reference says it', async () => {
    await registry.push('acme/latest', 'latest', componentImage(plain));
    const ref = `${registry.authority}/acme/latest`;
    await expect(pull(`${ref}:latest`, trusting())).rejects.toMatchObject({
      code: 'TRELLIS_ARTIFACT_LATEST',
      message:
        "fetching images tagged 'latest' is currently prohibited in this host. This option can be overridden with WASMCLOUD_OCI_ALLOW_LATEST",
    });
    expect((await pull(`${ref}:latest`, trusting({ allowLatest: true }))).digest).toBe(digestOf(plain));
    expect((await pull(ref, trusting())).digest).toBe(digestOf(plain));
  });

  it('pulls what is wanted several times at once a single time', async () => {
    await using counting = await new AnsweringServer((_asked, response) => response.writeHead(404).end()).start();
    const registries = new Registries({ insecure: [counting.authority], maxPulls: 2, retryWaitMs: 10 });
    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => pull(`${counting.authority}/acme/x:${i % 2}`, registries)),
    );
    expect(answers.every(({ status }) => status === 'rejected')).toBe(true);
    expect(counting.asked).toHaveLength(2);
  });
});

function manifestSize(digest: string): number {
  return readFileSync(registry.blobFile(digest)).length;
}

it('goes through the proxy that the environment names, and past it where the environment says so', async () => {
  const connected: string[] = [];
  const proxy = createServer();
  proxy.on('connect', (request, socket) => {
    connected.push(request.url ?? '');
    const onward = connect(registry.port, '127.0.0.1', () => socket.write('HTTP/1.1 200 Connection established\r\n\r\n'));
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
    onward.pipe(socket).pipe(onward);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  try {
    await registry.push('acme/proxied', 'v1', componentImage(plain));
    const ref = `${registry.authority}/acme/proxied:v1`;
    const HTTPS_PROXY = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    expect((await pull(ref, trusting({ proxies: { HTTPS_PROXY } }))).digest).toBe(digestOf(plain));
    expect(new Set(connected)).toEqual(new Set([registry.authority]));
    connected.length = 0;
    await pull(ref, trusting({ proxies: { HTTPS_PROXY, NO_PROXY: 'localhost' } }));
    expect(connected).toEqual([]);
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

describe('the cache', () => {
  it('needs no registry for a digest, and takes what a tag last meant while its registry is away', async () => {
    const warnings: string[] = [];
    await using away = await startRegistry();
    const digest = await away.push('acme/kept', 'v1', componentImage(plain));
    const cacheDir = newDir();
    const registries = trusting({ cacheDir, warn: (text) => warnings.push(text) }, away);
    const ref = `${away.authority}/acme/kept`;
    await pull(`${ref}:v1`, registries);
    await away.stop();
    expect(await pull(`${ref}@${digest}`, registries)).toMatchObject({ digest: digestOf(plain), stale: false });
    expect(warnings).toEqual([]);
    // A new process of the same host, too.
    const again = trusting({ cacheDir, warn: (text) => warnings.push(text) }, away);
    expect(await pull(`${ref}:v1`, again)).toMatchObject({ digest: digestOf(plain), manifestDigest: digest, stale: true });
    expect(warnings).toEqual([expect.stringContaining('out of reach')]);
    await expect(pull(`${ref}:v2`, again)).rejects.toMatchObject({ code: 'TRELLIS_ARTIFACT_UNREACHABLE', retryable: true });
    await expect(pull(`${ref}:v1`, trusting({ cacheDir, staleTags: false }, away))).rejects.toMatchObject({
      code: 'TRELLIS_ARTIFACT_UNREACHABLE',
    });
  });

  it('asks the registry for a tag each time, and does not run from memory what it no longer has', async () => {
    const cacheDir = newDir();
    const ref = `${registry.authority}/acme/moving:v1`;
    await registry.push('acme/moving', 'v1', componentImage(plain));
    expect((await pull(ref, trusting({ cacheDir }))).digest).toBe(digestOf(plain));
    await registry.push('acme/moving', 'v1', componentImage(signed));
    expect((await pull(ref, trusting({ cacheDir }))).digest).toBe(digestOf(signed));
    rmSync(join(registry.dir, 'data/docker/registry/v2/repositories/acme/moving/_manifests/tags/v1'), { recursive: true });
    await expect(pull(ref, trusting({ cacheDir }))).rejects.toMatchObject({ code: 'TRELLIS_ARTIFACT_NOT_FOUND' });
  });

  it('makes room by what was not used for longest, and keeps nothing where it must not', async () => {
    const sizes = [30_000, 40_000, 50_000];
    const bytes = sizes.map((size, i) => Buffer.alloc(size, i + 1));
    const digests = [];
    for (const [i, each] of bytes.entries()) digests.push(await registry.push('acme/room', `v${i}`, componentImage(each)));
    const cacheDir = newDir();
    const registries = trusting({ cacheDir, maxCacheBytes: 100_000 });
    for (const digest of digests) {
      await pull(`${registry.authority}/acme/room@${digest}`, registries);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const name = (of: Buffer): string => digestOf(of).replace(':', '-');
    expect(filesIn(cacheDir)).not.toContain(name(bytes[0]!));
    expect(filesIn(cacheDir)).toContain(name(bytes[2]!));
    const none = newDir();
    await pull(`${registry.authority}/acme/room@${digests[0]!}`, trusting({ cacheDir: none, maxCacheBytes: 0 }));
    expect(filesIn(none)).toEqual([]);
  });

  it('costs a download, and no more, where it cannot be written', async () => {
    const file = join(scratch, 'a-file');
    writeFileSync(file, '');
    const warnings: string[] = [];
    await registry.push('acme/unkept', 'v1', componentImage(plain));
    const registries = trusting({ cacheDir: join(file, 'cache'), warn: (text) => warnings.push(text) });
    expect((await pull(`${registry.authority}/acme/unkept:v1`, registries)).digest).toBe(digestOf(plain));
    expect(warnings.join()).toContain('nothing can be kept');
  });
});

describe('credentials', () => {
  let locked: TestRegistry;
  let ref: string;
  beforeAll(async () => {
    locked = await startRegistry({ login: 'basic' });
    await locked.push('acme/locked', 'v1', componentImage(plain));
    ref = `${locked.authority}/acme/locked:v1`;
  });
  afterAll(() => locked[Symbol.asyncDispose]());

  const file = (name: string, text: string, mode = 0o600): string => {
    const path = join(scratch, name);
    writeFileSync(path, text, { mode });
    chmodSync(path, mode);
    return path;
  };
  const dockerConfig = (name: string, config: unknown, mode?: number): string => file(name, JSON.stringify(config), mode);
  const auth = Buffer.from(`${REGISTRY_USER}:${REGISTRY_PASSWORD}`).toString('base64');

  it('come from a password file, the environment, the lattice and docker login', async () => {
    const of = { registry: locked.authority, username: REGISTRY_USER };
    const passwordFile = file('password', `${REGISTRY_PASSWORD}\n`);
    const ways: RegistriesOptions[] = [
      { credentials: [{ ...of, passwordFile }] },
      { credentials: [{ ...of, password: REGISTRY_PASSWORD }] },
      { dockerConfigFile: dockerConfig('docker-1.json', { auths: { [locked.authority]: { auth } } }) },
      { dockerConfigFile: dockerConfig('docker-2.json', { auths: { [`https://${locked.authority}/v2/`]: { auth } } }) },
    ];
    for (const way of ways) expect((await pull(ref, trusting(way, locked))).digest).toBe(digestOf(plain));
    const put = trusting({}, locked);
    expect(put.put({ [locked.authority]: { username: REGISTRY_USER, password: REGISTRY_PASSWORD } })).toEqual([]);
    expect((await pull(ref, put)).digest).toBe(digestOf(plain));
    // What the lattice puts comes before what the settings say.
    const overruled = trusting(ways[0], locked);
    overruled.put({ [locked.authority]: {} });
    await expect(pull(ref, overruled)).rejects.toMatchObject({ code: 'TRELLIS_ARTIFACT_AUTH' });
  });

  it('are asked of a helper program only where that is allowed', async () => {
    const bin = join(scratch, 'bin');
    const helper = `#!/bin/sh\nread server\n[ "$server" = "${locked.authority}" ] || exit 1\n[ -z "$TRELLIS_TEST_ONLY" ] || exit 2\nprintf '{"Username":"%s","Secret":"%s"}' '${REGISTRY_USER}' '${REGISTRY_PASSWORD}'\n`;
    mkdirSync(bin);
    writeFileSync(join(bin, 'docker-credential-trellistest'), helper, { mode: 0o755 });
    const [path, secret] = [process.env['PATH'], process.env['TRELLIS_TEST_ONLY']];
    process.env['PATH'] = `${bin}:${path ?? ''}`;
    process.env['TRELLIS_TEST_ONLY'] = 'not for children';
    try {
      const dockerConfigFile = dockerConfig('docker-3.json', { credHelpers: { [locked.authority]: 'trellistest' } });
      const warnings: string[] = [];
      const shy = trusting({ dockerConfigFile, warn: (text) => warnings.push(text) }, locked);
      await expect(pull(ref, shy)).rejects.toMatchObject({ code: 'TRELLIS_ARTIFACT_AUTH' });
      expect(warnings.join()).toContain('artifacts.credentialHelpers');
      expect((await pull(ref, trusting({ dockerConfigFile, credentialHelpers: true }, locked))).digest).toBe(digestOf(plain));
      const missing = dockerConfig('docker-4.json', { credsStore: 'trellis-is-not-there' });
      await expect(pull(ref, trusting({ dockerConfigFile: missing, credentialHelpers: true }, locked))).rejects.toMatchObject({
        code: 'TRELLIS_ARTIFACT_CREDENTIALS',
      });
    } finally {
      process.env['PATH'] = path;
      if (secret === undefined) delete process.env['TRELLIS_TEST_ONLY'];
    }
  });

  it('are not taken from a Docker configuration that others can read, and wrong ones are told apart from none', async () => {
    const warnings: string[] = [];
    const dockerConfigFile = dockerConfig('docker-5.json', { auths: { [locked.authority]: { auth } } }, 0o644);
    const open = trusting({ dockerConfigFile, warn: (text) => warnings.push(text) }, locked);
    await expect(pull(ref, open)).rejects.toMatchObject({ code: 'TRELLIS_ARTIFACT_AUTH' });
    await expect(pull(ref, open)).rejects.toMatchObject({ code: 'TRELLIS_ARTIFACT_AUTH' });
    expect(warnings).toEqual([expect.stringContaining('other users can read them')]);
    const wrong = [{ registry: locked.authority, username: REGISTRY_USER, password: 'wrong' }];
    await expect(pull(ref, trusting({ credentials: wrong }, locked))).rejects.toMatchObject({
      code: 'TRELLIS_ARTIFACT_AUTH',
      message: expect.stringContaining('401') as string,
    });
    const missing = [{ registry: locked.authority, username: REGISTRY_USER, passwordFile: join(scratch, 'nowhere') }];
    await expect(pull(ref, trusting({ credentials: missing }, locked))).rejects.toMatchObject({
      code: 'TRELLIS_ARTIFACT_CREDENTIALS',
    });
  });
});

describe('tokens', () => {
  it('are fetched from where the registry says, with the credentials, for reading that one repository', async () => {
    const { certPem, keyPem } = createCertificateAuthority('Token authority').issue('token-signer');
    const certFile = join(scratch, 'token-signer.pem');
    writeFileSync(certFile, certPem);
    const token = (access: unknown[]): string => {
      const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
      const x5c = [new X509Certificate(certPem).raw.toString('base64')];
      const now = Math.floor(Date.now() / 1000);
      const head = encode({ typ: 'JWT', alg: 'ES256', x5c });
      const body = encode({
        iss: 'test-issuer',
        sub: 'x',
        aud: 'test-service',
        exp: now + 60,
        nbf: now - 5,
        iat: now,
        jti: 'x',
        access,
      });
      const signature = sign('sha256', Buffer.from(`${head}.${body}`), { key: keyPem, dsaEncoding: 'ieee-p1363' });
      return `${head}.${body}.${signature.toString('base64url')}`;
    };
    const scope = (actions: string[]): unknown[] => [{ type: 'repository', name: 'acme/guarded', actions }];
    await using tokens = await new AnsweringServer((asked, response) => {
      const expected = `Basic ${Buffer.from('robot:s3cret-of-robot').toString('base64')}`;
      const form = new URLSearchParams(asked.body);
      const refreshed = asked.method === 'POST' && form.get('refresh_token') === 'identity-of-robot';
      if (asked.authorization !== expected && !refreshed) return void response.writeHead(401).end();
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ [refreshed ? 'access_token' : 'token']: token(scope(['pull'])) }));
    }, registry.certificates).start();
    await using guarded = await startRegistry({
      login: { realm: `${tokens.url}/token?account=x`, service: 'test-service', issuer: 'test-issuer', certFile },
    });
    await guarded.push('acme/guarded', 'v1', componentImage(plain), token(scope(['pull', 'push'])));
    const caFile = join(scratch, 'both.pem');
    writeFileSync(caFile, readFileSync(registry.certificates.caFile, 'utf8') + readFileSync(guarded.certificates.caFile, 'utf8'));
    const ref = `${guarded.authority}/acme/guarded:v1`;
    const credentials = [{ registry: guarded.authority, username: 'robot', password: 's3cret-of-robot' }];
    const options = { caFiles: [caFile], credentials };
    // Another port is somebody else until the operator says otherwise.
    await expect(pull(ref, trusting(options))).rejects.toMatchObject({
      code: 'TRELLIS_ARTIFACT_REDIRECT',
      remedy: expect.stringContaining('artifacts.tokenHosts') as string,
    });
    expect(tokens.asked).toEqual([]);
    const found = await pull(ref, trusting({ ...options, tokenHosts: [tokens.authority] }));
    expect(found.digest).toBe(digestOf(plain));
    expect(tokens.asked).toHaveLength(1);
    const query = new URL(tokens.asked[0]!.path, tokens.url).searchParams;
    expect([query.get('scope'), query.get('service'), query.get('account')]).toEqual([
      'repository:acme/guarded:pull',
      'test-service',
      'x',
    ]);
    await expect(pull(ref, trusting({ caFiles: [caFile] }))).rejects.toMatchObject({ code: 'TRELLIS_ARTIFACT_AUTH' });
    // What `docker login` keeps in place of a password is shown in a form, never in an address.
    const dockerConfigFile = join(scratch, 'docker-identity.json');
    const identitytoken = 'identity-of-robot';
    writeFileSync(dockerConfigFile, JSON.stringify({ auths: { [guarded.authority]: { identitytoken } } }), { mode: 0o600 });
    const identified = { caFiles: [caFile], dockerConfigFile, tokenHosts: [tokens.authority] };
    expect((await pull(ref, trusting(identified))).digest).toBe(digestOf(plain));
    expect(tokens.asked.at(-1)).toMatchObject({ method: 'POST', authorization: undefined });
    expect(tokens.asked.at(-1)!.path).not.toContain('identity-of-robot');
    expect(new URLSearchParams(tokens.asked.at(-1)!.body).get('grant_type')).toBe('refresh_token');
    await expect(pull(ref, trusting({ caFiles: [caFile], dockerConfigFile }))).rejects.toMatchObject({
      code: 'TRELLIS_ARTIFACT_REDIRECT',
    });
  });
});
