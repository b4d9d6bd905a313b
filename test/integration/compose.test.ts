import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ComposeProject, readComposeFile } from '../support/compose-file.ts';
import { ComposeStack, type StackLevel } from '../support/compose-stack.ts';
import { type BuiltImage, buildImage, natsImage, repository } from '../support/image.ts';
import { runProgram } from '../support/program.ts';
import { sandboxObstacle } from '../support/sandbox.ts';

const file = join(repository, 'docker-compose.yml');
const obstacle = sandboxObstacle();
/** Where namespaces are allowed both forms run, so that neither is first tried on the machine that needs it. */
const levels: readonly StackLevel[] = obstacle === undefined ? ['namespaces', 'plain'] : ['plain'];
if (obstacle !== undefined)
  console.warn(`The services of docker-compose.yml run as plain processes here, confined by their user alone: ${obstacle}`);

let dir: string;
let built: BuiltImage;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'trellis-compose-'));
  // Services run as users of their own, and programs lie below.
  chmodSync(dir, 0o711);
  built = await buildImage(['config/compose/hello.yaml', 'config/compose/chain.yaml']);
});
afterAll(() => {
  built[Symbol.dispose]();
  rmSync(dir, { recursive: true, force: true });
});

const open = (project: ComposeProject, level: StackLevel): ComposeStack =>
  new ComposeStack(project, { trellis: built.image, nats: natsImage(join(dir, 'nats')) }, level);

/** Every file below a folder with size and time of its last change. */
function inventory(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => {
    // Not ctime: another test may give Node's file one more name.
    const { size, mtimeMs } = statSync(join(folder, name));
    return `${name} ${size} ${mtimeMs}`;
  });
}

describe('the image', () => {
  it('has no translator, compiler or set-up in it, and stays under 250 MB', () => {
    const names = readdirSync(built.dir, { recursive: true, encoding: 'utf8' });
    expect(
      names.filter((name) => /@bytecodealliance|binaryen|typescript|vitest|\/npm|componentize|\.ts$|\.map$|setup\//.test(name)),
    ).toEqual([]);
    const bytes = names
      .map((name) => statSync(join(built.dir, name)))
      .reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0);
    // What `docker image ls` says of the base image, unpacked; the files above are all that is added.
    const baseBytes = 78_600_000;
    expect(built.settings.base).toMatch(/^debian:trixie-\d{8}-slim@sha256:[0-9a-f]{64}$/);
    expect(bytes + baseBytes).toBeLessThan(250_000_000);
  });

  it('runs as a user of its own, by number, and ends in what the build stage made', () => {
    expect(built.settings).toMatchObject({
      user: '10001:10001',
      stopSignal: 'SIGTERM',
      entrypoint: ['/usr/local/bin/node', '/app/dist/daemon/main.js'],
    });
    expect(built.settings.steps).toEqual([
      'COPY --from=build /image/ /',
      'RUN install -d -m 0700 -o 10001 -g 10001 /var/lib/trellis /var/lib/trellis-keys',
    ]);
    // Nobody but root may write what is in it.
    const names = readdirSync(built.dir, { recursive: true, encoding: 'utf8' });
    expect(names.filter((name) => (statSync(join(built.dir, name)).mode & 0o022) !== 0)).toEqual([]);
  });
});

describe('a host without a translator', () => {
  const image = (...args: string[]) => {
    const [node, cli] = ['usr/local/bin/node', 'app/dist/cli/main.js'].map((path) => join(built.dir, path));
    return promisify(execFile)(node!, [cli!, ...args], { env: {} }).then(
      ({ stdout }) => ({ code: 0, stdout, stderr: '' }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  };
  const translated = (): string => join(built.dir, 'app/translated');

  it('finds what was translated while the image was built, whoever built it', async () => {
    const found = await image(
      'translate',
      '--config',
      join(built.dir, 'app/config/compose/chain.yaml'),
      '--cache-dir',
      translated(),
      '--output',
      'json',
    );
    expect(found.code).toBe(0);
    expect((JSON.parse(found.stdout) as { id: string; cached: boolean }[]).map(({ id, cached }) => [id, cached])).toEqual([
      ['greeter-chain', true],
      ['echo', true],
    ]);
  });

  it('says what to do about any other component, or one with another limit of memory', async () => {
    const other = join(dir, 'other.yaml');
    for (const [file, more] of [
      ['echo/echo-streams.wasm', ''],
      ['echo/echo.wasm', '    maxMemoryBytes: 1048576\n'],
    ] as const) {
      writeFileSync(other, `components:\n  - id: other\n    file: ${join(built.dir, 'app/components', file)}\n${more}`);
      const refused = await image('translate', '--config', other, '--cache-dir', translated());
      expect(refused.code, file).toBe(78);
      expect(refused.stderr).toContain('TRELLIS_COMPONENT_NOT_TRANSLATED');
      expect(refused.stderr).toContain('trellis translate --config');
    }
  });
});

describe('docker-compose.yml', () => {
  it('confines every service', () => {
    for (const profile of ['plain', 'tools', 'secure', 'secure-tools', 'leaf', 'leaf-tools']) {
      for (const service of Object.values(readComposeFile(file, { profiles: [profile] }).services)) {
        expect(service, service.name).toMatchObject({
          readOnlyRoot: true,
          capDrop: ['ALL'],
          capAdd: [],
          securityOpt: ['no-new-privileges:true'],
          privileged: false,
          coreLimit: 0,
        });
        expect(service.user ?? built.settings.user, service.name).toMatch(/^[1-9]\d{3,}:[1-9]\d{3,}$/);
        expect(service.image, service.name).toMatch(/^(?:trellis|[a-z]+:[\w.-]+@sha256:[0-9a-f]{64})$/);
        for (const { hostIp } of service.ports) expect(hostIp).toBe('127.0.0.1');
        for (const mount of service.mounts.filter(({ kind }) => kind === 'bind')) expect(mount.readOnly, mount.target).toBe(true);
      }
    }
    expect(readFileSync(join(repository, '.env'), 'utf8')).toContain('COMPOSE_PROFILES=plain\n');
  });

  it('gives hosts longer to stop than they take at most', () => {
    const { services } = readComposeFile(file, { profiles: ['plain'] });
    // drainTimeoutMs and what the daemon adds to it.
    for (const name of ['hello-host', 'chain-host']) expect(services[name]!.stopGracePeriodMs).toBeGreaterThan(15_000);
  });
});

// One form is enough for a file of which the other one tries the half below.
describe.each(levels.slice(0, 1))('docker compose --profile secure up, as %s processes', (level) => {
  it('makes all keys by itself, gives each service its own, and brings up a lattice in which all connections are checked', async () => {
    const project = readComposeFile(file, { profiles: ['secure', 'secure-tools'] });
    // The server of this machine stands for the pinned one, and may be one that production refuses.
    const image = { ...built.image, env: { ...built.image.env, TRELLIS_ALLOW: 'vulnerable-server' } };
    using stack = new ComposeStack(project, { trellis: image, nats: natsImage(join(dir, 'nats')) }, level);
    await stack.up('secure');
    const call = ['greeter-chain', 'greeter.greet-all', '--json', '[["Ada"]]'];
    expect(await stack.run('secure-call', call)).toMatchObject({ code: 0, stdout: '{"ok":["Hello, Ada!"]}\n' });
    for (const name of ['secure-hello-host', 'secure-chain-host']) {
      const { stderr } = stack.service(name);
      expect(stderr.split('\n').filter((line) => /"code":"START-(?!16)\d\d"/.test(line))).toEqual([]);
      expect(stderr).toContain('"tls":true');
    }
    const seen = await stack.service('secure-hello-host').exec(['ls', '/var/lib/trellis-keys']);
    expect(seen.stdout.split('\n').filter(Boolean)).toEqual(['ca.pem', 'cluster.seed', 'ctl.creds', 'rpc.creds']);
    // Whoever reaches the published port gets nowhere without credentials, with TLS or without.
    const servers = `127.0.0.1:${await stack.published('secure-nats', 4222)}`;
    const tls = { ca: readFileSync(join(stack.volume('secure-keys'), 'pki/ca.pem'), 'utf8'), servername: 'localhost' };
    await expect(connect({ servers, reconnect: false, tls })).rejects.toThrow(/[Aa]uthorization/);
    await expect(connect({ servers, reconnect: false })).rejects.toThrow();

    // A second start finds what the first one made, and lays it out again under the running services.
    const kept = (): string[] =>
      ['pki/ca.pem', 'hello-host/rpc.creds', 'cluster.seed'].map((name) =>
        readFileSync(join(stack.volume('secure-keys'), name), 'utf8'),
      );
    const before = kept();
    expect(await stack.run('secure-init', ['secure'])).toMatchObject({ code: 0 });
    expect(kept()).toEqual(before);
    expect(await stack.run('secure-call', call)).toMatchObject({ code: 0 });
    expect((await stack.stop()).filter(({ code }) => code !== 0)).toEqual([]);
  });
});

describe.each(levels.slice(0, 1))('docker compose --profile leaf up, as %s processes', (level) => {
  it('brings up hosts that reach each other through leaf nodes alone, and are reached from the hub', async () => {
    const project = readComposeFile(file, { profiles: ['leaf', 'leaf-tools'] });
    const image = { ...built.image, env: { ...built.image.env, TRELLIS_ALLOW: 'vulnerable-server' } };
    using stack = new ComposeStack(project, { trellis: image, nats: natsImage(join(dir, 'nats')) }, level);
    await stack.up('leaf', 60_000);
    expect(await stack.run('leaf-call', ['greeter-chain', 'greeter.greet-all', '--json', '[["Ada"]]'])).toMatchObject({
      code: 0,
      stdout: '{"ok":["Hello, Ada!"]}\n',
    });
    for (const name of ['leaf-hello-host', 'leaf-chain-host']) {
      const { stderr } = stack.service(name);
      // A leaf node says nothing of what its hub refuses; the host says that it knows nothing, and asks the hub itself.
      const told = stderr.split('\n').filter((line) => /"code":"START-(?!16)\d\d"/.test(line));
      expect(told.filter((line) => !line.includes('cannot be told from here'))).toEqual([]);
    }
    // The host holds no credentials of the hub, and its leaf node no seed of the lattice.
    const seen = async (name: string, folder: string): Promise<string[]> =>
      (await stack.service(name).exec(['ls', folder])).stdout.split('\n').filter(Boolean);
    expect(await seen('leaf-hello-host', '/run/host')).toEqual(['cluster.seed', 'host.yaml', 'leaf-ctl.seed']);
    expect(await seen('leaf-hello-node', '/run/leaf')).toEqual(['ca.pem', 'ctl.creds', 'leaf.conf', 'rpc.creds']);
    expect((await stack.stop()).filter(({ code }) => code !== 0)).toEqual([]);
  });
});

describe.each(levels)('docker compose up, as %s processes', (level) => {
  it('brings up two hosts of which one calls the other, serves calls from inside and outside, and stops in order', async () => {
    const before = inventory(built.dir);
    using stack = open(readComposeFile(file, { profiles: ['plain', 'tools'] }), level);
    await stack.up('plain');

    // docker compose run --rm call …
    const hello = await stack.run('call', ['hello', 'greeting.greet', '--json', '["Ada"]']);
    expect(hello).toMatchObject({ code: 0, stdout: '"Hello, Ada!"\n' });
    const chain = await stack.run('call', ['greeter-chain', 'greeter.greet-all', '--json', '[["Ada", "Grace"]]']);
    expect(chain).toMatchObject({ code: 0, stdout: '{"ok":["Hello, Ada!","Hello, Grace!"]}\n' });

    // From this computer, with the configuration for it, the key that `docker compose cp` would bring, and the published port.
    const port = await stack.published('nats', 4222);
    const seedFile = join(dir, 'compose.seed');
    writeFileSync(seedFile, readFileSync(join(stack.volume('keys'), 'cluster.seed')), { mode: 0o600 });
    const outside = join(dir, 'outside.yaml');
    const text = readFileSync(join(repository, 'config/compose/outside.yaml'), 'utf8');
    writeFileSync(outside, text.replaceAll(':4222', `:${port}`).replace('../../compose.seed', seedFile));
    const called = await runProgram('cli', ['call', 'hello', 'greeting.greet', '--json', '["Grace"]', '--config', outside]);
    expect(called).toMatchObject({ code: 0, stdout: '"Hello, Grace!"\n' });

    // Neither a core file nor a file anywhere but in the declared volumes.
    const host = stack.service('hello-host');
    const limits = readFileSync(`/proc/${host.pid}/limits`, 'latin1');
    expect(/^Max core file size +0 +0 /m.test(limits)).toBe(true);
    if (level === 'namespaces') {
      const writable = await host.exec([
        '/bin/sh',
        '-c',
        'for d in / /app /app/translated /etc /usr /tmp /var /var/lib /var/lib/trellis-keys /var/lib/trellis; do touch $d/x 2>/dev/null && echo $d; done; exit 0',
      ]);
      expect(writable.stdout.trim().split('\n')).toEqual(['/var/lib/trellis']);
      const status = await host.exec(['cat', '/proc/1/status']);
      expect(status.stdout).toMatch(/^Uid:\s10001\s10001\s10001\s10001$/m);
      expect(status.stdout).toMatch(/^CapEff:\s0+$/m);
      expect(status.stdout).toMatch(/^NoNewPrivs:\s1$/m);
      // The loopback of a host is its own: the other one and the server are not there.
      const alone = await host.exec([
        '/usr/local/bin/node',
        '-e',
        `require('node:net').connect(4222, '127.0.0.1').on('error', ({ code }) => console.log(code)).on('connect', () => console.log('open'))`,
      ]);
      expect(alone.stdout).toBe('ECONNREFUSED\n');
    }
    // The override is in the log of each start.
    expect(stack.service('chain-host').stderr).toMatch(/"allowance":"plaintext"|plaintext/);

    // One that dies is started again by its policy, and serves.
    stack.service('hello-host').kill();
    await stack.service('hello-host').ended;
    await stack.restart('hello-host');
    expect(await stack.run('call', ['hello', 'greeting.greet', '--json', '["Ada"]'])).toMatchObject({ code: 0 });

    const stopped = await stack.stop();
    const at = Object.fromEntries(stopped.map(({ name }, i) => [name, i]));
    expect(at['hello-host']).toBeLessThan(at['nats']!);
    expect(at['chain-host']).toBeLessThan(at['nats']!);
    expect(stopped.filter(({ code }) => code !== 0)).toEqual([]);
    expect(inventory(built.dir)).toEqual(before);
  });
});
