import { createServer, type Server } from 'node:http';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import type { Caller } from '../../src/caller.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { builtGuest } from '../support/built-guest.ts';
import { startLatticeHost, type LatticeHost } from '../support/lattice-host.ts';
import { freePort } from '../support/free-port.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { until } from '../support/raw-peer.ts';
import { memberConfig, seedFile, startTrustCaller } from '../support/trust-lattice.ts';
import { BLOBSTORE_FS, BLOBSTORE_NATS, HTTP_SERVER, KEYVALUE, MESSAGING_NATS, type Peer } from './peer-programs.ts';
import { startProvider } from './provider-process.ts';
import { WasmcloudHost } from './wasmcloud-host.ts';
import { Wash } from './wash.ts';

/** The client that is part of a wasmCloud host: nobody publishes its library. */
const HTTP_CLIENT = 'wasmcloud+builtin://http-client';

/** Guests of `test/fixtures/guests` by the id of the component. */
const COMPONENTS = {
  storefront: 'storefront',
  notebook: 'notebook',
  librarian: 'librarian',
  archivist: 'librarian',
  courier: 'courier',
} as const;

/** A link as it is put, with the names of its configurations. */
export interface ProviderLink {
  readonly source: string;
  readonly target: string;
  readonly namespace: string;
  readonly package: string;
  readonly interfaces: readonly string[];
  readonly sourceConfig?: string;
  readonly targetConfig?: string;
}

/** What runs, by its id. */
const PROVIDERS = { server: HTTP_SERVER, store: KEYVALUE, files: BLOBSTORE_FS, objects: BLOBSTORE_NATS, broker: MESSAGING_NATS };

const BLOBSTORE = { namespace: 'wasi', package: 'blobstore', interfaces: ['blobstore', 'container', 'types'] };
const MESSAGING = { namespace: 'wasmcloud', package: 'messaging' };

/** Links between components and providers. */
export const LINKS: readonly ProviderLink[] = [
  {
    source: 'server',
    target: 'storefront',
    namespace: 'wasi',
    package: 'http',
    interfaces: ['incoming-handler'],
    sourceConfig: 'http',
  },
  { source: 'storefront', target: 'client', namespace: 'wasi', package: 'http', interfaces: ['outgoing-handler'] },
  { source: 'notebook', target: 'store', namespace: 'wasi', package: 'keyvalue', interfaces: ['store', 'atomics', 'batch'] },
  { source: 'librarian', target: 'files', ...BLOBSTORE, targetConfig: 'files' },
  { source: 'archivist', target: 'objects', ...BLOBSTORE, targetConfig: 'objects' },
  { source: 'courier', target: 'broker', ...MESSAGING, interfaces: ['consumer'], targetConfig: 'broker' },
  { source: 'broker', target: 'courier', ...MESSAGING, interfaces: ['handler'], sourceConfig: 'subscriptions' },
];

/** Who runs the providers: a real wasmCloud host, from archives that wash makes, or nobody: then they are processes beside the Trellis host. */
export type ProviderHost = 'wasmcloud' | 'none';

/** Providers, components on a Trellis host that they serve and call, and the links between. */
export interface ProviderLattice extends AsyncDisposable {
  readonly server: TestServer;
  readonly nc: NatsConnection;
  readonly trellis: LatticeHost;
  readonly wasmcloud: WasmcloudHost | undefined;
  readonly wash: Wash;
  readonly caller: Caller;
  /** `http://127.0.0.1:port` of the HTTP server provider. */
  readonly url: string;
  /** Authority of an HTTP server that answers with what it was asked. */
  readonly elsewhere: string;
  /** Names in the folder of the blob store of files. */
  files(...path: readonly string[]): readonly string[];
}

/** Starts it all; a minute or so. */
export async function startProviderLattice(verify: 'observe' | 'enforce', host: ProviderHost): Promise<ProviderLattice> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer({ jetstream: true }));
  const nc = await connect({ servers: server.url });
  stack.defer(() => nc.close());
  const trust = { verify, clusterSeedFile: seedFile(server.dir, 'cluster', SigningKey.generate('cluster')) };
  const trellis = stack.use(
    await startLatticeHost(server.url, {
      components: await components(),
      trust: { ...trust, unlinkedOrigins: ['caller'], unsigned: LINKS.flatMap(pairsOf) },
    }),
  );
  const caller = stack.use(await startTrustCaller(memberConfig(server.url, { trust })));
  const wash = stack.use(new Wash(server.port));
  let wasmcloud: WasmcloudHost | undefined;
  if (host === 'wasmcloud') {
    const args = ['--feature', 'builtin-http-client', '--rpc-timeout-ms', '20000'];
    wasmcloud = stack.use(await WasmcloudHost.start(nc, { port: server.port, args }));
    await wash.json('start', 'provider', HTTP_CLIENT, 'client', '--host-id', wasmcloud.id, '--skip-wait');
  }
  for (const [id, program] of Object.entries(PROVIDERS)) {
    if (wasmcloud === undefined) stack.use(await startProvider(program, id, server.url, nc));
    else await wash.json('start', 'provider', `file://${await archive(wash, id, program)}`, id, '--host-id', wasmcloud.id);
  }
  const port = freePort();
  const files = join(server.dir, 'files');
  mkdirSync(files);
  const configs = {
    http: [`address=127.0.0.1:${port}`],
    files: [`root=${files}`],
    objects: [`cluster_uri=${server.url}`],
    broker: [`cluster_uris=${server.url}`],
    subscriptions: [`cluster_uris=${server.url}`, 'subscriptions=orders.>'],
  };
  for (const [name, values] of Object.entries(configs)) await wash.json('config', 'put', name, ...values);
  for (const link of LINKS) await putLink(wash, link);
  const url = `http://127.0.0.1:${port}`;
  const listens = () =>
    fetch(url).then(
      () => true,
      () => false,
    );
  await until('the HTTP server listens', listens, 60_000);
  const elsewhere = await startEcho();
  stack.defer(() => void elsewhere.close());
  const ends = stack.move();
  return {
    server,
    nc,
    trellis,
    wasmcloud,
    wash,
    caller,
    url,
    elsewhere: `127.0.0.1:${(elsewhere.address() as { port: number }).port}`,
    files: (...path) => readdirSync(join(files, ...path)),
    [Symbol.asyncDispose]: () => ends.disposeAsync(),
  };
}

const pairsOf = ({ source, target, namespace, package: name, interfaces }: ProviderLink) =>
  interfaces.map((face) => ({ source, target, interface: `${namespace}:${name}/${face}` }));

async function components(): Promise<NonNullable<HostConfigInput['components']>> {
  return Promise.all(
    Object.entries(COMPONENTS).map(async ([id, guest]) => ({ id, file: (await builtGuest(guest)).file, maxInstances: 16 })),
  );
}

/** A provider archive, made by wash. Returns its path. */
async function archive(wash: Wash, name: string, { program }: Peer): Promise<string> {
  const destination = join(wash.home, `${name}.par.gz`);
  await wash.json('par', 'create', '--vendor', 'tests', '--name', name, '--binary', program, '--destination', destination);
  return destination;
}

/** Puts a link with wash. */
export async function putLink(wash: Wash, link: ProviderLink): Promise<void> {
  const config = (side: string, name: string | undefined): string[] => (name === undefined ? [] : [`--${side}-config`, name]);
  await wash.json(
    'link',
    'put',
    link.source,
    link.target,
    link.namespace,
    link.package,
    ...link.interfaces.flatMap((face) => ['--interface', face]),
    ...config('source', link.sourceConfig),
    ...config('target', link.targetConfig),
  );
}

/** Answers every request with its method, its path and its body. */
async function startEcho(): Promise<Server> {
  const server = createServer((request, response) => {
    response.writeHead(203, { 'x-from': 'elsewhere' });
    response.write(`${request.method} ${request.url} ${String(request.headers['x-forwarded'])} `);
    request.pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
