import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ComposeProject, ComposeService } from './compose-file.ts';
import { createCertificateAuthority } from './certificates.ts';
import { runProgram } from './program.ts';
import { repository } from './image.ts';
import { giveTo } from './sandbox.ts';

/** Folders made by the commands that the head of a file for containers names. */
export interface LeafDeployment {
  /** `leaf.conf`, credentials and CA. */
  readonly leaf: string;
  /** `host.yaml` and seeds. */
  readonly host: string;
  /** Everything of the hub, its certificate made out to `hub`. */
  readonly hub: string;
  /** `caller.yaml` with its credentials, for a caller at the hub. */
  readonly caller: string;
}

const HUB_USER = '10003:10003';

async function trellis(cwd: string, line: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runProgram('cli', [...line.split(' '), '--output', 'json'], { cwd });
  if (code !== 0) throw new Error(`trellis ${line} ended with ${code}: ${stdout}${stderr}`);
  return stdout.startsWith('{') ? (JSON.parse(stdout) as Record<string, unknown>) : {};
}

/**
 * Makes a tenant with `trellis auth`, a hub that `trellis auth export` configures, and the files of a deployment behind a leaf node by
 * the commands in the comment at the top of `file`, as they stand there.
 */
export async function makeLeafDeployment(dir: string, file: string): Promise<LeafDeployment> {
  const ca = createCertificateAuthority();
  const { certPem, keyPem } = ca.issue('hub', { dnsNames: ['hub', 'hub.example', 'hub.nats', 'localhost'], ipv4: ['127.0.0.1'] });
  const hub = join(dir, 'hub');
  mkdirSync(hub);
  for (const [name, text] of [
    ['ca.pem', ca.certPem],
    ['server.pem', certPem],
    ['server-key.pem', keyPem],
  ] as const) {
    writeFileSync(join(hub, name), text, { mode: 0o600 });
  }
  copyFileSync(join(hub, 'ca.pem'), join(dir, 'ca.pem'));
  const auth = (line: string): Promise<Record<string, unknown>> => trellis(dir, `auth ${line} --store ${join(dir, 'auth')}`);
  await auth('init');
  await auth('tenant add acme --lattice lab --with make-buckets,jetstream-domain --value domain=hub');
  const users = async (line: string, names: readonly string[]): Promise<void> => {
    const { users: made } = (await auth(line)) as { users: { credsFile: string }[] };
    for (const [i, name] of names.entries()) copyFileSync(made[i]!.credsFile, join(dir, name));
  };
  await users('host add web-1 --tenant acme --leaf', ['ctl.creds', 'rpc.creds']);
  await users('user add ada --tenant acme --kind caller', ['caller-ctl.creds', 'caller-rpc.creds']);
  await auth(
    'export --out hub --force --resolver memory --no-creds --listen 0.0.0.0:4222 --leaf-listen 0.0.0.0:7422 --domain hub --server-name hub --tls-cert hub/server.pem --tls-key hub/server-key.pem --tls-ca hub/ca.pem',
  );

  for (const line of commandsIn(file)) {
    const [program, ...args] = line.split(' ');
    if (program === 'mkdir') for (const name of args) mkdirSync(join(dir, name));
    else if (program === 'cp') for (const name of args.slice(0, -1)) copyFileSync(join(dir, name), join(dir, args.at(-1)!, name));
    else if (program === 'trellis')
      await trellis(
        dir,
        args
          .map((arg) => arg.replace('config/leaf', join(repository, 'config/leaf')))
          .join(' ')
          .replace(/tls:\/\/hub\.[a-z]+:/, 'tls://hub:'),
      );
  }
  const seed = 'cluster.seed';
  const caller = join(dir, 'caller');
  mkdirSync(caller);
  for (const name of ['caller-ctl.creds', 'caller-rpc.creds', 'ca.pem']) copyFileSync(join(dir, name), join(caller, name));
  copyFileSync(join(dir, 'host', seed), join(caller, seed));
  const at = (kind: string): object => ({
    servers: ['tls://hub:4222'],
    credsFile: `/run/caller/caller-${kind}.creds`,
    tls: { caFile: '/run/caller/ca.pem', serverName: 'hub' },
  });
  const trust = { clusterSeedFile: `/run/caller/${seed}` };
  writeFileSync(join(caller, 'caller.yaml'), JSON.stringify({ lattice: 'lab', ctl: at('ctl'), rpc: at('rpc'), trust }));
  chmodSync(dir, 0o711);
  return { leaf: join(dir, 'leaf'), host: join(dir, 'host'), hub, caller };
}

/** The commands in the first comment of a file, up to the one that starts it. */
function commandsIn(file: string): string[] {
  const head = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('#   '));
  const text = head
    .map((line) => line.slice(4).trimEnd())
    .join('\n')
    .replaceAll(/ \\\n\s*/g, ' ');
  return text.split('\n');
}

/** Gives a folder and its files to a user, as `chown -R` does. */
export function giveFolder(folder: string, names: readonly string[], uid: number): void {
  for (const name of names) giveTo(join(folder, name), uid, uid);
  giveTo(folder, uid, uid);
  chmodSync(folder, 0o700);
}

const service = (name: string, more: Partial<ComposeService>): ComposeService => ({
  name,
  profiles: [],
  image: 'nats',
  build: undefined,
  entrypoint: undefined,
  command: undefined,
  user: HUB_USER,
  workingDir: undefined,
  environment: {},
  mounts: [],
  readOnlyRoot: true,
  capDrop: ['ALL'],
  capAdd: [],
  securityOpt: [],
  privileged: false,
  coreLimit: 0,
  networks: ['uplink'],
  sharesNetworkOf: undefined,
  networkMode: undefined,
  ports: [],
  healthcheck: undefined,
  dependsOn: {},
  stopSignal: 'SIGTERM',
  stopGracePeriodMs: 10_000,
  restart: 'always',
  ...more,
});

/** A project with the hub beside its services, and a caller at the hub that `run('call', …)` starts. */
export function withHub(project: ComposeProject, { hub, caller }: LeafDeployment): ComposeProject {
  const services: Record<string, ComposeService> = {
    ...project.services,
    hub: service('hub', {
      entrypoint: ['nats-server'],
      command: ['-c', '/etc/nats/nats-server.conf'],
      mounts: [
        { kind: 'bind', source: join(hub, 'nats-server.conf'), target: '/etc/nats/nats-server.conf', readOnly: true },
        { kind: 'bind', source: hub, target: hub, readOnly: false },
      ],
    }),
    call: service('call', {
      image: 'trellis',
      user: HUB_USER,
      profiles: ['tools'],
      entrypoint: ['trellis', 'call', '--config', '/run/caller/caller.yaml'],
      mounts: [{ kind: 'bind', source: caller, target: '/run/caller', readOnly: true }],
    }),
  };
  return { ...project, services };
}
