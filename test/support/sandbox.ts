import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Processes confined as a container engine or service manager confines them, by what every Linux has: `unshare`, `nsenter`, `setpriv`
 * and `prlimit` of util-linux. Each has a filesystem, process numbers, and (on a {@link SandboxNetwork}) a network of its own.
 */

/** A file or folder of this machine at another place. */
export interface SandboxMount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** A process, and everything it may see. */
export interface SandboxProcess {
  readonly name: string;
  readonly argv: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  /** Over `/usr` and what else of this machine programs need to run; later ones lie over earlier ones. */
  readonly mounts: readonly SandboxMount[];
  readonly tmpfs: readonly string[];
  readonly readOnlyRoot: boolean;
  /** Largest core file, bytes; the machine's own limit if left out. */
  readonly coreLimit?: number;
  /** Host names, as in /etc/hosts. */
  readonly hosts?: Readonly<Record<string, string>>;
  /** A program put before `argv`, such as one that loads a system call filter. Paths are those of the sandbox. */
  readonly wrapper?: readonly string[];
}

/** How a process ended. */
export interface SandboxEnd {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

const UNPRIVILEGED = process.getuid?.() !== 0;
const HOLDER_SECONDS = 1_000_000;
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * Why this machine cannot make such processes, or undefined if it can. Where it cannot (a container without the right to make
 * namespaces, for one), a test has to run the same commands as plain processes.
 */
export function sandboxObstacle(): string | undefined {
  if (process.platform !== 'linux') return `there are no namespaces on ${process.platform}`;
  for (const program of ['unshare', 'nsenter', 'setpriv', 'ip', 'mount', 'pivot_root']) {
    if (find(program) === undefined) return `${program} is not installed`;
  }
  const network = new SandboxNetwork();
  const probe = network.run({
    name: 'probe',
    argv: ['/bin/sh', '-c', 'touch /probe 2>/dev/null || id -u'],
    env: {},
    cwd: '/',
    uid: 10_001,
    gid: 10_001,
    mounts: [],
    tmpfs: ['/tmp'],
    readOnlyRoot: true,
  });
  network.end();
  return probe.stdout.trim() === '10001'
    ? undefined
    : `the first such process failed: ${(probe.stderr || probe.stdout).trim().slice(0, 300)}`;
}

function find(program: string): string | undefined {
  return ['/usr/bin', '/bin', '/usr/sbin', '/sbin'].map((folder) => join(folder, program)).find((path) => existsSync(path));
}

/**
 * A private network: a bridge that joins its processes, each with a loopback and an address of its own, and no way to this machine or
 * further. Ended by {@link SandboxNetwork.end}, with everything on it.
 */
export class SandboxNetwork {
  readonly #dir = mkdtempSync(join(tmpdir(), 'trellis-sandbox-'));
  readonly #holder: ChildProcess;
  readonly #running = new Set<RunningSandbox>();
  #addresses = 1;
  #scripts = 0;

  constructor() {
    chmodSync(this.#dir, 0o711);
    // Holds the namespace open, and is gone with this process.
    const script = `ip link set lo up && ip link add br0 type bridge && ip addr add 10.77.0.1/24 dev br0 && ip link set br0 up && echo up && exec sleep ${HOLDER_SECONDS}`;
    this.#holder = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...USER_NAMESPACE, '--net', 'sh', '-c', script], {
      stdio: ['ignore', 'ignore', 'ignore'],
      env: { PATH },
    });
    const endMs = performance.now() + 5_000;
    // What follows enters the namespace, so it must be there; nothing else runs meanwhile.
    while (performance.now() < endMs && !this.#ready()) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }

  #ready(): boolean {
    const probe = spawnSync('nsenter', [...this.#enter(), 'ip', '-o', 'link', 'show', 'br0', 'up'], { env: { PATH } });
    return probe.status === 0 && probe.stdout.length > 0;
  }

  /** Arguments by which nsenter goes where the bridge is. */
  #enter(): string[] {
    const pid = this.#holder.pid!;
    return [
      ...(UNPRIVILEGED ? [`--user=/proc/${pid}/ns/user`, '--preserve-credentials'] : []),
      `--net=/proc/${pid}/ns/net`,
      '--',
    ];
  }

  /** An address on this network that nobody has yet. */
  nextAddress(): string {
    this.#addresses += 1;
    return `10.77.0.${this.#addresses}`;
  }

  /** Starts a process with a loopback of its own, or with that of `shares`. Without an address it has no other network. */
  start(spec: SandboxProcess, place: { readonly address?: string; readonly shares?: RunningSandbox } = {}): RunningSandbox {
    const script = this.#write(spec, place);
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...script], { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH } });
    child.stdin.end();
    const running = new RunningSandbox(spec, child, (argv) => this.#inside(running, argv));
    this.#running.add(running);
    void running.ended.then(() => this.#running.delete(running));
    return running;
  }

  /** Runs a process to its end. */
  run(
    spec: SandboxProcess,
    place: { readonly address?: string } = {},
  ): { status: number | null; stdout: string; stderr: string } {
    const [program, ...args] = this.#write(spec, place);
    const { status, stdout, stderr, error } = spawnSync(program!, args, { env: { PATH }, timeout: 60_000 });
    return { status, stdout: String(stdout), stderr: String(stderr) + (error?.message ?? '') };
  }

  /** Returns a command of this machine that runs in the network of the bridge: what a published port is connected by. */
  onBridge(argv: readonly string[]): string[] {
    return ['setpriv', '--pdeathsig', 'KILL', 'nsenter', ...this.#enter(), ...argv];
  }

  /** Returns the command that runs `argv` beside a running process, seeing what it sees and allowed what it is allowed. */
  #inside(running: RunningSandbox, argv: readonly string[]): string[] {
    const ns = `/proc/${running.pid}/ns`;
    const user = UNPRIVILEGED ? [`--user=/proc/${this.#holder.pid}/ns/user`, '--preserve-credentials'] : [];
    const spaces = ['net', 'mnt', 'pid', 'uts', 'ipc'].map((name) => `--${name === 'mnt' ? 'mount' : name}=${ns}/${name}`);
    return ['nsenter', ...user, ...spaces, '--', ...this.#drop(running.spec), 'env', '-i', ...environment(running.spec), ...argv];
  }

  /** From root (of this machine, or of a user namespace) to the user of the process, without any capability or a way to one. */
  #drop({ uid, gid, coreLimit }: SandboxProcess): string[] {
    const limit = coreLimit === undefined ? [] : ['prlimit', `--core=${coreLimit}:${coreLimit}`];
    if (UNPRIVILEGED)
      return [...limit, 'unshare', `--map-user=${uid}`, `--map-group=${gid}`, 'setpriv', '--no-new-privs', '--pdeathsig', 'KILL'];
    return [
      ...limit,
      'setpriv',
      `--reuid=${uid}`,
      `--regid=${gid}`,
      '--clear-groups',
      '--inh-caps=-all',
      '--bounding-set=-all',
      '--no-new-privs',
      '--pdeathsig',
      'KILL',
    ];
  }

  /** Writes the script that builds the filesystem and becomes the process. Returns the command that runs it. */
  #write(spec: SandboxProcess, place: { readonly address?: string; readonly shares?: RunningSandbox }): string[] {
    const number = (this.#scripts += 1);
    const root = join(this.#dir, `${number}-root`);
    mkdirSync(root, { mode: 0o755 });
    const files = join(this.#dir, `${number}-etc`);
    mkdirSync(files);
    const hosts = { localhost: '127.0.0.1', ...spec.hosts };
    writeFileSync(
      join(files, 'hosts'),
      Object.entries(hosts)
        .map(([name, address]) => `${address} ${name}\n`)
        .join(''),
    );
    writeFileSync(join(files, 'passwd'), `root:x:0:0::/:/bin/sh\nservice:x:${spec.uid}:${spec.gid}::/:/bin/sh\n`);
    writeFileSync(join(files, 'group'), `root:x:0:\nservice:x:${spec.gid}:\n`);
    writeFileSync(join(files, 'nsswitch.conf'), 'hosts: files\n');
    writeFileSync(join(files, 'resolv.conf'), '');
    const lines = [
      'set -eu',
      `R=${quote(root)}`,
      // Binding keeps the flags of the mount beneath, and the kernel wants to hear them again.
      'ro() { mount -o remount,bind,ro "$1" 2>/dev/null || mount -o remount,bind,ro,nosuid,nodev "$1" 2>/dev/null || mount -o remount,bind,ro,nosuid,nodev,noexec,relatime "$1"; }',
      'at() { if [ -d "$1" ]; then mkdir -p "$2"; else mkdir -p "${2%/*}"; [ -e "$2" ] || : >"$2"; fi; mount --bind "$1" "$2"; }',
      `mount -t tmpfs -o mode=755 sandbox "$R"`,
      'mkdir -p "$R/usr" "$R/proc" "$R/dev" "$R/etc" "$R/run" "$R/tmp" "$R/var/lib" "$R/var/cache"; chmod 1777 "$R/tmp"',
      'mount --rbind /usr "$R/usr"; ro "$R/usr"',
      'mount -t tmpfs -o mode=755 local "$R/usr/local"; mkdir -p "$R/usr/local/bin"',
      ...['bin', 'sbin', 'lib', 'lib64', 'lib32'].flatMap(shortcut),
      'mount -t tmpfs -o mode=755 dev "$R/dev"',
      'for d in null zero full random urandom; do : >"$R/dev/$d"; mount --bind "/dev/$d" "$R/dev/$d"; done',
      'ln -s /proc/self/fd "$R/dev/fd"; ln -s fd/1 "$R/dev/stdout"; ln -s fd/2 "$R/dev/stderr"',
      `cp ${quote(files)}/* "$R/etc/"`,
      '[ ! -e /etc/ssl ] || at /etc/ssl "$R/etc/ssl"; [ ! -e /etc/ld.so.cache ] || at /etc/ld.so.cache "$R/etc/ld.so.cache"',
      'mount -t proc -o nosuid,nodev,noexec proc "$R/proc"',
      // Tmpfs last of all would hide what is mounted into it.
      ...spec.tmpfs.map((target) => `mkdir -p "$R"${quote(target)}; mount -t tmpfs -o mode=1777 tmp "$R"${quote(target)}`),
      ...spec.mounts.map(
        ({ source, target, readOnly }) =>
          `at ${quote(source)} "$R"${quote(target)}${readOnly ? `; ro "$R"${quote(target)}` : ''}`,
      ),
      `mkdir -p "$R"${quote(spec.cwd)}`,
      // Not chroot: a process in one may make no user namespace, by which the unprivileged get a user of their own.
      'mkdir "$R/.machine"; cd "$R"; pivot_root . .machine; cd /; umount -l /.machine; rmdir /.machine',
      ...(spec.readOnlyRoot ? ['ro /; ro /usr/local; ro /dev'] : []),
      `exec env -C ${quote(spec.cwd)} ${[...this.#drop(spec), 'env', '-i', ...environment(spec), ...(spec.wrapper ?? []), ...spec.argv].map(quote).join(' ')}`,
    ];
    const script = join(this.#dir, `${number}.sh`);
    writeFileSync(script, `${lines.join('\n')}\n`);
    const apart = [
      'unshare',
      '--mount',
      '--pid',
      '--ipc',
      '--uts',
      '--fork',
      '--kill-child=KILL',
      '--propagation',
      'private',
      'sh',
      script,
    ];
    if (place.shares !== undefined) {
      const user = UNPRIVILEGED ? [`--user=/proc/${this.#holder.pid}/ns/user`, '--preserve-credentials'] : [];
      return ['nsenter', ...user, `--net=/proc/${place.shares.pid}/ns/net`, '--', ...apart];
    }
    const bridge = `/proc/${this.#holder.pid}/ns/net`;
    const cable = [
      'ip link set lo up',
      ...(place.address === undefined
        ? []
        : [
            `ip link add eth0 type veth peer name v${number} netns ${bridge}`,
            `ip addr add ${place.address}/24 dev eth0`,
            'ip link set eth0 up',
            `nsenter --net=${bridge} ip link set v${number} master br0 up`,
          ]),
      `exec ${apart.map(quote).join(' ')}`,
    ];
    return ['nsenter', ...this.#enter(), 'unshare', '--net', 'sh', '-ec', cable.join('\n')];
  }

  /** Ends every process of the network, and the network. */
  end(): void {
    for (const running of this.#running) running.kill();
    this.#holder.kill('SIGKILL');
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** Folders that Debian keeps as links into /usr; elsewhere they are folders. */
function shortcut(name: string): string[] {
  const path = `/${name}`;
  if (!existsSync(path)) return [];
  if (lstatSync(path).isSymbolicLink()) return [`ln -s ${quote(readlinkSync(path))} "$R/${name}"`];
  return [`mkdir -p "$R/${name}"; mount --rbind ${path} "$R/${name}"; ro "$R/${name}"`];
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const USER_NAMESPACE = UNPRIVILEGED ? ['--user', '--map-root-user'] : [];
const environment = ({ env }: SandboxProcess): string[] =>
  Object.entries({ PATH, ...env }).map(([name, value]) => `${name}=${value}`);

/** A process in a sandbox. */
export class RunningSandbox {
  readonly spec: SandboxProcess;
  readonly ended: Promise<SandboxEnd>;
  stdout = '';
  stderr = '';
  readonly #child: ChildProcess;
  readonly #inside: (argv: readonly string[]) => string[];
  #pid: number | undefined;

  constructor(spec: SandboxProcess, child: ChildProcess, inside: (argv: readonly string[]) => string[]) {
    this.spec = spec;
    this.#child = child;
    this.#inside = inside;
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = once(child, 'close').then(([code, signal]) => {
      const number = code as number | null;
      // unshare dies of the signal its child died of.
      return {
        code: number ?? undefined,
        signal: (signal as NodeJS.Signals | null) ?? undefined,
        stdout: this.stdout,
        stderr: this.stderr,
      };
    });
  }

  /** Number of the process on this machine; it is 1 to itself. */
  get pid(): number {
    const endMs = performance.now() + 5_000;
    while (this.#pid === undefined && performance.now() < endMs) {
      this.#pid = childOf(this.#child.pid!);
      if (this.#pid === undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
    if (this.#pid === undefined) throw new Error(`${this.spec.name} did not start: ${this.stderr}`);
    return this.#pid;
  }

  /** Runs a command beside it. Waits at most 30 s. */
  exec(argv: readonly string[]): Promise<SandboxEnd> {
    const [program, ...args] = this.#inside(argv);
    const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH }, timeout: 30_000 });
    const said = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
    return once(child, 'close').then(([code, signal]) => ({
      code: (code as number | null) ?? undefined,
      signal: (signal as NodeJS.Signals | null) ?? undefined,
      ...said,
    }));
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name);
  }

  /** Waits for its end; undefined if it has not ended in time. */
  async endedWithin(timeoutMs: number): Promise<SandboxEnd | undefined> {
    return await Promise.race([this.ended, sleep(timeoutMs, undefined, { ref: false })]);
  }

  /** Ends it at once, and with it everything it started. */
  kill(): void {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const pid = this.#pid ?? childOf(this.#child.pid!);
    // The kernel forgets the wish to die with its parent when a process changes its user, so the parent's death is not enough.
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    else this.#child.kill('SIGKILL');
  }
}

/** The process that `pid` waits for, once that is the unshare that makes the last namespaces; before, it has other children. */
export function childOf(pid: number): number | undefined {
  try {
    if (!readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('\0--kill-child')) return undefined;
  } catch {
    return undefined;
  }
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid) return Number(name);
    } catch {
      // It has just ended.
    }
  }
  return undefined;
}

/** Gives a folder to the user of a sandboxed process, where this process may: an unprivileged one's own files are that user's already. */
export function giveTo(path: string, uid: number, gid: number): void {
  if (!UNPRIVILEGED) chownSync(path, uid, gid);
}
