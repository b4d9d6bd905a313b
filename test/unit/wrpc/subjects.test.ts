import * as fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { componentId, functionName, instanceName, latticeName } from '../../../src/ids.ts';
import { isPublishSubject } from '../../../src/nats/subject.ts';
import {
  framePath,
  frameSuffix,
  invocationSubject,
  isInboxSubject,
  queueGroup,
  wireFunctionName,
  worldFunctionSubjects,
} from '../../../src/wrpc/subjects.ts';

interface Vectors {
  nats: { queueGroup: string; subjects: { instance: string; func: string; subject: string; prefix?: string }[] };
}
const vectors = JSON.parse(readFileSync(new URL('../../fixtures/wrpc-vectors.json', import.meta.url), 'utf8')) as Vectors;
const server = { lattice: latticeName('default'), component: componentId('comp-a') };

describe('invocation subjects', () => {
  it.each(vectors.nats.subjects.filter(({ prefix }) => prefix === undefined))('$subject', ({ instance, func, subject }) => {
    expect(invocationSubject({ ...server, instance: instanceName(instance), func: functionName(func) })).toBe(subject);
  });

  it('share a queue group named like the prefix', () => {
    expect(queueGroup(server)).toBe(vectors.nats.queueGroup);
  });

  it('of world functions are two', () => {
    expect(worldFunctionSubjects(server, functionName('run'), instanceName('ns:pkg/world@1.0.0'))).toEqual([
      'default.comp-a.wrpc.0.0.1.run',
      'default.comp-a.wrpc.0.0.1.ns:pkg/world@1.0.0.run',
    ]);
    expect(worldFunctionSubjects(server, functionName('run'))).toEqual(['default.comp-a.wrpc.0.0.1.run']);
  });

  it('are never longer than a subject may be', () => {
    const longest = invocationSubject({
      lattice: latticeName('l'.repeat(64)),
      component: componentId('c'.repeat(128)),
      instance: instanceName(`${'i'.repeat(100)}:${'i'.repeat(155)}`),
      func: functionName('f'.repeat(200)),
    });
    expect(isPublishSubject(longest)).toBe(true);
  });
});

describe('function names', () => {
  it.each([
    ['[method]counter.up', 'counter.up'],
    ['[constructor]counter', 'counter'],
    ['[static]counter.make', 'counter.make'],
    ['do-it', 'do-it'],
  ])('%s is %s on the wire', (wit, wire) => {
    expect(wireFunctionName(wit)).toBe(wire);
  });

  it.each(['', '[method]', '[other]a.b', 'a b', 'a.b.c', '[resource-drop]counter'])('%j is none', (wit) => {
    expect(() => wireFunctionName(wit)).toThrow(expect.objectContaining({ code: 'TRELLIS_ID_INVALID' }));
  });
});

describe('inbox subjects', () => {
  it.each([
    '_INBOX.Bp6ZcQJMJhBIdjBNIFwhUP.Bp6ZcQJMJhBIdjBNIFwhVQ',
    '_INBOX_RPC.default.U1.x-_y.w.abc',
    '_INBOX.ts1.42',
    '_R_.a.b.c',
  ])('take %s', (subject) => expect(isInboxSubject(subject)).toBe(true));

  it.each([
    'wasmbus.ctl.v1.default.host.stop.H',
    'default.comp-a.wrpc.0.0.1.run',
    '$SYS.REQ.USER.INFO',
    '_INBOX',
    '_INBOX.',
    '_INBOX..a',
    '_INBOX.*',
    '_INBOX.>',
    '_INBOX.a b',
    '_INBOX.a\r\nPUB',
    '_INBOXES/.a',
    'x._INBOX.a',
    '_x.comp.wrpc.0.0.1.run',
    `_INBOX.${'a'.repeat(600)}`,
  ])('refuse %j', (subject) => expect(isInboxSubject(subject)).toBe(false));
});

describe('paths of async values', () => {
  it.each([
    ['.results', ''],
    ['.results.0', '0'],
    ['.results.0.1', '0.1'],
    ['.results.4294967295', '4294967295'],
  ])('%s is %j', (tail, path) => {
    expect(framePath(tail, '.results')).toBe(path);
    expect(frameSuffix('.results', path)).toBe(tail);
  });

  it.each([
    '',
    '.',
    '.params',
    '.results.',
    '.results.a',
    '.results.01',
    '.results.-1',
    '.results..0',
    '.results.0.',
    '.resultsx',
    '.results.99999999999',
    `.results${'.0'.repeat(17)}`,
  ])('FRM-06 %j is none', (tail) => expect(framePath(tail, '.results')).toBeUndefined());

  it('survive the round trip', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 1, maxLength: 16 }), (positions) => {
        const path = positions.join('.');
        fc.pre(path.length <= 128);
        expect(framePath(frameSuffix('.params', path)!, '.params')).toBe(path);
      }),
    );
  });

  it('make no suffix of what is no path', () => {
    expect(frameSuffix('.results', '0.x')).toBeUndefined();
    expect(frameSuffix('.results', '0.>')).toBeUndefined();
  });
});
