import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childOf, type SandboxEnd } from './sandbox.ts';

/**
 * This machine's own systemd as process 1 of namespaces of its own: a machine to install a service on. Its files are those of this machine with
 * everything that is changed lying above them, and gone at the end; its network is a loopback.
 */
export class SystemdMachine implements Disposable {
  readonly #dir: string;
  readonly #child: ChildProcess;
  readonly #cgroups: readonly string[];
  readonly pid: number;

  private constructor(dir: string, child: ChildProcess, cgroups: readonly string[], pid: number) {
    this.#dir = dir;
    this.#child = child;
    this.#cgroups = cgroups;
    this.pid = pid;
  }

  /**
   * Boots it, with folders of this machine at other places, read-only, and the given lines in its /etc/hosts. @throws when the machine
   * does not allow that
   */
  static async boot(options: {
    readonly mounts: Readonly<Record<string, string>>;
    readonly hosts?: readonly string[];
  }): Promise<SystemdMachine> {
    const systemd = ['/lib/systemd/systemd', '/usr/lib/systemd/systemd'].find((path) => existsSync(path));
    if (systemd === undefined) throw new Error('systemd is not installed');
    if (process.getuid?.() !== 0) throw new Error('only root may');
    const dir = mkdtempSync(join(tmpdir(), 'trellis-machine-'));
    const cgroups = ownCgroups();
    const script = join(dir, 'boot.sh');
    writeFileSync(script, bootScript(dir, systemd, cgroups, options));
    for (const { place } of cgroups) mkdirSync(place);
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'sh', script], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH } });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    const places = cgroups.map(({ place }) => place);
    const endMs = performance.now() + 20_000;
    for (;;) {
      const pid = childOf(child.pid!);
      if (pid !== undefined) {
        const machine = new SystemdMachine(dir, child, places, pid);
        const state = machine.exec('systemctl is-system-running');
        if (/^(?:running|degraded)$/m.test(state.stdout)) return machine;
      }
      if (performance.now() > endMs || child.exitCode !== null || child.signalCode !== null) {
        new SystemdMachine(dir, child, places, pid ?? child.pid!)[Symbol.dispose]();
        throw new Error(`systemd did not come up: ${said.trim().slice(-500)}`);
      }
      await sleep(100);
    }
  }

  #argv(command: string): [string, string[]] {
    const spaces = ['--mount', '--pid', '--uts', '--ipc', '--net', '--cgroup'];
    return ['nsenter', ['-t', String(this.pid), ...spaces, 'env', '-i', `PATH=${PATH}`, 'HOME=/root', 'sh', '-ec', command]];
  }

  /** Runs a shell command as root on it, to its end. Waits at most two minutes. */
  exec(command: string): { code: number | null; stdout: string; stderr: string } {
    const [program, args] = this.#argv(command);
    const { status, stdout, stderr, error } = spawnSync(program, args, { env: { PATH }, timeout: 120_000 });
    return { code: status, stdout: String(stdout), stderr: String(stderr) + (error?.message ?? '') };
  }

  /** Starts a shell command as root on it. */
  start(command: string): { child: ChildProcess; ended: Promise<SandboxEnd> } {
    const [program, args] = this.#argv(command);
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH },
    });
    const said = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
    const ended = once(child, 'close').then(([code, signal]) => ({
      code: (code as number | null) ?? undefined,
      signal: (signal as NodeJS.Signals | null) ?? undefined,
      ...said,
    }));
    return { child, ended };
  }

  /** Process 1 ends, and everything on the machine with it. */
  [Symbol.dispose](): void {
    try {
      process.kill(this.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
    this.#child.kill('SIGKILL');
    for (let tries = 0; tries < 50 && !this.#cgroups.every(removeCgroup); tries++)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

interface Cgroup {
  /** Version 1, as far as systemd uses it to name its services. */
  readonly legacy: boolean;
  /** The group of its own that the machine gets. */
  readonly place: string;
}

/** The hierarchies that systemd needs, and a new group in each below our own: what systemd makes stays below it. */
function ownCgroups(): Cgroup[] {
  const own = readFileSync('/proc/self/cgroup', 'utf8');
  const name = `trellis-machine-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  const found = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .flatMap((line): Cgroup[] => {
      const [, mount = '', kind, flags = ''] = line.split(' ');
      if (kind !== 'cgroup2' && !(kind === 'cgroup' && flags.includes('name=systemd'))) return [];
      const path = (kind === 'cgroup2' ? /^0::(.*)$/m : /^\d+:name=systemd:(.*)$/m).exec(own)?.[1] ?? '/';
      return [{ legacy: kind === 'cgroup', place: join(mount, path, name) }];
    });
  if (found.length === 0) throw new Error('no control groups are mounted');
  return found;
}

/** Removes a group with those below it; false while somebody is still in one. */
function removeCgroup(place: string): boolean {
  if (!existsSync(place)) return true;
  try {
    for (const entry of readdirSync(place, { withFileTypes: true }))
      if (entry.isDirectory()) removeCgroup(join(place, entry.name));
    rmdirSync(place);
    return true;
  } catch {
    return false;
  }
}

// What would change the kernel below, which is everybody's, or wait for devices that are not there.
const NOT_HERE = [
  'systemd-sysctl.service systemd-binfmt.service systemd-modules-load.service systemd-remount-fs.service systemd-udevd.service',
  'systemd-udev-trigger.service systemd-random-seed.service systemd-update-utmp.service systemd-hwdb-update.service',
  'proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-fs-fuse-connections.mount',
  'sys-kernel-tracing.mount sys-kernel-config.mount systemd-tmpfiles-setup-dev.service kmod-static-nodes.service',
]
  .join(' ')
  .split(' ');

function bootScript(
  dir: string,
  systemd: string,
  cgroups: readonly Cgroup[],
  options: { readonly mounts: Readonly<Record<string, string>>; readonly hosts?: readonly string[] },
): string {
  const unified = cgroups.find(({ legacy }) => !legacy);
  const hybrid = cgroups.some(({ legacy }) => legacy);
  const inside = [
    'set -eu',
    `O=${dir}/over; R=${dir}/over/root`,
    'mount -t tmpfs over "$O"; mkdir "$O/up" "$O/work" "$R"',
    'mount -t overlay overlay -o "lowerdir=/,upperdir=$O/up,workdir=$O/work" "$R"',
    'mount -t proc proc "$R/proc"; mount --bind "$R/proc/sys" "$R/proc/sys"; mount -o remount,bind,ro "$R/proc/sys"',
    'mount -t tmpfs run "$R/run"; mount -t tmpfs tmp "$R/tmp"; mount -t sysfs -o ro sysfs "$R/sys"',
    // Nodes of its own: PrivateDevices= makes more of them after these.
    'mount -t tmpfs -o mode=755 dev "$R/dev"; for d in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "$R/dev/${d%:*}" c 1 "${d#*:}"; done; mknod -m 666 "$R/dev/tty" c 5 0',
    'ln -s pts/ptmx "$R/dev/ptmx"',
    'ln -s /proc/self/fd "$R/dev/fd"; mkdir "$R/dev/shm" "$R/dev/pts"; mount -t tmpfs -o mode=1777 shm "$R/dev/shm"',
    ...(hybrid
      ? [
          'mount -t tmpfs -o mode=755 cgroup "$R/sys/fs/cgroup"; mkdir "$R/sys/fs/cgroup/systemd" "$R/sys/fs/cgroup/unified"',
          'mount -t cgroup -o none,name=systemd cgroup "$R/sys/fs/cgroup/systemd"',
          ...(unified === undefined ? [] : ['mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup/unified"']),
        ]
      : ['mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"']),
    'rm -rf "$R"/etc/systemd/system/*.wants "$R/etc/machine-id"; echo 0123456789abcdef0123456789abcdef >"$R/etc/machine-id"',
    `for u in ${NOT_HERE.join(' ')}; do ln -sf /dev/null "$R/etc/systemd/system/$u"; done`,
    `printf '127.0.0.1 localhost\\n${(options.hosts ?? []).map((line) => `${line}\\n`).join('')}' >"$R/etc/hosts"`,
    ...Object.entries(options.mounts).map(
      ([target, source]) =>
        `mkdir -p "$R${target}"; mount --rbind "${source}" "$R${target}"; mount -o remount,bind,ro "$R${target}"`,
    ),
    'ip link set lo up 2>/dev/null || true',
    'mkdir "$R/.below"; cd "$R"; pivot_root . .below; cd /; umount -l /.below; rmdir /.below',
    // As at a boot: credentials are mounted by a child in a namespace of its own, and have to arrive here.
    'mount --make-rshared /',
    `container=trellis exec ${systemd} --system --log-target=null --show-status=no systemd.unit=basic.target`,
  ];
  return [
    'set -eu',
    ...cgroups.map(({ place }) => `echo $$ >${place}/cgroup.procs`),
    `mkdir ${dir}/over`,
    `cat >${dir}/inside.sh <<'INSIDE'\n${inside.join('\n')}\nINSIDE`,
    `exec unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child=KILL --propagation private sh ${dir}/inside.sh`,
    '',
  ].join('\n');
}
