import { describe, expect, it } from 'vitest';
import type { CheckContext } from '../../../src/config/check-context.ts';
import { isLoopback } from '../../../src/config/loopback.ts';
import { formatProblems } from '../../../src/config/problems.ts';
import { parseConfig } from '../../../src/config/schema.ts';
import type { HostConfigInput } from '../../../src/config/schema.ts';
import { checkStart } from '../../../src/config/start-checks.ts';
import { keyFacts } from '../../../src/daemon/key-facts.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';

const cluster = SigningKey.generate('cluster');
const seedOf = (key: SigningKey): string => key.exportSeed().reveal();
const remote = { servers: ['tls://nats.example:4222'], tls: { certFile: '/c.pem', keyFile: '/k.pem' } };

function check(input: HostConfigInput, facts: Partial<CheckContext['process']> = {}) {
  const found = checkStart({
    config: parseConfig(input),
    sourceOf: () => 'a test',
    keys: keyFacts,
    process: { uid: 1000, inspectorOpen: false, dumpsCore: false, unconfined: undefined, nowMs: Date.now(), ...facts },
  });
  return { found, codes: found.map(({ code, severity }) => (severity === 'warning' ? `(${code})` : code)) };
}
/** Only the codes of settings under test: the files these configurations name do not exist. */
const without = (codes: readonly string[], ...noise: string[]) => codes.filter((code) => !noise.includes(code));

describe('checkStart', () => {
  it('accepts the defaults', () => {
    expect(check({}).codes).toEqual([]);
  });

  it('START-01 refuses a login in an address, and does not show it', () => {
    for (const server of ['nats://user:hunter22@127.0.0.1', 'nats://s3cr3t-token@127.0.0.1:4222', 'user:hunter22@127.0.0.1']) {
      const { found, codes } = check({ rpc: { servers: [server] } });
      expect(codes).toContain('START-01');
      expect(formatProblems(found.filter(({ code }) => code === 'START-01'))).not.toMatch(/s3cr3t|hunter22@1|hunter22$/);
    }
  });

  it('START-02, START-03 and START-10 refuse anonymous, plain and ad hoc beyond this computer', () => {
    expect(check({ rpc: { servers: ['nats://nats.example'] } }).codes).toEqual(['START-02', 'START-03', 'START-10']);
    expect(check({ dev: true, rpc: { servers: ['nats://10.1.2.3:4222'] } }).codes).toEqual(['START-02', 'START-03', 'START-10']);
    const proper = check({ rpc: remote, trust: { clusterSeed: seedOf(cluster) } }).codes;
    expect(without(proper, 'START-06', 'START-12', 'START-11')).toEqual([]);
  });

  it('knows this computer by its names', () => {
    for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1', '[::1]', 'LOCALHOST']) expect(isLoopback(host)).toBe(true);
    for (const host of [
      '127.0.0.1.evil.example',
      'localhost.evil',
      '0.0.0.0',
      '128.0.0.1',
      '',
      '127.1.1.1.1',
      '127.1',
      '127.999.0.1',
      '::2',
      '::ffff:10.0.0.1',
    ]) {
      expect(isLoopback(host)).toBe(false);
    }
  });

  it('START-08 refuses no verification beyond this computer and mentions it here', () => {
    expect(check({ trust: { verify: 'off' } }).codes).toEqual(['(START-08)']);
    expect(check({ trust: { verify: 'off' }, dev: true }).codes).toEqual([]);
    expect(check({ trust: { verify: 'observe', clusterSeed: seedOf(cluster) }, rpc: remote }).codes).toContain('(START-08)');
    expect(check({ trust: { verify: 'off', clusterSeed: seedOf(cluster) }, rpc: remote, dev: true }).codes).toContain('START-08');
  });

  it('START-09 refuses malformed, foreign and swapped issuers, and never shows them', () => {
    const other = SigningKey.generate('cluster').publicKey;
    const fine = { clusterSeed: seedOf(cluster), clusterIssuers: [other, cluster.publicKey] };
    expect(check({ trust: fine, dev: true }).codes).toEqual([]);
    const cases: HostConfigInput['trust'][] = [
      { clusterSeed: seedOf(cluster), clusterIssuers: [other] },
      { clusterIssuers: [seedOf(cluster)] },
      { clusterIssuers: [SigningKey.generate('account').publicKey] },
      { clusterIssuers: [`C${'A'.repeat(55)}`] },
      { clusterIssuers: ['CABC'] },
      { clusterSeed: cluster.publicKey },
      { clusterSeed: seedOf(SigningKey.generate('user')) },
      { clusterSeed: seedOf(cluster).slice(0, -1) },
    ];
    for (const trust of cases) {
      const { found, codes } = check({ trust, dev: true });
      expect(codes).toEqual(['START-09']);
      expect(JSON.stringify(found)).not.toContain(seedOf(cluster).slice(2, 50));
    }
  });

  it('START-11 refuses seeds in the environment outside development', () => {
    const user = SigningKey.generate('user');
    expect(check({ trust: { clusterSeed: seedOf(cluster) } }).codes).toEqual(['START-11']);
    expect(check({ trust: { clusterSeed: seedOf(cluster) }, dev: true }).codes).toEqual([]);
    expect(check({ rpc: { seed: seedOf(user) } }).codes).toEqual(['START-11']);
    expect(check({ rpc: { seed: seedOf(user) }, dev: true }).codes).toEqual([]);
    expect(check({ ctl: { seed: seedOf(cluster) }, dev: true }).codes).toEqual(['START-06']);
    expect(check({ ctl: { jwt: 'ey.ey.ey' }, dev: true }).codes).toEqual(['START-14', 'START-06']);
    expect(without(check({ ctl: { seed: seedOf(user), seedFile: '/nowhere' }, dev: true }).codes, 'START-06')).toEqual([
      'START-14',
    ]);
    expect(JSON.stringify(check({ ctl: { seed: seedOf(cluster) } }).found)).not.toContain(seedOf(cluster).slice(2, 40));
  });

  it('START-04 CRD-08 knows one user in the environment for both', () => {
    const seed = seedOf(SigningKey.generate('user'));
    const allow = ['seed-in-environment'];
    const both = { ctl: { seed }, rpc: { seed }, allow };
    expect(check(both).codes).toEqual(['START-11', 'START-11', 'START-04']);
    expect(check({ ...both, allow: [...allow, 'same-credentials'] }).found.map(({ severity }) => severity)).toEqual(
      Array(3).fill('allowed'),
    );
    expect(check({ ...both, rpc: { seed: seedOf(SigningKey.generate('user')) } }).codes).toEqual(['START-11', 'START-11']);
  });

  it('START-14 refuses signed commands where nobody could sign one', () => {
    const control = { mode: 'signed' } as const;
    const { codes, found } = check({ control });
    expect([codes, found[0]?.setting]).toEqual([['START-14'], 'control.mode']);
    expect(check({ control: { mode: 'open' } }).codes).toEqual([]);
    expect(check({ control, trust: { clusterIssuers: [cluster.publicKey] } }).codes).toEqual([]);
    expect(without(check({ control, trust: { clusterSeed: seedOf(cluster) } }).codes, 'START-11')).toEqual([]);
  });

  it('START-14 refuses conflicts', () => {
    const component = { id: 'a', file: import.meta.filename };
    const granted = { network: ['a:1'], preopens: [{ guest: '/d', host: '/nowhere/d' }] };
    expect(check({ components: [{ ...component, grants: granted }] }).codes).toEqual(['START-14']);
    const link = { source: 'a', namespace: 'n', package: 'p', interfaces: ['i', 'j'] };
    expect(check({ components: [component, component] }).codes).toEqual(['START-14']);
    expect(check({ components: [component], limits: { maxComponents: 1 } }).codes).toEqual([]);
    expect(
      check({
        links: [
          { ...link, target: 'b' },
          { ...link, target: 'c', interfaces: ['j'] },
        ],
      }).codes,
    ).toEqual(['START-14']);
    expect(
      check({
        links: [
          { ...link, target: 'b' },
          { ...link, target: 'c', name: 'other' },
        ],
      }).codes,
    ).toEqual([]);
    expect(check({ rpc: { servers: ['ws://127.0.0.1:80'] } }).codes).toEqual(['START-14']);
    expect(without(check({ rpc: { jwtFile: '/nowhere' } }).codes, 'START-06')).toEqual(['START-14']);
    expect(without(check({ rpc: { credsFile: '/nowhere', seedFile: '/nowhere' } }).codes, 'START-06')).toEqual(['START-14']);
    expect(
      without(check({ trust: { clusterSeed: seedOf(cluster), clusterSeedFile: '/nowhere' }, dev: true }).codes, 'START-06'),
    ).toEqual(['START-14']);
    expect(check({ admin: { listen: '0.0.0.0:8080' } }).codes).toEqual(['(START-14)']);
  });

  it('START-14 looks at settings for peers of wasmCloud 0.82', () => {
    const actor = SigningKey.generate('module').publicKey;
    const provider = SigningKey.generate('service').publicKey;
    const component = (id: string, wasmbus?: { key: string; link?: string; contract?: string }) => ({
      id,
      file: import.meta.filename,
      ...(wasmbus === undefined ? {} : { wasmbus }),
    });
    const own = component('a', { key: actor });
    const link = { source: 'a', target: provider, namespace: 'n', package: 'p', interfaces: ['i'], wasmbus: {} };
    expect(check({ components: [own, component('b', { key: provider, contract: 'n:p' })] }).codes).toEqual([]);
    const once = { trust: { replay: 'cluster' } } as const;
    expect(check({ ...once, components: [own] }).codes).toEqual(['START-14']);
    expect(check({ ...once, components: [{ ...own, replay: 'local' }] }).codes).toEqual([]);
    expect(check({ components: [own, component('b', { key: actor })] }).codes).toEqual(['START-14']);
    expect(check({ components: [component('a', { key: provider })] }).codes).toEqual(['START-14']);
    expect(check({ components: [component('a', { key: actor, link: 'x' })] }).codes).toEqual(['START-14']);
    const mistyped = `${actor.slice(0, -1)}${actor.endsWith('A') ? 'B' : 'A'}`;
    expect(check({ components: [component('a', { key: mistyped })] }).codes).toEqual(['START-14']);
    const seeded = { wasmbus: { seedFile: '/nowhere' } };
    const codes = (config: Parameters<typeof check>[0]) =>
      without(check({ trust: seeded, dev: true, ...config }).codes, 'START-06');
    expect(codes({ components: [own], links: [link] })).toEqual([]);
    expect(codes({ components: [component('a')], links: [link] })).toEqual(['START-14']);
    expect(codes({ components: [own], links: [{ ...link, target: 'b' }] })).toEqual(['START-14']);
    expect(check({ components: [own], links: [link] }).codes).toEqual(['START-14']);
    // A peer chooses its targets by key; no component here may have two for one import.
    const { wasmbus: _, ...toComponent } = link;
    const plain = (source: string) => ['a', 'b'].map((target) => ({ ...toComponent, source, target }));
    expect(check({ links: plain(actor) }).codes).toEqual([]);
    expect(check({ links: plain('c') }).codes).toEqual(['START-14']);
    expect(without(check({ trust: seeded }).codes, 'START-06')).toEqual(['(START-11)']);
  });

  it('START-14 looks at pairs that may stay unsigned', () => {
    const link = { source: 'a', target: 'b', namespace: 'n', package: 'p', interfaces: ['i', 'j'] };
    const pair = { source: 'a', target: 'b', interface: 'n:p/j' };
    const component = (id: string) => ({ id, file: import.meta.filename });
    expect(check({ links: [link], trust: { unsigned: [pair] }, components: [component('a')] }).codes).toEqual([]);
    expect(check({ links: [link], trust: { unsigned: [{ ...pair, interface: 'n:p/k' }] } }).codes).toEqual(['(START-14)']);
    expect(check({ links: [link], trust: { unsigned: [pair] }, components: [component('a'), component('b')] }).codes).toEqual([
      'START-14',
    ]);
    expect(() => parseConfig({ trust: { unsigned: [{ ...pair, interface: 'n:p/j@1.0.0' }] } })).toThrow('ns:pkg/iface');
  });

  it('START-18 and START-19 look at the process, outside development', () => {
    expect(check({}, { uid: 0, inspectorOpen: true }).codes).toEqual(['START-18', 'START-19']);
    expect(check({}, { dumpsCore: true }).found).toMatchObject([{ code: 'START-19', allowance: 'core-dumps' }]);
    expect(check({ dev: true }, { uid: 0, inspectorOpen: true, dumpsCore: true }).codes).toEqual([]);
  });

  it('START-17 refuses components that cannot be confined, outside development', () => {
    const components = [{ id: 'a', file: import.meta.filename, digest: `sha256:${'0'.repeat(64)}` }];
    const unconfined = 'Node 22 does not know --allow-net';
    expect(check({ components }, { unconfined }).found).toMatchObject([
      { code: 'START-17', summary: expect.stringContaining('--allow-net') as string },
    ]);
    expect(check({}, { unconfined }).codes).toEqual([]);
    expect(check({ components, dev: true }, { unconfined }).codes).toEqual([]);
  });

  it('prints problems with setting, source, reason and fix', () => {
    const { found } = check({ rpc: { servers: ['nats://nats.example:4222'] } });
    expect(formatProblems(found)).toMatchInlineSnapshot(`
      "Not started: 3 problems in the configuration.

       START-02  The rpc connection would log in to another computer as nobody.
         setting  rpc.servers[0] = nats://nats.example:4222   (from a test)
         why      A server that lets anybody in lets anybody read and answer invocations.
         fix      Set rpc.credsFile to this host's credentials.
         or       accept the danger: --allow anonymous

       START-03  The rpc connection would leave this computer without TLS.
         setting  rpc.servers[0] = nats://nats.example:4222   (from a test)
         why      Anyone on the path could read and change traffic, and see the login.
         fix      Use tls:// and set rpc.tls.caFile. For a local sidecar use 127.0.0.1.
         or       accept the danger: --allow plaintext

       START-10  This host would sign with an ad hoc key on a lattice beyond this computer.
         setting  trust.clusterSeedFile   (from a test)
         why      No other host believes that key, and with it this one would believe none (server nats://nats.example:4222).
         fix      Set trust.clusterSeedFile (make one with: trellis keys gen cluster --out <file>).
      "
    `);
  });

  it('START-09 and START-14 refuse shares that cannot work, or let in too much', () => {
    const other = SigningKey.generate('cluster');
    const entry = (more: object = {}) => ({
      lattice: 'other',
      issuers: [other.publicKey],
      origins: ['x'],
      target: 'hello',
      interface: 'n:p/iface',
      ...more,
    });
    const components = [{ id: 'hello', file: import.meta.filename }];
    const ofShares = (trust: HostConfigInput['trust'], more: HostConfigInput = {}) =>
      without(check({ components, trust, ...more }).codes, 'START-06');
    expect(ofShares({ foreign: [entry()] })).toEqual([]);
    expect(ofShares({ foreign: [entry({ target: 'elsewhere' })] })).toEqual(['(START-14)']);
    expect(ofShares({ foreign: [entry({ issuers: [seedOf(other)] })] })).toEqual(['START-09']);
    expect(ofShares({ foreign: [entry({ issuers: [SigningKey.generate('account').publicKey] })] })).toEqual(['START-09']);
    expect(ofShares({ foreign: [entry()], clusterIssuers: [other.publicKey] })).toEqual(['START-14']);
    expect(ofShares({ foreign: [entry()], replay: 'cluster' })).toEqual(['START-14']);
    const link = (more: object = {}) => ({
      source: 'x',
      target: 'their-hello',
      namespace: 'n',
      package: 'p',
      interfaces: ['iface'],
      shared: { lattice: 'other', issuers: [other.publicKey] },
      ...more,
    });
    const ofLinks = (...links: NonNullable<HostConfigInput['links']>) => ofShares({}, { links });
    expect(ofLinks(link())).toEqual([]);
    expect(ofLinks(link({ target: 'hello' }))).toEqual(['START-14']);
    expect(ofLinks(link({ shared: { lattice: 'other', issuers: ['CABC'] } }))).toEqual(['START-09']);
    expect(ofLinks(link({ wasmbus: {} }))).toContain('START-14');
  });
});
