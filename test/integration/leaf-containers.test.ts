import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findNatsServer } from '../../src/nats/server.ts';
import { type ComposeProject, readComposeFile } from '../support/compose-file.ts';
import { ComposeStack, type StackLevel } from '../support/compose-stack.ts';
import { type BuiltImage, buildImage, natsImage, repository } from '../support/image.ts';
import { podAsProject } from '../support/kubernetes-file.ts';
import { giveFolder, type LeafDeployment, makeLeafDeployment, withHub } from '../support/leaf-hub-service.ts';
import { sandboxObstacle } from '../support/sandbox.ts';

const FILES = { compose: 'config/leaf/compose.yaml', kubernetes: 'config/kubernetes/trellis-host.yaml' } as const;
const obstacle = sandboxObstacle();
const level: StackLevel = obstacle === undefined ? 'namespaces' : 'plain';

if (obstacle !== undefined) console.warn(`The containers run as plain processes here, confined by their user alone: ${obstacle}`);

let root: string;
let built: BuiltImage;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'trellis-leaf-'));
  chmodSync(root, 0o711);
  built = await buildImage([join(repository, 'config/compose/hello.yaml')]);
});
afterAll(() => {
  built[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});

/** The services of a file, with a hub beside them. */
async function projectOf(kind: keyof typeof FILES): Promise<ComposeProject> {
  const file = join(repository, FILES[kind]);
  const dir = mkdtempSync(join(root, `${kind}-`));
  const made: LeafDeployment = await makeLeafDeployment(dir, file);
  for (const [folder, uid] of [
    [made.hub, 10_003],
    [made.caller, 10_003],
    [made.leaf, 10_002],
    [made.host, 10_001],
  ] as const) {
    giveFolder(folder, readdirSync(folder), uid);
  }
  if (kind === 'compose') return withHub(readComposeFile(file, { env: { LEAF_FILES: made.leaf, HOST_FILES: made.host } }), made);
  const place = { podName: 'trellis-host-7c9-x2', dir: join(dir, 'volumes'), networks: ['uplink'] };
  return withHub(podAsProject(file, { ...place, secrets: { 'trellis-leaf': made.leaf, 'trellis-host': made.host } }), made);
}

describe('config/leaf/compose.yaml', () => {
  it('confines both services, and publishes nothing', () => {
    const { services } = readComposeFile(join(repository, FILES.compose), { env: { LEAF_FILES: '/l', HOST_FILES: '/h' } });
    expect(Object.keys(services)).toEqual(['leaf', 'host']);
    for (const service of Object.values(services)) {
      expect(service, service.name).toMatchObject({
        readOnlyRoot: true,
        capDrop: ['ALL'],
        securityOpt: ['no-new-privileges:true'],
        coreLimit: 0,
        ports: [],
        privileged: false,
      });
      for (const { kind, readOnly } of service.mounts) expect(readOnly).toBe(kind === 'bind');
    }
    expect(services['host']).toMatchObject({ sharesNetworkOf: 'leaf', dependsOn: { leaf: 'service_healthy' } });
    expect(services['host']!.stopGracePeriodMs).toBeGreaterThan(15_000);
  });
});

describe.each(['compose', 'kubernetes'] as const)('the containers of %s', (kind) => {
  it('serve calls from the hub by their loopback alone, go on without the hub, and stop in order', async () => {
    // The server of this machine may be one with published faults, which a host refuses in production.
    const image = { ...built.image, env: { ...built.image.env, TRELLIS_ALLOW: 'vulnerable-server' } };
    using stack = new ComposeStack(await projectOf(kind), { trellis: image, nats: natsImage(join(root, 'nats')) }, level);
    await stack.up('', 60_000);
    const call = () => stack.run('call', ['hello', 'greeting.greet', '--json', '["Ada"]']);
    expect(await call()).toMatchObject({ code: 0, stdout: '"Hello, Ada!"\n' });

    const host = stack.service('host');
    // By its own words: both partitions have at the hub what they need.
    const { version } = findNatsServer();
    for (const partition of version.startsWith('2.9.') ? [] : ['ctl', 'rpc']) {
      expect(host.stderr).toMatch(new RegExp(`"partition":"${partition}".*the hub grants the leaf node what this host needs`));
    }
    expect(host.stderr).not.toMatch(/"level":"?(?:error|50)/);

    if (level === 'namespaces') {
      const dial = (address: string, port: number): string[] => [
        'node',
        '-e',
        `require('node:net').connect(${port}, '${address}').on('error', ({ code }) => console.log(code)).on('connect', function () { console.log('open'); this.destroy(); })`,
      ];
      const inside = await host.exec(['/usr/local/bin/node', ...dial('127.0.0.1', 4222).slice(1)]);
      expect(inside.stdout).toBe('open\n');
      // What another container of the network reaches of the pod: nothing.
      const address = (
        await stack.service('leaf').exec(['node', '-e', `console.log(require('node:os').networkInterfaces().eth0[0].address)`])
      ).stdout.trim();
      for (const port of [4222, 8222, 9464]) {
        expect((await stack.service('hub').exec(dial(address, port))).stdout, `${address}:${port}`).toBe('ECONNREFUSED\n');
      }
      // Each container sees its own files alone.
      const seen = async (name: string): Promise<string> =>
        (await stack.service(name).exec(['/bin/sh', '-c', 'ls /run /run/*; touch /run/x /run/*/x 2>&1'])).stdout;
      expect(await seen('host')).not.toMatch(/creds|leaf\.conf/);
      expect(await seen('leaf')).not.toMatch(/cluster\.seed|leaf-ctl\.seed/);
    }

    // The hub goes: the pod stays healthy, for those in it go on without. (leaf-faults.test.ts has its return.)
    stack.service('hub').kill();
    await stack.service('hub').ended;
    await sleep(500);
    expect([await stack.healthy('leaf'), await stack.healthy('host')]).toEqual([true, true]);

    const stopped = await stack.stop();
    const order = stopped.map(({ name }) => name);
    expect(order.indexOf('host')).toBeLessThan(order.indexOf('leaf'));
    expect(stopped.find(({ name }) => name === 'host')).toMatchObject({ code: 0 });
  });
});
