import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { listSettings } from '../../../src/config/settings.ts';

const setting = (name: string) => listSettings().find((candidate) => candidate.name === name)!;
const flag = (name: string, text: string) => ({ flag: setting(name).flags[0]!, setting: setting(name), text });

describe('loadConfig', () => {
  it('is complete and without problems when nobody says anything', () => {
    const { config, problems, sourceOf } = loadConfig();
    expect(problems).toEqual([]);
    expect(config).toMatchObject({
      lattice: 'default',
      dev: false,
      rpc: { servers: ['nats://127.0.0.1:4222'] },
      trust: { verify: 'enforce', bind: 'strict' },
      limits: { maxExecutionTimeMs: 30_000 },
      components: [],
    });
    expect(sourceOf('rpc.servers[0]')).toBe('the default');
    // NAT-05: a connection that has gone silent is noticed within 15 s, which takes three intervals.
    for (const { pingIntervalMs } of [config!.ctl, config!.rpc]) expect(3 * pingIntervalMs).toBeLessThanOrEqual(15_000);
  });

  it('keeps what could be read for further checks when something could not', () => {
    const { config, readable, problems } = loadConfig({
      env: {
        TRELLIS_COMPONENTS: '[{id: "a*b", file: x}]',
        TRELLIS_RPC_SERVERS: 'nats://example.invalid:4222',
        TRELLIS_LATICE: 'x',
      },
      flags: [flag('lattice', 'a*b')],
    });
    expect(problems.length).toBeGreaterThanOrEqual(2);
    expect(config).toBeUndefined();
    expect(readable).toMatchObject({ lattice: 'default', components: [], rpc: { servers: ['nats://example.invalid:4222'] } });
  });

  it('puts flags over the environment, and TRELLIS_ names over WASMCLOUD_ names', () => {
    const env = { TRELLIS_LATTICE: 'env', WASMCLOUD_LATTICE: 'old', TRELLIS_LOG_LEVEL: 'warn', WASMCLOUD_MAX_COMPONENTS: '7' };
    const { config, sourceOf } = loadConfig({ env, flags: [flag('log.level', 'debug')] });
    expect(config).toMatchObject({ lattice: 'env', log: { level: 'debug' }, limits: { maxComponents: 7 } });
    expect(sourceOf('lattice')).toBe('the environment, TRELLIS_LATTICE');
    expect(sourceOf('log.level')).toBe('the flag --log-level');
    expect(sourceOf('limits.maxComponents')).toBe('the environment, WASMCLOUD_MAX_COMPONENTS');
  });

  it('composes servers as a wasmCloud 1.x host does', () => {
    const both = loadConfig({ env: { WASMCLOUD_NATS_HOST: 'nats.local', WASMCLOUD_NATS_PORT: '4333' } }).config!;
    expect([both.ctl.servers, both.rpc.servers]).toEqual([['nats://nats.local:4333'], ['nats://nats.local:4333']]);
    const own = loadConfig({ env: { WASMCLOUD_NATS_HOST: 'a', WASMCLOUD_RPC_HOST: 'b', WASMCLOUD_RPC_TLS: 'true' } }).config!;
    expect([own.ctl.servers, own.rpc.servers]).toEqual([['nats://a:4222'], ['tls://b:4222']]);
    const ours = loadConfig({ env: { WASMCLOUD_RPC_HOST: 'b', TRELLIS_RPC_SERVERS: 'nats://c:1,nats://d:2' } }).config!;
    expect(ours.rpc.servers).toEqual(['nats://c:1', 'nats://d:2']);
  });

  it('reads the names that 1.x has for the control interface', () => {
    const env = {
      WASMCLOUD_CTL_TOPIC_PREFIX: 'acme.ctl',
      WASMCLOUD_COMPONENT_AUCTION_ENABLED: 'false',
      WASMCLOUD_PROVIDER_AUCTION_ENABLED: 'false',
    };
    const { config, problems } = loadConfig({ env });
    expect(problems).toEqual([]);
    expect(config!.control).toMatchObject({ prefix: 'acme.ctl', componentAuction: false, providerAuction: false });
    const { control } = loadConfig({ env: {} }).config!;
    expect(control).toMatchObject({
      prefix: 'wasmbus.ctl',
      componentAuction: true,
      providerAuction: true,
      silentRegistries: false,
    });
    for (const prefix of ['a b', 'x.>', '*', 'a..b']) {
      expect(loadConfig({ env: { WASMCLOUD_CTL_TOPIC_PREFIX: prefix } }).problems.length, prefix).toBeGreaterThan(0);
    }
  });

  it('reads WASMCLOUD_NATS_CREDS for both connections and the specific name over it', () => {
    const { config } = loadConfig({ env: { WASMCLOUD_NATS_CREDS: '/a', WASMCLOUD_RPC_CREDS: '/b' } });
    expect([config!.ctl.credsFile, config!.rpc.credsFile]).toEqual(['/a', '/b']);
  });

  it('reads labels, lists, maps, booleans and structures from text', () => {
    const { config, problems } = loadConfig({
      env: {
        WASMCLOUD_LABEL_zone: 'eu',
        TRELLIS_LABEL_Rack: '7',
        TRELLIS_TRUST_BATCH: 'off',
        TRELLIS_ADMIN_LISTEN: 'false',
        TRELLIS_TRUST_UNLINKED_ORIGINS: 'cli, gateway',
        TRELLIS_COMPONENTS: '[{id: hello, file: /x.wasm, env: {A: b}}]',
        TRELLIS_RPC_TLS_CA_FILE: '/ca.pem',
      },
      extra: [{ path: ['labels', 'zone'], value: 'us', flag: '--label' }],
    });
    expect(problems).toEqual([]);
    expect(config).toMatchObject({
      labels: { zone: 'us', Rack: '7' },
      trust: { batch: false, unlinkedOrigins: ['cli', 'gateway'] },
      admin: { listen: false },
      components: [{ id: 'hello', policy: 'fresh', env: { A: 'b' } }],
      rpc: { tls: { caFile: '/ca.pem', handshakeFirst: false } },
    });
  });

  it('counts an empty variable as not set', () => {
    const { config, problems } = loadConfig({ env: { TRELLIS_LATTICE: '', WASMCLOUD_CLUSTER_SEED: '', TRELLIS_LATICE: '' } });
    expect(problems).toEqual([]);
    expect(config!.lattice).toBe('default');
  });

  it('START-13 refuses names that cannot be in a subject', () => {
    for (const lattice of ['*', 'a.b', 'a b', '>', 'a\r\nPUB x', 'x'.repeat(65)]) {
      const { config, problems } = loadConfig({ env: { TRELLIS_LATTICE: lattice } });
      expect(config).toBeUndefined();
      expect(problems).toHaveLength(1);
      expect(problems[0]).toMatchObject({ code: 'START-13', setting: 'lattice', source: 'the environment, TRELLIS_LATTICE' });
      // eslint-disable-next-line no-control-regex
      expect(JSON.stringify(problems[0])).not.toMatch(/[\u0000-\u001f]/);
    }
  });

  it('START-14 refuses a misspelt variable and only mentions a strange one', () => {
    const typo = loadConfig({ env: { TRELLIS_RPC_SERVRES: 'x' } }).problems;
    expect(typo).toMatchObject([{ code: 'START-14', severity: 'refused', fix: 'Did you mean TRELLIS_RPC_SERVERS?' }]);
    // `trellis auth` reads it, and a host is often started from the same shell.
    expect(loadConfig({ env: { TRELLIS_AUTH_STORE: '/srv/auth' } }).problems).toEqual([]);
    // What Kubernetes sets for a service called trellis.
    const strange = loadConfig({ env: { TRELLIS_PORT_4222_TCP_ADDR: '10.0.0.1', WASMCLOUD_POLICY_TOPIC: 'r' } }).problems;
    expect(strange.map((problem) => problem.severity)).toEqual(['warning', 'warning']);
    expect(loadConfig({ env: { WASMCLOUD_HOST_SEED: 'SN' } }).problems).toMatchObject([
      { code: 'START-11', setting: 'hostSeedFile' },
    ]);
  });

  it('START-01 refuses a login by password or token as a variable and as a setting, and shows none', () => {
    for (const name of [
      'NATS_USER',
      'NATS_PASSWORD',
      'NATS_TOKEN',
      'WASMCLOUD_NATS_USER',
      'TRELLIS_RPC_PASSWORD',
      'TRELLIS_CTL_TOKEN',
    ]) {
      const { problems } = loadConfig({ env: { [name]: 'hunter22' } });
      expect(problems, name).toMatchObject([{ code: 'START-01', severity: 'refused', setting: name }]);
      expect(JSON.stringify(problems)).not.toContain('hunter22');
    }
    expect(
      loadConfig({ env: { NATS_USER: '', NATS_URL: 'nats://127.0.0.1', NATS_SERVER: '/usr/bin/nats-server' } }).problems,
    ).toEqual([]);
  });

  it('reads JWT and seed of wasmCloud 1.x, for each connection or for both, and the names of their files', () => {
    const { config, problems } = loadConfig({
      env: { WASMCLOUD_NATS_SEED: 'SUAAA', WASMCLOUD_RPC_SEED: 'SUBBB', WASMCLOUD_NATS_JWT: 'ey.a.b' },
    });
    expect(problems).toEqual([]);
    expect(config).toMatchObject({ ctl: { jwt: 'ey.a.b', seed: 'SUAAA' }, rpc: { jwt: 'ey.a.b', seed: 'SUBBB' } });
    const files = loadConfig({
      env: { WASMCLOUD_CTL_SEED_FILE: '/c.nk', WASMCLOUD_NATS_SEED_FILE: '/n.nk', WASMCLOUD_RPC_JWT_FILE: '/r.jwt' },
    });
    expect(files.config).toMatchObject({ ctl: { seedFile: '/c.nk' }, rpc: { seedFile: '/n.nk', jwtFile: '/r.jwt' } });
  });

  it('adds up a flag for a list that is repeated, over what stands below', () => {
    const setting = listSettings().find(({ name }) => name === 'allow')!;
    const flags = ['root', 'plaintext,core-dumps'].map((text) => ({ flag: '--allow', setting, text }));
    expect(loadConfig({ flags, env: { TRELLIS_ALLOW: 'anonymous' } }).config?.allow).toEqual(['root', 'plaintext', 'core-dumps']);
    expect(loadConfig({ env: { TRELLIS_ALLOW: 'anonymous' } }).config?.allow).toEqual(['anonymous']);
  });

  it('LEK-02 names the setting and never the value when a seed stands in the wrong place', () => {
    const bodies = [
      'SCADLRVZG6TQMCXKBSJT3FVKJZ2WEH5N4YU6BOTKLWQ3DGS7XNAPMRT5',
      'SCADLRVZG6TQMCXKBSJT3FVKJZ2W'.padEnd(57, 'B'),
      `SUA${'7'.repeat(55)}`,
    ];
    const names = listSettings().filter((candidate) => candidate.env.length > 0);
    for (const seed of bodies) {
      for (const { env } of names) {
        const { problems } = loadConfig({ env: { [env[0]!]: seed } });
        expect(JSON.stringify(problems)).not.toContain(seed.slice(3, 40));
      }
      expect(JSON.stringify(loadConfig({ env: { [`TRELLIS_${seed}`]: 'x' } }).problems)).not.toContain(seed);
      expect(JSON.stringify(loadConfig({ file: seed }).problems)).not.toContain(seed.slice(3, 40));
    }
  });
});

describe('listSettings', () => {
  it('gives every setting a description and every name and flag to one setting only', () => {
    const settings = listSettings();
    for (const { name, description } of settings) expect(description, name).not.toBe('');
    const flags = settings.flatMap((candidate) => candidate.flags);
    expect(new Set(flags).size).toBe(flags.length);
    const own = settings.flatMap((candidate) => candidate.env.slice(0, 1));
    expect(new Set(own).size).toBe(own.length);
  });

  it('gives secrets no flag', () => {
    const secrets = listSettings().filter((candidate) => candidate.secret);
    expect(secrets.map((candidate) => candidate.name)).toEqual([
      'ctl.jwt',
      'ctl.seed',
      'rpc.jwt',
      'rpc.seed',
      'trust.clusterSeed',
      'artifacts.password',
    ]);
    expect(secrets.flatMap((candidate) => candidate.flags)).toEqual([]);
  });
});
