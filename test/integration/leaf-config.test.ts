import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TestOperator, type NatsUser, type TestAccount } from '../support/accounts.ts';
import { type CertificateFiles, writeCertificates } from '../support/certificates.ts';
import { runProgram, type ProgramEnd } from '../support/program.ts';

let root: string;
let dir: string;
let certificates: CertificateFiles;
let operator: TestOperator;
let accounts: { ctl: TestAccount; rpc: TestAccount };
let users: { ctl: NatsUser; rpc: NatsUser };
let folders = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'trellis-test-'));
  certificates = writeCertificates(root);
  operator = new TestOperator(root);
  accounts = { ctl: operator.addAccount('ctl'), rpc: operator.addAccount('rpc') };
  users = { ctl: accounts.ctl.addUser('leaf'), rpc: accounts.rpc.addUser('leaf') };
});
beforeEach(() => {
  dir = join(root, `case-${++folders}`);
  mkdirSync(dir);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const run = (...more: readonly string[]): Promise<ProgramEnd> =>
  runProgram(
    'cli',
    [
      'leaf config --hub tls://hub.example:7422 --ca'.split(' '),
      [certificates.caFile, '--ctl-creds', users.ctl.credsFile, '--rpc-creds', users.rpc.credsFile],
      ['--out', dir, '--ctl-seed', join(dir, 'leaf-ctl.seed'), ...more],
    ].flat(),
  );
const readIn = (name: string): string => readFileSync(join(dir, name), 'utf8');
const modeOf = (name: string): number => statSync(join(dir, name)).mode & 0o777;
const jwtFile = (name: string, text: string): string => {
  const file = join(dir, `${name}.jwt`);
  writeFileSync(file, text);
  return file;
};

describe('trellis leaf config', () => {
  it('writes files of mode 0600 that nats-server takes, and no secret but the key file', async () => {
    const { code, stdout, stderr } = await run('--host-config', join(dir, 'host.yaml'));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/checked +with nats-server 2\./);
    expect(stdout).toContain('every process of this network namespace');
    for (const name of ['leaf.conf', 'host.yaml', 'leaf-ctl.seed']) expect(modeOf(name)).toBe(0o600);
    const seed = readIn('leaf-ctl.seed').trim();
    expect(seed).toMatch(/^SU/);
    for (const text of [readIn('leaf.conf'), readIn('host.yaml'), stdout]) {
      for (const secret of [seed, users.ctl.seed, users.rpc.seed, users.ctl.jwt, users.rpc.jwt])
        expect(text).not.toContain(secret);
    }
    expect(readIn('host.yaml')).toContain(`inboxPrefix: _INBOX_RPC.default.${users.rpc.publicKey}`);
    const checked = await runProgram('daemon', ['--check-config', '--config', join(dir, 'host.yaml')]);
    expect(checked.stdout + checked.stderr).not.toContain('START-14');
  });

  it.each(['pair', 'operator'])('writes the form %s, which nats-server takes', async (form) => {
    const named = [jwtFile('ctl', operator.accountJwt(accounts.ctl)), jwtFile('rpc', operator.accountJwt(accounts.rpc))];
    const flags = form === 'operator' ? ['--operator-jwt', jwtFile('op', operator.jwt), '--account-jwt', ...named] : [];
    const { code, stdout } = await run('--form', form, '--output', 'json', ...flags);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      form,
      checkedWith: expect.stringMatching(/^2\./) as string,
      ctl: { listen: '127.0.0.1:4222', hubUser: users.ctl.publicKey },
      rpc: { listen: form === 'pair' ? '127.0.0.1:4223' : '127.0.0.1:4222', hubUser: users.rpc.publicKey },
    });
  });

  it('replaces nothing without --force, and keeps the local key when it does', async () => {
    expect((await run()).code).toBe(0);
    const seed = readIn('leaf-ctl.seed');
    const again = await run();
    expect(again.code).not.toBe(0);
    expect(again.stderr).toContain('exists already');
    expect((await run('--force', '--lattice', 'lab')).code).toBe(0);
    expect(readIn('leaf-ctl.seed')).toBe(seed);
    expect(readIn('leaf.conf')).toContain('"lab.*.wrpc.>"');
  });

  it('names the files where a container finds them', async () => {
    const { code } = await run(
      '--files-in',
      '/run/leaf/',
      '--host-files-in',
      '/run/host',
      '--host-config',
      join(dir, 'host.yaml'),
    );
    expect(code).toBe(0);
    expect(readIn('leaf.conf')).toContain('ca_file: "/run/leaf/ca.pem"');
    expect(readIn('leaf.conf')).not.toContain(root);
    expect(readIn('host.yaml')).toContain('seedFile: /run/host/leaf-ctl.seed');
  });

  it.each(['a "quoted" name', 'back\\slash', 'ends in \\', '$HOME', 'x}, { include y', "it's #1"])(
    'INJ-LEAF-04 takes the file name %s as a name',
    async (name) => {
      const ca = join(dir, name);
      writeFileSync(ca, readFileSync(certificates.caFile));
      // nats-server opens the file while it reads the configuration: it would say if it read another name.
      const { code, stdout } = await run('--ca', ca);
      expect(code).toBe(0);
      expect(stdout).toContain('with nats-server');
      const gone = await run('--ca', `${ca}-gone`, '--force');
      expect(gone.code).not.toBe(0);
      expect(gone.stderr).toContain('does not take leaf.conf');
    },
  );

  it('INJ-LEAF-05 refuses a file name with a line break', async () => {
    const { code, stderr } = await run('--ca', `ca.pem"\nport: 1\n#`);
    expect(code).not.toBe(0);
    expect(stderr).toContain('TRELLIS_LEAF_INPUT');
  });

  it('refuses users that cannot keep the partitions apart, or cannot be a leaf', async () => {
    const same = await run('--rpc-creds', users.ctl.credsFile);
    expect(same.stderr).toContain('for one user');
    const client = accounts.rpc.addUser('client', { connectionTypes: ['STANDARD'] });
    expect((await run('--rpc-creds', client.credsFile)).stderr).toContain('may not log in as a leaf node');
    const expired = accounts.rpc.addUser('expired', { expiresInMs: -60_000 });
    expect((await run('--rpc-creds', expired.credsFile)).stderr).toContain('expired at');
    const leaf = accounts.ctl.addUser('leaf', { connectionTypes: ['LEAFNODE'], expiresInMs: 60_000 });
    const oneAccount = accounts.ctl.addUser('other');
    const { code, stdout } = await run('--ctl-creds', leaf.credsFile, '--rpc-creds', oneAccount.credsFile);
    expect(code).toBe(0);
    expect(stdout).toContain('in one account');
    expect(stdout).toContain('expires at');
  });

  it('takes what trellis auth made: users for a leaf node, and for one in operator mode the JWTs of the store', async () => {
    const store = ['--store', join(dir, 'auth')];
    const auth = async (...args: readonly string[]) => {
      const { code, stdout, stderr } = await runProgram('cli', ['auth', ...args, ...store, '--output', 'json']);
      expect({ code, stderr }).toMatchObject({ code: 0 });
      return JSON.parse(stdout) as { users?: { credsFile: string }[] };
    };
    await auth('init');
    await auth('tenant', 'add', 'acme', '--lattice', 'lab', '--with', 'make-buckets,jetstream-domain', '--value', 'domain=hub');
    const creds = ({ users: made }: Awaited<ReturnType<typeof auth>>): string[] => {
      const [ctl, rpc] = made!.map(({ credsFile }) => credsFile);
      return ['--ctl-creds', ctl!, '--rpc-creds', rpc!];
    };
    const leaf = creds(await auth('host', 'add', 'pod-1', '--tenant', 'acme', '--leaf'));
    expect((await run(...leaf)).code).toBe(0);
    const refused = await run('--force', '--form', 'operator', ...store, ...leaf);
    expect(refused.stderr).toContain('is for leaf nodes only');
    expect(refused.stderr).toContain('--leaf-and-host');
    const both = creds(await auth('host', 'add', 'pod-2', '--tenant', 'acme', '--leaf-and-host'));
    const { code, stdout } = await run(
      '--force',
      '--form',
      'operator',
      ...store,
      ...both,
      '--host-config',
      join(dir, 'host.yaml'),
    );
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('with nats-server') as string });
    expect(readIn('leaf.conf')).toContain('system_account: "A');
    expect(readIn('host.yaml')).toContain('jsDomain: hub');
  });
});
