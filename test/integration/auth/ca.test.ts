import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { latticeName } from '../../../src/ids.ts';
import { connectPartition } from '../../../src/nats/connection.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { runAuth as auth } from '../../support/auth-command.ts';
import { startServer } from '../../support/nats-server.ts';

const dir = mkdtempSync(join(tmpdir(), 'trellis-test-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const pki = join(dir, 'pki');
const modeOf = (file: string): number => statSync(join(pki, file)).mode & 0o777;

describe('trellis auth ca', () => {
  it('makes an authority and a certificate with which a server and a client speak TLS', async () => {
    const made = await auth('ca', 'init', '--out', pki);
    expect([made.code, made.stderr]).toEqual([0, '']);
    const issued = await auth('ca', 'issue', 'nats', '--ca', pki, '--dns', 'localhost', '--ip', '127.0.0.1,::1');
    expect([issued.code, issued.stderr]).toEqual([0, '']);
    expect(issued.stdout).toContain('localhost, 127.0.0.1, ::1');
    expect([modeOf('ca-key.pem'), modeOf('nats-key.pem'), modeOf('ca.pem'), modeOf('nats.pem')]).toEqual([
      0o600, 0o600, 0o644, 0o644,
    ]);
    const file = (name: string): string => join(pki, name);
    const tls = `tls { cert_file: "${file('nats.pem')}", key_file: "${file('nats-key.pem')}", ca_file: "${file('ca.pem')}" }\n`;
    await using server = await startServer({ configText: tls });
    await using connection = await connectPartition({
      partition: 'rpc',
      lattice: latticeName('default'),
      name: 'test',
      servers: [`tls://localhost:${server.port}`],
      tls: { caFile: file('ca.pem') },
      log: createLogger({ level: 'error' }),
    });
    await connection.flush();
    expect(connection.state).toBe('connected');
  });

  it('replaces nothing unless it is told to, and never an authority', async () => {
    const again = await auth('ca', 'init', '--out', pki);
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('is there already')]);
    const twice = await auth('ca', 'issue', 'nats', '--ca', pki, '--dns', 'localhost');
    expect([twice.code, twice.stderr]).toEqual([2, expect.stringContaining('--force')]);
    expect((await auth('ca', 'issue', 'nats', '--ca', pki, '--dns', 'localhost', '--force')).code).toBe(0);
  });

  it('says what is wrong with a name, a lifetime or a folder', async () => {
    for (const [args, said] of [
      [['issue', '../x', '--ca', pki], 'cannot be the name'],
      [['issue', 'ca', '--ca', pki], 'cannot be the name'],
      [['issue', 'x', '--ca', pki, '--dns', 'a b'], 'no DNS name'],
      [['issue', 'x', '--ca', pki, '--dns', '127.0.0.1'], 'no DNS name'],
      [['issue', 'x', '--ca', pki, '--ip', '999.1.1.1'], 'no IP address'],
      [['issue', 'x', '--ca', pki, '--expires', 'never'], 'ends some day'],
      [['issue', 'x', '--ca', join(dir, 'nowhere')], 'is not there'],
      [['init', '--out', join(dir, 'other'), '--name', 'ä'], 'printable'],
    ] as const) {
      const end = await auth('ca', ...args);
      expect([args.join(' '), end.stderr]).toEqual([args.join(' '), expect.stringContaining(said)]);
      expect(end.code).not.toBe(0);
    }
  });
});
