import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bindToUser, fillTemplate } from '../../src/auth/permission-templates.ts';
import { type NatsUser, type TestAccount, TestOperator, type UserPermissions } from './accounts.ts';
import { type CertificateFiles, writeCertificates } from './certificates.ts';
import { freePort } from './free-port.ts';
import { startServer, type TestServer } from './nats-server.ts';
import { runProgram } from './program.ts';

/** A hub as production has it: operator mode, TLS, JetStream in the domain `hub`, a port for leaf nodes. */
export interface LeafHub extends AsyncDisposable {
  readonly server: TestServer;
  readonly dir: string;
  /** `tls://localhost:<port>` for clients. */
  readonly url: string;
  /** `tls://localhost:<port>` for leaf nodes. */
  readonly leafUrl: string;
  readonly operator: TestOperator;
  readonly ctl: TestAccount;
  readonly rpc: TestAccount;
  readonly certificates: CertificateFiles;
}

/** Starts a hub; `dir` takes its files. */
export async function startLeafHub(dir: string): Promise<LeafHub> {
  const operator = new TestOperator(dir);
  const ctl = operator.addAccount('ctl', { jetstream: true });
  const rpc = operator.addAccount('rpc');
  const certificates = writeCertificates(dir);
  const leafPort = freePort();
  const { serverCertFile, serverKeyFile, caFile } = certificates;
  const tls = `tls { cert_file: "${serverCertFile}", key_file: "${serverKeyFile}", ca_file: "${caFile}", timeout: 20 }`;
  const server = await startServer({
    configText: [
      operator.configText(),
      'server_name: hub',
      tls,
      `jetstream { store_dir: "${join(dir, 'jetstream')}", domain: hub }`,
      `leafnodes { host: 127.0.0.1, port: ${leafPort}, ${tls} }`,
      '',
    ].join('\n'),
  });
  return {
    server,
    dir,
    url: `tls://localhost:${server.port}`,
    leafUrl: `tls://localhost:${leafPort}`,
    operator,
    ctl,
    rpc,
    certificates,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Permissions of a template for a lattice; `{user}` stands for the key of whoever gets them. */
export function templateRights(template: string, lattice: string): UserPermissions {
  const extensions = template.includes('ctl')
    ? ['make-buckets', ...(template.endsWith('-leaf') ? ['jetstream-domain'] : [])]
    : [];
  const values = { lattice, ...(extensions.includes('jetstream-domain') ? { domain: 'hub' } : {}) };
  const { publish, subscribe, responses } = bindToUser(fillTemplate(template, values, extensions), '{user}');
  return { publish: publish.allow, subscribe: subscribe.allow, ...(responses === undefined ? {} : { responses }) };
}

/** The two users of a leaf node at the hub. */
export interface LeafUsers {
  readonly ctl: NatsUser;
  readonly rpc: NatsUser;
}

/** Makes the two users of a leaf node, with the rights of the templates unless others are given. */
export function addLeafUsers(
  hub: LeafHub,
  lattice: string,
  rights: { readonly ctl?: UserPermissions; readonly rpc?: UserPermissions } = {},
): LeafUsers {
  return {
    ctl: hub.ctl.addUser('leaf', rights.ctl ?? templateRights('host-ctl-leaf', lattice)),
    rpc: hub.rpc.addUser('leaf', rights.rpc ?? templateRights('host-rpc-leaf', lattice)),
  };
}

/** What `trellis leaf config` wrote. */
export interface WrittenLeaf {
  readonly form: string;
  /** Names of the files: `leaf.conf`, or `leaf-ctl.conf` and `leaf-rpc.conf`, each with the port it listens on. */
  readonly files: readonly { readonly name: string; readonly file: string; readonly port: number }[];
  readonly hostConfig: string;
  /** What the command printed, with `--output json`. */
  readonly printed: Record<string, unknown>;
  readonly monitorPort: number;
}

/** Runs `trellis leaf config` for the hub, with files in `dir`. */
export async function writeLeaf(
  hub: LeafHub,
  users: LeafUsers,
  options: {
    readonly dir: string;
    readonly form?: 'both' | 'pair' | 'operator';
    readonly lattice: string;
    readonly args?: readonly string[];
  },
): Promise<WrittenLeaf> {
  const { dir, form = 'both', lattice, args = [] } = options;
  const [port, rpcPort, monitorPort] = [freePort(), freePort(), freePort()];
  const hostConfig = join(dir, 'host.yaml');
  const jwt = (name: string, text: string): string => {
    const file = join(dir, `${name}.jwt`);
    writeFileSync(file, text);
    return file;
  };
  const { operator } = hub;
  const ended = await runProgram('cli', [
    'leaf',
    'config',
    '--output',
    'json',
    '--form',
    form,
    '--lattice',
    lattice,
    '--hub',
    hub.leafUrl,
    '--ca',
    hub.certificates.caFile,
    '--ctl-creds',
    users.ctl.credsFile,
    '--rpc-creds',
    users.rpc.credsFile,
    '--listen',
    `127.0.0.1:${port}`,
    '--monitor',
    `127.0.0.1:${monitorPort}`,
    '--ctl-seed',
    join(dir, 'leaf-ctl.seed'),
    '--out',
    dir,
    '--host-config',
    hostConfig,
    ...(form === 'pair' ? ['--rpc-listen', `127.0.0.1:${rpcPort}`] : []),
    ...(form === 'operator'
      ? [
          '--operator-jwt',
          jwt('operator', operator.jwt),
          '--account-jwt',
          jwt('ctl', operator.accountJwt(hub.ctl)),
          jwt('rpc', operator.accountJwt(hub.rpc)),
        ]
      : []),
    ...args,
  ]);
  if (ended.code !== 0) throw new Error(`trellis leaf config ended with ${ended.code}: ${ended.stdout}${ended.stderr}`);
  const names = form === 'pair' ? ['leaf-ctl.conf', 'leaf-rpc.conf'] : ['leaf.conf'];
  return {
    form,
    files: names.map((name, i) => ({ name, file: join(dir, name), port: i === 0 ? port : rpcPort })),
    hostConfig,
    printed: JSON.parse(ended.stdout) as Record<string, unknown>,
    monitorPort,
  };
}

/** Runs the processes of a sidecar from the files as they were written. */
export async function startLeaf(written: WrittenLeaf): Promise<TestServer[]> {
  return Promise.all(written.files.map(({ file, port }) => startServer({ port, configText: readFileSync(file, 'utf8') })));
}
