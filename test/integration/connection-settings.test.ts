import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { leastRights } from '../support/least-rights.ts';
import { type JwtTestServer, startJwtServer } from '../support/nats-server.ts';
import { Program } from '../support/program.ts';
import { serverAllowances } from '../support/server-facts.ts';
import { callTiny, memberConfig, seedFile, startTrustCaller, startTrustHost, TINY } from '../support/trust-lattice.ts';

const rights = leastRights('default');
let jwt: JwtTestServer;
let monitor: string;
let dir: string;
let cluster: string;
beforeAll(async () => {
  jwt = await startJwtServer({ configText: 'http: "127.0.0.1:-1"\n' });
  monitor = `http://${/http monitor on (127\.0\.0\.1:\d+)/.exec(jwt.server.log())![1]!}`;
  dir = mkdtempSync(join(tmpdir(), 'trellis-settings-'));
  cluster = seedFile(dir, 'cluster', SigningKey.generate('cluster'));
});
afterAll(async () => {
  await jwt[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

interface Connection {
  readonly name?: string;
  readonly authorized_user?: string;
  readonly subscriptions_list?: readonly string[];
}
async function connectionsThere(): Promise<readonly Connection[]> {
  const answer = (await (await fetch(`${monitor}/connz?auth=true&subs=true`)).json()) as { connections: Connection[] };
  return answer.connections;
}
const production = (more: HostConfigInput) =>
  memberConfig(jwt.url, {
    dev: false,
    allow: serverAllowances(jwt.server.version),
    stateDir: mkdtempSync(join(dir, 'state-')),
    trust: { clusterSeedFile: cluster, unlinkedOrigins: ['caller'] },
    ...more,
  });

describe('the settings of a connection', () => {
  it('give it a name and an inbox of its own, each connection for itself', async () => {
    const ctl = jwt.ctl.addUser('host', rights.ctl);
    const rpc = jwt.ctl.addUser('host', {
      ...rights.rpc,
      subscribe: ['default.>', '_INBOX_BLUE.default.>'],
      publish: ['default.>', '_INBOX_RPC.default.>', '_INBOX_BLUE.default.>'],
    });
    const config = production({
      components: [TINY],
      ctl: { servers: [jwt.url], jwtFile: ctl.jwtFile, seedFile: ctl.seedFile, name: 'blue, control' },
      rpc: {
        servers: [jwt.url],
        credsFile: rpc.credsFile,
        inboxPrefix: '_INBOX_BLUE.default.x7',
        pingIntervalMs: 1_000,
        maxPingsOut: 3,
      },
    });
    await using started = await startTrustHost(config);
    const there = await connectionsThere();
    expect(there.find(({ authorized_user: user }) => user === ctl.publicKey)?.name).toBe('blue, control');
    const own = there.find(({ authorized_user: user }) => user === rpc.publicKey);
    expect(own?.name).toBe(`trellis ${started.host.id.slice(0, 8)} rpc`);
    expect(own?.subscriptions_list?.some((subject) => subject.startsWith('_INBOX_BLUE.default.x7.'))).toBe(true);
    const [other, callerRpc] = [
      jwt.ctl.addUser('caller', rights.ctl),
      jwt.ctl.addUser('caller', { ...rights.rpc, publish: ['default.>', '_INBOX_BLUE.default.>'] }),
    ];
    await using caller = await startTrustCaller(
      production({
        ctl: { servers: [jwt.url], credsFile: other.credsFile },
        rpc: { servers: [jwt.url], credsFile: callerRpc.credsFile },
      }),
    );
    expect((await callTiny(caller)).length).toBeGreaterThan(0);
  });

  it('START-11 take JWT and seed under the names of wasmCloud 1.x, from the environment on a development machine and from files everywhere', async () => {
    const [ctl, rpc] = [jwt.ctl.addUser('host', rights.ctl), jwt.ctl.addUser('host', rights.rpc)];
    const base = {
      TRELLIS_CTL_SERVERS: jwt.url,
      TRELLIS_RPC_SERVERS: jwt.url,
      WASMCLOUD_CLUSTER_SEED_FILE: cluster,
      TRELLIS_ADMIN_LISTEN: 'false',
      TRELLIS_STATE_DIR: join(dir, 'environment'),
    };
    const places: Record<string, string>[] = [
      {
        TRELLIS_DEV: 'true',
        WASMCLOUD_CTL_JWT: ctl.jwt,
        WASMCLOUD_CTL_SEED: ctl.seed,
        WASMCLOUD_RPC_JWT: rpc.jwt,
        WASMCLOUD_RPC_SEED: rpc.seed,
      },
      {
        TRELLIS_ALLOW: ['root', ...serverAllowances(jwt.server.version)].join(','),
        WASMCLOUD_CTL_JWT_FILE: ctl.jwtFile,
        WASMCLOUD_CTL_SEED_FILE: ctl.seedFile,
        WASMCLOUD_RPC_CREDS: rpc.credsFile,
      },
      // As systemd hands them over: the name of a credential in the place of a path.
      {
        TRELLIS_ALLOW: ['root', ...serverAllowances(jwt.server.version)].join(','),
        CREDENTIALS_DIRECTORY: dir,
        TRELLIS_CTL_CREDS_FILE: 'credential:ctl.creds',
        TRELLIS_RPC_CREDS_FILE: 'credential:rpc.creds',
      },
    ];
    for (const [name, { jwt: token, seed }] of [
      ['ctl', ctl],
      ['rpc', rpc],
    ] as const) {
      const text = `-----BEGIN NATS USER JWT-----\n${token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`;
      writeFileSync(join(dir, `${name}.creds`), text, { mode: 0o600 });
    }
    for (const place of places) {
      await using daemon = new Program('daemon', [], { env: { ...base, ...place } });
      await daemon.logLine(({ msg }) => msg === 'ready');
      const users = (await connectionsThere()).map((each) => each.authorized_user);
      expect(users).toEqual(expect.arrayContaining([ctl.publicKey, rpc.publicKey]));
      // LEK-01: neither seed nor JWT in what it says.
      for (const secret of [ctl.seed, rpc.seed, ctl.jwt.slice(0, 60)])
        expect(daemon.stderr + daemon.stdout).not.toContain(secret);
      daemon.signal('SIGTERM');
      expect((await daemon.ended).code).toBe(0);
    }
  });
});
