import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { giveTo, type SandboxEnd, type SandboxProcess } from './sandbox.ts';

/**
 * The same process without namespaces, for a machine that cannot make them: its command, environment and user stay, its files lie below
 * a folder, and in what it reads and is told, paths and addresses are put right. It is confined by nothing but its user.
 */
export interface PlainPlace {
  /** A folder of its own that stands for `/`. */
  readonly root: string;
  /** Where `host:port` of its world is in ours: `nats:4222` → `127.0.0.1:43211`. */
  readonly addressOf: (host: string, port: number) => string | undefined;
}

const TEXT = /\.(?:ya?ml|conf|json|toml)$/;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** A process that {@link startPlain} started. */
export class PlainProcess {
  stdout = '';
  stderr = '';
  readonly ended: Promise<SandboxEnd>;
  readonly #child: ChildProcess;
  readonly #start: (argv: readonly string[]) => ChildProcess;

  constructor(child: ChildProcess, start: (argv: readonly string[]) => ChildProcess) {
    this.#child = child;
    this.#start = start;
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = once(child, 'close').then(([code, signal]) => ({
      code: (code as number | null) ?? undefined,
      signal: (signal as NodeJS.Signals | null) ?? undefined,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
  }

  get pid(): number {
    return this.#child.pid!;
  }
  exec(argv: readonly string[]): Promise<SandboxEnd> {
    return new PlainProcess(this.#start(argv), this.#start).ended;
  }
  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }
  async endedWithin(timeoutMs: number): Promise<SandboxEnd | undefined> {
    return await Promise.race([this.ended, sleep(timeoutMs, undefined, { ref: false })]);
  }
  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Starts `spec` without namespaces. */
export function startPlain(spec: SandboxProcess, place: PlainPlace): PlainProcess {
  const { root } = place;
  mkdirSync(root, { recursive: true, mode: 0o755 });
  // What is written is named by its own place: a link to it would be no folder to those who look closely.
  const places = new Map([
    ...spec.mounts.map(({ source, target, readOnly }) => [target, readOnly ? join(root, target) : source] as const),
    ...spec.tmpfs.map((target) => [target, join(root, target)] as const),
  ]);
  const put = putRight(places, place.addressOf);
  for (const target of spec.tmpfs) {
    mkdirSync(join(root, target), { recursive: true });
    chmodSync(join(root, target), 0o777);
  }
  // What is nearer to the root first, so that later ones lie over it.
  for (const { source, target, readOnly } of spec.mounts) lay(source, join(root, target), readOnly, put);
  const env = Object.fromEntries(Object.entries({ PATH, ...spec.env }).map(([name, value]) => [name, put(value)]));
  env['PATH'] = `${join(root, 'usr/local/bin')}:${PATH}`;
  mkdirSync(join(root, spec.cwd), { recursive: true });
  const identity = process.getuid?.() === 0 ? { uid: spec.uid, gid: spec.gid } : {};
  const limit = spec.coreLimit === undefined ? '' : `ulimit -c ${spec.coreLimit}; `;
  const start = (argv: readonly string[]): ChildProcess =>
    spawn('/bin/sh', ['-c', `${limit}exec "$@"`, 'sh', ...argv.map(put)], {
      cwd: join(root, spec.cwd),
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...identity,
    });
  return new PlainProcess(start(spec.argv), start);
}

/** Lays a file or folder at its place: texts that are only read are copied and put right, the rest is linked, folder by folder. */
function lay(source: string, place: string, readOnly: boolean, put: (text: string) => string): void {
  mkdirSync(dirname(place), { recursive: true });
  if (statSync(source).isDirectory()) {
    if (!readOnly || !mayBeText(source)) {
      if (!existsSync(place)) symlinkSync(source, place);
      return;
    }
    mkdirSync(place, { recursive: true });
    for (const name of readdirSync(source)) lay(join(source, name), join(place, name), true, put);
    return;
  }
  const { size, mode, uid, gid } = statSync(source);
  const script = size < 4_096 && readFileSync(source, 'latin1').startsWith('#!');
  if (readOnly && (TEXT.test(source) || script) && size < 65_536) {
    writeFileSync(place, put(readFileSync(source, 'utf8')));
    chmodSync(place, mode & 0o777);
    giveTo(place, uid, gid);
  } else if (!exists(place)) symlinkSync(source, place);
}

const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** Small folders may hold texts; those with the compiled program do not. */
function mayBeText(folder: string): boolean {
  return !existsSync(join(folder, 'manifest.json')) && !/\/(?:node_modules|dist|translated)$/.test(folder);
}

/** Puts paths and addresses of the process' world in a text right for this one. */
function putRight(
  places: ReadonlyMap<string, string>,
  addressOf: (host: string, port: number) => string | undefined,
): (text: string) => string {
  const paths = [...places.keys()]
    .toSorted((a, b) => b.length - a.length)
    .map((path) => path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const known = new RegExp(`(?<![\\w./-])(${paths.join('|')})(?![\\w-])`, 'g');
  return (text) =>
    (paths.length === 0 ? text : text.replace(known, (path) => places.get(path)!)).replace(
      /(?<![\w.-])([a-z][a-z0-9.-]*|\d{1,3}(?:\.\d{1,3}){3}):(\d{4,5})(?!\d)/g,
      (whole, host: string, port: string) => addressOf(host, Number(port)) ?? whole,
    );
}
