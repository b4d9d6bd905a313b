import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'nats';
import { afterAll, describe, expect, it } from 'vitest';
import { readNatsJwt } from '../../src/auth/nats-jwt.ts';
import { systemClock } from '../../src/clock.ts';
import { readCreds } from '../../src/config/secret-files.ts';
import { ensureDevelopmentSecurity } from '../../src/development-security.ts';
import { Program, runProgram } from '../support/program.ts';

const DAY_MS = 86_400_000;
const dir = mkdtempSync(join(tmpdir(), 'trellis-secure-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const later = (days: number) => ({ ...systemClock, wallMs: () => Date.now() + days * DAY_MS });
const serial = (stateDir: string, name: string): string =>
  new X509Certificate(readFileSync(join(stateDir, 'pki', name))).serialNumber;
const endsMs = (credsFile: string): number => {
  const read = readNatsJwt(readCreds(readFileSync(credsFile, 'utf8')).jwt!, 'user');
  return read.ok ? read.claims.exp! * 1_000 : NaN;
};

describe('trellis up --secure', () => {
  it('starts a lattice of operator mode and TLS from nothing, and again from what it made', async () => {
    const stateDir = join(dir, 'lattice');
    const start = async (): Promise<{ url: string; made: string; pki: string }> => {
      await using up = new Program('cli', ['up', '--secure', '--port', '0', '--state-dir', stateDir]);
      const endMs = performance.now() + 60_000;
      while (!up.stdout.includes('Ctrl-C drains')) {
        expect(performance.now(), up.stdout + up.stderr).toBeLessThan(endMs);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const url = /tls:\/\/127\.0\.0\.1:\d+/.exec(up.stdout)![0];
      // Nobody gets in without credentials, and nobody without TLS.
      const plain = url.replace('tls:', 'nats:');
      await expect(connect({ servers: plain, reconnect: false })).rejects.toThrow();
      const tls = { caFile: join(stateDir, 'pki/ca.pem'), servername: 'localhost' };
      await expect(connect({ servers: plain, reconnect: false, tls })).rejects.toThrow(/[Aa]uthorization/);
      // The command line gets in with the configuration that was left for it, over a signed chain.
      const call = await runProgram('cli', [
        'call',
        'greeter-chain',
        'greeter.greet-all',
        '--json',
        '[["Ada"]]',
        '--config',
        join(stateDir, 'caller.yaml'),
      ]);
      expect(call, call.stderr).toMatchObject({ code: 0, stdout: '{"ok":["Hello, Ada!"]}\n' });
      // The host has looked: neither of its users can do more than it should, or less than it must.
      expect(up.stderr).not.toMatch(/START-0[1-7]/);
      up.signal('SIGTERM');
      expect(await up.ended).toMatchObject({ code: 0 });
      expect(existsSync(join(stateDir, 'caller.yaml'))).toBe(false);
      return { url, made: /^Made or renewed: (.*)\.$/m.exec(up.stdout)?.[1] ?? '', pki: serial(stateDir, 'nats.pem') };
    };
    const first = await start();
    expect(first.made).toBe('authority, certificate, accounts, users of host, users of command-line');
    const second = await start();
    expect(second).toMatchObject({ made: '', pki: first.pki });

    const exposed = readdirSync(stateDir, { recursive: true, encoding: 'utf8' }).filter((name) => {
      const stat = statSync(join(stateDir, name));
      return stat.isFile() && /\.(?:creds|nk|seed|yaml)$|-key\.pem$/.test(name) && (stat.mode & 0o077) !== 0;
    });
    expect(exposed).toEqual([]);
    expect(statSync(stateDir).mode & 0o077).toBe(0);
  });

  it('renews what ends soon, and nothing else', async () => {
    const stateDir = join(dir, 'renewal');
    const made = async (days: number): Promise<readonly string[]> =>
      (await ensureDevelopmentSecurity(stateDir, 'default', later(days))).made;
    expect(await made(0)).toHaveLength(5);
    expect(await made(20)).toEqual([]);
    const before = await ensureDevelopmentSecurity(stateDir, 'default', later(20));
    const key = readCreds(readFileSync(before.host.ctl.credsFile!, 'utf8')).seed;
    expect(await made(24)).toEqual(['users of host', 'users of command-line']);
    // Same keys, new JWTs.
    expect(readCreds(readFileSync(before.host.ctl.credsFile!, 'utf8')).seed).toBe(key);
    expect(Math.round((endsMs(before.host.ctl.credsFile!) - Date.now()) / DAY_MS)).toBe(54);
    const [ca, server] = [serial(stateDir, 'ca.pem'), serial(stateDir, 'nats.pem')];
    expect(await made(84)).toEqual(['certificate', 'users of host', 'users of command-line']);
    expect(serial(stateDir, 'ca.pem')).toBe(ca);
    expect(serial(stateDir, 'nats.pem')).not.toBe(server);
    rmSync(before.host.rpc.credsFile!);
    expect(await made(84)).toEqual(['users of host']);
    expect(existsSync(before.host.rpc.credsFile!)).toBe(true);
    expect(await made(3_645)).toContain('authority');
  });
});
