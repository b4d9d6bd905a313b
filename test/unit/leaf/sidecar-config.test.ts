import { parse } from 'yaml';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/schema.ts';
import { latticeName } from '../../../src/ids.ts';
import { hostConfigText } from '../../../src/leaf/behind-leaf.ts';
import { sidecarFiles } from '../../../src/leaf/sidecar-config.ts';
import { sidecarSpec, type SidecarInput } from '../../../src/leaf/sidecar-spec.ts';

const key = (prefix: string, letter: string): string => prefix + letter.repeat(55);
const USERS = { ctl: key('U', 'C'), rpc: key('U', 'R') };

const input = (more: Partial<SidecarInput> = {}): SidecarInput => ({
  form: 'both',
  name: 'host1',
  lattice: latticeName('lab'),
  hubs: ['tls://hub.example:7422'],
  domain: 'hub',
  caFile: '/etc/nats/ca.pem',
  ctl: { listen: '127.0.0.1:4222', credsFile: '/etc/nats/ctl.creds' },
  rpc: { listen: '127.0.0.1:4222', credsFile: '/etc/nats/rpc.creds' },
  monitor: '127.0.0.1:8222',
  localCtlUser: key('U', 'L'),
  ...more,
});
const pair = (more: Partial<SidecarInput> = {}): SidecarInput =>
  input({ form: 'pair', rpc: { listen: '127.0.0.1:4223', credsFile: '/etc/nats/rpc.creds' }, ...more });
const textOf = (given: SidecarInput): string =>
  sidecarFiles(sidecarSpec(given))
    .map(({ text }) => text)
    .join('');
const refusal = (given: SidecarInput): string => {
  try {
    sidecarSpec(given);
  } catch (error) {
    expect(error).toMatchObject({ code: 'TRELLIS_LEAF_INPUT' });
    return (error as Error).message;
  }
  throw new Error('was not refused');
};

describe('the configuration of a sidecar', () => {
  it('binds two accounts to two remotes, and lets nobody without a key into ctl', () => {
    const text = textOf(input());
    expect(text).toContain(`nkey: "${key('U', 'L')}"`);
    expect(text).toContain('no_auth_user: "rpc-anonymous"');
    expect(text.match(/account: "(?:CTL|RPC)"/g)).toEqual(['account: "CTL"', 'account: "RPC"']);
    expect(text).toContain('"$KV.>": "$JS.hub.API.$KV.>"');
    expect(text).not.toMatch(/jetstream\s*[{:]/);
    // Belt and braces: what is control does not leave by rpc.
    const rpc = text.slice(text.indexOf('account: "RPC"'));
    for (const subject of ['wasmbus.ctl.>', 'wasmbus.evt.>', '$JS.>', '_INBOX_CTL.lab.>']) {
      expect(rpc.split(`"${subject}"`)).toHaveLength(3);
    }
  });

  it('gives each process of a pair its own account, name and monitoring port', () => {
    const [ctl, rpc] = sidecarFiles(sidecarSpec(pair()));
    expect([ctl!.name, rpc!.name]).toEqual(['leaf-ctl.conf', 'leaf-rpc.conf']);
    expect(ctl!.text).not.toContain('no_auth_user');
    expect(ctl!.text).not.toContain('rpc.creds');
    expect(rpc!.text).not.toContain('ctl.creds');
    expect([ctl!.text, rpc!.text].map((text) => /server_name: "(.*)"/.exec(text)?.[1])).toEqual(['host1-ctl', 'host1-rpc']);
    expect([ctl!.text, rpc!.text].map((text) => /http: "(.*)"/.exec(text)?.[1])).toEqual(['127.0.0.1:8222', '127.0.0.1:8223']);
  });

  it.each([
    ['another address than loopback', { ctl: { listen: '0.0.0.0:4222', credsFile: 'a' } }],
    ['a name for an address', { ctl: { listen: 'localhost:4222', credsFile: 'a' } }],
    ['a monitoring port beyond loopback', { monitor: '10.0.0.1:8222' }],
    ['a monitoring port on the clients port', { monitor: '127.0.0.1:4222' }],
    ['two addresses in one process', { rpc: { listen: '127.0.0.1:4223', credsFile: 'a' } }],
    ['plain text to another machine', { hubs: ['nats://hub.example:7422'] }],
    ['a login in an address', { hubs: ['tls://user:secret@hub.example:7422'] }],
    ['a path in an address', { hubs: ['tls://hub.example:7422/x'] }],
    ['no address', { hubs: [] }],
    ['one credentials file for both', { rpc: { listen: '127.0.0.1:4222', credsFile: '/etc/nats/ctl.creds' } }],
    ['a certificate without its key', { certFile: '/c.pem' }],
    ['a path with a line break', { caFile: '/ca.pem"\nport: 1' }],
    ['no key for ctl', { localCtlUser: undefined }],
    ['a name that is no token', { name: 'a b' }],
    ['a domain that is no token', { domain: 'hub.>' }],
    ['no operator', { form: 'operator' }],
  ] as const)('refuses %s', (_what, more) => {
    const message = refusal(input(more));
    expect(message).not.toContain('secret');
  });

  it('refuses an operator form in which ctl and rpc are one account', () => {
    const account = { publicKey: key('A', 'A'), jwt: 'eyA.eyB.c' };
    const operator = { jwt: 'eyA.eyB.c', ctl: account, rpc: account, system: undefined };
    expect(refusal(input({ form: 'operator', localCtlUser: undefined, operator }))).toContain('one account');
  });

  it('INJ-LEAF-03 whatever a path or address holds, the file has the same lines', () => {
    const lines = textOf(input()).split('\n').length;
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.string(), (path, host) => {
        let text: string;
        try {
          text = textOf(input({ caFile: path, hubs: [`tls://hub${host}:7422`] }));
        } catch (error) {
          expect(error).toMatchObject({ code: 'TRELLIS_LEAF_INPUT' });
          return;
        }
        expect(text.split('\n')).toHaveLength(lines);
      }),
    );
  });

  it('writes the settings of the host: own inboxes below the keys of the leaf, no secret', () => {
    const text = hostConfigText(sidecarSpec(pair()), { users: USERS, ctlSeedFile: '/etc/trellis/leaf-ctl.seed' });
    const config = parseConfig(parse(text) as object);
    expect(config.ctl).toMatchObject({
      servers: ['nats://127.0.0.1:4222'],
      seedFile: '/etc/trellis/leaf-ctl.seed',
      inboxPrefix: `_INBOX_CTL.lab.${USERS.ctl}`,
      viaLeaf: true,
    });
    expect(config.rpc).toMatchObject({
      servers: ['nats://127.0.0.1:4223'],
      inboxPrefix: `_INBOX_RPC.lab.${USERS.rpc}`,
      viaLeaf: true,
    });
    expect(config.rpc.seedFile).toBeUndefined();
    expect(text).not.toContain('creds');
  });

  it('adds the connections to a base, whose other settings and comments stay', () => {
    const base = '# Ours.\nlattice: other\ntrust:\n  # The seed.\n  clusterSeedFile: /s\nctl: { credsFile: /old.creds }\n';
    const text = hostConfigText(sidecarSpec(input()), { users: USERS, ctlSeedFile: '/ctl.seed' }, base);
    for (const comment of ['# Ours.', '# The seed.', '# The connections of a host behind']) expect(text).toContain(comment);
    const config = parseConfig(parse(text) as object);
    expect(config).toMatchObject({
      lattice: 'lab',
      trust: { clusterSeedFile: '/s' },
      ctl: { seedFile: '/ctl.seed', viaLeaf: true },
    });
    expect(config.ctl.credsFile).toBeUndefined();
    for (const broken of ['- a list', 'a: [', 'a: 1\na: 2']) {
      expect(() => hostConfigText(sidecarSpec(input()), { users: USERS }, broken)).toThrow(
        expect.objectContaining({ code: 'TRELLIS_LEAF_INPUT' }),
      );
    }
  });

  it('takes the name from the environment where several pods share the files', () => {
    expect(textOf(input({ nameVariable: 'POD_NAME' }))).toContain('server_name: $POD_NAME\n');
  });
});
