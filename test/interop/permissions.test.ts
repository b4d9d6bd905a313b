import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { credsAuthenticator } from 'nats';
import { expect, it } from 'vitest';
import { credsOf, makeAuthLattice } from '../support/auth-lattice.ts';
import { startLatticeHost } from '../support/lattice-host.ts';
import { until } from '../support/raw-peer.ts';
import { WADM, WASH } from './peer-programs.ts';
import { wordsApplication, WORDS_VERSIONS } from './recording/words-application.ts';
import { appStatus, startWadm } from './wadm.ts';
import { Wash } from './wash.ts';
import { describeWithPeers } from './with-peers.ts';
import { SAY, takesWords, WORDS } from './words.ts';

describeWithPeers('the users that `trellis auth` makes for the real wash and wadm', [WASH, WADM], () => {
  it('are enough for commands, calls and applications, and no message of them is refused', async () => {
    await using auth = await makeAuthLattice();
    await auth.addTenant('acme', {
      lattice: 'lab',
      extensions: ['make-buckets', 'wadm', 'default-inbox', 'rust-peers', 'spy'],
    });
    const member = await auth.addMember('host', 'web-1');
    const ann = await auth.addMember('operator', 'ann', { spies: true });
    const manager = await auth.addMember('wadm', 'manager');
    const server = await auth.server();
    // A host tries at its start what it may not do; wash and wadm have no reason to.
    const peers = [...ann.users, ...manager.users].map(({ publicKey }) => publicKey);
    const refused = (): string[] =>
      server
        .log()
        .split('\n')
        .filter((line) => line.includes('Violation') && peers.some((key) => line.includes(key)));
    await using wadm = startWadm(server.port, '--nats-creds-file', credsOf(manager, 'ctl'));
    await using host = await startLatticeHost(
      server.url,
      {
        lattice: 'lab',
        labels: { zone: 'here' },
        heartbeatIntervalMs: 5_000,
        ctl: { credsFile: credsOf(member, 'ctl') },
        rpc: { credsFile: credsOf(member, 'rpc') },
        ...takesWords(),
      },
      { authenticator: credsAuthenticator(readFileSync(credsOf(ann, 'ctl'))) },
    );
    using wash = new Wash(server.port, 'lab', {
      WASH_CTL_CREDS: credsOf(ann, 'ctl'),
      WASH_RPC_CREDS: credsOf(ann, 'rpc'),
    });

    expect((await wash.json('get', 'hosts'))['hosts']).toMatchObject([{ id: host.id }]);
    await wash.json('config', 'put', 'words', 'word=first');
    await wash.json('start', 'component', `${WORDS}/speaker-one.wasm`, 'speaker');
    await wash.json('link', 'put', 'asker', 'speaker', 'trellis-samples', 'words', '--interface', 'words');
    await wash.json('label', host.id, 'tier=front');
    expect((await wash.json('call', 'speaker', SAY))['result']).toBe('one');
    await wash.json('link', 'del', 'asker', 'trellis-samples', 'words');
    await wash.json('stop', 'component', 'speaker');
    await wash.json('config', 'del', 'words');

    const manifest = join(wash.home, 'words.json');
    writeFileSync(manifest, wordsApplication(WORDS, WORDS_VERSIONS[0]!));
    await wash.json('app', 'put', manifest);
    await wash.json('app', 'deploy', 'words', 'v1');
    await appStatus(wash, 'words', 'deployed');
    await wash.json('app', 'undeploy', 'words');
    await until(
      'all have stopped',
      async () => {
        const { inventories } = await wash.json('get', 'inventory', host.id);
        return (inventories as unknown as { components: unknown[] }[])[0]!.components.length === 0;
      },
      60_000,
    );
    await wash.json('stop', 'host', host.id);
    expect((await host.daemon.program.ended).code).toBe(0);

    expect(refused()).toEqual([]);
    expect(wadm.stderr).not.toMatch(/permissions violation/i);
  }, 240_000);

  it('keep one lattice out of the other', async () => {
    await using auth = await makeAuthLattice();
    await auth.addTenant('acme', { lattice: 'lab', extensions: ['make-buckets', 'default-inbox'] });
    const ann = await auth.addMember('operator', 'ann');
    const server = await auth.server();
    using wash = new Wash(server.port, 'other', { WASH_CTL_CREDS: credsOf(ann, 'ctl') });
    const end = await wash.run('config', 'put', 'words', 'word=first');
    expect(end.code).not.toBe(0);
    expect(server.log()).toMatch(/Publish Violation|Permissions Violation/i);
  });
});
