import { chmodSync, lstatSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchArtifact, type ArtifactOptions } from '../../src/component/artifact.ts';
import { Registries, type RegistriesOptions } from '../../src/component/oci/registries.ts';
import { preflight } from '../../src/component/preflight.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { AnsweringServer } from '../support/answering-server.ts';
import { createCertificateAuthority, writeCertificates, type CertificateFiles } from '../support/certificates.ts';
import { componentImage, digestOf, filesIn, startRegistry, type TestRegistry } from '../support/registry.ts';
import { ScriptedRegistry } from '../support/scripted-registry.ts';
import { signComponent } from '../support/signed-component.ts';

const MIB = 1024 * 1024;
const good = readFileSync(new URL('../../components/echo/echo.wasm', import.meta.url));
const evil = readFileSync(new URL('../../components/hostile/hostile.wasm', import.meta.url));
const PASSWORD = 'pull-password-canary';
const BASIC = Buffer.from(`robot:${PASSWORD}`).toString('base64');

let scratch: string;
let registry: TestRegistry;
let certificates: CertificateFiles;
/** Everything that was thrown or warned of: no secret may be in it. */
const said: string[] = [];
let dirs = 0;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'trellis-art-'));
  certificates = writeCertificates(scratch);
  registry = await startRegistry();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const newDir = (): string => join(scratch, `cache-${++dirs}`);
const registriesFor = (more: RegistriesOptions = {}): Registries => {
  const caFiles = [certificates.caFile, registry.certificates.caFile];
  return new Registries({ caFiles, retryWaitMs: 5, warn: (text) => said.push(text), ...more });
};
async function pull(ref: string, registries: Registries, more: Partial<ArtifactOptions> = {}) {
  try {
    return await fetchArtifact(ref, { maxBytes: MIB, allowFiles: false, registries, ...more });
  } catch (error) {
    said.push(JSON.stringify(error), String(error), String((error as Error).cause));
    throw error;
  }
}
const scripted = async (component: Uint8Array = good): Promise<ScriptedRegistry> => {
  const server = new ScriptedRegistry(component, certificates);
  await server.start();
  return server;
};
const refused = (code: string) => expect.objectContaining({ code }) as Error;

describe('ART-01 a digest that does not fit', () => {
  it('is refused for a blob, after three attempts, and nothing of it is kept', async () => {
    await using server = await scripted();
    server.onBlob = (response) => response.writeHead(200).end(Buffer.alloc(good.length, 1));
    const cacheDir = newDir();
    await expect(pull(server.ref, registriesFor({ cacheDir }))).rejects.toThrow(refused('TRELLIS_ARTIFACT_MISMATCH'));
    expect(server.blobsAsked).toBe(3);
    expect(filesIn(cacheDir)).not.toContain(digestOf(good).replace(':', '-'));
    expect(filesIn(cacheDir)).not.toContain(digestOf(Buffer.alloc(good.length, 1)).replace(':', '-'));
  });

  it('is refused for a manifest that a reference names', async () => {
    await using server = await scripted();
    const ref = `${server.authority}/acme/x@sha256:${'0'.repeat(64)}`;
    await expect(pull(ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_MISMATCH'));
    expect(server.blobsAsked).toBe(0);
  });

  it('is refused of a real registry whose disk has been changed', async () => {
    await registry.push('acme/damaged', 'v1', componentImage(evil));
    writeFileSync(registry.blobFile(digestOf(evil)), Buffer.alloc(evil.length, 7));
    await expect(pull(`${registry.authority}/acme/damaged:v1`, registriesFor())).rejects.toMatchObject({
      code: expect.stringMatching(/TRELLIS_ARTIFACT_(?:MISMATCH|UNREACHABLE)/) as string,
    });
  });

  it('is refused where the configuration names another digest of the component itself', async () => {
    await using server = await scripted();
    const digest = digestOf(evil);
    await expect(pull(server.ref, registriesFor(), { digest })).rejects.toThrow(refused('TRELLIS_COMPONENT_DIGEST'));
  });
});

it('ART-02 a tag that moved means nothing beside a digest', async () => {
  const first = await registry.push('acme/moved', 'v1', componentImage(good));
  await registry.push('acme/moved', 'v1', componentImage(evil.subarray(0)));
  const ref = `${registry.authority}/acme/moved:v1@${first}`;
  expect((await pull(ref, registriesFor())).digest).toBe(digestOf(good));
});

/** A tar archive with one entry of a kind, which holds nothing. */
function tarOf(name: string, kind: '0' | '1' | '2' | '3', target = ''): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write('00000000000\0', 124);
  header.write('        ', 148);
  header.write(kind, 156);
  header.write(target, 157);
  header.write('ustar\0', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, Buffer.alloc(1_024)]);
}

it.each([
  ['ART-03 a symlink', tarOf('link', '2', '/etc/passwd')],
  ['ART-03 a hard link', tarOf('link', '1', '/etc/passwd')],
  ['ART-03 a device', tarOf('zero', '3')],
  ['ART-04 a path that climbs', tarOf('../../climbed', '0')],
  ['ART-04 an absolute path', tarOf('/tmp/trellis-absolute', '0')],
])('%s in an archive creates nothing: a layer is not unpacked, and this one is no component', async (_what, tar) => {
  await using server = await scripted(tar);
  server.layer['mediaType'] = 'application/vnd.oci.image.layer.v1.tar';
  const cacheDir = newDir();
  const { bytes } = await pull(server.ref, registriesFor({ cacheDir }));
  expect(() => preflight(bytes, { maxBytes: MIB })).toThrow(refused('TRELLIS_COMPONENT_INVALID'));
  const files = filesIn(cacheDir);
  expect(files.every((name) => /^(?:sha256-[0-9a-f]{64}|tag-[0-9a-f]{64}\.json)$/.test(name))).toBe(true);
  expect(files.every((name) => lstatSync(join(cacheDir, name)).isFile())).toBe(true);
});

it('ART-04 a digest that climbs is no digest', async () => {
  await using server = await scripted();
  server.layer['digest'] = 'sha256:../../../../etc/passwd';
  await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_INVALID'));
  expect(server.blobsAsked).toBe(0);
});

describe('ART-05 a decompression bomb', () => {
  const bomb = gzipSync(Buffer.alloc(300 * MIB));

  it('is not decompressed: neither as an answer nor as a layer', async () => {
    await using server = await scripted();
    const compressed = { 'content-encoding': 'gzip', 'content-length': bomb.length };
    server.onBlob = (response) => response.writeHead(200, compressed).end(bomb);
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_INVALID'));
    server.onManifest = (response) => response.writeHead(200, compressed).end(bomb);
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_INVALID'));
    await using layered = await scripted(bomb);
    layered.layer['mediaType'] = 'application/vnd.oci.image.layer.v1.tar+gzip';
    await expect(pull(layered.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_INVALID'));
    expect(layered.blobsAsked).toBe(0);
  });
});

describe('ART-06 what is too large or of another kind', () => {
  it('is refused before it is fetched', async () => {
    await using server = await scripted();
    server.layer['size'] = 10 * 1024 * MIB;
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_COMPONENT_TOO_LARGE'));
    server.layer['size'] = good.length;
    await expect(pull(server.ref, registriesFor(), { maxBytes: good.length - 1 })).rejects.toThrow(
      refused('TRELLIS_COMPONENT_TOO_LARGE'),
    );
    for (const mediaType of ['text/html', 'application/vnd.wasmcloud.provider.archive.layer.v1+par']) {
      server.layer['mediaType'] = mediaType;
      await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_INVALID'));
    }
    expect(server.blobsAsked).toBe(0);
  });

  it('is cut off where it is more than was said: announced, or without end', async () => {
    await using server = await scripted();
    server.onBlob = (response) => response.writeHead(200, { 'content-length': 50 * MIB }).write('x');
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_COMPONENT_TOO_LARGE'));
    let sent = 0;
    const endless = (response: ServerResponse): void => {
      response.writeHead(200);
      const more = (): void => {
        while (!response.destroyed && sent < 512 * MIB) {
          sent += 64 * 1024;
          if (!response.write(Buffer.alloc(64 * 1024))) return void response.once('drain', more);
        }
      };
      more();
    };
    server.onBlob = endless;
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_COMPONENT_TOO_LARGE'));
    expect(sent).toBeLessThan(64 * MIB);
    sent = 0;
    server.onManifest = endless;
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_COMPONENT_TOO_LARGE'));
    expect(sent).toBeLessThan(64 * MIB);
  });
});

describe('ART-07 a registry that sends a host elsewhere', () => {
  it.each([
    'https://169.254.169.254/latest/meta-data',
    'https://[::ffff:169.254.169.254]/',
    'https://10.0.0.1/x',
    'https://192.168.1.1/x',
    'https://[fd00::1]/x',
    'https://0.0.0.0/x',
    'https://2130706433.example@169.254.169.254/',
    'https://0xa9fea9fe/',
    'http://localhost/x',
    'file:///etc/passwd',
    'ftp://localhost/x',
  ])('is not followed to %s', async (location) => {
    await using server = await scripted();
    server.onBlob = (response) => response.writeHead(307, { location }).end();
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_REDIRECT'));
    server.onManifest = server.onBlob;
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_REDIRECT'));
  });

  it('is followed to where blobs may lie, without its credentials, and not for ever', async () => {
    await using server = await scripted();
    await using storage = new AnsweringServer((_asked, response) => response.writeHead(200).end(good), certificates);
    await storage.start();
    server.before = (response, { authorization }) => {
      if (authorization === `Basic ${BASIC}`) return false;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      return true;
    };
    server.onBlob = (response) => response.writeHead(302, { location: `${storage.url}/signed?x=1` }).end();
    const credentials = [{ registry: server.authority, username: 'robot', password: PASSWORD }];
    expect((await pull(server.ref, registriesFor({ credentials }))).digest).toBe(digestOf(good));
    expect(storage.asked).toMatchObject([{ path: '/signed?x=1', authorization: undefined }]);
    server.onBlob = (response, { path }) => response.writeHead(302, { location: path }).end();
    await expect(pull(server.ref, registriesFor({ credentials }))).rejects.toThrow(refused('TRELLIS_ARTIFACT_REDIRECT'));
  });

  it('gets no credentials told to others, whatever it names as the place for tokens', async () => {
    await using server = await scripted();
    await using stranger = new AnsweringServer((_asked, response) => response.end('{"token":"x"}'), certificates);
    await stranger.start();
    await using plain = await new AnsweringServer((_asked, response) => response.end('{"token":"x"}')).start();
    const credentials = [{ registry: server.authority, username: 'robot', password: PASSWORD }];
    for (const realm of [`${stranger.url}/token`, `${plain.url}/token`, 'https://169.254.169.254/token', 'file:///x', '']) {
      server.before = (response) => {
        response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="x"` }).end();
        return true;
      };
      await expect(pull(server.ref, registriesFor({ credentials }))).rejects.toThrow(refused('TRELLIS_ARTIFACT_REDIRECT'));
    }
    expect([...stranger.asked, ...plain.asked]).toEqual([]);
    // A token that somebody put for the registry is for the registry alone.
    server.before = (response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${stranger.url}/token"` }).end();
      return true;
    };
    const registries = registriesFor();
    registries.put({ [server.authority]: { token: PASSWORD } });
    await expect(pull(server.ref, registries)).rejects.toThrow(refused('TRELLIS_ARTIFACT_AUTH'));
    expect(server.asked.some(({ authorization }) => authorization === `Bearer ${PASSWORD}`)).toBe(true);
    expect(stranger.asked.map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  it('does not get a token service followed elsewhere, nor other rights asked for than to read', async () => {
    await using server = await scripted();
    server.before = (response, { path }) => {
      if (path.startsWith('/v2/')) {
        const challenge = `Bearer realm="${server.url}/token",service="x",scope="repository:other/secret:pull,push"`;
        response.writeHead(401, { 'www-authenticate': challenge }).end();
      } else response.writeHead(302, { location: 'https://localhost:1/token' }).end();
      return true;
    };
    const credentials = [{ registry: server.authority, username: 'robot', password: PASSWORD }];
    await expect(pull(server.ref, registriesFor({ credentials }))).rejects.toThrow(refused('TRELLIS_ARTIFACT_AUTH'));
    const { searchParams } = new URL(server.asked.at(-1)!.path, server.url);
    expect(searchParams.get('scope')).toBe('repository:acme/x:pull');
  });

  it('gets nothing fetched from places that a manifest names (urls)', async () => {
    await using server = await scripted();
    await using elsewhere = new AnsweringServer((_asked, response) => response.end(good), certificates);
    await elsewhere.start();
    server.layer['urls'] = [`${elsewhere.url}/x`];
    server.onBlob = (response) => response.writeHead(404).end();
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_NOT_FOUND'));
    expect(elsewhere.asked).toEqual([]);
  });
});

describe('ART-08 a registry without TLS', () => {
  it('is not spoken to unless it is listed, by this very name', async () => {
    await using server = new ScriptedRegistry(good);
    await server.start();
    for (const insecure of [[], ['localhost'], [`127.0.0.1:${server.port}`], [`${server.authority}0`]]) {
      await expect(pull(`http://${server.ref}`, registriesFor({ insecure }))).rejects.toThrow(
        expect.objectContaining({ code: 'TRELLIS_ARTIFACT_UNREACHABLE', message: `${server.authority} does not speak TLS` }),
      );
    }
    expect(server.asked).toEqual([]);
    expect((await pull(server.ref, registriesFor({ insecure: [server.authority] }))).digest).toBe(digestOf(good));
  });

  it('stays what it is: a registry with TLS sends nobody to plain HTTP, not even to a listed one that is another', async () => {
    await using server = await scripted();
    await using plain = await new AnsweringServer((_asked, response) => response.end(good)).start();
    server.onBlob = (response) => response.writeHead(302, { location: `${plain.url}/x` }).end();
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_REDIRECT'));
    expect(plain.asked).toEqual([]);
  });

  it('is no registry whose certificate an unknown authority signed, or for another name', async () => {
    await using server = await scripted();
    await expect(pull(server.ref, registriesFor({ caFiles: [certificates.foreignCaFile] }))).rejects.toThrow(
      refused('TRELLIS_ARTIFACT_UNREACHABLE'),
    );
    expect(server.asked).toEqual([]);
    const other = createCertificateAuthority('Another authority');
    const { certPem, keyPem } = other.issue('registry.example', { dnsNames: ['registry.example'] });
    const files = { caFile: 'other-ca.pem', serverCertFile: 'other.pem', serverKeyFile: 'other-key.pem' };
    const paths = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, join(scratch, file)])) as typeof files;
    writeFileSync(paths.caFile, other.certPem);
    writeFileSync(paths.serverCertFile, certPem);
    writeFileSync(paths.serverKeyFile, keyPem);
    await using misnamed = new ScriptedRegistry(good, paths);
    await misnamed.start();
    await expect(pull(misnamed.ref, registriesFor({ caFiles: [paths.caFile] }))).rejects.toMatchObject({
      code: 'TRELLIS_ARTIFACT_UNREACHABLE',
      message: expect.stringContaining('ERR_TLS_CERT_ALTNAME_INVALID') as string,
    });
    expect(misnamed.asked).toEqual([]);
  });
});

describe('ART-09 a component that is unsigned, or signed by somebody else, or too long ago', () => {
  const account = SigningKey.generate('account');
  const issuers = [account.publicKey];

  it.each([
    ['unsigned', () => good, 'TRELLIS_CLAIMS_ISSUER'],
    ['signed by somebody else', () => signComponent(good), 'TRELLIS_CLAIMS_ISSUER'],
    ['expired', () => signComponent(good, { account, claims: { exp: 1_700_000_000 } }), 'TRELLIS_CLAIMS_INVALID'],
    ['not yet valid', () => signComponent(good, { account, claims: { nbf: 4_000_000_000 } }), 'TRELLIS_CLAIMS_INVALID'],
    ['changed', () => Buffer.concat([signComponent(good, { account }), Buffer.of(0, 2, 1, 0x61)]), 'TRELLIS_CLAIMS_INVALID'],
  ])('does not come through: %s', async (_what, component, code) => {
    await using server = await scripted(component());
    await expect(pull(server.ref, registriesFor(), { issuers })).rejects.toThrow(refused(code));
  });

  it('and one that is signed does', async () => {
    await using server = await scripted(signComponent(good, { account }));
    expect((await pull(server.ref, registriesFor(), { issuers })).claims?.issuer).toBe(account.publicKey);
  });
});

describe('ART-10 a download that breaks off', () => {
  const half = (response: ServerResponse): void => {
    response.writeHead(200, { 'content-length': good.length });
    response.write(good.subarray(0, good.length / 2), () => response.destroy());
  };

  it('is tried again, and then it is an error', async () => {
    await using server = await scripted();
    server.onBlob = (response) => {
      if (server.blobsAsked < 3) half(response);
      else response.writeHead(200).end(good);
    };
    const cacheDir = newDir();
    expect((await pull(server.ref, registriesFor({ cacheDir }))).digest).toBe(digestOf(good));
    await using broken = await scripted();
    broken.onBlob = half;
    const other = newDir();
    await expect(pull(broken.ref, registriesFor({ cacheDir: other }))).rejects.toThrow(refused('TRELLIS_ARTIFACT_UNREACHABLE'));
    expect(broken.blobsAsked).toBe(3);
    expect(filesIn(other).filter((name) => name.startsWith('.partial') || name === digestOf(good).replace(':', '-'))).toEqual([]);
  });

  it('is one, too, where nothing says how long it should be', async () => {
    await using server = await scripted();
    server.onBlob = (response) => response.writeHead(200).end(good.subarray(0, 100));
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_MISMATCH'));
  });

  it('of a registry that is busy is tried again; one that says no is not asked twice', async () => {
    await using server = await scripted();
    let busy = 0;
    server.onManifest = (response) => {
      busy += 1;
      if (busy === 1) response.writeHead(503, { 'retry-after': '0' }).end();
      else if (busy === 2) response.writeHead(429).end();
      else response.writeHead(200).end(JSON.stringify(server.manifest));
    };
    expect((await pull(server.ref, registriesFor())).digest).toBe(digestOf(good));
    busy = 2;
    server.onManifest = (response) => response.writeHead(403).end();
    const before = server.asked.length;
    await expect(pull(server.ref, registriesFor())).rejects.toThrow(refused('TRELLIS_ARTIFACT_AUTH'));
    expect(server.asked.length).toBe(before + 1);
  });

  it('ends in time where it says nothing, and where it drips', async () => {
    await using server = await scripted();
    server.onManifest = () => undefined;
    await expect(pull(server.ref, registriesFor({ idleTimeoutMs: 100 }))).rejects.toThrow(
      refused('TRELLIS_ARTIFACT_UNREACHABLE'),
    );
    server.onManifest = undefined;
    server.onBlob = (response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write('x'), 20);
      response.once('close', () => clearInterval(drip));
    };
    await expect(pull(server.ref, registriesFor({ pullTimeoutMs: 500 }))).rejects.toThrow(refused('TRELLIS_ARTIFACT_TIMEOUT'));
  });

  it.each([
    ['nothing', ''],
    ['no HTTP', '\0\0\0\r\n\r\n'],
    ['half a head', 'HTTP/1.1 200 OK\r\nContent-'],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'],
    ['a promise to answer', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'],
    ['a chunk without end', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nx'],
    ['a head without end', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}`],
  ])('is an error that may pass where a server sends %s', async (_what, text) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end(text));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const authority = `localhost:${(server.address() as AddressInfo).port}`;
      const pulled = pull(`${authority}/acme/x:1`, registriesFor({ insecure: [authority] }));
      await expect(pulled).rejects.toThrow(refused('TRELLIS_ARTIFACT_UNREACHABLE'));
    } finally {
      server.close();
    }
  });

  it('ends at once when the host stops, and none begins after', async () => {
    await using server = await scripted();
    const { promise: reached, resolve } = Promise.withResolvers<void>();
    server.onBlob = (response) => {
      response.writeHead(200).write('x');
      resolve();
    };
    const registries = registriesFor({ maxPulls: 1 });
    const pulls = Promise.allSettled([pull(server.ref, registries), pull(`${server.authority}/acme/x:2`, registries)]);
    await reached;
    registries.close();
    for (const result of await pulls) expect(result).toMatchObject({ reason: { code: 'TRELLIS_HOST_BUSY' } });
    await expect(pull(server.ref, registries)).rejects.toThrow(refused('TRELLIS_HOST_BUSY'));
  });

  it('of a real registry whose file became shorter is no component', async () => {
    const bytes = Buffer.concat([good, Buffer.from('shorter')]);
    await registry.push('acme/short', 'v1', componentImage(bytes));
    truncateSync(registry.blobFile(digestOf(bytes)), 1_000);
    await expect(pull(`${registry.authority}/acme/short:v1`, registriesFor())).rejects.toMatchObject({
      code: expect.stringMatching(/TRELLIS_ARTIFACT_(?:MISMATCH|UNREACHABLE)/) as string,
    });
  });
});

describe('ART-11 a cache that somebody changed', () => {
  const inCache = (dir: string, bytes: Uint8Array): string => join(dir, digestOf(bytes).replace(':', '-'));

  it('gives nothing that its name does not fit: fetched again, or an error', async () => {
    await using server = await scripted();
    const cacheDir = newDir();
    await pull(server.ref, registriesFor({ cacheDir }));
    const changes = [
      (path: string) => writeFileSync(path, evil),
      (path: string) => writeFileSync(path, Buffer.alloc(good.length)),
      (path: string) => truncateSync(path, 10),
      (path: string) => {
        rmSync(path);
        writeFileSync(join(scratch, 'elsewhere.wasm'), good);
        symlinkSync(join(scratch, 'elsewhere.wasm'), path);
      },
    ];
    for (const change of changes) {
      change(inCache(cacheDir, good));
      const before = server.blobsAsked;
      const { bytes } = await pull(server.ref, registriesFor({ cacheDir }));
      expect(Buffer.compare(bytes, good)).toBe(0);
      expect(server.blobsAsked).toBe(before + 1);
      expect(lstatSync(inCache(cacheDir, good)).isFile()).toBe(true);
    }
    writeFileSync(inCache(cacheDir, good), evil);
    server.before = (response) => response.destroy() !== undefined;
    await expect(pull(server.ref, registriesFor({ cacheDir }))).rejects.toThrow(refused('TRELLIS_ARTIFACT_UNREACHABLE'));
  });

  it('decides what a tag means only where nobody else could write', async () => {
    await using server = await scripted();
    const cacheDir = newDir();
    await pull(server.ref, registriesFor({ cacheDir }));
    server.before = (response) => response.destroy() !== undefined;
    expect(await pull(server.ref, registriesFor({ cacheDir }))).toMatchObject({ stale: true });
    chmodSync(cacheDir, 0o777);
    await expect(pull(server.ref, registriesFor({ cacheDir }))).rejects.toThrow(refused('TRELLIS_ARTIFACT_UNREACHABLE'));
    chmodSync(cacheDir, 0o700);
    const tag = join(
      cacheDir,
      filesIn(cacheDir).find((name) => name.startsWith('tag-'))!,
    );
    for (const text of [
      '',
      '{',
      'null',
      '[]',
      '{"digest":"sha256:../../x"}',
      JSON.stringify({ image: 'other', digest: digestOf(good) }),
    ]) {
      writeFileSync(tag, text);
      await expect(pull(server.ref, registriesFor({ cacheDir }))).rejects.toThrow(refused('TRELLIS_ARTIFACT_UNREACHABLE'));
    }
  });
});

describe('what this host does not take', () => {
  it('is what the operator did not list: other registries, references without a digest', async () => {
    await using server = await scripted();
    const allowed = ['registry.example'];
    await expect(pull(server.ref, registriesFor({ allowed }))).rejects.toThrow(refused('TRELLIS_ARTIFACT_REGISTRY'));
    await expect(pull(server.ref, registriesFor({ requireDigest: true }))).rejects.toThrow(refused('TRELLIS_ARTIFACT_UNPINNED'));
    expect(server.asked).toEqual([]);
    const pinned = `${server.authority}/acme/x@${digestOf(Buffer.from(JSON.stringify(server.manifest)))}`;
    expect((await pull(pinned, registriesFor({ requireDigest: true }))).digest).toBe(digestOf(good));
  });
});

it('LEK-01 says no password and no token in an error or a warning', () => {
  expect(said.length).toBeGreaterThan(50);
  for (const secret of [PASSWORD, BASIC, Buffer.from(PASSWORD).toString('base64')]) expect(said.join('\n')).not.toContain(secret);
});
