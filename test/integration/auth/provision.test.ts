import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { provision } from '../../../src/auth/provision.ts';
import { silentLogger } from '../../../src/telemetry/log.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { credsOf, makeAuthLattice } from '../../support/auth-lattice.ts';
import { linkOf, openCtl, startDataHost } from '../../support/lattice-data.ts';
import { memberConfig, seedFile, startTrustHost, until } from '../../support/trust-lattice.ts';

describe('hosts that may not make buckets', () => {
  it.each(['one-account', 'two-accounts'] as const)('use those that were made for them (%s)', async (layout) => {
    await using lattice = await makeAuthLattice();
    await lattice.addTenant('acme', { lattice: 'lab', layout, extensions: [] });
    const member = await lattice.addMember('host', 'h');
    const { url } = await lattice.server();
    const options = { tenant: 'acme', servers: [url], nowMs: Date.now(), log: silentLogger() };
    const ownTmp = join(lattice.dir, 'tmp');
    mkdirSync(ownTmp);
    vi.stubEnv('TMPDIR', ownTmp);
    const buckets = ['LATTICETRUST_lab', 'LATTICEDATA_lab', 'CONFIGDATA_lab'];
    expect(await provision(lattice.store, options)).toEqual(buckets);
    // Again: they are there.
    expect(await provision(lattice.store, options)).toEqual(buckets);
    vi.unstubAllEnvs();
    expect(readdirSync(ownTmp)).toEqual([]);
    const config = memberConfig(url, {
      dev: false,
      lattice: 'lab',
      ctl: { servers: [url], credsFile: credsOf(member, 'ctl') },
      rpc: { servers: [url], credsFile: credsOf(member, 'rpc') },
      trust: { clusterSeedFile: seedFile(lattice.dir, 'cluster', SigningKey.generate('cluster')), store: 'required' },
    });
    await using host = await startTrustHost(config);
    expect(host.host.status().ready).toBe(true);
    // START-16 is about the version of the server that the tests have.
    const warnings = host.logged.filter(({ level, code }) => level !== 'info' && level !== 'debug' && code !== 'START-16');
    expect(warnings).toEqual([]);

    // What hosts do with the links and configurations of the lattice, by the rights of their kind alone.
    const connections = [await openCtl(url, 'lab', credsOf(member, 'ctl')), await openCtl(url, 'lab', credsOf(member, 'ctl'))];
    const refused: unknown[] = [];
    for (const ctl of connections) ctl.onStatus((event) => void (event.type === 'error' && refused.push(event.error.details)));
    await using a = await startDataHost(url, 'lab', { ctl: connections[0]!, checkEveryMs: 600_000 });
    await using b = await startDataHost(url, 'lab', { ctl: connections[1]!, checkEveryMs: 600_000 });
    expect([a.data.state, b.data.state]).toEqual(['current', 'current']);
    await a.data.putConfig('one', { a: '1' });
    const bundle = await b.data.openConfig(['one']);
    await a.data.ensureSpec('echo', 'file:///echo');
    for (let at = 0; at < 40; at++) await a.data.putLink(linkOf(`echo${at}`, 'kv'));
    await until(() => b.data.links().length === 40);
    await b.data.deleteLink({ source_id: 'echo1', name: 'default', wit_namespace: 'wasi', wit_package: 'keyvalue' });
    await b.data.deleteConfig('one');
    await until(() => a.data.links().length === 39 && Object.keys(bundle.values()).length === 0);
    // As many as a host that starts later asks for in one piece.
    await using late = await startDataHost(url, 'lab', { ctl: await openCtl(url, 'lab', credsOf(member, 'ctl')) });
    expect(late.data.links()).toHaveLength(39);
    expect([refused, a.standing(), b.standing(), late.standing()]).toEqual([[], [], [], []]);
  });

  it('are told when the server has no JetStream', async () => {
    await using lattice = await makeAuthLattice({ jetstream: false });
    await lattice.addTenant('acme');
    const { url } = await lattice.server();
    const options = { tenant: 'acme', servers: [url], nowMs: Date.now(), log: silentLogger() };
    await expect(provision(lattice.store, options)).rejects.toMatchObject({ code: 'TRELLIS_TRUST_STORE' });
  });
});
