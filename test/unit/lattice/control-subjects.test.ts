import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSubjectPrefix, latticeName } from '../../../src/ids.ts';
import {
  controlRoot,
  controlSubject,
  controlSubscriptions,
  forHostAlone,
  type ControlOperation,
  readControlSubject,
} from '../../../src/lattice/control-subjects.ts';

const HOST = `N${'A'.repeat(55)}`;
const OTHER = `N${'B'.repeat(55)}`;
const ROOT = controlRoot('wasmbus.ctl', latticeName('lab'));
const BOTH = { component: true, provider: true };

/** Every request, with the subject that a client of 1.x sends it to. */
const SUBJECTS: readonly (readonly [ControlOperation, string, string])[] = [
  ['host.ping', 'wasmbus.ctl.v1.lab.host.ping', ''],
  ['host.get', `wasmbus.ctl.v1.lab.host.get.${HOST}`, HOST],
  ['host.stop', `wasmbus.ctl.v1.lab.host.stop.${HOST}`, HOST],
  ['label.put', `wasmbus.ctl.v1.lab.label.put.${HOST}`, HOST],
  ['label.del', `wasmbus.ctl.v1.lab.label.del.${HOST}`, HOST],
  ['component.auction', 'wasmbus.ctl.v1.lab.component.auction', ''],
  ['component.scale', `wasmbus.ctl.v1.lab.component.scale.${HOST}`, HOST],
  ['component.update', `wasmbus.ctl.v1.lab.component.update.${HOST}`, HOST],
  ['provider.auction', 'wasmbus.ctl.v1.lab.provider.auction', ''],
  ['provider.start', `wasmbus.ctl.v1.lab.provider.start.${HOST}`, HOST],
  ['provider.stop', `wasmbus.ctl.v1.lab.provider.stop.${HOST}`, HOST],
  ['link.get', 'wasmbus.ctl.v1.lab.link.get', ''],
  ['link.put', 'wasmbus.ctl.v1.lab.link.put', ''],
  ['link.del', 'wasmbus.ctl.v1.lab.link.del', ''],
  ['claims.get', 'wasmbus.ctl.v1.lab.claims.get', ''],
  ['config.get', 'wasmbus.ctl.v1.lab.config.get.a_b-c', 'a_b-c'],
  ['config.put', 'wasmbus.ctl.v1.lab.config.put.SECRET_x', 'SECRET_x'],
  ['config.del', 'wasmbus.ctl.v1.lab.config.del.x', 'x'],
  ['registry.put', 'wasmbus.ctl.v1.lab.registry.put', ''],
];

/** Whether a subscription gets what is sent to a subject, as a NATS server decides it. */
function hears(subscription: string, subject: string): boolean {
  const [wanted, sent] = [subscription.split('.'), subject.split('.')];
  const isOpen = wanted.at(-1) === '>';
  if (isOpen ? sent.length < wanted.length : sent.length !== wanted.length) return false;
  return wanted.every((token, at) => token === '>' || token === '*' || token === sent[at]);
}

describe('subjects of the control interface', () => {
  it.each(SUBJECTS)('%s is asked on %s', (operation, subject, argument) => {
    expect(controlSubject(ROOT, operation, argument)).toBe(subject);
    expect(readControlSubject(ROOT, HOST, subject)).toMatchObject({ operation, argument, asked: operation });
    const heard = controlSubscriptions(ROOT, HOST, BOTH).filter((each) => hears(each.subject, subject));
    expect(heard.map(({ noun }) => noun)).toEqual([operation.split('.')[0]]);
  });

  it('subscribes what a wasmCloud 1.9 host does, byte for byte, and what is meant for it alone', () => {
    expect(controlSubscriptions(ROOT, HOST, BOTH).map(({ subject, queue }) => [subject, queue])).toEqual([
      ['wasmbus.ctl.v1.lab.registry.put', undefined],
      ['wasmbus.ctl.v1.lab.host.ping', undefined],
      ['wasmbus.ctl.v1.lab.link.*', 'wasmbus.ctl.v1.lab.link'],
      ['wasmbus.ctl.v1.lab.claims.get', 'wasmbus.ctl.v1.lab.claims'],
      [`wasmbus.ctl.v1.lab.component.*.${HOST}`, undefined],
      [`wasmbus.ctl.v1.lab.provider.*.${HOST}`, undefined],
      [`wasmbus.ctl.v1.lab.label.*.${HOST}`, undefined],
      [`wasmbus.ctl.v1.lab.host.*.${HOST}`, undefined],
      ['wasmbus.ctl.v1.lab.config.>', 'wasmbus.ctl.v1.lab.config'],
      [`wasmbus.ctl.v1.lab.only.${HOST}.>`, undefined],
      ['wasmbus.ctl.v1.lab.component.auction', undefined],
      ['wasmbus.ctl.v1.lab.provider.auction', undefined],
    ]);
  });

  it.each([
    ['link.put', ''],
    ['link.del', ''],
    ['link.get', ''],
    ['claims.get', ''],
    ['config.put', 'x'],
    ['config.get', 'x'],
    ['config.del', 'x'],
  ] as const)('%s is asked of one host alone where no other one listens', (operation, argument) => {
    const tail = argument === '' ? operation : `${operation}.${argument}`;
    const subject = `${ROOT}.${forHostAlone(HOST, tail)}`;
    expect(subject).toBe(`${ROOT}.only.${HOST}.${tail}`);
    expect(readControlSubject(ROOT, HOST, subject)).toEqual({ noun: 'only', operation, argument, asked: operation });
    expect(readControlSubject(ROOT, OTHER, subject)).toMatchObject({ operation: undefined });
    const heardBy = (host: string) => controlSubscriptions(ROOT, host, BOTH).filter((each) => hears(each.subject, subject));
    expect(heardBy(HOST).map(({ noun, queue }) => [noun, queue])).toEqual([['only', undefined]]);
    expect(heardBy(OTHER)).toEqual([]);
  });

  it.each([
    `host.stop.${HOST}`,
    `component.scale.${HOST}`,
    'host.ping',
    'registry.put',
    'component.auction',
    `only.${HOST}.link.put`,
  ])('nothing else is asked so: %s', (tail) =>
    expect(readControlSubject(ROOT, HOST, `${ROOT}.only.${HOST}.${tail}`)).toBeUndefined(),
  );

  it('takes the prefix into the queue groups', () => {
    const root = controlRoot('acme.ctl', latticeName('lab'));
    const groups = controlSubscriptions(root, HOST, BOTH).flatMap(({ queue }) => queue ?? []);
    expect(groups).toEqual(['acme.ctl.v1.lab.link', 'acme.ctl.v1.lab.claims', 'acme.ctl.v1.lab.config']);
  });

  it.each([
    [{ component: false, provider: true }, ['provider.auction']],
    [{ component: true, provider: false }, ['component.auction']],
    [{ component: false, provider: false }, []],
  ])('does not listen to auctions that are off: %o', (auctions, left) => {
    const subjects = controlSubscriptions(ROOT, HOST, auctions).map(({ subject }) => subject);
    expect(subjects.filter((subject) => subject.endsWith('auction'))).toEqual(left.map((each) => `${ROOT}.${each}`));
  });

  it.each([
    'config.put',
    'config.put.a.b',
    'config.frob.a',
    'link.frob',
    `component.frob.${HOST}`,
    `component.auction.${HOST}`,
    `host.ping.${HOST}`,
    'host.get',
    'claims.get.x',
    'registry.put.x',
    'toString.x',
    '',
  ])('does not know %j', (tail) => {
    expect(readControlSubject(ROOT, HOST, `${ROOT}.${tail}`)).toMatchObject({ operation: undefined });
  });

  it.each([
    `wasmbus.ctl.v1.other.host.ping`,
    `wasmbus.ctl.v1.labx.host.ping`,
    `wasmbus.ctl.v1.lab`,
    `$KV.LATTICEDATA_lab.x`,
    `${ROOT}.host.stop.${OTHER}`,
    '',
  ])('does not take %j for a request to this host', (subject) => {
    expect(readControlSubject(ROOT, HOST, subject)).toBeUndefined();
  });

  it('never throws, and gives a request only for what it would write itself', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((tail) => `${ROOT}.${tail}`),
        ),
        (subject) => {
          const read = readControlSubject(ROOT, HOST, subject);
          if (read?.operation !== undefined) expect(controlSubject(ROOT, read.operation, read.argument)).toBe(subject);
        },
      ),
    );
  });

  it('takes as a prefix only what can begin a subject', () => {
    expect(['wasmbus.ctl', 'x', 'a.b.c', 'A_b-1'].every(isSubjectPrefix)).toBe(true);
    expect(['', '.', 'a.', '.a', 'a..b', 'a b', '*', 'a.>', 'a\r\nPUB', 'é', 'a'.repeat(201)].some(isSubjectPrefix)).toBe(false);
  });
});
