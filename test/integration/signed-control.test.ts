import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config/schema.ts';
import { ControlClient } from '../../src/control/control-client.ts';
import { askExplanations } from '../../src/control/explain.ts';
import { type SignControl, signControl } from '../../src/control/sign-control.ts';
import { latticeName } from '../../src/ids.ts';
import type { LatticeLink } from '../../src/lattice/links.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { mintDelegation } from '../../src/trust/delegation.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { credsOf, makeAuthLattice } from '../support/auth-lattice.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { Program, runProgram } from '../support/program.ts';
import { memberConfig, seedFile, startTrustHost, type TrustHost, until } from '../support/trust-lattice.ts';

// Whole hosts, and the client of the command line. What an attacker tries is in test/security/signed-control.test.ts.

const LATTICE = latticeName('default');
const LINK: LatticeLink = {
  source_id: 'a',
  target: 'b',
  name: 'default',
  wit_namespace: 'w',
  wit_package: 'p',
  interfaces: ['i'],
  source_config: [],
  target_config: [],
};
const issuer = SigningKey.generate('cluster');
const operator = SigningKey.generate('user');

let server: TestServer;
let ctl: LatticeConnection;
beforeAll(async () => {
  server = await startServer({ jetstream: true });
  ctl = await connectPartition({ partition: 'ctl', lattice: LATTICE, servers: [server.url], name: 'test', log: silentLogger() });
});
afterAll(async () => {
  await ctl.close();
  await server[Symbol.asyncDispose]();
});

const startHost = (name: string, mode: 'open' | 'signed'): Promise<TrustHost> =>
  startTrustHost(
    memberConfig(server.url, {
      stateDir: `${server.dir}/${name}`,
      hostSeedFile: seedFile(server.dir, name, hostKeys[name]!),
      trust: { clusterSeedFile: seedFile(server.dir, 'cluster', issuer) },
      control: { mode },
    }),
  );
const hostKeys: Readonly<Record<string, SigningKey>> = {
  signed: SigningKey.generate('server'),
  open: SigningKey.generate('server'),
};

function signing(commands: readonly string[] | '*' = '*'): SignControl {
  const delegation = mintDelegation(issuer, {
    lattice: LATTICE,
    subject: operator.publicKey,
    origins: [],
    targets: [],
    commands,
    epoch: 0,
    nowMs: Date.now(),
    lifetimeMs: 60_000,
  });
  return signControl({ key: operator, delegation: () => Promise.resolve(delegation), lattice: LATTICE, clock: systemClock });
}
const client = (sign?: SignControl): ControlClient =>
  new ControlClient({ ctl, lattice: LATTICE, timeoutMs: 5_000, ...(sign === undefined ? {} : { sign }) });

describe('a host with control.mode: signed', () => {
  it('is ruled by whoever signs, and by nobody else, and explains why not', async () => {
    await using running = await startHost('signed', 'signed');
    const { id } = running.host;
    const [signer, linker, anybody] = [client(signing()), client(signing(['link'])), client()];

    const refused = await anybody.putLabel(id, 'tier', 'gold');
    expect(refused).toEqual({ success: false, message: expect.stringMatching(/^this host takes signed commands only/) });
    for (const reply of [
      await anybody.putLink(LINK),
      await anybody.deleteLink(LINK),
      await anybody.putConfig('x', {}),
      await anybody.deleteConfig('x'),
      await anybody.stopHost(id),
      await linker.putConfig('x', { a: 'b' }),
      await linker.stopHost(id),
    ]) {
      expect(reply).toEqual({ success: false, message: expect.stringMatching(/explain/) });
    }
    expect(await anybody.links()).toMatchObject({ success: true, response: [] });
    expect(await anybody.inventory(id)).toMatchObject({ success: true });

    expect(await signer.putLabel(id, 'tier', 'gold')).toMatchObject({ success: true });
    expect(await linker.putLink(LINK)).toMatchObject({ success: true });
    expect(await signer.putConfig('x', { a: 'b' })).toMatchObject({ success: true });
    expect(await anybody.getConfig('x')).toMatchObject({ success: true, response: { a: 'b' } });
    await until(async () => (await anybody.links()).response?.length === 1);
    expect((await anybody.ping())[0]!.labels).toMatchObject({ tier: 'gold' });
    expect(await signer.deleteConfig('x')).toMatchObject({ success: true });
    expect(await linker.deleteLink(LINK)).toMatchObject({ success: true });

    const correlation = /explain (?:-- )?([\w-]{22})\)$/.exec(refused.message)![1]!;
    expect(await askExplanations(ctl, LATTICE, correlation, 5_000)).toMatchObject([
      { code: 'TRELLIS_CONTROL_DENIED', operation: 'label.put', detail: 'TRELLIS_VERIFY_UNSIGNED: no command token' },
    ]);
    expect(await signer.stopHost(id)).toMatchObject({ success: true });
    await running.host.closed;
  });

  it('carries out no copy that comes after a restart', async () => {
    const first = await startHost('signed', 'signed');
    const subject = `wasmbus.ctl.v1.default.label.put.${first.host.id}`;
    const payload = Buffer.from(JSON.stringify({ key: 'tier', value: 'gold' }));
    const reply = `${ctl.inboxPrefix}.once`;
    const entries = await signing()({ subject, reply, payload });
    const send = async (): Promise<unknown> => {
      const answer = await ctl.request(subject, payload, { timeoutMs: 5_000, reply, headers: { entries } });
      return JSON.parse(Buffer.from(answer.payload).toString());
    };
    expect(await send()).toMatchObject({ success: true });
    expect(await send()).toMatchObject({ success: false, message: expect.stringMatching(/^this is a copy/) });
    await first.stop();
    await using again = await startHost('signed', 'signed');
    expect(again.host.id).toBe(first.host.id);
    expect(await send()).toMatchObject({ success: false, message: expect.stringMatching(/^the signature is too old/) });
    expect((await client().ping())[0]!.labels).not.toHaveProperty('tier');
  });

  it('shares a lattice with open ones: signed commands count on both, and unsigned ones where they may', async () => {
    await using strict = await startHost('signed', 'signed');
    await using open = await startHost('open', 'open');
    const [signer, anybody] = [client(signing()), client()];
    for (const { host } of [strict, open]) expect(await signer.putLabel(host.id, 'a', '1')).toMatchObject({ success: true });
    expect(await anybody.putLabel(open.host.id, 'b', '2')).toMatchObject({ success: true });
    expect(await anybody.putLabel(strict.host.id, 'b', '2')).toMatchObject({ success: false });
    for (let at = 0; at < 8; at++) expect(await signer.putConfig('shared', { at: String(at) })).toMatchObject({ success: true });
    expect(await signer.deleteConfig('shared')).toMatchObject({ success: true });
  });
});

describe('the command line and the rights of `trellis auth`', () => {
  it('rule a host that takes signed commands only', async () => {
    await using auth = await makeAuthLattice();
    await auth.addTenant('acme');
    const [member, person] = [await auth.addMember('host', 'web'), await auth.addMember('operator', 'ada')];
    const servers = [(await auth.server()).url];
    const [cluster, lattice] = [SigningKey.generate('cluster'), latticeName('acme')];
    await using running = await startTrustHost(
      parseConfig({
        ...memberConfig(servers[0]!),
        lattice,
        stateDir: auth.dir,
        ctl: { servers, credsFile: credsOf(member, 'ctl') },
        rpc: { servers, credsFile: credsOf(member, 'rpc') },
        trust: { clusterSeedFile: seedFile(auth.dir, 'cluster', cluster) },
        control: { mode: 'signed' },
      }),
    );
    const { id } = running.host;
    const seed = seedFile(auth.dir, 'ops', operator);
    const dlg = join(auth.dir, 'ops.dlg');
    const common = ['--lattice', lattice, '--ctl-servers', servers[0]!, '--ctl-creds', credsOf(person, 'ctl')];
    const signed = [...common, '--sign-seed-file', seed, '--sign-delegation-file', dlg];
    const cli = (...args: string[]) => runProgram('cli', args, { env: { XDG_CONFIG_HOME: auth.dir } });
    const rights = ['--lattice', lattice, '--commands', 'config,label'];
    const minting = ['--seed-file', join(auth.dir, 'cluster.seed'), '--out', dlg, ...rights];
    const made = await cli('keys', 'delegate', operator.publicKey, ...minting);
    expect(made.code, made.stderr).toBe(0);

    const unsigned = await cli('label', id, 'tier=gold', ...common);
    expect([unsigned.code === 0, unsigned.stderr]).toEqual([false, expect.stringContaining('--sign-seed-file')]);
    for (const args of [
      ['label', id, 'tier=gold'],
      ['config', 'put', 'db', 'url=x'],
      ['config', 'del', 'db'],
    ]) {
      const done = await cli(...args, ...signed);
      expect(done.code, done.stderr).toBe(0);
    }
    // Without a delegation of its own it asks the issuer service, and gets what that allows.
    const byService = [...common, '--sign-seed-file', seed];
    const alone = await cli('label', id, 'tier=lead', ...byService);
    expect([alone.code === 0, alone.stderr]).toEqual([false, expect.stringContaining('TRELLIS_DELEGATION_UNAVAILABLE')]);
    const [list, ops] = [join(auth.dir, 'allow.yaml'), join(auth.dir, 'issuer.yaml')];
    writeFileSync(list, JSON.stringify({ allow: [{ operator: operator.publicKey, commands: ['label'] }] }));
    const ctlOf = { servers, credsFile: credsOf(await auth.addMember('issuer', 'signs'), 'ctl') };
    writeFileSync(ops, JSON.stringify({ dev: true, lattice, ctl: ctlOf, trust: { clusterIssuers: [cluster.publicKey] } }));
    await using service = new Program('cli', [
      'issuer',
      '--seed-file',
      join(auth.dir, 'cluster.seed'),
      '--allow',
      list,
      '--config',
      ops,
    ]);
    await service.logLine((line) => line['msg'] === 'issuer service ready');
    const served = await cli('label', id, 'tier=silver', ...byService);
    expect(served.code, served.stderr).toBe(0);
    const beyond = await cli('config', 'put', 'db', 'url=y', ...byService);
    expect([beyond.code === 0, beyond.stderr]).toEqual([false, expect.stringContaining('may not give such a command')]);

    const other = await cli('link', 'put', 'a', 'b', 'w', 'p', '--interface', 'i', ...signed);
    expect([other.code === 0, other.stderr]).toEqual([false, expect.stringContaining('this key may not give such a command')]);
    const shown = await cli('get', 'hosts', '--output', 'json', ...common);
    expect(shown.stdout).toContain('"tier": "silver"');
    expect(running.logged.filter(({ code }) => code === 'TRELLIS_NATS_PERMISSION')).toEqual([]);
  });
});
