import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeStore } from '../../../src/auth/describe-store.ts';
import type { AddedMember } from '../../../src/auth/members.ts';
import { signNatsJwt } from '../../../src/auth/nats-jwt.ts';
import { activationClaims } from '../../../src/auth/claims.ts';
import { readShare, writeShare, type Share } from '../../../src/auth/share-file.ts';
import { acceptShare, shareComponent, unshareComponent, type NewShare } from '../../../src/auth/sharing.ts';
import type { HostConfigInput } from '../../../src/config/schema.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { type AuthLattice, credsOf, login, makeAuthLattice } from '../../support/auth-lattice.ts';
import { BYTES, callShared } from '../../support/sharing.ts';
import { acrossReconnect, memberConfig, seedFile, startTrustCaller, startTrustHost, TINY } from '../../support/trust-lattice.ts';
import { runAuth } from '../../support/auth-command.ts';
import { type ResolverLattice, startResolverLattice } from '../../support/resolver-lattice.ts';

const keys = { acme: SigningKey.generate('cluster'), globex: SigningKey.generate('cluster') };
const NEW: Omit<NewShare, 'nowMs'> = {
  tenant: 'acme',
  component: 'tiny',
  interface: BYTES,
  functions: [],
  with: 'globex',
  issuers: [keys.acme.publicKey],
  callers: ['caller'],
};

/** A store with two tenants whose lattices have the same name, and a third one. */
async function makeLattice(): Promise<AuthLattice> {
  const lattice = await makeAuthLattice();
  for (const name of ['acme', 'globex', 'third']) await lattice.addTenant(name, { lattice: 'lab' });
  return lattice;
}

const shareIn = (lattice: AuthLattice, more: Partial<NewShare> = {}) =>
  lattice.store.change(() => shareComponent(lattice.store, { ...NEW, nowMs: Date.now(), ...more }));
const acceptIn = (lattice: AuthLattice, share: Share, as = 'acme-tiny', tenant = 'globex') =>
  lattice.store.change(() => acceptShare(lattice.store, { ...readShare(writeShare(share), Date.now()), tenant, as }));
const unshareIn = (lattice: AuthLattice) =>
  lattice.store.change(() => unshareComponent(lattice.store, { ...NEW, nowMs: Date.now() }));

const FOREIGN = [
  {
    lattice: 'lab',
    issuers: [keys.globex.publicKey],
    origins: ['caller'],
    target: 'tiny',
    interface: 'trellis-samples:echo/bytes',
  },
];
const TARGET = { lattice: 'lab', component: 'tiny', issuers: [keys.acme.publicKey] };
const GONE = expect.objectContaining({ code: expect.stringMatching(/NO_RESPONDERS|TIMEOUT/) as string }) as Error;

function configOf(dir: string, url: string, users: AddedMember, key: SigningKey, more: HostConfigInput = {}) {
  return memberConfig(url, {
    lattice: 'lab',
    ctl: { servers: [url], credsFile: credsOf(users, 'ctl') },
    rpc: { servers: [url], credsFile: credsOf(users, 'rpc') },
    ...more,
    trust: { clusterSeedFile: seedFile(dir, users.tenant.name, key), refusalGraceMs: 50, ...more.trust },
  });
}

describe('a share between two tenants of a running server', () => {
  let lattice: AuthLattice;
  let users: Record<'acme' | 'globex', AddedMember>;
  beforeAll(async () => {
    lattice = await makeLattice();
    users = {
      acme: await lattice.addMember('host', 'web'),
      globex: await lattice.addMember('host', 'web', { tenant: 'globex' }),
    };
  });
  afterAll(() => lattice[Symbol.asyncDispose]());

  it('carries calls from accept to unshare, and again after a new share: memory resolver', async () => {
    await acceptIn(lattice, (await shareIn(lattice, { functions: ['echo-bytes'] })).share);
    const { url } = await lattice.server();
    await using host = await startTrustHost(
      configOf(lattice.dir, url, users.acme, keys.acme, { components: [TINY], trust: { foreign: FOREIGN } }),
    );
    await using caller = await startTrustCaller(configOf(lattice.dir, url, users.globex, keys.globex));
    const call = (): Promise<Uint8Array> => callShared({ caller, target: TARGET, as: 'acme-tiny', timeoutMs: 15_000 });
    const reloaded = (): Promise<void> => acrossReconnect([host.host.member!.rpc, caller.member.rpc], () => lattice.reload());
    expect([...(await call())]).toEqual([3, 1, 2, 3]);
    // Nothing but the function that the activation is for.
    await using nc = await login(url, users.globex, 'rpc');
    await expect(nc.request(`lab.acme-tiny.wrpc.0.0.1.${BYTES}.other`, '', { timeout: 300 })).rejects.toThrow();
    await unshareIn(lattice);
    await reloaded();
    await expect(call()).rejects.toEqual(GONE);
    expect((await acceptIn(lattice, (await shareIn(lattice)).share)).changed).toBe(true);
    await reloaded();
    expect([...(await call())]).toEqual([3, 1, 2, 3]);
  });
});

describe('a share on a server with the full resolver', () => {
  let test: ResolverLattice;
  beforeAll(async () => {
    test = await startResolverLattice();
    await test.lattice.addTenant('globex', { lattice: 'lab' });
  });
  afterAll(() => test[Symbol.asyncDispose]());

  const said = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { code, stdout, stderr } = await runAuth(...args, ...test.flags, '--output', 'json');
    expect([code, stderr], stdout).toEqual([0, '']);
    return JSON.parse(stdout) as Record<string, unknown>;
  };
  const pushed = ({ pushed: rows }: Record<string, unknown>): unknown =>
    (rows as { name: string; outcome: string }[]).map(({ name, outcome }) => `${name} ${outcome}`);

  it('comes, outlives the rotation of its key, and goes, and nobody reconnects', async () => {
    const users = {
      acme: await test.lattice.addMember('host', 'web'),
      globex: await test.lattice.addMember('host', 'web', { tenant: 'globex' }),
    };
    await said('push');
    const { url } = test.server;
    const dir = test.lattice.dir;
    await using host = await startTrustHost(
      configOf(dir, url, users.acme, keys.acme, { components: [TINY], trust: { foreign: FOREIGN } }),
    );
    await using caller = await startTrustCaller(configOf(dir, url, users.globex, keys.globex));
    const call = (): Promise<Uint8Array> => callShared({ caller, target: TARGET, as: 'acme-tiny', timeoutMs: 15_000 });
    await expect(call()).rejects.toEqual(GONE);

    const file = join(dir, 'tiny.share');
    const what = ['tiny', '--interface', BYTES, '--tenant', 'acme', '--with', 'globex'];
    expect(pushed(await said('share', ...what, '--out', file))).toEqual(['acme-rpc done']);
    expect(pushed(await said('accept', file, '--tenant', 'globex', '--as', 'acme-tiny'))).toEqual(['globex-rpc done']);
    expect([...(await call())]).toEqual([3, 1, 2, 3]);

    // The key that signed it is replaced: what is imported gets a new signature, and the old key goes only then.
    const rotate = ['rotate', '--role', 'sharing', '--tenant', 'acme'];
    const moved = await said(...rotate);
    expect(moved).toMatchObject({ step: 'moved', importers: ['globex-rpc'] });
    expect([...(await call())]).toEqual([3, 1, 2, 3]);
    expect(await said(...rotate, '--finish')).toMatchObject({ step: 'finished' });
    expect([...(await call())]).toEqual([3, 1, 2, 3]);
    expect(
      (await runAuth('accept', file, '--tenant', 'globex', '--as', 'acme-tiny', '--store', test.lattice.store.dir)).stderr,
    ).toContain('does not list');

    expect(pushed(await said('unshare', ...what))).toEqual(['acme-rpc done']);
    await expect(call()).rejects.toEqual(GONE);
    // A new signature is no pardon.
    await said(...rotate);
    await expect(call()).rejects.toEqual(GONE);
    expect(caller.member.rpc.stats.reconnects + host.host.member!.rpc.stats.reconnects).toBe(0);
  });

  it('with an account of another store keeps its key until somebody has shared again', async () => {
    const importer = SigningKey.generate('account').publicKey;
    const what = ['other', '--interface', BYTES, '--tenant', 'acme', '--with', importer];
    await said('share', ...what, '--out', join(test.lattice.dir, 'other.share'));
    const rotate = ['rotate', '--role', 'sharing', '--tenant', 'acme'];
    await said(...rotate);
    const refused = await runAuth(...rotate, '--finish', ...test.flags);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(`what account acme-rpc shares, perhaps by the former key: ${importer}`);
    expect(await said(...rotate, '--finish', '--force')).toMatchObject({ step: 'finished' });
  });
});

describe('shares', () => {
  let lattice: AuthLattice;
  let share: Share;
  beforeAll(async () => {
    lattice = await makeLattice();
    ({ share } = await shareIn(lattice, { functions: ['echo-bytes', 'other'] }));
  });
  afterAll(() => lattice[Symbol.asyncDispose]());
  const code = (name: string, message = /./) =>
    expect.objectContaining({ code: name, message: expect.stringMatching(message) as string }) as Error;

  it('are one private export of the interface, whatever of it is given to whom, and show', async () => {
    const again = await shareIn(lattice, { with: 'third', functions: [], expiresMs: 2_000_000_000_000 });
    expect(again.changed).toBe(false);
    const { accounts } = describeStore(lattice.store, Date.now());
    const acme = accounts.find(({ name }) => name === 'acme-rpc')!;
    expect(acme.exports).toEqual([
      {
        type: 'service',
        subject: `lab.tiny.wrpc.0.0.1.${BYTES}.>`,
        isPrivate: true,
        revocations: [],
        givenTo: [
          { account: share.importer, functions: ['echo-bytes', 'other'] },
          { account: lattice.store.account('third-rpc').sub, functions: [], expiresMs: 2_000_000_000_000 },
        ],
      },
    ]);
    // What another one was given stays when it is taken from one, and a tool that knows nothing of this may keep the tags.
    await lattice.store.change(() => unshareComponent(lattice.store, { ...NEW, with: 'third', nowMs: Date.now() }));
    const after = describeStore(lattice.store, Date.now()).accounts.find(({ name }) => name === 'acme-rpc')!;
    expect(after.exports![0]!.givenTo).toEqual([{ account: share.importer, functions: ['echo-bytes', 'other'] }]);
    expect(after).toMatchObject({ tenant: 'acme', lattice: 'lab' });
    expect(acme.roles?.filter(({ role }) => role === 'sharing')).toHaveLength(1);
    // The key that signs activations makes users that may do nothing.
    const key = lattice.store
      .account('acme-rpc')
      .nats.signing_keys!.find((each) => typeof each !== 'string' && each.role === 'sharing');
    expect(key).toMatchObject({ template: { pub: { deny: ['>'] }, sub: { deny: ['>'] } } });
  });

  it('are accepted once, under one name, by the account they are for', async () => {
    expect((await acceptIn(lattice, share)).changed).toBe(true);
    expect((await acceptIn(lattice, share)).changed).toBe(false);
    await expect(acceptIn(lattice, share, 'acme-tiny', 'third')).rejects.toEqual(
      code('TRELLIS_AUTH_SHARE', /not for "third-rpc"/),
    );
    const { share: other } = await shareIn(lattice, { component: 'other' });
    await expect(acceptIn(lattice, other)).rejects.toEqual(code('TRELLIS_AUTH_EXISTS', /another component as acme-tiny/));
    expect((await acceptIn(lattice, other, 'acme-other')).localSubjects).toEqual([`lab.acme-other.wrpc.0.0.1.${BYTES}.>`]);
    // A copy of every call of them would go to the other tenant.
    await lattice.addMember('provider', 'tiny', { tenant: 'globex' });
    await lattice.addMember('host', 'web', { tenant: 'globex', components: ['hello'] });
    for (const own of ['tiny', 'hello'])
      await expect(acceptIn(lattice, share, own)).rejects.toEqual(code('TRELLIS_AUTH_EXISTS', /copy of every call/));
    await expect(acceptIn(lattice, share, 'a.b')).rejects.toEqual(code('TRELLIS_ID_INVALID'));
    const { accounts } = describeStore(lattice.store, Date.now());
    expect(accounts.find(({ name }) => name === 'globex-rpc')!.imports?.map(({ localSubject }) => localSubject)).toEqual([
      `lab.acme-tiny.wrpc.0.0.1.${BYTES}.echo-bytes`,
      `lab.acme-tiny.wrpc.0.0.1.${BYTES}.other`,
      `lab.acme-other.wrpc.0.0.1.${BYTES}.>`,
    ]);
  });

  it('are refused when they say anything else than what was signed', async () => {
    const third = lattice.store.account('third-rpc').sub;
    const { share: wider } = await shareIn(lattice);
    const changed: Partial<Share>[] = [
      { lattice: 'other' },
      { component: 'other' },
      { interface: 'trellis-samples:echo/other@0.1.0' },
      { functions: ['echo-bytes', 'third'] },
      { functions: ['echo-bytes'] },
      { functions: [] },
      { importer: third },
      { exporter: third },
      { activations: [] },
      { activations: [...share.activations].toReversed() },
      { activations: [share.activations[0]!, wider.activations[0]!] },
      { activations: ['', ''] },
      { issuers: ['not a key'] },
      { component: 'a.b' },
      { interface: '' },
      { format: 'trellis-share-2' as Share['format'] },
    ];
    for (const more of changed)
      expect(() => readShare(writeShare({ ...share, ...more }), Date.now()), JSON.stringify(more)).toThrow(
        code('TRELLIS_AUTH_SHARE'),
      );
    expect(() => readShare(writeShare({ ...share, extra: 1 } as Share), Date.now())).toThrow(code('TRELLIS_AUTH_SHARE'));
    expect(() => readShare('x'.repeat(300_000), Date.now())).toThrow(code('TRELLIS_AUTH_SHARE', /too long/));
    const { share: brief } = await shareIn(lattice, { expiresMs: Date.now() + 60_000 });
    expect(brief.until).toMatch(/Z$/);
    expect(() => readShare(writeShare(brief), Date.now() + 120_000)).toThrow(code('TRELLIS_AUTH_SHARE', /is over since/));
  });

  it('are refused when a key signed that is none of the account, before a server refuses the whole account', async () => {
    const stranger = SigningKey.generate('account');
    const { subject } = { subject: `lab.tiny.wrpc.0.0.1.${BYTES}.>` };
    const { importer, exporter } = share;
    const forged = signNatsJwt(
      activationClaims({ importer, exporter, name: 'x', subject, kind: 'service', nowMs: Date.now() }),
      stranger,
    );
    await expect(acceptIn(lattice, { ...share, functions: [], activations: [forged] })).rejects.toEqual(
      code('TRELLIS_AUTH_SHARE', /does not list/),
    );
  });

  it('are refused without an exception of another kind, whatever a file holds', () => {
    const text = writeShare(share);
    const near = fc
      .tuple(fc.nat(text.length - 1), fc.string({ maxLength: 4 }))
      .map(([at, put]) => text.slice(0, at) + put + text.slice(at + 1));
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), near), (file) => {
        try {
          // What is left of it is what was signed: only names for the settings of people may differ.
          const { share: read } = readShare(file, Date.now());
          expect({ ...read, issuers: [], callers: [] }).toEqual({ ...share, issuers: [], callers: [] });
        } catch (error) {
          expect(error).toEqual(code('TRELLIS_AUTH_SHARE'));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('need two tenants, an interface, and no export to everybody', async () => {
    const refused = (more: Partial<NewShare>) => expect(shareIn(lattice, more)).rejects;
    await refused({ with: 'acme' }).toEqual(code('TRELLIS_USAGE', /with itself/));
    await refused({ with: 'nobody' }).toEqual(code('TRELLIS_AUTH_UNKNOWN'));
    await refused({ tenant: 'nobody' }).toEqual(code('TRELLIS_AUTH_UNKNOWN'));
    await refused({ interface: '' }).toEqual(code('TRELLIS_USAGE'));
    await refused({ interface: 'a b' }).toEqual(code('TRELLIS_ID_INVALID'));
    await refused({ component: '>' }).toEqual(code('TRELLIS_ID_INVALID'));
    await refused({ functions: ['*'] }).toEqual(code('TRELLIS_ID_INVALID'));
    await refused({ issuers: [keys.acme.exportSeed().reveal()] }).toEqual(code('TRELLIS_USAGE', /^(?!.*SC)/));
    const claims = lattice.store.account('third-rpc');
    const subject = `lab.tiny.wrpc.0.0.1.${BYTES}.>`;
    const open = { ...claims, nats: { ...claims.nats, exports: [{ name: 'x', subject, type: 'service' as const }] } };
    await lattice.store.change(() => lattice.store.writeAccount(open));
    await refused({ tenant: 'third' }).toEqual(code('TRELLIS_AUTH_EXISTS', /to everybody/));
    await expect(
      lattice.store.change(() => unshareComponent(lattice.store, { ...NEW, component: 'never', nowMs: Date.now() })),
    ).rejects.toEqual(code('TRELLIS_AUTH_UNKNOWN'));
  });
});

describe('trellis auth share, accept, unshare and show', () => {
  it('write the file and the account, and print the settings of both sides', async () => {
    const lattice = await makeLattice();
    const file = join(lattice.dir, 'tiny.share');
    const cli = async (...args: string[]): Promise<{ code: number | undefined; text: string }> => {
      const { code, stdout, stderr } = await runAuth(...args, '--store', lattice.store.dir);
      return { code, text: stdout + stderr };
    };
    const what = ['tiny', '--interface', BYTES, '--tenant', 'acme', '--with', 'globex'];
    const shared = await cli(
      'share',
      ...what,
      '--out',
      file,
      '--callers',
      'caller',
      '--expires',
      '90d',
      '--caller-issuers',
      keys.globex.publicKey,
    );
    expect(shared.code).toBe(0);
    expect(shared.text).toContain('Changed: account acme-rpc. A running server has to be told: trellis auth push');
    expect(shared.text).toMatch(
      /trust:\n {2}foreign:\n {4}- lattice: lab\n {6}issuers:\n {8}- C[A-Z2-7]{55}\n {6}origins:\n {8}- caller\n {6}target: tiny\n {6}interface: trellis-samples:echo\/bytes\n {6}until: /,
    );
    expect(readFileSync(file, 'utf8')).not.toMatch(/\bS[AUOC][A-Z2-7]{54}/);
    const accepted = await cli('accept', file, '--tenant', 'globex', '--as', 'acme-tiny');
    expect(accepted.code).toBe(0);
    // The share names no issuers of its lattice: that is left for whoever accepts it to fill in.
    expect(accepted.text).toMatch(
      /links:\n {2}- source: caller\n {4}target: acme-tiny\n {4}namespace: trellis-samples\n {4}package: echo\n {4}interfaces:\n {6}- bytes\n {4}shared:\n {6}lattice: lab\n {6}component: tiny\n {6}issuers:\n {8}- <cluster issuers/,
    );
    const shown = await cli('show');
    expect(shown.text).toMatch(/\(shares\) +with those below +lab\.tiny\.wrpc\S+\n +given to +A[A-Z2-7]{55} +20\d\d-/);
    expect(shown.text).toMatch(/\(takes\) +from A[A-Z2-7]{55} +lab\.acme-tiny\.wrpc\S+ = lab\.tiny\.wrpc\S+ +20\d\d-/);
    expect((await cli('unshare', ...what)).text).toContain('no more');
    const taken = (await cli('show')).text;
    expect(taken).toMatch(/taken back from +A[A-Z2-7]{55} +what was given until 20/);
    expect(taken).not.toContain('given to');
    writeFileSync(file, '{}');
    expect((await cli('accept', file, '--tenant', 'globex')).text).toContain('--as');
    expect(await cli('accept', file, '--tenant', 'globex', '--as', 'acme-tiny')).toMatchObject({
      code: 2,
      text: expect.stringContaining('TRELLIS_AUTH_SHARE') as string,
    });
    expect((await cli('accept', join(lattice.dir, 'none'), '--tenant', 'globex', '--as', 'acme-tiny')).text).toContain(
      'cannot be read (ENOENT)',
    );
    await lattice[Symbol.asyncDispose]();
  });
});
