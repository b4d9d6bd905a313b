import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NatsServer, findNatsServer, startNatsServer } from '../../src/nats/server.ts';
import { type TestAccount, TestOperator } from './accounts.ts';
import { type CertificateFiles, writeCertificates } from './certificates.ts';

/** What {@link startServer} takes. */
export interface TestServerOptions {
  readonly jetstream?: boolean;
  /** nats-server configuration text, e.g. `max_payload: 64KB`. */
  readonly configText?: string;
  readonly port?: number;
}

/**
 * A real nats-server for one test or file. It keeps its port over {@link TestServer.kill} and {@link TestServer.restart},
 * and its JetStream files until it is disposed of: `await using server = await startServer();`
 */
export class TestServer {
  /** The server's own folder, removed at the end: room for a test's files. */
  readonly dir: string;
  #server: NatsServer;
  #options: TestServerOptions;

  constructor(server: NatsServer, dir: string, options: TestServerOptions) {
    this.#server = server;
    this.dir = dir;
    this.#options = options;
  }

  get url(): string {
    return this.#server.url;
  }
  get port(): number {
    return this.#server.port;
  }
  get pid(): number {
    return this.#server.pid;
  }
  get running(): boolean {
    return this.#server.ready;
  }
  /** The server's version, e.g. `2.14.0`. */
  get version(): string {
    return this.#server.program.version;
  }

  log(): string {
    return this.#server.readLog();
  }
  /** `SIGUSR2` lame duck, `SIGSTOP`/`SIGCONT` freeze. */
  signal(name: NodeJS.Signals): void {
    this.#server.signal(name);
  }
  /** New configuration for the running server and for later restarts. */
  async reload(configText: string): Promise<void> {
    this.#options = { ...this.#options, configText };
    await this.#server.reload(configText);
  }
  /** SIGKILL: connections end without a word. */
  async kill(): Promise<void> {
    await this.#server.stop('SIGKILL');
  }
  /** An orderly stop. */
  async stop(): Promise<void> {
    await this.#server.stop();
  }
  /** Starts again on the same port, after kill() or stop() (or stops first). */
  async restart(): Promise<void> {
    const { port } = this.#server;
    await this.#server.stop();
    this.#server = await start(this.dir, { ...this.#options, port });
  }
  /** The same, with another configuration. */
  async restartWith(configText: string): Promise<void> {
    this.#options = { ...this.#options, configText };
    await this.restart();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const program = findNatsServer();

function start(dir: string, options: TestServerOptions): Promise<NatsServer> {
  return startNatsServer({
    program,
    port: options.port ?? 0,
    configText: options.configText ?? '',
    ...(options.jetstream === true ? { jetstreamDir: join(dir, 'jetstream') } : {}),
  });
}

const makeDir = (): string => mkdtempSync(join(tmpdir(), 'trellis-test-'));

async function startIn(dir: string, options: TestServerOptions): Promise<TestServer> {
  try {
    return new TestServer(await start(dir, options), dir, options);
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}

/** A server on a free loopback port, without accounts or TLS. */
export async function startServer(options: TestServerOptions = {}): Promise<TestServer> {
  return startIn(makeDir(), options);
}

/** A server that wants TLS, with a certificate for `localhost` and 127.0.0.1. */
export interface TlsTestServer {
  readonly server: TestServer;
  readonly certificates: CertificateFiles;
  /** `tls://localhost:<port>`. */
  readonly url: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a TLS server: `mutual` also wants a client certificate, `handshakeFirst` (2.10+) sends no INFO in the clear. */
export async function startTlsServer(
  options: TestServerOptions & { mutual?: boolean; handshakeFirst?: boolean } = {},
): Promise<TlsTestServer> {
  const dir = makeDir();
  const certificates = writeCertificates(dir);
  const tls = [
    'tls {',
    `  cert_file: "${certificates.serverCertFile}"`,
    `  key_file: "${certificates.serverKeyFile}"`,
    `  ca_file: "${certificates.caFile}"`,
    ...(options.mutual === true ? ['  verify: true'] : []),
    ...(options.handshakeFirst === true ? ['  handshake_first: true'] : []),
    '}',
    '',
  ].join('\n');
  const server = await startIn(dir, { ...options, configText: tls + (options.configText ?? '') });
  return {
    server,
    certificates,
    url: `tls://localhost:${server.port}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A server with an operator and two accounts, as a production lattice has them. */
export interface JwtTestServer {
  readonly server: TestServer;
  readonly url: string;
  readonly operator: TestOperator;
  /** JetStream on. */
  readonly ctl: TestAccount;
  readonly rpc: TestAccount;
  /** Makes the server read the accounts again, e.g. after `addAccount` or `revoke`. */
  reload(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a server that admits only users with a JWT: `const user = jwt.rpc.addUser('host', { publish: ['default.>'] })`. */
export async function startJwtServer(options: TestServerOptions = {}): Promise<JwtTestServer> {
  const dir = makeDir();
  const operator = new TestOperator(dir);
  const ctl = operator.addAccount('ctl', { jetstream: true });
  const rpc = operator.addAccount('rpc');
  const configText = (): string => operator.configText() + (options.configText ?? '');
  const server = await startIn(dir, { jetstream: true, ...options, configText: configText() });
  return {
    server,
    url: server.url,
    operator,
    ctl,
    rpc,
    reload: () => server.reload(configText()),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
