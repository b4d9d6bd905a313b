import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findNatsServer } from '../../src/nats/server.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { blocksIn, textOf } from '../support/document.ts';
import { repository } from '../support/image.ts';
import { freePort } from '../support/free-port.ts';
import { startPlain } from '../support/plain-process.ts';
import { runProgram } from '../support/program.ts';
import { giveTo, sandboxObstacle, SandboxNetwork, type SandboxProcess } from '../support/sandbox.ts';
import { SystemdMachine } from '../support/systemd-machine.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { readUnitFile, unitValue, unitValues } from '../support/unit-file.ts';

const file = join(repository, 'config/systemd/trellis-host.service');
const unit = readUnitFile(file);
const service = (key: string): string => unitValue(unit, 'Service', key);
const SECRETS = ['ctl.creds', 'rpc.creds', 'host.seed', 'cluster.seed'];

/** What an operator brings to the machine: credentials, seeds, certificates and the configuration of its NATS server. */
let given: string;
/** What the machine makes of it here. */
let work: string;
let installed: string;
let machine: SystemdMachine | undefined;
let noMachine: string | undefined;
beforeAll(async () => {
  given = mkdtempSync(join(tmpdir(), 'trellis-given-'));
  work = mkdtempSync(join(tmpdir(), 'trellis-unit-'));
  for (const folder of [given, work]) chmodSync(folder, 0o755);
  await makeGiven();
  try {
    machine = await SystemdMachine.boot({
      mounts: { '/srv/trellis': repository, '/srv/given': given, '/srv/node': join(process.execPath, '../..') },
      hosts: ['127.0.0.1 nats.example'],
    });
  } catch (error) {
    noMachine = (error as Error).message;
    console.warn(`No systemd could be started here, so the unit is tried without one: ${noMachine}`);
  }
});
afterAll(() => {
  machine?.[Symbol.dispose]();
  for (const folder of [given, work]) rmSync(folder, { recursive: true, force: true });
});

/** Operator, tenant, host and an operator's own user, all by the commands that people use. */
async function makeGiven(): Promise<void> {
  const authority = createCertificateAuthority();
  const { certPem, keyPem } = authority.issue('nats.example', { dnsNames: ['nats.example', 'localhost'] });
  writeFileSync(join(given, 'ca.pem'), authority.certPem);
  writeFileSync(join(given, 'server.pem'), certPem);
  writeFileSync(join(given, 'server-key.pem'), keyPem, { mode: 0o600 });
  const store = join(given, 'store');
  const trellis = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await runProgram('cli', args, { env: { HOME: given } });
    if (code !== 0) throw new Error(`trellis ${args.join(' ')}: ${stderr}`);
  };
  await trellis('auth', 'init', '--store', store);
  await trellis('auth', 'tenant', 'add', 'main', '--lattice', 'main', '--store', store);
  await trellis('auth', 'host', 'add', 'host-1', '--tenant', 'main', '--store', store);
  await trellis('auth', 'user', 'add', 'ada', '--kind', 'operator', '--tenant', 'main', '--store', store);
  await trellis(
    'auth',
    'export',
    '--store',
    store,
    '--out',
    join(given, 'nats'),
    '--listen',
    '0.0.0.0:4222',
    '--resolver',
    'memory',
    '--jetstream-dir',
    '/var/lib/nats',
    '--tls-cert',
    join(given, 'server.pem'),
    '--tls-key',
    join(given, 'server-key.pem'),
    '--tls-ca',
    join(given, 'ca.pem'),
  );
  await trellis('keys', 'gen', 'cluster', '--out', join(given, 'cluster.seed'));
  await trellis('keys', 'gen', 'server', '--out', join(given, 'host.seed'));
  copyFileSync(findNatsServer().path, join(given, 'nats-server'));
  // Paths in the configuration are those of this machine; there, the folder is called /srv/given.
  const conf = join(given, 'nats/nats-server.conf');
  writeFileSync(conf, readFileSync(conf, 'utf8').replaceAll(given, '/srv/given'));
  for (const partition of ['ctl', 'rpc']) copyFileSync(credsOf('host-1', partition), join(given, `${partition}.creds`));
  const caller = {
    lattice: 'main',
    ...Object.fromEntries(
      ['ctl', 'rpc'].map((name) => [
        name,
        { servers: ['tls://nats.example:4222'], credsFile: `/root/ada-${name}.creds`, tls: { caFile: '/etc/trellis/ca.pem' } },
      ]),
    ),
    trust: { clusterSeedFile: '/root/cluster.seed' },
  };
  writeFileSync(join(given, 'ada.yaml'), JSON.stringify(caller));
}

const credsOf = (user: string, partition: string): string => {
  const [found, ...more] = execFileSync('find', [join(given, 'nats/creds'), '-name', '*.creds'], { encoding: 'utf8' })
    .split('\n')
    .filter((path) => path.includes(user) && path.includes(partition));
  if (found === undefined || more.length > 0) throw new Error(`no creds of ${user} for ${partition}`);
  return found;
};

describe('trellis-host.service', () => {
  it('is a unit that systemd understands, and exposes little', () => {
    const text = readFileSync(file, 'utf8');
    // Here nothing is installed where the unit says.
    const copy = join(given, 'trellis-host.service');
    writeFileSync(copy, text.replaceAll('/opt/trellis/bin/node', '/bin/sh'));
    const analyze = (...args: string[]) => spawnSync('systemd-analyze', args, { encoding: 'utf8' });
    if (analyze('--version').error !== undefined) {
      console.warn('systemd-analyze is not installed here: of the unit only what this test reads itself is checked.');
    } else {
      const verified = analyze('verify', '--man=no', copy);
      expect(verified.stderr + verified.stdout).toBe('');
      expect(verified.status).toBe(0);
      // 10 is a service without any restriction; most that come with a distribution have 9.
      const security = analyze('security', '--offline=true', '--no-pager', '--threshold=15', copy);
      expect(security.stdout).toMatch(/Overall exposure level for trellis-host\.service: 1\.[0-5] OK/);
      expect(security.status).toBe(0);
    }
  });

  it('keeps what must not be forgotten', () => {
    expect(service('ExecStart').split(' ').slice(0, 2)).toEqual(['/opt/trellis/bin/node', '/opt/trellis/dist/daemon/main.js']);
    expect(unitValues(unit, 'Service', 'MemoryDenyWriteExecute')).toEqual([]);
    expect(service('LimitCORE')).toBe('0');
    expect(service('KillMode')).toBe('mixed');
    expect(unitValues(unit, 'Service', 'LoadCredential').map((line) => line.split(':')[0])).toEqual(SECRETS);
    const config = readFileSync(join(repository, 'config/host.production.yaml'), 'utf8');
    for (const name of SECRETS) expect(config).toContain(`credential:${name}\n`);
    const drainMs = Number(/^drainTimeoutMs: (\d+)$/m.exec(config)![1]);
    expect(Number(service('TimeoutStopSec')) * 1_000).toBeGreaterThanOrEqual(drainMs + 6_000);
  });
});

describe('without systemd', () => {
  /** Restrictions of the unit as far as they are made of namespaces, users and limits. */
  function processOf(dirs: Record<'etc' | 'credentials' | 'state' | 'cache', string>): SandboxProcess {
    expect(service('ProtectSystem')).toBe('strict');
    expect(service('PrivateTmp')).toBe('yes');
    expect(service('NoNewPrivileges')).toBe('yes');
    expect(service('CapabilityBoundingSet')).toBe('');
    const credentials = '/run/credentials/trellis-host.service';
    return {
      name: 'trellis-host',
      argv: service('ExecStart').split(' '),
      env: {
        CREDENTIALS_DIRECTORY: credentials,
        STATE_DIRECTORY: `/var/lib/${service('StateDirectory')}`,
        CACHE_DIRECTORY: `/var/cache/${service('CacheDirectory')}`,
        HOME: '/',
        USER: service('User'),
      },
      cwd: '/',
      uid: 10_003,
      gid: 10_003,
      mounts: [
        { source: installed, target: '/opt/trellis', readOnly: true },
        { source: dirs.etc, target: '/etc/trellis', readOnly: true },
        { source: dirs.credentials, target: credentials, readOnly: true },
        { source: dirs.state, target: `/var/lib/${service('StateDirectory')}`, readOnly: false },
        { source: dirs.cache, target: `/var/cache/${service('CacheDirectory')}`, readOnly: false },
      ],
      tmpfs: ['/tmp'],
      readOnlyRoot: true,
      coreLimit: Number(service('LimitCORE')),
    };
  }

  beforeAll(() => {
    installed = join(work, 'installed');
    execFileSync(process.execPath, [join(repository, 'setup/run.mjs'), 'install', installed], { stdio: 'pipe' });
  });

  const obstacle = sandboxObstacle();
  if (obstacle !== undefined) console.warn(`The unit is tried as a plain process here, confined by its user alone: ${obstacle}`);
  // Both where both are possible, so that the second is not first tried where it is needed.
  it.each(obstacle === undefined ? ['in namespaces', 'as a plain process'] : ['as a plain process'])(
    'serves under the restrictions of the unit, %s',
    async (how) => {
      const dirs = Object.fromEntries(
        ['etc', 'credentials', 'state', 'cache', 'nats-state'].map((name) => [name, join(work, how.replaceAll(' ', '-'), name)]),
      ) as Record<'etc' | 'credentials' | 'state' | 'cache' | 'nats-state', string>;
      for (const dir of Object.values(dirs)) mkdirSync(dir, { recursive: true });
      copyFileSync(join(given, 'ca.pem'), join(dirs.etc, 'ca.pem'));
      copyFileSync(join(repository, 'config/host.production.yaml'), join(dirs.etc, 'host.yaml'));
      for (const name of SECRETS) {
        copyFileSync(join(given, name), join(dirs.credentials, name));
        chmodSync(join(dirs.credentials, name), 0o400);
        giveTo(join(dirs.credentials, name), 10_003, 10_003);
      }
      for (const dir of [dirs.state, dirs.cache]) giveTo(dir, 10_003, 10_003);
      const nats: SandboxProcess = {
        name: 'nats',
        argv: ['/srv/given/nats-server', '-c', '/srv/given/nats/nats-server.conf'],
        env: {},
        cwd: '/',
        uid: process.getuid?.() ?? 0,
        gid: process.getgid?.() ?? 0,
        mounts: [
          { source: given, target: '/srv/given', readOnly: true },
          { source: dirs['nats-state'], target: '/var/lib/nats', readOnly: false },
        ],
        tmpfs: ['/tmp'],
        readOnlyRoot: true,
      };
      const network = how === 'in namespaces' ? new SandboxNetwork() : undefined;
      const running: { kill(): void }[] = [];
      try {
        const address = network?.nextAddress();
        const ports = { 4222: freePort(), 9464: freePort() };
        const place = (name: string) => ({
          root: join(work, `${how.replaceAll(' ', '-')}-roots`, name),
          addressOf: (host: string, port: number) =>
            port === 4222 || port === 9464 ? `${host === 'nats.example' ? 'localhost' : '127.0.0.1'}:${ports[port]}` : undefined,
        });
        const server = network?.start(nats, { address: address! }) ?? startPlain(nats, place('nats'));
        running.push(server);
        const spec = { ...processOf(dirs), hosts: { 'nats.example': address ?? '127.0.0.1' } };
        const host = network?.start(spec, { address: network.nextAddress() }) ?? startPlain(spec, place('host'));
        running.push(host);
        const endMs = performance.now() + 60_000;
        while (!host.stderr.includes('"msg":"ready"')) {
          expect(await host.endedWithin(100), host.stderr + server.stderr).toBeUndefined();
          expect(performance.now(), host.stderr).toBeLessThan(endMs);
        }
        expect(host.stderr).toContain('"component":"echo"');
        if (network !== undefined) {
          const writable = await host.exec([
            '/bin/sh',
            '-c',
            'for d in / /opt/trellis /etc/trellis /usr /run /run/credentials/trellis-host.service /tmp /var/lib/trellis /var/cache/trellis; do touch $d/x 2>/dev/null && echo $d; done; exit 0',
          ]);
          expect(writable.stdout.trim().split('\n')).toEqual(['/tmp', '/var/lib/trellis', '/var/cache/trellis']);
        }
        const startMs = performance.now();
        host.signal('SIGTERM');
        const end = await host.endedWithin(Number(service('TimeoutStopSec')) * 1_000);
        expect(end, host.stderr).toMatchObject({ code: 0 });
        const stoppedMs = performance.now() - startMs;
        await takesAtMost(5_000, () => stoppedMs);
      } finally {
        for (const each of running) each.kill();
        network?.end();
      }
    },
  );
});

describe('docs/install.md, on a machine with systemd', () => {
  const journal = (): string =>
    machine!.exec(
      'systemctl status trellis-host --no-pager -n 0 || true; journalctl --sync || true; journalctl -u trellis-host --no-pager -n 200 --output=cat',
    ).stdout;
  const sh = (command: string): string => {
    const { code, stdout, stderr } = machine!.exec(`PATH=/srv/node/bin:$PATH; cd /srv/trellis; ${command}`);
    if (code !== 0) throw new Error(`${command}\n${stdout}\n${stderr}\n${journal()}`);
    return stdout;
  };
  const show = (property: string): string => sh(`systemctl show trellis-host --property=${property} --value`).trim();
  const until = async (what: string, done: () => boolean): Promise<void> => {
    const endMs = performance.now() + 30_000;
    while (!done()) {
      expect(performance.now(), `${what}\n${journal()}`).toBeLessThan(endMs);
      await sleep(200);
    }
  };

  it('installs, serves, is confined, restarts and stops as it says', async (context) => {
    if (machine === undefined) {
      // What is left without a machine to install on: commands that a shell reads, and files that are there.
      await context.annotate(`only read, not run: ${noMachine}`);
      const blocks = blocksIn(textOf('docs/install.md'));
      expect(blocks.length).toBeGreaterThan(4);
      for (const { commands } of blocks) {
        execFileSync('/bin/sh', ['-n', '-c', commands]);
        const used = [...commands.matchAll(/\/opt\/trellis\/(\S+)/g)].map(([, path]) => path!);
        expect(used.filter((path) => !existsSync(join(installed, path)))).toEqual([]);
      }
      return;
    }
    for (const { commands } of blocksIn(textOf('docs/install.md')).slice(0, 4)) sh(commands);
    sh('systemd-run --unit=nats-server -p StateDirectory=nats /srv/given/nats-server -c /srv/given/nats/nats-server.conf');
    sh(
      'cp /srv/given/ca.pem /etc/trellis/ca.pem; cd /srv/given; cp ctl.creds rpc.creds cluster.seed /etc/trellis/credentials/; chmod 0400 /etc/trellis/credentials/*',
    );
    for (const { commands } of blocksIn(textOf('docs/install.md')).slice(4)) sh(commands);
    expect(show('ActiveState')).toBe('active');
    expect(show('StatusText')).not.toBe('');

    // It serves: a signed call by an operator, over TLS.
    sh(
      `cp ${credsOf('ada', 'ctl').replace(given, '/srv/given')} /root/ada-ctl.creds; cp ${credsOf('ada', 'rpc').replace(given, '/srv/given')} /root/ada-rpc.creds; cp /srv/given/cluster.seed /root/; chmod 0600 /root/*.creds /root/cluster.seed`,
    );
    const call = `/opt/trellis/bin/trellis call echo echo-point --json '[{"x": 3, "y": -4}]' --config /srv/given/ada.yaml`;
    expect(JSON.parse(sh(call))).toEqual({ x: 3, y: -4 });

    // The restrictions are those of the process, and of its runners.
    const pid = show('MainPID');
    const pids = [pid, ...sh(`pgrep -P ${pid}`).trim().split('\n')];
    expect(pids.length).toBeGreaterThan(1);
    for (const each of pids) {
      const status = sh(`cat /proc/${each}/status`);
      expect(status).not.toMatch(/^Uid:\s0/m);
      expect(status).toMatch(/^CapEff:\s0+$/m);
      expect(status).toMatch(/^CapBnd:\s0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\s1$/m);
      expect(status).toMatch(/^Seccomp:\s2$/m);
      expect(sh(`cat /proc/${each}/limits`)).toMatch(/^Max core file size +0 +0 /m);
    }
    const write = (dir: string): boolean =>
      machine!.exec(`nsenter -t ${pid} -m setpriv --reuid trellis --regid trellis --clear-groups touch ${dir}/x`).code === 0;
    expect(
      ['/', '/opt/trellis', '/etc/trellis', '/usr', '/var/lib', '/home', '/tmp', '/var/lib/trellis', '/var/cache/trellis'].filter(
        write,
      ),
    ).toEqual(['/tmp', '/var/lib/trellis', '/var/cache/trellis']);
    // What was written to its /tmp is not in ours.
    expect(machine.exec('ls /tmp/x').code).not.toBe(0);
    expect(sh(`stat -c %a /run/credentials/trellis-host.service/cluster.seed`).trim()).toMatch(/^4[04]0$/);
    expect(sh(`tr '\\0' '\\n' </proc/${pid}/environ`)).not.toMatch(/S[CUN][A-Z2-7]{50}/);

    // The configuration is read again by the same process.
    sh(`sed -i 's/^  level: info$/  level: debug/' /etc/trellis/host.yaml; systemctl reload trellis-host`);
    await until('it did not reload', () => /"level":"debug"/.test(journal()) && show('ActiveState') === 'active');
    expect(show('MainPID')).toBe(pid);
    expect(JSON.parse(sh(call))).toEqual({ x: 3, y: -4 });

    // Killed, it comes back by itself.
    sh(`kill -KILL ${pid}`);
    await until('it was not started again', () => show('NRestarts') === '1' && show('ActiveState') === 'active');
    expect(JSON.parse(sh(call))).toEqual({ x: 3, y: -4 });

    // Stopped, it ends well before anybody has to kill it.
    const startMs = performance.now();
    sh('systemctl stop trellis-host');
    expect(performance.now() - startMs).toBeLessThan(8_000);
    expect([show('Result'), show('ExecMainStatus')]).toEqual(['success', '0']);

    // A configuration that cannot be right is not tried over and over.
    sh(`sed -i 's/^lattice: main$/lattice: "not a name"/' /etc/trellis/host.yaml`);
    expect(machine.exec('systemctl restart trellis-host').code).not.toBe(0);
    expect([show('ActiveState'), show('ExecMainStatus')]).toEqual(['failed', '78']);
    await sleep(Number(service('RestartSec')) * 1_000 + 500);
    expect(show('ActiveState')).toBe('failed');
  });
});
