import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { hostPort, isPeerKey, isSubjectPrefix, isToken } from '../ids.ts';

/**
 * The one description of every setting: types, defaults, environment names, the JSON Schema and `docs/config.md` all
 * come from here. Units stand in the names: `…Ms` are milliseconds, `…Bytes` are bytes.
 *
 * Importing this module loads zod (about 50 ms of CPU); commands that need no configuration must not import it.
 */

/** What a setting has beside its type, its default and its description. */
export interface SettingExtra {
  /** Environment names besides `TRELLIS_<PATH>`, the first one wins. */
  readonly env?: readonly string[];
  /** Flags besides `--<path-in-kebab-case>`. */
  readonly flags?: readonly string[];
  /** Stands for the default in documents, when it depends on the machine. */
  readonly defaultText?: string;
  /** The value is secret: never taken from flags or files, never shown. */
  readonly secret?: true;
}

/** {@link SettingExtra} of each schema node that has some. */
export const settingExtras = z.registry<SettingExtra>();

function setting<T extends z.ZodType>(schema: T, description: string, extra?: SettingExtra): T {
  const described = schema.meta({ description });
  if (extra !== undefined) (described as z.ZodType).register(settingExtras, extra);
  return described;
}

const MIB = 1024 * 1024;
const LABEL = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
const LABEL_PATH = /^[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z][A-Za-z0-9-]*)?$/;
const PACKAGE = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*(?:@[0-9A-Za-z.+-]+)?$/;

const LISTEN = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/;

const token = (what: string, maxLength: number) =>
  z.string().refine((value) => isToken(value, maxLength), {
    error: `must be ${what}: 1 to ${maxLength} characters of A-Z, a-z, 0-9, _ and -`,
  });
const path = () => z.string().min(1, { error: 'must be a path' }).meta({ format: 'path' });
const count = (min: number, max: number) => z.int().min(min).max(max);
const interfaceName = () =>
  z.string().regex(/^[a-z][a-z0-9-]*:[a-z][a-z0-9-]*\/[a-z][a-z0-9-]*$/, { error: 'must look like ns:pkg/iface' });
const functionText = () => {
  const error = 'must be a function, as on the wire: at most 200 characters';
  return z.string().max(200, { error }).regex(LABEL_PATH, { error });
};
const keyText = () => z.string().regex(/^[A-Z2-7]+$/, { error: 'must be an nkey: A-Z and 2-7 only' });

/** The folder for transpiled components when nothing is set, after the XDG base directory rules. */
export function defaultCacheDir(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'trellis');
}

/** The folder for what must survive a crash when nothing is set, after the XDG base directory rules. */
export function defaultStateDir(): string {
  return join(process.env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'trellis');
}

const tlsSchema = z.strictObject({
  caFile: setting(
    path().exactOptional(),
    'Certificate authorities (PEM) that may sign the server certificate; the system ones if left out.',
  ),
  certFile: setting(path().exactOptional(), 'Client certificate (PEM), for servers that verify clients.'),
  keyFile: setting(path().exactOptional(), 'Private key (PEM) of the client certificate; readable by this user only.'),
  serverName: setting(
    z.string().min(1).exactOptional(),
    'Name the server certificate must carry, if it differs from the host in the URL.',
  ),
  handshakeFirst: setting(
    z.boolean().default(false),
    'Begin with TLS before the server says anything; the server must have `handshake_first` on.',
  ),
});

function partition(name: 'ctl' | 'rpc', purpose: string) {
  const upper = name.toUpperCase();
  return z.strictObject({
    servers: setting(
      z.array(z.string().min(1)).min(1).default(['nats://127.0.0.1:4222']),
      `NATS servers of the ${purpose} connection, as \`nats://host:port\` or \`tls://host:port\`. No user, password or token in them.`,
    ),
    credsFile: setting(
      path().exactOptional(),
      `Credentials file (user JWT and seed) of the ${purpose} connection; the connection moves to what replaces it.`,
      { env: [`WASMCLOUD_${upper}_CREDS`, `WASMCLOUD_${upper}_CREDSFILE`, 'WASMCLOUD_NATS_CREDS'], flags: [`--${name}-creds`] },
    ),
    jwtFile: setting(path().exactOptional(), 'File with the user JWT alone; needs `seedFile`, excludes `credsFile`.', {
      env: [`WASMCLOUD_${upper}_JWT_FILE`, 'WASMCLOUD_NATS_JWT_FILE'],
    }),
    seedFile: setting(path().exactOptional(), 'File with the user seed alone; with `jwtFile`, or by itself for nkey logins.', {
      env: [`WASMCLOUD_${upper}_SEED_FILE`, 'WASMCLOUD_NATS_SEED_FILE'],
    }),
    jwt: setting(
      z
        .string()
        .max(64 * 1024)
        .exactOptional(),
      'The user JWT itself, with `seed`. The environment only; prefer `credsFile`, which can be replaced while the host runs.',
      { env: [`WASMCLOUD_${upper}_JWT`, 'WASMCLOUD_NATS_JWT'], secret: true },
    ),
    seed: setting(
      keyText().exactOptional(),
      'The user seed itself. The environment only, and refused outside development (START-11); prefer `credsFile`.',
      { env: [`WASMCLOUD_${upper}_SEED`, 'WASMCLOUD_NATS_SEED'], secret: true },
    ),
    tls: setting(tlsSchema.exactOptional(), 'TLS of this connection. Its presence makes TLS mandatory.'),
    inboxPrefix: setting(
      z
        .string()
        .regex(/^_INBOX[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)+$/, {
          error: 'must look like _INBOX_X.lattice.unguessable, no wildcard',
        })
        .exactOptional(),
      'Reply subject prefix, when the server grants a fixed one; made unguessable if left out.',
    ),
    name: setting(
      z
        .string()
        .regex(/^[ -~]{1,128}$/, { error: 'must be 1 to 128 printable characters' })
        .exactOptional(),
      'Name of the connection in the monitoring of the server; `trellis`, the beginning of the host id and the partition if left out.',
    ),
    viaLeaf: setting(
      z.boolean().default(false),
      'The server is a leaf node, such as a sidecar. What its user at the hub may not do fails without a word there, so the host asks the hub at its start, and from time to time, whether all that it needs is granted.',
    ),
    connectTimeoutMs: setting(count(100, 600_000).default(5_000), 'How long one connection attempt may take.'),
    pingIntervalMs: setting(
      count(1_000, 600_000).default(4_000),
      'How often an idle connection is checked. A dead one is noticed after this times one more than `maxPingsOut`.',
    ),
    maxPingsOut: setting(
      count(1, 100).default(2),
      'Checks that may stay unanswered before the connection is given up and made anew.',
    ),
    reconnectWaitMs: setting(
      count(1, 600_000).default(50),
      'Least time between two attempts to come back. The first 20 attempts come at this pace.',
    ),
    reconnectJitterMs: setting(
      count(0, 600_000).default(150),
      'Random time added to each of those, so that hosts do not come back in step.',
    ),
    reconnectMaxWaitMs: setting(
      count(1, 600_000).default(1_500),
      'Most time between two attempts, once there were 20, or a login was refused; at random from a third of it.',
    ),
    retireTimeoutMs: setting(
      count(0, 3_600_000).default(60_000),
      'How long calls in flight may go on over the old login when the connection has moved to new credentials or another server. What takes longer ends with TRELLIS_INVOKE_MOVED.',
    ),
  });
}

const wasmbusTrustSchema = z.strictObject({
  maxAgeMs: setting(
    count(1_000, 600_000).default(60_000),
    'How old a call from a wasmCloud 0.82 peer may be. Its tokens carry no expiry.',
  ),
  selfCalls: setting(
    z.boolean().default(false),
    'Let a call name the called component as its own caller, as `wash call` of 0.82 does. Whoever holds a cluster seed can.',
  ),
  seedFile: setting(
    path().exactOptional(),
    'File with a cluster seed (`SC…`), mode 0600, to sign calls to wasmCloud 0.82 peers with. Those peers must list its public key; it speaks for every origin there.',
  ),
});

const trustSchema = z.strictObject({
  clusterSeed: setting(
    keyText().exactOptional(),
    'Seed (`SC…`) of the cluster issuer key that signs the delegation of this host. The environment only; prefer `clusterSeedFile`.',
    { env: ['WASMCLOUD_CLUSTER_SEED'], secret: true },
  ),
  clusterSeedFile: setting(
    path().exactOptional(),
    'File with the cluster seed, mode 0600; several seeds, one a line, while issuers are rotated. Read at the start and for each renewal. Without any seed the host makes an ad hoc key and is a lattice of its own.',
    { env: ['WASMCLOUD_CLUSTER_SEED_FILE'] },
  ),
  clusterIssuers: setting(
    z.array(keyText()).default([]),
    'Public keys (`C…`) whose signatures this host accepts. Several at once make rotation possible. The own key counts when the list is empty.',
    { env: ['WASMCLOUD_CLUSTER_ISSUERS'] },
  ),
  delegationFile: setting(
    path().exactOptional(),
    'File with a delegation that somebody else minted for `hostSeedFile`, instead of a cluster seed. Read again when it changes.',
  ),
  delegationLifetimeMs: setting(
    count(60_000, 86_400_000).default(3_600_000),
    'How long a delegation lives that this host mints for itself with its cluster seed. It is renewed at about half of that.',
  ),
  verify: setting(
    z.enum(['enforce', 'observe', 'off']).default('enforce'),
    '`enforce` refuses what is not properly signed, `observe` runs it and logs the refusal, `off` does not look.',
  ),
  bind: setting(
    z.enum(['strict', 'logical']).default('strict'),
    '`strict` ties a token to the exact subjects it was sent on; `logical` only to target and function (for subject mappings).',
  ),
  skewMs: setting(count(0, 60_000).default(5_000), 'How far the clocks of two hosts may differ.'),
  tokenLifetimeMs: setting(count(1_000, 60_000).default(30_000), 'How long a token that this host signs is valid.'),
  refusalGraceMs: setting(
    count(0, 60_000).default(1_000),
    'How long a refusal that may be forged, or may speak of a copy of the request, waits for the answer to overtake it. It then ends no call that is answered within this time.',
  ),
  replay: setting(
    z.enum(['local', 'cluster']).default('local'),
    'How often a signed call may run: `local` once on each host, `cluster` once in the lattice, for one more round trip and two more signatures a call. Callers must then be Trellis too. Under `verify: enforce` only.',
  ),
  replayMaxEntries: setting(
    count(1_000, 50_000_000).default(1_000_000),
    'Invocation ids remembered against replay; when full, calls are refused as busy. About 100 bytes each.',
  ),
  failedChecksPerSecond: setting(
    count(1, 1_000_000).default(500),
    'Signature checks that may fail in a second before messages without an admission pass are answered busy unchecked. Members of the lattice have a pass.',
  ),
  unlinkedOrigins: setting(
    z.array(token('a component or caller id', 128)).default([]),
    'Signed origins that may call without a link, such as a command line or a gateway.',
  ),
  unsigned: setting(
    z
      .array(
        z.strictObject({
          source: setting(token('a component id', 128), 'The caller, by its exact id.'),
          target: setting(token('a component id', 128), 'The component or provider it calls, by its exact id.'),
          interface: setting(interfaceName(), 'The interface, without a version.'),
        }),
      )
      .max(1_000)
      .default([]),
    'Pairs that may stay unsigned under `enforce` while a lattice migrates. Each is a hole: whoever can publish may call as that source, and answer as that target.',
  ),
  foreign: setting(
    z
      .array(
        z.strictObject({
          lattice: setting(token('a lattice name', 64), 'The lattice of the callers.'),
          issuers: setting(z.array(keyText()).min(1), 'Its cluster issuers (`C…`): whose delegations count for its callers.'),
          origins: setting(
            z.array(token('a component id', 128)).min(1),
            'Components and callers of that lattice that may call, by their exact ids.',
          ),
          target: setting(token('a component id', 128), 'The component of this lattice that they may call.'),
          interface: setting(interfaceName(), 'The interface of it, without a version.'),
          functions: setting(z.array(functionText()).default([]), 'Functions of the interface; all if left out.'),
          until: setting(
            z.iso.datetime({ offset: true, error: 'must be a time such as 2027-01-31T00:00:00Z' }).exactOptional(),
            'When it ends; never if left out. The end of an activation does not stop a NATS import that runs, this does.',
          ),
        }),
      )
      .max(1_000)
      .default([]),
    'What callers of other lattices, in other NATS accounts, may call here through an import that this account granted (`trellis auth share`).',
  ),
  store: setting(
    z.enum(['auto', 'required', 'off']).default('auto'),
    'The trust bucket of the lattice (JetStream key-value, on the ctl connection), through which rotated issuers and revocations reach a host at once. `auto` uses it where JetStream answers at the start, and from then on insists on it; `required` insists on it; `off` goes by the configuration alone.',
  ),
  storeDomain: setting(
    token('a JetStream domain', 64).exactOptional(),
    'JetStream domain that holds the trust bucket, where it is not that of `jsDomain`.',
  ),
  maxStaleMs: setting(
    count(10_000, 86_400_000).default(900_000),
    'How long the trust bucket may be out of reach before this host believes nobody any more.',
  ),
  issuerService: setting(
    z.boolean().default(false),
    'Ask `trellis issuer` for the delegation of this host, on the ctl connection, instead of holding a cluster seed. Needs `hostSeedFile` only if the allow-list names hosts.',
  ),
  batch: setting(z.boolean().default(true), 'Let one signature cover all tokens of one turn of the event loop.'),
  wasmbus: setting(wasmbusTrustSchema.prefault({}), 'Peers of wasmCloud 0.82.'),
});

const controlSchema = z.strictObject({
  mode: setting(
    z.enum(['open', 'signed']).default('open'),
    'Which commands count: `open`: those of everybody whom NATS lets send them; `signed`: only those that an operator has signed (docs/lattice.md), which wash and wadm cannot do. Reads are answered either way.',
  ),
  prefix: setting(
    z
      .string()
      .refine(isSubjectPrefix, { error: 'must be 1 to 8 tokens of A-Z, a-z, 0-9, _ and -, with dots between them' })
      .default('wasmbus.ctl'),
    'First tokens of the subjects of the control interface, the same on all hosts and tools of a lattice. The permissions that `trellis auth` gives are for `wasmbus.ctl`.',
    { env: ['WASMCLOUD_CTL_TOPIC_PREFIX'], flags: ['--ctl-topic-prefix'] },
  ),
  componentAuction: setting(z.boolean().default(true), 'Bid when the lattice looks for a host that runs a component.', {
    env: ['WASMCLOUD_COMPONENT_AUCTION_ENABLED'],
    flags: ['--enable-component-auction'],
  }),
  silentRegistries: setting(
    z.boolean().default(false),
    'Take registry credentials (`registry.put`) also from who names no inbox for the answer, as libraries of 1.x do. Whoever may use JetStream on the control account can then have the server send some.',
  ),
  providerAuction: setting(z.boolean().default(true), 'Hear when the lattice looks for a host that runs a provider.', {
    env: ['WASMCLOUD_PROVIDER_AUCTION_ENABLED'],
    flags: ['--enable-provider-auction'],
  }),
});

const limitsSchema = z.strictObject({
  maxExecutionTimeMs: setting(
    count(1, 86_400_000).default(30_000),
    'Longest run of one invocation. 30 s, not the 600 s of wasmCloud 1.x: tokens live 30 s, and a caller that waits longer has usually gone.',
    { env: ['WASMCLOUD_MAX_EXECUTION_TIME_MS'], flags: ['--max-execution-time-ms'] },
  ),
  maxLinearMemoryBytes: setting(
    count(65_536, 4 * 1024 * MIB).default(256 * MIB),
    'Linear memory one instance may grow to, unless its component says less.',
    { env: ['WASMCLOUD_MAX_LINEAR_MEMORY'], flags: ['--max-linear-memory-bytes'] },
  ),
  maxComponentSizeBytes: setting(count(1_024, 1024 * MIB).default(50 * MIB), 'Largest component file that is loaded.', {
    env: ['WASMCLOUD_MAX_COMPONENT_SIZE'],
    flags: ['--max-component-size-bytes'],
  }),
  maxComponents: setting(
    count(1, 10_000).default(100),
    'Components this host runs. Each is a process of about 55 MB, so fewer than the 10,000 of wasmCloud 1.x.',
    { env: ['WASMCLOUD_MAX_COMPONENTS'], flags: ['--max-components'] },
  ),
  maxInstances: setting(
    count(1, 10_000).default(256),
    'Invocations of one component at once that the lattice can ask for when it scales it; also what no limit (4294967295) then means.',
  ),
  maxInFlight: setting(count(1, 1_000_000).default(2_048), 'Invocations in this host at once; more are answered busy.'),
  maxInFlightPerOrigin: setting(count(1, 1_000_000).default(512), 'Invocations at once from one origin.'),
  maxParamsBytes: setting(
    count(1_024, 1024 * MIB).default(16 * MIB),
    'Largest parameters of one invocation, all chunks together.',
  ),
  maxResultBytes: setting(count(1_024, 1024 * MIB).default(16 * MIB), 'Largest result of one invocation, all chunks together.'),
  maxCallDepth: setting(count(1, 256).default(16), 'Longest chain of components calling components.'),
});

const preopenSchema = z.strictObject({
  guest: setting(z.string().regex(/^\//, { error: 'must begin with /' }), 'Path the guest sees.'),
  host: setting(path(), 'Folder on this machine.'),
  writable: setting(z.boolean().default(false), 'Whether the guest may write there.'),
});

const CONTRACT = /^[a-z][a-z0-9-]*:[a-z][a-z0-9-]*$/;
const contractId = () => z.string().regex(CONTRACT, { error: 'must be a contract id, such as wasmcloud:keyvalue' });

const componentSchema = z.strictObject({
  id: setting(token('a component id', 128), 'Name on the lattice: the target of invocations.'),
  file: setting(
    path().exactOptional(),
    'Component file; relative to the configuration file, or a `file://` URL. Either this or `image`.',
  ),
  image: setting(
    z.string().min(1).max(1_024).exactOptional(),
    'Image in a registry, in place of a file, such as `ghcr.io/acme/hello:1.0@sha256:…`, see docs/artifacts.md.',
  ),
  digest: setting(
    z
      .string()
      .regex(/^sha256:[0-9a-f]{64}$/, { error: 'must look like sha256: and 64 digits of 0-9 and a-f' })
      .exactOptional(),
    'Digest of the component, as `trellis inspect` prints it: of the file, or of what the image holds. One with another is not run.',
  ),
  world: setting(
    z
      .string()
      .regex(/^[a-z][a-z0-9-]*:[a-z][a-z0-9-]*\/[a-z][a-z0-9-]*(?:@[0-9A-Za-z.+-]+)?$/, {
        error: 'must look like ns:pkg/world@1.0.0',
      })
      .exactOptional(),
    "Name of the component's world. Functions of the world itself are then also served under it, as peers made by Rust bindings call them.",
  ),
  policy: setting(
    z.enum(['fresh', 'reuse']).default('fresh'),
    '`fresh` gives every invocation its own instance, `reuse` keeps instances (and their memory) between invocations.',
  ),
  maxInstances: setting(count(1, 10_000).default(32), 'Instances at once.'),
  maxQueue: setting(count(0, 1_000_000).default(1_024), 'Invocations that wait for an instance; more are answered busy.'),
  replay: setting(z.enum(['local', 'cluster']).exactOptional(), '`trust.replay` for this component; that if left out.'),
  timeoutMs: setting(
    count(1, 86_400_000).exactOptional(),
    'Longest run of one invocation; `limits.maxExecutionTimeMs` if left out.',
  ),
  maxMemoryBytes: setting(
    count(65_536, 4 * 1024 * MIB).exactOptional(),
    'Linear memory of one instance; `limits.maxLinearMemoryBytes` if left out.',
  ),
  env: setting(z.record(z.string(), z.string()).default({}), 'Environment variables the guest sees (`wasi:cli/environment`).'),
  args: setting(z.array(z.string()).default([]), 'Arguments the guest sees.'),
  config: setting(z.record(z.string(), z.string()).default({}), 'Values the guest reads through `wasi:config`.'),
  grants: setting(
    z
      .strictObject({
        preopens: setting(z.array(preopenSchema).default([]), 'Folders the guest may open; none by default.'),
        network: setting(
          z
            .array(
              z.string().refine((value) => hostPort(value) !== undefined, {
                error: 'must be host:port, with the whole name (no wildcard) or the address of the host; IPv6 in brackets',
              }),
            )
            .default([]),
          'What the guest may connect to by `wasi:http` and `wasi:sockets` (TCP), as `host:port`: an exact name, or an address. ' +
            'A name is granted whatever it resolves to, except this machine and its own link (grant those by address, or as `localhost`). ' +
            "With a grant, the component's process may open connections: Node's permissions know no addresses, so the list is kept by the runner alone, and not by a second wall behind it.",
        ),
      })
      .prefault({}),
    'What the component may touch beyond its links. Nothing by default.',
  ),
  wasmbus: setting(
    z
      .strictObject({
        key: setting(
          z.string().refine(isPeerKey, { error: 'must be a public key of an actor (M…) or provider (V…)' }),
          'Public key under which wasmCloud 0.82 peers reach the component: `M…` as an actor, `V…` as a provider.',
        ),
        link: setting(token('a link name', 64).exactOptional(), 'Link name of a provider; `default` if left out.'),
        contract: setting(
          contractId().exactOptional(),
          'Contract id of a provider. Only the interfaces of that package are reachable.',
        ),
      })
      .exactOptional(),
    'Makes the component reachable for wasmCloud 0.82 peers, see docs/wasmbus.md.',
  ),
});

const linkSchema = z.strictObject({
  source: setting(token('a component id', 128), 'Component that imports.'),
  target: setting(token('a component id', 128), 'Component or provider that answers.'),
  name: setting(
    token('a link name', 64).default('default'),
    'Link name; a source may have several targets for one interface under different names.',
  ),
  namespace: setting(z.string().regex(LABEL, { error: 'must be a WIT namespace' }), 'WIT namespace, such as `wasi`.'),
  package: setting(z.string().regex(PACKAGE, { error: 'must be a WIT package name' }), 'WIT package, such as `keyvalue`.'),
  interfaces: setting(
    z.array(z.string().regex(PACKAGE, { error: 'must be a WIT interface name' })).min(1),
    'WIT interfaces of that package, such as `store`.',
  ),
  shared: setting(
    z
      .strictObject({
        lattice: setting(token('a lattice name', 64), 'Lattice of the component.'),
        component: setting(token('a component id', 128).exactOptional(), 'Its id there; `target` if left out.'),
        issuers: setting(z.array(keyText()).min(1), 'Cluster issuers (`C…`) of that lattice, whose hosts may answer.'),
      })
      .exactOptional(),
    'Says that `target` is an import of this NATS account: a component that another lattice shares (`trellis auth accept`).',
  ),
  wasmbus: setting(
    z
      .strictObject({
        contract: setting(contractId().exactOptional(), 'Contract id of a provider, if it is not `namespace:package`.'),
      })
      .exactOptional(),
    'Says that `target` is the public key (`M…` or `V…`) of a wasmCloud 0.82 peer. Its answers are not signed.',
  ),
});

/** Docker's own configuration, where `docker login` leaves credentials. */
export function defaultDockerConfig(): string {
  return join(process.env['DOCKER_CONFIG'] || join(homedir(), '.docker'), 'config.json');
}

const registryName = () =>
  z.string().regex(/^[a-z0-9][a-z0-9.-]*(?::\d{1,5})?$|^\[[0-9a-f:]+\](?::\d{1,5})?$/, {
    error: 'must be a registry: host or host:port, in lower case, as references name it',
  });

const artifactsSchema = z.strictObject({
  allowFiles: setting(
    z.boolean().default(false),
    'Start components from `file://` references when the lattice asks. Files that this configuration names need it not.',
    { env: ['WASMCLOUD_ALLOW_FILE_LOAD'], flags: ['--allow-file-load'] },
  ),
  allowLatest: setting(z.boolean().default(false), 'Take references that say `:latest`.', {
    env: ['WASMCLOUD_OCI_ALLOW_LATEST'],
    flags: ['--allow-latest'],
  }),
  requireDigest: setting(
    z.boolean().default(false),
    'Take only references with the digest of a manifest (`@sha256:…`), from the lattice and from this configuration.',
  ),
  allowedRegistries: setting(
    z.array(registryName()).default([]),
    'The only registries this host pulls from; any that a reference names if left out.',
  ),
  insecureRegistries: setting(
    z.array(registryName()).default([]),
    'Registries that are spoken to over plain HTTP, by exact `host:port`. Everybody on the way can read credentials and, without a digest, choose the program.',
    { env: ['WASMCLOUD_OCI_ALLOWED_INSECURE'], flags: ['--allowed-insecure'] },
  ),
  registry: setting(registryName().exactOptional(), 'The registry that `username` and `password` are for.', {
    env: ['WASMCLOUD_OCI_REGISTRY'],
    flags: ['--oci-registry'],
  }),
  username: setting(z.string().min(1).max(1_024).exactOptional(), 'User of `registry`.', {
    env: ['WASMCLOUD_OCI_REGISTRY_USER'],
    flags: ['--oci-user'],
  }),
  password: setting(
    z.string().min(1).max(16_384).exactOptional(),
    'Password of that user. The environment only; prefer `passwordFile`.',
    { env: ['WASMCLOUD_OCI_REGISTRY_PASSWORD'], secret: true },
  ),
  passwordFile: setting(path().exactOptional(), 'File with that password, mode 0600; read for each pull.'),
  credentials: setting(
    z
      .array(
        z.strictObject({
          registry: setting(registryName(), 'Registry, as references name it.'),
          username: setting(z.string().min(1).max(1_024), 'User there.'),
          passwordFile: setting(path(), 'File with the password or token, mode 0600; read for each pull.'),
        }),
      )
      .max(100)
      .default([]),
    'Credentials for further registries.',
  ),
  dockerConfigFile: setting(
    path().default(defaultDockerConfig),
    'Where `docker login` leaves credentials; they count where nothing else names the registry. Read for each pull; it need not exist.',
    { defaultText: '$DOCKER_CONFIG/config.json, else ~/.docker/config.json' },
  ),
  credentialHelpers: setting(
    z.boolean().default(false),
    'Run the programs `docker-credential-…` that this file names. They run with the rights of the host.',
  ),
  tokenHosts: setting(
    z.array(registryName()).default([]),
    'Hosts that may be told credentials of a registry when it asks for a token from there. Itself, the usual port of its host, its parent domains, and `auth.docker.io` for Docker Hub always may.',
  ),
  tlsCaFiles: setting(
    z.array(path()).default([]),
    'Files with certificate authorities (PEM) that registries may be signed by, besides those of Node and of the system.',
    { env: ['WASMCLOUD_TLS_CA_PATH'], flags: ['--tls-ca-path'] },
  ),
  issuers: setting(
    z.array(keyText()).default([]),
    'Account keys (`A…`): a component runs only if one of them signed it (`wash claims sign`). Any component if left out.',
  ),
  staleTags: setting(
    z.boolean().default(true),
    'Where a registry is out of reach, take the image that a tag meant when it was last asked. References with a digest need no registry once they are cached.',
  ),
  maxPulls: setting(count(1, 100).default(4), 'Pulls at once; others wait.'),
  pullTimeoutMs: setting(count(1_000, 3_600_000).default(300_000), 'How long one pull may take, all attempts together.'),
  maxCacheBytes: setting(
    count(0, 1024 * 1024 * MIB).default(2 * 1024 * MIB),
    'Room for pulled components below `cacheDir`; those that were not used for longest go first. 0 keeps none.',
  ),
});

/** The schema of a whole configuration. Parse with `loadConfig`, which knows where each value came from. */
export const hostConfigSchema = z.strictObject({
  lattice: setting(
    token('a lattice name', 64).default('default'),
    'Lattice this host belongs to: the first token of its subjects.',
    {
      env: ['WASMCLOUD_LATTICE'],
      flags: ['-x'],
    },
  ),
  jsDomain: setting(
    token('a JetStream domain', 64).exactOptional(),
    'JetStream domain that holds the buckets of the lattice, where it is not the one that the server of the ctl connection speaks for: behind a leaf node in operator mode.',
    { env: ['WASMCLOUD_JS_DOMAIN'] },
  ),
  hostSeedFile: setting(
    path().exactOptional(),
    "File with this host's own seed (`SN…`), mode 0600; a new identity at each start if left out.",
  ),
  labels: setting(
    z.record(z.string().min(1), z.string()).default({}),
    'Labels of this host, by which schedulers choose it. `--label k=v` and `TRELLIS_LABEL_<key>` add single ones.',
  ),
  dev: setting(
    z.boolean().default(false),
    'A development machine: fewer warnings, and START-04, START-07, START-11 and START-15 to START-20 are not refused. What leaves this computer is checked all the same.',
  ),
  allow: setting(
    z.array(z.string()).default([]),
    'Refusals at start that are accepted all the same, each by its name (docs/errors.md lists them). Each is said at every start, and the other members of the lattice see it.',
  ),
  ctl: setting(partition('ctl', 'control').prefault({}), 'Control connection.'),
  rpc: setting(partition('rpc', 'invocation').prefault({}), 'Invocation connection.'),
  trust: setting(trustSchema.prefault({}), 'Who may call.'),
  control: setting(controlSchema.prefault({}), 'Commands from the lattice.'),
  limits: setting(limitsSchema.prefault({}), 'Limits of the whole host.'),
  artifacts: setting(artifactsSchema.prefault({}), 'Where components come from.'),
  components: setting(z.array(componentSchema).default([]), 'Components to run from files and images.'),
  links: setting(z.array(linkSchema).default([]), "Which component's imports go where."),
  admin: setting(
    z
      .strictObject({
        listen: setting(
          z
            .union([z.literal(false), z.string().regex(LISTEN, { error: 'must be address:port, or false' })], {
              error: 'must be address:port, or false',
            })
            .default('127.0.0.1:0'),
          'Address of `/livez`, `/readyz` and `/metrics`; port 0 takes a free one and logs it; `false` for none.',
          { env: ['WASMCLOUD_HTTP_ADMIN'], flags: ['--http-admin'] },
        ),
      })
      .prefault({}),
    'Health and metrics.',
  ),
  audit: setting(
    z
      .strictObject({
        events: setting(
          z.boolean().default(true),
          'Publish records as CloudEvents on the control connection: `wasmbus.evt.{lattice}.audit_refused`, `audit_control`, `audit_summary`.',
        ),
        file: setting(path().exactOptional(), 'File that takes one record a line, as JSON, mode 0600; none if left out.'),
        maxFileBytes: setting(
          count(64 * 1024, 256 * MIB).default(16 * MIB),
          'Size at which the file becomes `FILE.1` and a new one begins.',
        ),
        maxFiles: setting(count(1, 1_000).default(8), 'Files kept, the current one included.'),
        maxPerSecond: setting(
          count(1, 10_000).default(20),
          'Single records a second for all codes together, and three for each code whatever the others do. What is more of a code in that second is one record with the exact number.',
        ),
      })
      .prefault({}),
    'A record of every refusal and every control command: who, what, code and correlation id; no payload, no secret.',
  ),
  log: setting(
    z
      .strictObject({
        level: setting(z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info'), 'Least level that is logged.', {
          env: ['WASMCLOUD_LOG_LEVEL'],
        }),
        format: setting(z.enum(['auto', 'json', 'pretty']).default('auto'), '`auto` is pretty on a terminal and JSON elsewhere.'),
      })
      .prefault({}),
    'Log, on standard error.',
  ),
  cacheDir: setting(path().default(defaultCacheDir), 'Folder of transpiled components.', {
    defaultText: '$XDG_CACHE_HOME/trellis, else ~/.cache/trellis',
  }),
  stateDir: setting(
    path().default(defaultStateDir),
    'Folder of what must survive a crash: how far ahead the restart fence reaches.',
    {
      defaultText: '$XDG_STATE_HOME/trellis, else ~/.local/state/trellis',
    },
  ),
  heartbeatIntervalMs: setting(
    count(500, 600_000).default(30_000),
    'How often the host says on the lattice that it runs, and what. A scheduler gives up a host that was silent for 70 s. `WASMCLOUD_HEARTBEAT_INTERVAL` gives it in seconds.',
  ),
  restore: setting(
    z.boolean().default(false),
    'Keep in `stateDir` what the lattice has this host run, and run it again at the next start. Without it a host starts with what its configuration names, as wasmCloud 1.x does.',
  ),
  drainTimeoutMs: setting(count(0, 600_000).default(10_000), 'How long a stop (TERM, INT) waits for running invocations.'),
  lameDuckMs: setting(
    count(0, 86_400_000).default(300_000),
    'How long a host that was sent USR2 finishes invocations and streams before it ends, while it takes nothing new.',
  ),
});

/** A complete, valid configuration; every default filled in. */
export type HostConfig = z.infer<typeof hostConfigSchema>;
/** What a file may hold: everything optional that has a default. */
export type HostConfigInput = z.input<typeof hostConfigSchema>;
/** Settings of one NATS connection. */
export type PartitionConfig = HostConfig['rpc'];
/** One component of the configuration. */
export type ComponentConfig = HostConfig['components'][number];

/** Returns a complete configuration from a partial one, for tests and embedding. @throws z.ZodError */
export function parseConfig(input: HostConfigInput = {}): HostConfig {
  return hostConfigSchema.parse(input);
}
