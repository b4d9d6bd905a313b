import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PermissionTemplate } from '../../../src/auth/permission-template-file.ts';
import { bindToUser, fillTemplate, loadPermissionTemplates, OWN_KEY } from '../../../src/auth/permission-templates.ts';

const templates = loadPermissionTemplates();
const names = [...templates.keys()];
/** A value for each parameter of a template and of all its extensions. */
const sampleValues = (template: PermissionTemplate, value = 'lab'): Record<string, string> =>
  Object.fromEntries(
    [template, ...Object.values(template.extensions)].flatMap((part) => Object.keys(part.parameters)).map((key) => [key, value]),
  );
const allExtensions = (template: PermissionTemplate): string[] => Object.keys(template.extensions);
const everything = (name: string, values: Record<string, string>) =>
  fillTemplate(name, values, allExtensions(templates.get(name)!));
/** The shape of a subject: what a value must not change. */
const shape = (subject: string): string =>
  subject
    .split('.')
    .map((token) => (token === '*' || token === '>' || token === OWN_KEY ? token : 'x'))
    .join('.');

describe('permission templates', () => {
  it('are these', () => {
    expect(names).toEqual([
      'caller-ctl',
      'caller-rpc',
      'host-ctl-leaf',
      'host-ctl',
      'host-rpc-leaf',
      'host-rpc',
      'issuer-ctl',
      'one-account-ctl',
      'one-account-rpc',
      'operator-ctl',
      'provider',
      'provisioning',
      'resolver',
      'wadm',
    ]);
  });

  it.each(names)('%s grants nothing beyond its lattice, whatever is switched on', (name) => {
    const template = templates.get(name)!;
    const { publish, subscribe } = everything(name, sampleValues(template));
    for (const subject of [...publish.allow, ...subscribe.allow]) {
      expect(subject).not.toMatch(/^[*>]/);
      expect(subject).not.toMatch(/STREAM\.(?:UPDATE|DELETE|RESTORE|SNAPSHOT|PEER|LEADER)/);
      expect(subject).not.toMatch(/^\$(?:JS|SYS|KV|JS\.API)\.>$/);
      // Either it names the lattice, or it is one of the few that have none in them.
      if (!subject.includes('lab')) {
        expect(subject).toMatch(/^(?:\$JS\.|\$SYS\.REQ\.|\$KV\.wadm_|wadm\.|wasmbus\.evt\.\*\.>|_INBOX\.>|_R_\.>|_INBOX_SYS\.)/);
      }
    }
    for (const subject of subscribe.allow) {
      if (subject.startsWith('_INBOX') && subject !== '_INBOX.>') expect(subject).toContain(OWN_KEY);
    }
  });

  it.each(names)('%s lets only its own partition in', (name) => {
    const template = templates.get(name)!;
    const { publish, subscribe } = everything(name, sampleValues(template));
    const all = [...publish.allow, ...subscribe.allow].join(' ');
    if (template.partition !== 'ctl') expect(all).not.toMatch(/wasmbus\.(?:ctl|evt|cfg)|wadm\.|\$KV|wasmcloud\.|_INBOX_CTL/);
    if (template.partition !== 'rpc') expect(all).not.toMatch(/wrpc|wasmbus\.rpc|_INBOX_RPC/);
  });

  it.each(names.filter((name) => templates.get(name)!.leaf))('%s does not count on replies, which leaf nodes refuse', (name) => {
    const values = sampleValues(templates.get(name)!);
    expect(fillTemplate(name, { lattice: 'lab' }).responses).toBeUndefined();
    expect(everything(name, values).publish.allow).toContain(`_INBOX_${name.includes('ctl') ? 'CTL' : 'RPC'}.lab.>`);
  });

  it('holds hosts and callers to the components they are given', () => {
    const held = fillTemplate('host-rpc', { lattice: 'lab', components: ['a', 'b'], targets: 'c' });
    expect(held.publish.allow).toContain('lab.c.wrpc.>');
    expect(held.subscribe.allow).toEqual(['lab.a.wrpc.>', 'lab.b.wrpc.>', '_INBOX_RPC.lab.{{subject()}}.>']);
    expect(fillTemplate('host-rpc', { lattice: 'lab' }).subscribe.allow).toContain('lab.*.wrpc.>');
    expect(fillTemplate('host-rpc', { lattice: 'lab', targets: [] }).publish.allow.join(' ')).not.toContain('wrpc');
    expect(fillTemplate('provider', { lattice: 'lab', provider: 'p' }).publish.allow.join(' ')).not.toContain('wrpc');
  });

  it('grants both forms of what lies in a JetStream domain', () => {
    const { publish } = fillTemplate('host-ctl', { lattice: 'lab', domain: 'hub' }, ['jetstream-domain']);
    for (const subject of ['$JS.API.INFO', '$JS.hub.API.INFO', '$KV.CONFIGDATA_lab.>', '$JS.hub.API.$KV.CONFIGDATA_lab.>']) {
      expect(publish.allow).toContain(subject);
    }
  });

  it('writes the key of a user out where no server does', () => {
    const bound = bindToUser(fillTemplate('host-ctl', { lattice: 'lab' }), 'UKEY');
    expect(bound.subscribe.allow).toContain('_INBOX_CTL.lab.UKEY.>');
    expect(JSON.stringify(bound)).not.toContain('{{');
  });

  it('says what it does not know', () => {
    const fails = (...call: Parameters<typeof fillTemplate>): string => {
      try {
        fillTemplate(...call);
      } catch (error) {
        return (error as Error).message;
      }
      return 'nothing';
    };
    expect(fails('host', {})).toBe('there is no permission template "host"');
    expect(fails('host-ctl', {})).toBe('host-ctl needs a value for lattice (name of the lattice)');
    expect(fails('host-ctl', { lattice: 'lab', latice: 'x' })).toBe('host-ctl takes no value "latice"');
    expect(fails('host-ctl', { lattice: 'lab' }, ['toString'])).toBe('host-ctl has no extension "toString"');
    expect(fails('host-ctl', { lattice: ['lab', 'lob'] })).toBe('lattice of host-ctl takes one value');
    // A value of an extension that is not on would have no effect, and whoever gave it thinks otherwise.
    expect(fails('host-ctl', { lattice: 'lab', domain: 'hub' })).toBe('host-ctl takes no value "domain"');
  });

  it('INJ-01 takes no value that changes what a subject means', () => {
    const hostile = [
      '*',
      '>',
      'a.b',
      'a b',
      'a\0',
      '',
      '{{name()}}',
      '{{subject()}}',
      '{lattice}',
      '$JS',
      'a\r\nPUB x 0',
      'ä',
      '\u{1f600}',
    ];
    for (const name of names.filter((each) => each !== 'resolver')) {
      for (const value of [...hostile, 'x'.repeat(5_000)]) {
        expect(() => fillTemplate(name, { ...sampleValues(templates.get(name)!), lattice: value })).toThrow();
      }
    }
    for (const policyTopic of [
      'wasmbus.ctl.v1.other.host.stop',
      'wadm.api',
      '_INBOX_CTL.x',
      '$JS.API.INFO',
      '*.policy',
      'a..b',
      '.a',
      'a.',
    ]) {
      expect(() => fillTemplate('host-ctl', { lattice: 'lab', policyTopic }, ['policy'])).toThrow('cannot be policyTopic');
    }
  });

  it('INJ-01 keeps the shape of every subject for any text', () => {
    const text = fc.oneof(
      fc.string({
        unit: fc.constantFrom('a', '\0', '\n', '\r', '\t', '\u007f', 'é', '\u2028', '\ud800', '\u{1f600}'),
        maxLength: 12,
      }),
      fc.string(),
      fc.string({ unit: fc.constantFrom('a', '_', '-', '.', '*', '>', '{', '}', '$', ' ', '(', ')'), maxLength: 12 }),
      fc.string({ unit: fc.constantFrom(...'AZaz09_-'), minLength: 1, maxLength: 140 }),
    );
    const topics = { policyTopic: 'p', policyChanges: 'c', secretsTopic: 's' };
    const shapes = (name: string, values: Record<string, string>): string => {
      const { publish, subscribe } = everything(name, values);
      return [...publish.allow, '|', ...subscribe.allow].map(shape).join('\n');
    };
    // Topics are several tokens, and have a rule of their own.
    const cases = names.flatMap((name) => {
      const sample = sampleValues(templates.get(name)!);
      const values = Object.fromEntries(Object.entries({ ...sample, ...topics }).filter(([key]) => key in sample));
      const plain = shapes(name, values);
      const keys = Object.keys(values).filter((key) => !(key in topics));
      return keys.map((key) => ({ name, key, values, plain }));
    });
    fc.assert(
      fc.property(fc.constantFrom(...cases), text, ({ name, key, values, plain }, value) => {
        const isToken = /^[A-Za-z0-9_-]{1,128}$/.test(value);
        if (isToken) expect(shapes(name, { ...values, [key]: value })).toBe(plain);
        else expect(() => everything(name, { ...values, [key]: value })).toThrow('it would change what the subjects mean');
      }),
      { numRuns: 300 },
    );
  });
});
