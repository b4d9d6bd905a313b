import { spawn } from 'node:child_process';
import { isExposedMode, readSecretFile } from '../../config/secret-files.ts';
import { TrellisError } from '../../errors.ts';
import { quotePath } from '../../ids.ts';
import { isJsonObject, parseJsonObject } from '../../json-object.ts';
import type { RegistryCredential } from './credentials.ts';

/** What Docker's configuration says about one registry: credentials, or the program that has them. */
export type DockerEntry =
  | { readonly kind: 'credential'; readonly credential: RegistryCredential }
  | { readonly kind: 'helper'; readonly helper: string; readonly server: string }
  | { readonly kind: 'none' };

/** How {@link dockerCredential} goes about it. */
export interface DockerConfigOptions {
  readonly file: string;
  /** Whether `docker-credential-…` may be run. */
  readonly runHelpers: boolean;
  /** Gets a sentence about what was left out; no secret in it. */
  readonly warn: (message: string) => void;
}

const HUB = 'docker.io';
const HUB_NAMES = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);
const HUB_SERVER = 'https://index.docker.io/v1/';
const HELPER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const HELPER_MS = 30_000;
const MAX_OUTPUT_BYTES = 64 * 1024;
/** Docker's mark for a name that goes with an identity token. */
const TOKEN_USER = '<token>';

/**
 * Looks a registry up in the text of a `config.json`. A program for this one registry comes first, then what the file itself holds, then the
 * program for all. Never throws; `undefined` if the text is no such configuration.
 */
export function readDockerConfig(text: string, registry: string): DockerEntry | undefined {
  const config = parseJsonObject(text);
  if (config === undefined) return undefined;
  const { auths, credHelpers, credsStore } = config;
  const server = registry === HUB ? HUB_SERVER : registry;
  const own = lookUp(credHelpers, registry);
  if (typeof own === 'string' && HELPER.test(own)) return { kind: 'helper', helper: own, server };
  const credential = readAuth(lookUp(auths, registry));
  if (credential !== undefined) return { kind: 'credential', credential };
  if (typeof credsStore === 'string' && HELPER.test(credsStore)) return { kind: 'helper', helper: credsStore, server };
  return { kind: 'none' };
}

/**
 * The credentials that `docker login` left for a registry, if any. A file that others may read is not used.
 * @throws TRELLIS_ARTIFACT_CREDENTIALS when a helper program fails
 */
export async function dockerCredential(registry: string, options: DockerConfigOptions): Promise<RegistryCredential | undefined> {
  const { file, runHelpers, warn } = options;
  const read = readSecretFile(file);
  if (!read.ok) {
    if (read.reason !== 'does not exist') warn(`the Docker configuration ${quotePath(file)} ${read.reason}`);
    return undefined;
  }
  const entry = readDockerConfig(read.text, registry);
  if (entry === undefined) warn(`the Docker configuration ${quotePath(file)} cannot be understood`);
  if (entry === undefined || entry.kind === 'none') return undefined;
  if (entry.kind === 'credential') {
    if (process.getuid !== undefined && isExposedMode(read.mode, read.uid)) {
      warn(`the credentials in ${quotePath(file)} are not used, because other users can read them (chmod 600)`);
      return undefined;
    }
    return entry.credential;
  }
  if (runHelpers) return runHelper(entry.helper, entry.server, registry);
  warn(`docker-credential-${entry.helper} would have to be asked about ${registry}, and artifacts.credentialHelpers is not set`);
  return undefined;
}

/** The entry of a registry; Docker writes some with scheme and path. */
function lookUp(map: unknown, registry: string): unknown {
  if (!isJsonObject(map)) return undefined;
  const names = Object.keys(map);
  const exact = names.find((name) => name === registry);
  const found = exact ?? names.find((name) => authorityOf(name) === registry);
  return found === undefined ? undefined : map[found];
}

function authorityOf(name: string): string {
  const bare = name
    .replace(/^https?:\/\//i, '')
    .split('/', 1)[0]!
    .toLowerCase();
  return HUB_NAMES.has(bare) ? HUB : bare;
}

function readAuth(value: unknown): RegistryCredential | undefined {
  if (!isJsonObject(value)) return undefined;
  const { auth, username, password, identitytoken, registrytoken } = value;
  if (isText(identitytoken)) return { kind: 'identity', token: identitytoken };
  // It becomes the value of a header.
  if (isText(registrytoken) && /^[\x21-\x7e]+$/.test(registrytoken)) return { kind: 'bearer', token: registrytoken };
  if (isText(auth)) {
    // Docker pads with NUL where it once encrypted.
    const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '');
    const colon = text.indexOf(':');
    if (colon < 1) return undefined;
    return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  return isText(username) && isText(password) ? { kind: 'basic', username, password } : undefined;
}

/** Asks a credential helper. It gets the environment of the host without what is Trellis' own. */
async function runHelper(helper: string, server: string, registry: string): Promise<RegistryCredential | undefined> {
  const program = `docker-credential-${helper}`;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(?:TRELLIS|WASMCLOUD|NATS)_/.test(name)));
  const failed = (why: string, cause?: unknown): TrellisError =>
    new TrellisError('TRELLIS_ARTIFACT_CREDENTIALS', {
      message: `${program} gave no credentials for ${registry}: ${why}`,
      details: { registry, helper },
      cause,
    });
  const child = spawn(program, ['get'], { env, stdio: ['pipe', 'pipe', 'ignore'], timeout: HELPER_MS, killSignal: 'SIGKILL' });
  const output: Buffer[] = [];
  let length = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > MAX_OUTPUT_BYTES) child.kill('SIGKILL');
    else output.push(chunk);
  });
  // A program that does not read its question says why by its exit.
  child.stdin.on('error', () => undefined);
  child.stdin.end(server);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (cause) =>
      reject(failed(`it cannot be run (${(cause as NodeJS.ErrnoException).code ?? 'unknown'})`, cause)),
    );
    child.once('close', resolve);
  });
  const text = Buffer.concat(output).toString('utf8');
  if (code !== 0) {
    if (/not found/i.test(text)) return undefined;
    throw failed(code === null ? 'it was stopped' : `it ended with ${code}`);
  }
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw failed('its answer is not JSON');
  }
  const { Username: username, Secret: secret } = isJsonObject(answer) ? answer : {};
  if (typeof username !== 'string' || !isText(secret)) throw failed('its answer holds no secret');
  return username === TOKEN_USER || username === ''
    ? { kind: 'identity', token: secret }
    : { kind: 'basic', username, password: secret };
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= 65_536;
