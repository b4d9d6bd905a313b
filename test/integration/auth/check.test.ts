import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Unsigned, UserClaims } from '../../../src/auth/claims-shape.ts';
import { accountClaims, userClaims } from '../../../src/auth/claims.ts';
import { credsText } from '../../../src/auth/creds-text.ts';
import type { AddedMember, MemberKind, NewMember } from '../../../src/auth/members.ts';
import { signNatsJwt } from '../../../src/auth/nats-jwt.ts';
import { scopedKeyOf } from '../../../src/auth/roles.ts';
import { judgePublish, judgeSubscribe } from '../../../src/nats/subject-match.ts';
import { examineUser } from '../../../src/auth/user-rights.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { runAuth } from '../../support/auth-command.ts';
import { type AuthLattice, credsOf, makeAuthLattice } from '../../support/auth-lattice.ts';
import { type JwtTestServer, startJwtServer } from '../../support/nats-server.ts';
import { FORBIDDEN, ROWS } from '../../support/permission-rows.ts';
import { attemptNames, PermittedUser } from '../../support/permitted-users.ts';

let lattice: AuthLattice;
let host: AddedMember;
beforeAll(async () => {
  lattice = await makeAuthLattice();
  await lattice.addTenant('acme', { lattice: 'lab' });
  host = await lattice.addMember('host', 'web-1');
});
afterAll(async () => {
  await lattice[Symbol.asyncDispose]();
});

interface Checked {
  readonly problems: readonly { why: string; fix: string }[];
  readonly source: string;
  readonly role?: string;
  readonly answers: readonly { subject: string; verdict?: { allowed: boolean; by?: string }; extensions: string[] }[];
  readonly readableByOthers: boolean;
}
async function check(creds: string, ...args: string[]): Promise<{ exit: number | undefined; said: Checked; text: string }> {
  const all = ['check', '--creds', creds, ...(args.includes('--account-jwt') ? [] : ['--store', lattice.store.dir]), ...args];
  const { code, stdout } = await runAuth(...all, '--output', 'json');
  return { exit: code, said: JSON.parse(stdout) as Checked, text: (await runAuth(...all)).stdout };
}
/** A file like a host's, of a user that has these claims. */
function credsFile(name: string, change: (claims: Unsigned<UserClaims>) => Unsigned<UserClaims>, signer?: SigningKey): string {
  const { store } = lattice;
  const account = store.account('acme-rpc');
  const key = SigningKey.generate('user');
  const own = signer ?? store.keys.read(scopedKeyOf(account, 'host-rpc')!.key);
  const claims = userClaims({ user: key.publicKey, name, issuerAccount: account.sub, nowMs: Date.now() });
  const file = join(lattice.dir, `${name}.creds`);
  writeFileSync(file, credsText(signNatsJwt(change(claims), own), key).reveal(), { mode: 0o600 });
  return file;
}
const rpc = (): string => credsOf(host, 'rpc');

describe('trellis auth check', () => {
  it('says by which entry something is allowed, why not, and what would allow it', async () => {
    const publish = ['lab.hello.wrpc.0.0.1.x', 'wasmbus.rpc.lab.p.health', 'wasmbus.ctl.v1.lab.host.stop.X'];
    const { exit, said, text } = await check(rpc(), '--publish', ...publish, '--subscribe', 'lab.*.wrpc.>', '_INBOX.>');
    expect(exit).toBe(4);
    expect(said).toMatchObject({ problems: [], source: 'scoped key', role: 'host-rpc', readableByOthers: false });
    expect(said.answers.map(({ verdict }) => verdict?.allowed)).toEqual([true, false, false, true, false]);
    expect(said.answers[0]!.verdict?.by).toBe('lab.*.wrpc.>');
    expect(said.answers[1]!.extensions).toContain('providers');
    expect(said.answers[2]!.extensions).toEqual([]);
    expect(text).toContain('publish lab.hello.wrpc.0.0.1.x: allowed by lab.*.wrpc.>');
    expect(text).toContain('subscribe _INBOX.>: refused, no entry covers it');
  });

  it('lists everything without a question, and ends well', async () => {
    const { exit, text } = await check(rpc());
    expect(exit).toBe(0);
    expect(text).toContain(`_INBOX_RPC.lab.${host.users[1]!.publicKey}.>`);
    expect(text).toContain('May reply to whoever asks: 16 messages within 60 s.');
  });

  it('needs the account where the rights stand, from the store or from a file', async () => {
    const jwt = join(lattice.dir, 'account.jwt');
    writeFileSync(jwt, `${lattice.store.accountJwt('acme-rpc')}\n`);
    expect((await check(rpc(), '--account-jwt', jwt, '--publish', 'lab.a.wrpc.x')).exit).toBe(0);
    writeFileSync(jwt, lattice.store.accountJwt('acme-ctl'));
    const other = await runAuth('check', '--creds', rpc(), '--account-jwt', jwt, '--output', 'json');
    expect(other.stdout).toContain('and the user belongs to');
    await using stranger = await makeAuthLattice();
    const unknown = await runAuth('check', '--creds', rpc(), '--store', stranger.store.dir, '--publish', 'lab.a.wrpc.x');
    expect([unknown.code, unknown.stdout]).toEqual([
      3,
      expect.stringContaining('not known, because its rights are not known here'),
    ]);
  });

  it('names what would keep the user from logging in at all', async () => {
    const second = Math.floor(Date.now() / 1_000);
    const why = async (file: string, ...args: string[]): Promise<string> => {
      const { exit, said } = await check(file, ...args);
      expect(exit).toBe(4);
      return said.problems.map((problem) => problem.why).join('; ');
    };
    expect(await why(credsFile('expired', (claims) => ({ ...claims, exp: second - 60 })))).toMatch(/^it expired at 20/);
    expect(await why(credsFile('early', (claims) => ({ ...claims, nbf: second + 600 })))).toMatch(/^it counts from 20.* on$/);
    const key = SigningKey.generate('account');
    expect(await why(credsFile('unlisted', (claims) => claims, key))).toContain('does not list the key that signed it');
    const identity = lattice.store.keys.read(lattice.store.account('acme-rpc').sub);
    expect(await why(credsFile('identity', (claims) => claims, identity))).toContain('the identity key of its account signed it');
    const own = credsFile('own-rights', (claims) => ({ ...claims, nats: { ...claims.nats, pub: { allow: ['>'] } } }));
    expect(await why(own)).toContain('has rights of its own');
    expect(await why(rpc(), '--connection', 'LEAFNODE')).toContain('may connect as STANDARD, and not as LEAFNODE');

    // Revoked: the same file, and an account that says so.
    const { iss: _signer, jti: _id, ...claims } = lattice.store.account('acme-rpc');
    const jwt = join(lattice.dir, 'revoking.jwt');
    const revoking = (revocations: Record<string, number>): void => {
      const operator = lattice.store.keys.read(lattice.store.operator().nats.signing_keys![0]!);
      const nats = { ...claims.nats, revocations };
      writeFileSync(jwt, signNatsJwt({ ...claims, nats }, operator));
    };
    const user = host.users[1]!.publicKey;
    for (const revocations of [{ [user]: second + 5 }, { '*': second + 5 }]) {
      revoking(revocations);
      expect(await why(rpc(), '--account-jwt', jwt)).toContain('revokes what was issued until');
    }
    revoking({ [user]: second - 3_600 });
    expect((await check(rpc(), '--account-jwt', jwt)).exit).toBe(0);
  });

  it('takes no file that is damaged, and never shows a seed', async () => {
    const text = readFileSync(rpc(), 'utf8');
    const seed = /SU[A-Z2-7]{56}/.exec(text)![0];
    const file = join(lattice.dir, 'damaged.creds');
    const jwt = /ey[\w-]+\.[\w-]+\.[\w-]+/.exec(text)![0];
    const [head, body, proof] = jwt.split('.') as [string, string, string];
    const forged = Buffer.from(Buffer.from(body, 'base64url').toString().replace('web-1-rpc', 'web-2-rpc')).toString('base64url');
    for (const [damaged, why] of [
      [text.replace(jwt, `${head}.${forged}.${proof}`), 'is not signed by the issuer it names'],
      [text.replace(seed, SigningKey.generate('user').exportSeed().reveal()), 'is for another user than the seed'],
      [text.replace(seed, ''), 'is damaged'],
      ['', 'holds no user JWT'],
    ] as const) {
      writeFileSync(file, damaged, { mode: 0o600 });
      const { code, stdout, stderr } = await runAuth('check', '--creds', file);
      expect([code, stderr]).toEqual([78, expect.stringContaining(why)]);
      expect(stdout + stderr).not.toContain(seed.slice(4));
    }
    writeFileSync(file, text);
    chmodSync(file, 0o644);
    expect((await check(file)).said.readableByOthers).toBe(true);
    expect((await check(file)).text).not.toContain(seed);
  });

  it.each([
    ['host', {}],
    ['host', { components: ['echo'], calls: ['prov'] }],
    ['caller', { calls: ['echo'] }],
    ['operator', {}],
    ['provider', { calls: ['echo'] }],
    ['wadm', {}],
  ] as [MemberKind, Partial<NewMember>][])('says of a %s with %o what the server says', async (kind, more) => {
    await using own = await makeAuthLattice();
    await own.addTenant('acme', { lattice: 'lab' });
    const member = await own.addMember(kind, 'prov', more);
    const { url } = await own.server();
    for (const { account, user, partition, publicKey } of member.users) {
      const [claims, holder] = [own.store.user(account, user), own.store.account(account)];
      const { rights } = examineUser({ user: claims, account: holder, connectionType: 'STANDARD', nowMs: Date.now() });
      const jwt = /ey[\w-]+\.[\w-]+\.[\w-]+/.exec(readFileSync(own.store.credsFile(account, user), 'utf8'))![0];
      const seed = own.store.keys.read(publicKey).exportSeed().reveal();
      const login = { publicKey, jwt, seed, credsFile: '', jwtFile: '', seedFile: '' };
      await using client = await PermittedUser.connect(url, login, `_INBOX_${partition.toUpperCase()}.lab`);
      const rows = [FORBIDDEN, ...Object.values(ROWS).flatMap((row) => [row.may, row.mayNot])];
      const fill = (subjects: readonly string[]): string[] => [
        ...new Set(subjects.map((each) => each.replace('{own}', publicKey))),
      ];
      const tried = {
        publish: fill(rows.flatMap((row) => row.publish ?? [])),
        subscribe: fill(rows.flatMap((row) => row.subscribe ?? [])),
      };
      const said = {
        publish: tried.publish.filter((subject) => !judgePublish(subject, rights!.publish).allowed),
        subscribe: tried.subscribe.filter((subject) => !judgeSubscribe(subject, rights!.subscribe).allowed),
      };
      expect(await client.tries(tried)).toEqual(attemptNames(said));
    }
  });
});

describe('placeholders in a template that another tool made', () => {
  let jwt: JwtTestServer;
  beforeAll(async () => {
    jwt = await startJwtServer();
  });
  afterAll(async () => {
    await jwt[Symbol.asyncDispose]();
  });

  it('are filled in as the server fills them in', async () => {
    const publish = [
      '{{subject()}}.a',
      '{{name()}}.b',
      'x.{{tag(team)}}.c',
      '{{account-subject()}}.d',
      '{{account-name()}}.e',
      '{{tag(none)}}.f',
    ];
    const signer = SigningKey.generate('account');
    const key = SigningKey.generate('user');
    const template = { pub: { allow: publish }, sub: {}, subs: -1, data: -1, payload: -1 };
    const account = jwt.operator.addAccountWithKeys('tagged', [
      { kind: 'user_scope', key: signer.publicKey, role: 'r', template },
    ]);
    await jwt.reload();
    const tags = ['team:red', 'team:blue', 'other:x'];
    const claims = userClaims({ user: key.publicKey, name: 'ada', issuerAccount: account.publicKey, tags, nowMs: Date.now() });
    const signed = signNatsJwt(claims, signer);
    const login = {
      publicKey: key.publicKey,
      jwt: signed,
      seed: key.exportSeed().reveal(),
      credsFile: '',
      jwtFile: '',
      seedFile: '',
    };
    await using client = await PermittedUser.connect(jwt.url, login, '_INBOX');
    const known = accountClaims({
      account: account.publicKey,
      name: 'tagged',
      jetstream: false,
      signingKeys: [{ kind: 'user_scope', key: signer.publicKey, role: 'r', template }],
      nowMs: Date.now(),
    });
    const user = { ...claims, iss: signer.publicKey };
    const { rights } = examineUser({ user, account: { ...known, iss: '' }, connectionType: 'STANDARD', nowMs: Date.now() });
    const granted = [`${key.publicKey}.a`, 'ada.b', 'x.red.c', 'x.blue.c', `${account.publicKey}.d`, 'tagged.e'];
    const subjects = [...granted, 'other.a', 'x.x.c', 'none.f', 'bob.b', 'red.c'];
    const refused = subjects.filter((subject) => !judgePublish(subject, rights!.publish).allowed);
    expect(await client.tries({ publish: subjects })).toEqual(attemptNames({ publish: refused }));
    expect(refused).toEqual(['other.a', 'x.x.c', 'none.f', 'bob.b', 'red.c']);
  });
});
