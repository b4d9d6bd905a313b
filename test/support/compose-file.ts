import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';

/** How a file, folder, volume or secret reaches a container. */
export interface ComposeMount {
  /** `bind`: `source` is an absolute path of this machine; `volume`: the name of a volume; `tmpfs`: no source. */
  readonly kind: 'bind' | 'volume' | 'tmpfs';
  readonly source: string;
  /** A folder of the volume in place of all of it. */
  readonly subpath?: string;
  /** Absolute path in the container. */
  readonly target: string;
  readonly readOnly: boolean;
}

/** A service of a compose file, with everything that decides how its process runs. */
export interface ComposeService {
  readonly name: string;
  readonly profiles: readonly string[];
  readonly image: string;
  /** Dockerfile stage, if the image is built here. */
  readonly build: { readonly context: string; readonly dockerfile: string; readonly target: string | undefined } | undefined;
  /** Undefined: the image's own. */
  readonly entrypoint: readonly string[] | undefined;
  readonly command: readonly string[] | undefined;
  readonly user: string | undefined;
  readonly workingDir: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
  readonly mounts: readonly ComposeMount[];
  readonly readOnlyRoot: boolean;
  readonly capDrop: readonly string[];
  readonly capAdd: readonly string[];
  readonly securityOpt: readonly string[];
  readonly privileged: boolean;
  readonly coreLimit: number | undefined;
  readonly networks: readonly string[];
  /** `service:NAME`: the loopback of that service is this one's. */
  readonly sharesNetworkOf: string | undefined;
  readonly networkMode: string | undefined;
  readonly ports: readonly { readonly hostIp: string; readonly hostPort: number; readonly containerPort: number }[];
  readonly healthcheck: { readonly test: readonly string[]; readonly intervalMs: number; readonly retries: number } | undefined;
  readonly dependsOn: Readonly<Record<string, 'service_started' | 'service_healthy' | 'service_completed_successfully'>>;
  readonly stopSignal: NodeJS.Signals;
  readonly stopGracePeriodMs: number;
  readonly restart: string;
}

/** A compose file as one set of profiles sees it. */
export interface ComposeProject {
  readonly file: string;
  readonly name: string;
  readonly services: Readonly<Record<string, ComposeService>>;
  /** Networks by name; `internal` ones have no way out. */
  readonly networks: Readonly<Record<string, { readonly internal: boolean }>>;
  readonly volumes: readonly string[];
}

type Fields = Record<string, unknown>;

/**
 * Reads a compose file: what the services of `profiles` (and those without a profile) would run with. A key that this reader does
 * not know is an error, so that a test which runs the services leaves nothing of the file out unnoticed.
 *
 * @param options.profiles active profiles; services without one always count.
 * @param options.env values for `${NAME}`, `${NAME:-default}` and `${NAME:?message}`.
 */
export function readComposeFile(
  file: string,
  options: { readonly profiles?: readonly string[]; readonly env?: Readonly<Record<string, string>> } = {},
): ComposeProject {
  const { profiles = [], env = {} } = options;
  const document = substitute(parse(readFileSync(file, 'utf8'), { merge: true }), env) as Fields;
  known('the file', document, ['name', 'services', 'networks', 'volumes', 'secrets', 'configs'], true);
  const place = { file, folder: dirname(resolve(file)) };
  const files = { secrets: fields(document['secrets']), configs: fields(document['configs']) };
  const services: Record<string, ComposeService> = {};
  for (const [name, value] of Object.entries(fields(document['services']))) {
    const service = readService(name, fields(value), place, files);
    if (service.profiles.length === 0 || service.profiles.some((profile) => profiles.includes(profile))) services[name] = service;
  }
  for (const service of Object.values(services)) {
    const wanted = [...Object.keys(service.dependsOn), ...(service.sharesNetworkOf ? [service.sharesNetworkOf] : [])];
    const absent = wanted.find((name) => services[name] === undefined);
    if (absent !== undefined) throw new Error(`${file}: ${service.name} depends on ${absent}, which these profiles do not have`);
  }
  const volumes = Object.keys(fields(document['volumes']));
  for (const { name, mounts } of Object.values(services)) {
    const absent = mounts.find(({ kind, source }) => kind === 'volume' && !volumes.includes(source));
    if (absent !== undefined) throw new Error(`${file}: ${name} mounts the volume ${absent.source}, which is not declared`);
  }
  return {
    file,
    name: text(document['name'] ?? ''),
    services,
    networks: Object.fromEntries(
      Object.entries(fields(document['networks'])).map(([name, value]) => {
        known(`network ${name}`, fields(value), ['internal', 'driver']);
        return [name, { internal: fields(value)['internal'] === true }];
      }),
    ),
    volumes,
  };
}

const SERVICE_KEYS = [
  'image build entrypoint command user working_dir environment volumes tmpfs secrets configs read_only cap_drop cap_add',
  'security_opt privileged ulimits networks network_mode ports healthcheck depends_on stop_signal stop_grace_period restart',
  'profiles pids_limit mem_limit hostname init logging labels expose',
]
  .join(' ')
  .split(' ');

interface FileSources {
  readonly secrets: Fields;
  readonly configs: Fields;
}

function readService(
  name: string,
  from: Fields,
  place: { readonly file: string; readonly folder: string },
  files: FileSources,
): ComposeService {
  known(`service ${name}`, from, SERVICE_KEYS);
  const mode = from['network_mode'] === undefined ? undefined : text(from['network_mode']);
  const build = from['build'] === undefined ? undefined : buildOf(from['build'], place.folder);
  return {
    name,
    profiles: texts(from['profiles']),
    image: text(from['image'] ?? ''),
    build,
    entrypoint: argv(from['entrypoint']),
    command: argv(from['command']),
    user: from['user'] === undefined ? undefined : text(from['user']),
    workingDir: from['working_dir'] === undefined ? undefined : text(from['working_dir']),
    environment: environmentOf(from['environment']),
    mounts: mountsOf(name, from, place.folder, files),
    readOnlyRoot: from['read_only'] === true,
    capDrop: texts(from['cap_drop']),
    capAdd: texts(from['cap_add']),
    securityOpt: texts(from['security_opt']),
    privileged: from['privileged'] === true,
    coreLimit: coreLimitOf(fields(from['ulimits'])['core']),
    networks: Array.isArray(from['networks']) ? texts(from['networks']) : Object.keys(fields(from['networks'])),
    sharesNetworkOf: mode?.startsWith('service:') === true ? mode.slice('service:'.length) : undefined,
    networkMode: mode,
    ports: texts(from['ports']).map(portOf),
    healthcheck: healthcheckOf(name, from['healthcheck']),
    dependsOn: dependsOf(name, from['depends_on']),
    stopSignal: text(from['stop_signal'] ?? 'SIGTERM') as NodeJS.Signals,
    stopGracePeriodMs: durationMs(from['stop_grace_period'] ?? '10s'),
    restart: text(from['restart'] ?? 'no'),
  };
}

function buildOf(value: unknown, folder: string): ComposeService['build'] {
  if (typeof value === 'string') return { context: resolve(folder, value), dockerfile: 'Dockerfile', target: undefined };
  const build = fields(value);
  known('build', build, ['context', 'dockerfile', 'target', 'args']);
  return {
    context: resolve(folder, text(build['context'] ?? '.')),
    dockerfile: text(build['dockerfile'] ?? 'Dockerfile'),
    target: build['target'] === undefined ? undefined : text(build['target']),
  };
}

function environmentOf(value: unknown): Record<string, string> {
  const pairs = Array.isArray(value)
    ? texts(value).map((line): [string, string] => [line.split('=', 1)[0]!, line.slice(line.indexOf('=') + 1)])
    : Object.entries(fields(value)).map(([name, each]): [string, string] => [name, each === null ? '' : text(each)]);
  return Object.fromEntries(pairs);
}

function mountsOf(name: string, from: Fields, folder: string, files: FileSources): ComposeMount[] {
  const volumes = list(from['volumes']).map((each) =>
    typeof each === 'string' ? shortMount(each, folder) : longMount(each, folder),
  );
  const tmpfs = (typeof from['tmpfs'] === 'string' ? [from['tmpfs']] : texts(from['tmpfs'])).map((each): ComposeMount => ({
    kind: 'tmpfs',
    source: '',
    target: each.split(':')[0]!,
    readOnly: false,
  }));
  const fromFiles = (['secrets', 'configs'] as const).flatMap((kind) =>
    list(from[kind]).map((each): ComposeMount => {
      const entry = typeof each === 'string' ? { source: each } : fields(each);
      known(`${kind} of ${name}`, entry, ['source', 'target', 'mode', 'uid', 'gid']);
      const source = text(entry['source']);
      const declared = fields(files[kind][source]);
      known(`${kind} ${source}`, declared, ['file']);
      const target = text(entry['target'] ?? source);
      const absolute = target.startsWith('/') ? target : kind === 'secrets' ? `/run/secrets/${target}` : `/${target}`;
      return { kind: 'bind', source: resolve(folder, text(declared['file'])), target: absolute, readOnly: true };
    }),
  );
  return [...volumes, ...tmpfs, ...fromFiles];
}

function shortMount(line: string, folder: string): ComposeMount {
  const [source = '', target = '', mode = 'rw'] = line.split(':');
  if (target === '') throw new Error(`an anonymous volume (${line}) would be lost with its container`);
  const isPath = /^[./~]/.test(source);
  return {
    kind: isPath ? 'bind' : 'volume',
    source: isPath ? resolve(folder, source) : source,
    target,
    readOnly: mode.split(',').includes('ro'),
  };
}

function longMount(value: unknown, folder: string): ComposeMount {
  const mount = fields(value);
  known('volumes', mount, ['type', 'source', 'target', 'read_only', 'tmpfs', 'bind', 'volume']);
  known('volume', fields(mount['volume']), ['subpath', 'nocopy']);
  const { subpath } = fields(mount['volume']);
  const kind = text(mount['type']) as ComposeMount['kind'];
  const source = text(mount['source'] ?? '');
  return {
    kind,
    source: kind === 'bind' ? resolve(folder, source) : source,
    target: text(mount['target']),
    readOnly: mount['read_only'] === true,
    ...(subpath === undefined ? {} : { subpath: text(subpath) }),
  };
}

function portOf(line: string): ComposeService['ports'][number] {
  const parts = line.replace(/\/tcp$/, '').split(':');
  const [containerPort, hostPort, hostIp] = [parts.at(-1)!, parts.at(-2) ?? parts.at(-1)!, parts.slice(0, -2).join(':')];
  return { hostIp: hostIp === '' ? '0.0.0.0' : hostIp, hostPort: Number(hostPort), containerPort: Number(containerPort) };
}

function healthcheckOf(name: string, value: unknown): ComposeService['healthcheck'] {
  if (value === undefined) return undefined;
  const check = fields(value);
  known(`healthcheck of ${name}`, check, ['test', 'interval', 'timeout', 'retries', 'start_period', 'start_interval']);
  const test = check['test'];
  return {
    test: typeof test === 'string' ? ['CMD-SHELL', test] : texts(test),
    intervalMs: durationMs(check['interval'] ?? '30s'),
    retries: Number(check['retries'] ?? 3),
  };
}

function dependsOf(name: string, value: unknown): ComposeService['dependsOn'] {
  if (Array.isArray(value)) return Object.fromEntries(texts(value).map((each) => [each, 'service_started' as const]));
  return Object.fromEntries(
    Object.entries(fields(value)).map(([other, each]) => {
      known(`depends_on of ${name}`, fields(each), ['condition', 'restart', 'required']);
      return [other, text(fields(each)['condition'] ?? 'service_started') as ComposeService['dependsOn'][string]];
    }),
  );
}

function coreLimitOf(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  return typeof value === 'number' ? value : Number(fields(value)['hard']);
}

/** Milliseconds of `1m30s`, `500ms` or `10s`. */
function durationMs(value: unknown): number {
  const units = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;
  const found = [...text(value).matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)];
  if (found.length === 0) throw new Error(`${text(value)} is no duration`);
  return found.reduce((sum, [, number, unit]) => sum + Number(number) * units[unit as keyof typeof units], 0);
}

/** `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$$`, in every text of the file. */
function substitute(value: unknown, env: Readonly<Record<string, string>>): unknown {
  if (Array.isArray(value)) return value.map((each) => substitute(each, env));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, substitute(each, env)]));
  }
  if (typeof value !== 'string') return value;
  return value.replace(/\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}/g, (whole, name: string | undefined, kind: string, rest: string) => {
    if (name === undefined) return '$';
    const given = env[name];
    if (given !== undefined && given !== '') return given;
    if (kind === '-') return rest;
    throw new Error(`${whole} has no value${kind === '?' ? `: ${rest}` : ''}`);
  });
}

function known(what: string, from: Fields, keys: readonly string[], allowExtensions = false): void {
  const strange = Object.keys(from).find((key) => !keys.includes(key) && !(allowExtensions && key.startsWith('x-')));
  if (strange !== undefined) throw new Error(`${what} has the key ${strange}, which this reader does not know`);
}

const fields = (value: unknown): Fields => (value ?? {}) as Fields;
const list = (value: unknown): unknown[] => (value ?? []) as unknown[];
const texts = (value: unknown): string[] => list(value).map(text);
/** A command: a list, or words as a shell would split them (quotes are not used in our files, and refused). */
function argv(value: unknown): string[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') return texts(value);
  if (/["'\\]/.test(value)) throw new Error(`write the command ${value} as a list`);
  return value.split(/\s+/).filter((word) => word !== '');
}
function text(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new Error(`${JSON.stringify(value)} is no text`);
}
