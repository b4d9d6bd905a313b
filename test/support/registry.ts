import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CertificateFiles, writeCertificates } from './certificates.ts';

/** User and password of a registry with `login: 'basic'`. */
export const REGISTRY_USER = 'puller';
export const REGISTRY_PASSWORD = 'correct horse';
// bcrypt of that password, the only kind docker-registry takes.
const HTPASSWD = `${REGISTRY_USER}:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n`;

/** What {@link startRegistry} takes. */
export interface RegistryOptions {
  /** `http` needs the registry on the list of insecure ones. */
  readonly protocol?: 'http' | 'https';
  readonly login?: 'none' | 'basic' | TokenLogin;
  readonly port?: number;
}

/** Tokens from somewhere else. */
export interface TokenLogin {
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** Certificate (PEM) of the key that signs tokens. */
  readonly certFile: string;
}

/** What an image in the registry is made of. */
export interface TestImage {
  readonly layers: readonly { readonly mediaType: string; readonly bytes: Uint8Array }[];
  readonly manifestType?: string;
  /** Changes what is pushed as the manifest. */
  readonly change?: (manifest: Record<string, unknown>) => void;
}

const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

/** Debian's docker-registry, found as set-up finds it. */
function registryProgram(): string {
  const own = fileURLToPath(new URL('../../.trellis/bin/docker-registry', import.meta.url));
  const named = process.env['DOCKER_REGISTRY'];
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/bin', '/usr/bin', '/opt/homebrew/bin'];
  const found = [...(named ? [named] : folders.map((folder) => join(folder, 'docker-registry'))), own].find((path) =>
    existsSync(path),
  );
  if (found === undefined) throw new Error('no docker-registry: run npm test once, install it, or set DOCKER_REGISTRY');
  return found;
}

/** A real registry on a free loopback port, with its own folder. It keeps its port and its images over stop() and start(). */
export class TestRegistry {
  readonly dir: string;
  readonly certificates: CertificateFiles;
  readonly #options: RegistryOptions;
  #child: ChildProcess | undefined;
  #port: number;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#port = options.port ?? 0;
    this.dir = mkdtempSync(join(tmpdir(), 'trellis-registry-'));
    this.certificates = writeCertificates(this.dir);
    writeFileSync(join(this.dir, 'htpasswd'), HTPASSWD);
  }

  /** `localhost:<port>`, as references name it. */
  get authority(): string {
    return `localhost:${this.#port}`;
  }
  get url(): string {
    return `${this.#options.protocol ?? 'https'}://${this.authority}`;
  }
  get port(): number {
    return this.#port;
  }

  async start(): Promise<void> {
    const { protocol = 'https', login = 'none' } = this.#options;
    const { serverCertFile, serverKeyFile } = this.certificates;
    const auth =
      login === 'none'
        ? []
        : login === 'basic'
          ? ['auth:', `  htpasswd: {realm: test, path: ${join(this.dir, 'htpasswd')}}`]
          : [
              'auth:',
              `  token: {realm: "${login.realm}", service: ${login.service}, issuer: ${login.issuer}, rootcertbundle: ${login.certFile}}`,
            ];
    const lines = [
      'version: 0.1',
      'log: {level: info, accesslog: {disabled: true}}',
      `storage: {filesystem: {rootdirectory: ${join(this.dir, 'data')}}, delete: {enabled: true}}`,
      'http:',
      `  addr: 127.0.0.1:${this.#port}`,
      '  secret: for-tests-only',
      ...(protocol === 'https' ? [`  tls: {certificate: ${serverCertFile}, key: ${serverKeyFile}}`] : []),
      ...auth,
    ];
    const file = join(this.dir, 'config.yml');
    writeFileSync(file, `${lines.join('\n')}\n`);
    const child = spawn(registryProgram(), ['serve', file], { stdio: ['ignore', 'pipe', 'pipe'], env: {} });
    this.#child = child;
    let log = '';
    this.#port = await new Promise<number>((resolve, reject) => {
      const read = (chunk: Buffer): void => {
        log += chunk.toString('utf8');
        const port = /listening on 127\.0\.0\.1:(\d+)/.exec(log)?.[1];
        if (port !== undefined) resolve(Number(port));
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`docker-registry ended with ${code}: ${log}`)));
    });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  /** Pushes an image under a tag. Returns the digest of its manifest. */
  async push(repository: string, tag: string, image: TestImage, token?: string): Promise<string> {
    const descriptors = [];
    for (const { mediaType, bytes } of [...image.layers, { mediaType: '', bytes: Buffer.from('{}') }]) {
      descriptors.push({ mediaType, digest: await this.pushBlob(repository, bytes, token), size: bytes.length });
    }
    const config = { ...descriptors.pop()!, mediaType: 'application/vnd.wasm.config.v0+json' };
    const mediaType = image.manifestType ?? OCI_MANIFEST;
    const manifest: Record<string, unknown> = { schemaVersion: 2, mediaType, config, layers: descriptors };
    image.change?.(manifest);
    return this.pushManifest(repository, tag, manifest, token);
  }

  /** Pushes a manifest as it is. Returns its digest. */
  async pushManifest(repository: string, tag: string, manifest: Record<string, unknown>, token?: string): Promise<string> {
    const body = Buffer.from(JSON.stringify(manifest));
    const type = typeof manifest['mediaType'] === 'string' ? manifest['mediaType'] : OCI_MANIFEST;
    await this.#send('PUT', `/v2/${repository}/manifests/${tag}`, 201, { body, token, type });
    return digestOf(body);
  }

  async pushBlob(repository: string, bytes: Uint8Array, token?: string): Promise<string> {
    const digest = digestOf(bytes);
    const { location } = await this.#send('POST', `/v2/${repository}/blobs/uploads/`, 202, { token });
    const url = new URL(location!, this.url);
    url.searchParams.set('digest', digest);
    await this.#send('PUT', url.pathname + url.search, 201, { body: bytes, token, type: 'application/octet-stream' });
    return digest;
  }

  /** Where the registry keeps the bytes of a blob, to damage or remove them. */
  blobFile(digest: string): string {
    const hex = digest.slice('sha256:'.length);
    return join(this.dir, 'data/docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  #send(
    method: string,
    path: string,
    expected: number,
    { body, token, type }: { body?: Uint8Array; token?: string | undefined; type?: string },
  ): Promise<{ location: string | undefined }> {
    const { protocol = 'https', login } = this.#options;
    const basic = `Basic ${Buffer.from(`${REGISTRY_USER}:${REGISTRY_PASSWORD}`).toString('base64')}`;
    const authorization = token === undefined ? (login === 'basic' ? basic : undefined) : `Bearer ${token}`;
    const headers = {
      ...(authorization === undefined ? {} : { authorization }),
      ...(type === undefined ? {} : { 'content-type': type }),
      'content-length': String(body?.length ?? 0),
    };
    return new Promise((resolve, reject) => {
      const send = protocol === 'https' ? httpsRequest : httpRequest;
      const options = { method, headers, agent: false, rejectUnauthorized: false } as const;
      const request = send(new URL(path, this.url), options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          if (response.statusCode === expected) resolve({ location: response.headers.location });
          else reject(new Error(`${method} ${path}: ${response.statusCode} ${Buffer.concat(chunks).toString('utf8')}`));
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  }
}

/** Starts a registry. */
export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const registry = new TestRegistry(options);
  await registry.start();
  return registry;
}

/** An image of one component. */
export function componentImage(bytes: Uint8Array, mediaType = 'application/wasm'): TestImage {
  return { layers: [{ mediaType, bytes }] };
}

/** Returns `sha256:<hex>` of `bytes`. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Names of all files in a folder of pulled artifacts; none if there is no such folder. */
export function filesIn(dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir).sort() : [];
}
