import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { isCredentialPath } from '../../config/credential-paths.ts';
import { isTree, type Tree } from '../../config/layers.ts';
import { loadConfig } from '../../config/load.ts';
import { listSettings } from '../../config/settings.ts';
import { TrellisError } from '../../errors.ts';
import { isToken, quote } from '../../ids.ts';
import { parseAddress } from '../../nats/endpoint.ts';
import { replaceFile } from '../../replace-file.ts';
import { natsContextRemedy, readNatsContext } from './nats-context.ts';

/** How to reach a lattice, kept under a name. */
export interface Context extends ContextContent {
  readonly name: string;
  /** Who keeps it: Trellis, or the `nats` command. */
  readonly kind: 'trellis' | 'nats';
  readonly file: string;
}

/** The key that signs commands, and what lets it: paths of files. */
export interface CommandSigner {
  readonly seedFile: string;
  readonly delegationFile?: string | undefined;
}

/** What a context says. */
export interface ContextContent {
  readonly description: string;
  /** Settings, nested as in a configuration file. Paths, never what is in the files. */
  readonly settings: Tree;
  readonly signer?: CommandSigner | undefined;
}

/** A name in the list of contexts; `problem` instead of the context where it cannot be used. */
export type ListedContext =
  | { readonly name: string; readonly context: Context }
  | { readonly name: string; readonly kind: Context['kind']; readonly file: string; readonly problem: string };

const MAX_BYTES = 64 * 1024;
/** What tells how to reach a lattice, and how to sign there. */
const GROUPS = new Set(['lattice', 'ctl', 'rpc', 'trust', 'control', 'hostSeedFile', 'allow', 'dev']);
/** Chooses the store explicitly where both have the name. */
const NATS_PREFIX = 'nats:';

/** `$XDG_CONFIG_HOME`, or `~/.config`. */
export function configHome(env: NodeJS.ProcessEnv = process.env): string {
  return env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config');
}

/** Contexts in files of this user, of mode 0600, and those of the `nats` command, which are only read. */
export class ContextStore {
  readonly #own: string;
  readonly #nats: string;

  constructor(home: string = configHome()) {
    this.#own = join(home, 'trellis');
    this.#nats = join(home, 'nats', 'context');
  }

  /** The file that holds, or would hold, a context of this name. @throws TRELLIS_USAGE */
  fileOf(name: string): string {
    return join(this.#own, 'contexts', `${checkedName(name)}.json`);
  }

  /** Every context there is, by name; Trellis' own first. */
  list(): ListedContext[] {
    const own = namesIn(join(this.#own, 'contexts')).map((name) => ({ name, kind: 'trellis' as const, shown: name }));
    const taken = new Set(own.map(({ name }) => name));
    const nats = namesIn(this.#nats).map((name) => {
      return { name, kind: 'nats' as const, shown: taken.has(name) ? `${NATS_PREFIX}${name}` : name };
    });
    return [...own, ...nats].map(({ name, kind, shown }) => {
      const file = this.#path(name, kind);
      try {
        return { name: shown, context: this.#read(name, kind) };
      } catch (error) {
        return { name: shown, kind, file, problem: error instanceof Error ? error.message : String(error) };
      }
    });
  }

  /** The context of that name, Trellis' own before one of `nats`. @throws TRELLIS_CONTEXT_UNKNOWN, TRELLIS_CONTEXT_INVALID */
  get(name: string): Context {
    const found = this.#find(name);
    if (found === undefined) throw new TrellisError('TRELLIS_CONTEXT_UNKNOWN', { message: `there is no context ${quote(name)}` });
    return this.#read(found.name, found.kind);
  }

  /** True if there is a context that is meant by this name, good or not. */
  names(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  /** True if Trellis keeps a context of this name. */
  has(name: string): boolean {
    return existsSync(this.fileOf(name));
  }

  /** Keeps a context. @throws TRELLIS_USAGE, TRELLIS_CONTEXT_INVALID */
  put(name: string, content: ContextContent): void {
    const file = this.fileOf(name);
    const text = contextText(content);
    parseOwn(name, file, text);
    writing(file, () => {
      mkdirSync(join(this.#own, 'contexts'), { recursive: true, mode: 0o700 });
      replaceFile(file, text);
    });
  }

  /** Reads what somebody wrote as a context, without keeping it. @throws TRELLIS_CONTEXT_INVALID */
  parse(name: string, file: string, text: string): Context {
    return parseOwn(name, file, text);
  }

  /** Forgets a context of Trellis, and that it was in use. @throws TRELLIS_CONTEXT_UNKNOWN */
  delete(name: string): void {
    if (!this.has(name))
      throw new TrellisError('TRELLIS_CONTEXT_UNKNOWN', { message: `Trellis keeps no context ${quote(name)}` });
    rmSync(this.fileOf(name));
    if (this.selected() === name) this.select(undefined);
  }

  /** The name of the context in use, or `undefined`. */
  selected(): string | undefined {
    const file = join(this.#own, 'context');
    const name = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
    return name === '' ? undefined : name;
  }

  /** Takes a context into use, or none. @throws TRELLIS_CONTEXT_UNKNOWN, TRELLIS_CONTEXT_INVALID */
  select(name: string | undefined): void {
    const file = join(this.#own, 'context');
    if (name === undefined) {
      rmSync(file, { force: true });
      return;
    }
    this.get(name);
    writing(file, () => {
      mkdirSync(this.#own, { recursive: true, mode: 0o700 });
      replaceFile(file, `${name}\n`);
    });
  }

  #find(name: string): { readonly name: string; readonly kind: Context['kind'] } | undefined {
    const explicit = name.startsWith(NATS_PREFIX);
    const bare = explicit ? name.slice(NATS_PREFIX.length) : name;
    const kinds = explicit ? (['nats'] as const) : (['trellis', 'nats'] as const);
    // A name that could not be one must not become a path.
    const kind = isContextName(bare) ? kinds.find((each) => existsSync(this.#path(bare, each))) : undefined;
    return kind === undefined ? undefined : { name: bare, kind };
  }

  #path(name: string, kind: Context['kind']): string {
    return kind === 'trellis' ? this.fileOf(name) : join(this.#nats, `${name}.json`);
  }

  #read(name: string, kind: Context['kind']): Context {
    const file = this.#path(name, kind);
    const text = readText(name, file);
    if (kind === 'trellis') return parseOwn(name, file, text);
    const { description, settings } = readNatsContext(name, text);
    checkSettings(name, settings, natsContextRemedy(name));
    return { name, kind, file, description, settings };
  }
}

function writing(file: string, write: () => void): void {
  try {
    write();
  } catch (cause) {
    const code = String((cause as NodeJS.ErrnoException).code);
    throw new TrellisError('TRELLIS_CLI_FILE', { message: `${file} cannot be written (${code})`, cause });
  }
}

/** The text of a context's file. */
function contextText({ description, settings, signer }: ContextContent): string {
  const about = description === '' ? {} : { description };
  const sign = signer === undefined ? {} : { sign: signer };
  return `${JSON.stringify({ ...about, ...settings, ...sign }, undefined, 2)}\n`;
}

function parseOwn(name: string, file: string, text: string): Context {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(name, 'it is not JSON');
  }
  if (!isTree(value)) throw invalid(name, 'it must hold settings, not a list or a single value');
  const { description = '', sign, ...settings } = value;
  if (typeof description !== 'string') throw invalid(name, 'description must be text');
  checkSettings(name, settings);
  const signer = sign === undefined ? {} : { signer: readSigner(name, sign) };
  return { name, kind: 'trellis', file, description, settings, ...signer };
}

function readSigner(name: string, sign: unknown): CommandSigner {
  const { seedFile, delegationFile, ...more } = isTree(sign) ? sign : {};
  const isPath = (value: unknown): value is string => typeof value === 'string' && isAbsolute(value);
  const given = delegationFile === undefined || isPath(delegationFile);
  if (isPath(seedFile) && given && Object.keys(more).length === 0)
    return { seedFile, ...(delegationFile === undefined ? {} : { delegationFile }) };
  throw invalid(name, 'sign must hold seedFile, and may hold delegationFile; both whole paths, beginning with /');
}

/** Refuses what has no place in a context, secrets first, and what no host would take either. */
function checkSettings(name: string, settings: Tree, remedy?: string): void {
  for (const setting of listSettings()) {
    if (!setting.secret || at(settings, setting.path) === undefined) continue;
    throw invalid(
      name,
      `${setting.name} is a secret; a context holds paths only: put it into a file (mode 0600), set ${setting.name}File`,
      remedy,
    );
  }
  for (const partition of ['ctl', 'rpc']) {
    const servers = at(settings, [partition, 'servers']);
    for (const server of Array.isArray(servers) ? servers : []) {
      try {
        parseAddress(String(server));
      } catch (error) {
        // It may hold a password, which must be neither kept nor shown.
        throw invalid(name, `${partition}.servers: ${(error as Error).message}`, remedy);
      }
    }
  }
  const relative = listSettings().find((setting) => {
    const value = setting.kind === 'path' && !setting.nested ? at(settings, setting.path) : undefined;
    return typeof value === 'string' && !isAbsolute(value) && !isCredentialPath(value);
  });
  if (relative !== undefined) throw invalid(name, `${relative.name} must be a whole path, beginning with /`, remedy);
  const stranger = Object.keys(settings).find((key) => !GROUPS.has(key));
  if (stranger !== undefined) throw invalid(name, `${quote(stranger)} does not say how to reach a lattice`, remedy);
  const { problems } = loadConfig({ context: { settings, source: `context ${name}`, askedFor: true } });
  const [problem] = problems;
  if (problem !== undefined) throw invalid(name, `${problem.summary} ${problem.fix}`, remedy);
}

function at(tree: Tree, path: readonly string[]): unknown {
  let node: unknown = tree;
  for (const key of path) node = isTree(node) ? node[key] : undefined;
  return node;
}

function readText(name: string, file: string): string {
  try {
    if (statSync(file).size > MAX_BYTES) throw invalid(name, 'its file is too large');
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof TrellisError) throw error;
    throw invalid(name, `${file} cannot be read (${String((error as NodeJS.ErrnoException).code)})`);
  }
}

function namesIn(dir: string): string[] {
  if (!existsSync(dir)) return [];
  const names = readdirSync(dir).filter((file) => file.endsWith('.json'));
  return names
    .map((file) => file.slice(0, -'.json'.length))
    .filter(isContextName)
    .toSorted();
}

/** Names of the `nats` command may hold dots. */
const isContextName = (name: string): boolean => /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$/.test(name);

function checkedName(name: string): string {
  if (isToken(name, 64)) return name;
  throw new TrellisError('TRELLIS_USAGE', {
    message: `a context cannot be called ${quote(name)}`,
    remedy: 'Use 1 to 64 characters of A-Z, a-z, 0-9, _ and -.',
  });
}

function invalid(name: string, why: string, remedy?: string): TrellisError {
  const said = remedy === undefined ? {} : { remedy };
  return new TrellisError('TRELLIS_CONTEXT_INVALID', { message: `context ${name}: ${why}`, ...said });
}
