import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { artifactsSchema } from './schema/artifacts.ts';
import { componentSchema, linkSchema } from './schema/components.ts';
import { partition } from './schema/connections.ts';
import { limitsSchema } from './schema/limits.ts';
import { controlSchema, trustSchema } from './schema/trust.ts';
import { count, MIB, path, setting, token } from './schema/values.ts';

/**
 * The one description of every setting, a group a file in `schema/`: types, defaults, environment names, the JSON Schema and `docs/config.md` all
 * come from here. Units stand in the names: `…Ms` are milliseconds, `…Bytes` are bytes.
 *
 * Importing this module loads zod (about 50 ms of CPU); commands that need no configuration must not import it.
 */

const LISTEN = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/;

/** The folder for transpiled components when nothing is set, after the XDG base directory rules. */
export function defaultCacheDir(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'trellis');
}

/** The folder for what must survive a crash when nothing is set, after the XDG base directory rules. */
export function defaultStateDir(): string {
  return join(process.env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'trellis');
}

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
    'Folder of what must survive a crash: how far ahead the restart fence reaches, which issuers and revocations are known, and what ran (with `restore`).',
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
