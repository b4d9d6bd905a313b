import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { provision } from '../../../src/auth/provision.ts';
import { silentLogger } from '../../../src/telemetry/log.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { credsOf, makeAuthLattice } from '../../support/auth-lattice.ts';
import { memberConfig, seedFile, startTrustHost } from '../../support/trust-lattice.ts';

describe('hosts that may not make the trust bucket', () => {
  it.each(['one-account', 'two-accounts'] as const)('use the one that was made for them (%s)', async (layout) => {
    await using lattice = await makeAuthLattice();
    await lattice.addTenant('acme', { lattice: 'lab', layout, extensions: [] });
    const member = await lattice.addMember('host', 'h');
    const { url } = await lattice.server();
    const options = { tenant: 'acme', servers: [url], nowMs: Date.now(), log: silentLogger() };
    const ownTmp = join(lattice.dir, 'tmp');
    mkdirSync(ownTmp);
    vi.stubEnv('TMPDIR', ownTmp);
    expect(await provision(lattice.store, options)).toBe('LATTICETRUST_lab');
    // Again: it is there.
    expect(await provision(lattice.store, options)).toBe('LATTICETRUST_lab');
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
  });

  it('are told when the server has no JetStream', async () => {
    await using lattice = await makeAuthLattice({ jetstream: false });
    await lattice.addTenant('acme');
    const { url } = await lattice.server();
    const options = { tenant: 'acme', servers: [url], nowMs: Date.now(), log: silentLogger() };
    await expect(provision(lattice.store, options)).rejects.toMatchObject({ code: 'TRELLIS_TRUST_STORE' });
  });
});
