import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { count, keyText, MIB, path, setting } from './values.ts';

/** Docker's own configuration, where `docker login` leaves credentials. */
export function defaultDockerConfig(): string {
  return join(process.env['DOCKER_CONFIG'] || join(homedir(), '.docker'), 'config.json');
}

const registryName = () =>
  z.string().regex(/^[a-z0-9][a-z0-9.-]*(?::\d{1,5})?$|^\[[0-9a-f:]+\](?::\d{1,5})?$/, {
    error: 'must be a registry: host or host:port, in lower case, as references name it',
  });

/** Where components come from: files and registries. */
export const artifactsSchema = z.strictObject({
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
  maxPulls: setting(
    count(1, 100).default(16),
    'Pulls at once, a quarter of them from one registry, and always one; others wait. What is cached, and files, wait for none.',
  ),
  pullTimeoutMs: setting(count(1_000, 3_600_000).default(300_000), 'How long one pull may take, all attempts together.'),
  maxCacheBytes: setting(
    count(0, 1024 * 1024 * MIB).default(2 * 1024 * MIB),
    'Room for pulled components below `cacheDir`; those that were not used for longest go first. 0 keeps none.',
  ),
});
