import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fillTemplate } from '../../src/auth/permission-templates.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { followServeRights } from '../../src/nats/serve-rights.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { addLeafUsers, startLeafHub, templateRights } from '../support/leaf.ts';
import { LeafLattice } from '../support/leaf-lattice.ts';
import { startJwtServer, startServer } from '../support/nats-server.ts';
import { asUserPermissions } from '../support/permitted-users.ts';

const connect = (url: string, credsFile?: string): Promise<LatticeConnection> =>
  connectPartition({
    partition: 'rpc',
    lattice: 'lab',
    servers: [url],
    name: 'test',
    log: silentLogger(),
    ...(credsFile === undefined ? {} : { credsFile }),
  });
const calls = (id: string, lattice = 'lab'): string => `${lattice}.${id}.wrpc.0.0.1.x`;

describe('what a host may serve', () => {
  it('is everything where servers know no users', async () => {
    await using server = await startServer();
    await using connection = await connect(server.url);
    const rights = followServeRights(connection, { viaLeaf: false });
    await connection.flush();
    expect(rights.maySubscribe(calls('any'))).toBe(true);
    rights.close();
  });

  it('is what its user names, and follows it to another login', async () => {
    await using jwt = await startJwtServer();
    const user = (name: string, components: readonly string[]) =>
      jwt.rpc.addScopedUser(name, asUserPermissions(fillTemplate('host-rpc', { lattice: 'lab', components })));
    const [one, other] = [user('one', ['echo']), user('other', ['hello'])];
    await jwt.reload();
    await using connection = await connect(jwt.url, one.credsFile);
    const rights = followServeRights(connection, { viaLeaf: false });
    const may = (): boolean[] => [rights.maySubscribe(calls('echo')), rights.maySubscribe(calls('hello'))];
    await expect.poll(may).toEqual([true, false]);
    await connection.reconfigure({
      partition: 'rpc',
      lattice: 'lab',
      servers: [jwt.url],
      name: 'test',
      log: silentLogger(),
      credsFile: other.credsFile,
    });
    await expect.poll(may).toEqual([false, true]);
    rights.close();
  });

  it('is what the user of the leaf node may as well', async () => {
    const root = mkdtempSync(join(tmpdir(), 'trellis-test-'));
    await using hub = await startLeafHub(root);
    const rights = templateRights('host-rpc-leaf', 'far');
    const subscribe = rights.subscribe!.map((subject) => subject.replace('far.*.wrpc', 'far.near.wrpc'));
    const users = addLeafUsers(hub, 'far', { rpc: { ...rights, subscribe } });
    await using lattice = await LeafLattice.start(hub, 'both', 'far', users);
    await using connection = await lattice.connect('rpc', lattice.behind());
    const serving = followServeRights(connection, { viaLeaf: true });
    const may = (): boolean[] => [serving.maySubscribe(calls('near', 'far')), serving.maySubscribe(calls('other', 'far'))];
    await expect.poll(may).toEqual([true, hub.server.version.startsWith('2.9.')]);
    serving.close();
    rmSync(root, { recursive: true, force: true });
  });
});
