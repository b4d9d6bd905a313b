import { readFileSync } from 'node:fs';
import { credsAuthenticator } from 'nats';
import { expect, it } from 'vitest';
import { credsOf, login, makeAuthLattice } from '../support/auth-lattice.ts';
import { startLatticeHost } from '../support/lattice-host.ts';
import { WASH, WASMCLOUD } from './peer-programs.ts';
import { WasmcloudHost } from './wasmcloud-host.ts';
import { Wash } from './wash.ts';
import { describeWithPeers } from './with-peers.ts';
import { ASK, takesWords, WORDS } from './words.ts';

describeWithPeers('the users that `trellis auth host add --wasmcloud` makes for a real wasmCloud host', [WASH, WASMCLOUD], () => {
  it('are enough beside a Trellis host, and no message of it is refused', async () => {
    await using auth = await makeAuthLattice();
    await auth.addTenant('acme', { lattice: 'lab', extensions: ['make-buckets', 'default-inbox', 'rust-peers'] });
    const web = await auth.addMember('host', 'web-1');
    const old = await auth.addMember('host', 'old-1', { wasmcloud: true });
    const ann = await auth.addMember('operator', 'ann');
    const server = await auth.server();
    const refused = (): string[] =>
      server
        .log()
        .split('\n')
        .filter((line) => line.includes('Violation') && old.users.some(({ publicKey }) => line.includes(publicKey)));
    await using nc = await login(server.url, ann, 'ctl');
    // The first of the two makes the buckets.
    await using wasmcloud = await WasmcloudHost.start(nc, {
      port: server.port,
      lattice: 'lab',
      labels: { made: 'wasmcloud' },
      args: ['--ctl-creds', credsOf(old, 'ctl'), '--rpc-creds', credsOf(old, 'rpc')],
    });
    await using trellis = await startLatticeHost(
      server.url,
      {
        lattice: 'lab',
        labels: { made: 'trellis' },
        ctl: { credsFile: credsOf(web, 'ctl') },
        rpc: { credsFile: credsOf(web, 'rpc') },
        ...takesWords(),
      },
      { authenticator: credsAuthenticator(readFileSync(credsOf(ann, 'ctl'))) },
    );
    using wash = new Wash(server.port, 'lab', {
      WASH_CTL_CREDS: credsOf(ann, 'ctl'),
      WASH_RPC_CREDS: credsOf(ann, 'rpc'),
    });

    expect((await wash.json('get', 'hosts'))['hosts']).toHaveLength(2);
    await wash.json('config', 'put', 'words', 'word=first');
    // Either host may be the one that takes it.
    for (const name of ['default', 'second', 'third', 'fourth'])
      await wash.json('link', 'put', 'asker', 'speaker', 'trellis-samples', 'words', '--interface', 'words', '--link-name', name);
    for (const [serving, calling] of [
      ['trellis', 'wasmcloud'],
      ['wasmcloud', 'trellis'],
    ] as const) {
      const on = (made: string): string[] => ['--constraint', `made=${made}`];
      await wash.json('start', 'component', `${WORDS}/speaker-one.wasm`, 'speaker', ...on(serving));
      await wash.json('start', 'component', `${WORDS}/asker.wasm`, 'asker', '--config', 'words', ...on(calling));
      expect((await wash.json('call', 'asker', ASK))['result'], `${calling} calls ${serving}`).toBe('one');
      for (const host of [trellis.id, wasmcloud.id])
        for (const id of ['speaker', 'asker']) await wash.run('stop', 'component', id, '--host-id', host);
    }
    await wash.json('link', 'del', 'asker', 'trellis-samples', 'words', '--link-name', 'second');
    await wash.json('label', wasmcloud.id, 'tier=front');
    expect((await wash.json('get', 'inventory', wasmcloud.id))['inventories']).toMatchObject([{ labels: { tier: 'front' } }]);
    expect(refused()).toEqual([]);
  });
});
