import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readInvocation, readResponse, writeInvocation, writeResponse } from '../../../src/wasmbus/messages.ts';
import { AsText, entityPairs, msgpack, type Pairs, VECTOR } from '../../support/wasmbus.ts';

const payload = Buffer.from(VECTOR.payloadHex, 'hex');
const INVOCATION = {
  origin: VECTOR.origin,
  target: VECTOR.target,
  operation: VECTOR.operation,
  msg: payload,
  id: VECTOR.id,
  encodedClaims: 'a.b.c',
  hostId: VECTOR.hostId,
  contentLength: payload.length,
  traceparent: undefined,
};
const PAIRS: Pairs = [
  ['origin', entityPairs(VECTOR.origin)],
  ['target', entityPairs(VECTOR.target)],
  ['operation', VECTOR.operation],
  ['msg', payload],
  ['id', VECTOR.id],
  ['encoded_claims', 'a.b.c'],
  ['host_id', VECTOR.hostId],
  ['content_length', payload.length],
  ['traceContext', []],
];

function changed(key: string, value: Pairs[number][1]): Pairs {
  return PAIRS.map((pair) => (pair[0] === key ? [key, value] : pair));
}

function fault(bytes: Uint8Array): string {
  const read = readInvocation(bytes);
  return 'malformed' in read ? read.malformed : 'read';
}

describe('writing', () => {
  it('makes the bytes of the Rust host: a map of nine with text keys in the order of the struct', () => {
    const bytes = Buffer.from(writeInvocation(INVOCATION));
    expect(bytes.toString('hex')).toBe(msgpack(PAIRS).toString('hex'));
    expect(bytes.toString('latin1', 0, 22)).toBe('\x89\xa6origin\x83\xaapublic_key\xd9\x38');
  });

  it.each([0, 1, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 1_000_000])('takes the smallest heads for %i bytes', (length) => {
    const msg = Buffer.alloc(length, 7);
    const encodedClaims = 'x'.repeat(Math.min(length, 4_096));
    const bytes = Buffer.from(writeInvocation({ ...INVOCATION, msg, encodedClaims, contentLength: length, traceparent: '00-t' }));
    const pairs = PAIRS.map(([key, value]): Pairs[number] => {
      if (key === 'msg') return [key, msg];
      if (key === 'encoded_claims') return [key, encodedClaims];
      if (key === 'content_length') return [key, length];
      return key === 'traceContext' ? [key, [['traceparent', '00-t']]] : [key, value];
    });
    expect(bytes.equals(msgpack(pairs))).toBe(true);
  });

  it('makes the answers of the Rust host, with the error only where there is one', () => {
    const answer = { msg: payload, invocationId: VECTOR.id, error: undefined, contentLength: payload.length };
    const plain: Pairs = [
      ['msg', payload],
      ['invocation_id', VECTOR.id],
      ['content_length', 4],
      ['traceContext', []],
    ];
    expect(Buffer.from(writeResponse(answer)).equals(msgpack(plain))).toBe(true);
    const failed: Pairs = [plain[0]!, plain[1]!, ['error', 'no'], plain[2]!, plain[3]!];
    expect(Buffer.from(writeResponse({ ...answer, error: 'no' })).equals(msgpack(failed))).toBe(true);
  });

  it('loads no native code into this process', () => {
    const script = (what: string): string =>
      `await import(${JSON.stringify(what)});
       console.log(process.report.getReport().sharedObjects.filter((file) => file.includes('msgpackr')).length)`;
    const loaded = (what: string): string =>
      execFileSync(process.execPath, ['--input-type=module', '-e', script(what)], { encoding: 'utf8' }).trim();
    expect(loaded(new URL('../../../src/wasmbus/messages.ts', import.meta.url).href)).toBe('0');
  });
});

describe('reading', () => {
  it('gives back what was written', () => {
    expect(readInvocation(writeInvocation(INVOCATION))).toEqual(INVOCATION);
  });

  it('takes keys in any order and steps over unknown ones', () => {
    const extra: Pairs = [
      ['__proto__', [['polluted', true]]],
      ['constructor', { list: [1, null, 'x', payload] }],
      ...PAIRS,
    ].toReversed() as Pairs;
    expect(readInvocation(msgpack(extra))).toEqual(INVOCATION);
  });

  it('INJ-06 keys of that kind reach no object', () => {
    readInvocation(msgpack([['__proto__', [['polluted', 'yes']]], ...PAIRS]));
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    const named = readInvocation(msgpack(changed('traceContext', [['__proto__', 'yes']])));
    expect(named).toMatchObject({ traceparent: undefined });
  });

  it('takes payloads that OTP packs as text, also when they are no UTF-8, and a content_length that is not there', () => {
    const bytes = Buffer.of(0xff, 0x00, 0xc3, 0x28);
    const otp = changed('msg', new AsText(bytes)).filter(([key]) => key !== 'content_length' && key !== 'traceContext');
    const read = readInvocation(msgpack(otp));
    expect(read).toMatchObject({ contentLength: undefined });
    expect('msg' in read && Buffer.from(read.msg).equals(bytes)).toBe(true);
  });

  it('reads the answers of both hosts', () => {
    const otp: Pairs = [
      ['msg', new AsText(Buffer.of(0xff))],
      ['invocation_id', 'i'],
      ['instance_id', 'x'],
      ['error', null],
    ];
    expect(readResponse(msgpack(otp))).toEqual({
      msg: Buffer.of(0xff),
      invocationId: 'i',
      error: undefined,
      contentLength: undefined,
    });
    expect(
      readResponse(
        msgpack([
          ['error', 'no'],
          ['content_length', 0],
        ]),
      ),
    ).toMatchObject({ error: 'no', contentLength: 0 });
  });

  it.each([
    ['a key twice', [...PAIRS, ['id', 'other']]],
    ['an unknown key twice', [['x', 1], ['x', 1], ...PAIRS]],
    ['a key of an entity twice', changed('origin', [...entityPairs(VECTOR.origin), ['public_key', 'V']])],
    ['no origin', PAIRS.slice(1)],
    ['the array form of an entity', changed('origin', { list: ['M', '', ''] })],
    ['a number where a text must be', changed('id', 5)],
    ['nothing where a text must be', changed('id', null)],
    ['a text where a number must be', changed('content_length', '4')],
    ['a key that is too long', [['k'.repeat(65), 1], ...PAIRS]],
    ['an id that is too long', changed('id', 'i'.repeat(257))],
    ['claims that are too long', changed('encoded_claims', 'x'.repeat(4_097))],
    ['too many keys', [...PAIRS, ...Array.from({ length: 30 }, (_, n): Pairs[number] => [`k${n}`, 1])]],
  ] as [string, Pairs][])('refuses %s', (_, pairs) => {
    expect(fault(msgpack(pairs))).not.toBe('read');
  });

  it('refuses the array form, bytes after the end, and every shorter message', () => {
    const bytes = msgpack(PAIRS);
    expect(fault(msgpack({ list: PAIRS.map(([, value]) => value) }))).toBe('not a map where one must be');
    expect(fault(Buffer.concat([bytes, Buffer.of(0)]))).toBe('bytes after the end');
    for (let length = 0; length < bytes.length; length++) expect(fault(bytes.subarray(0, length))).not.toBe('read');
  });

  it('FRM-04 nests nothing deeply and believes no length beyond the bytes there are', () => {
    const nested = Buffer.concat([Buffer.of(0x81, 0xa1, 0x78), Buffer.alloc(200_000, 0x91), Buffer.of(1)]);
    expect(fault(nested)).toBe('nested too deeply');
    for (const lie of [
      '81a178ddffffffff',
      '81a178dfffffffff',
      '81a178c6ffffffff',
      '81a178dbffffffff',
      'dfffffffff',
      '81dbffffffff',
    ]) {
      expect(fault(Buffer.from(lie, 'hex'))).not.toBe('read');
    }
  });

  it('FRM-05 refuses numbers beyond 2^53 and texts that are no UTF-8', () => {
    expect(fault(msgpack(changed('content_length', 0xffff_ffff_ffff_ffffn)))).toBe('a number that is too large');
    expect(fault(msgpack(changed('content_length', 4n)))).toBe('read');
    expect(fault(msgpack(changed('id', new AsText(Buffer.of(0x61, 0xff)))))).toBe('a text that is not UTF-8');
    expect(fault(msgpack(changed('id', new AsText(Buffer.of(0xed, 0xa0, 0x80)))))).toBe('a text that is not UTF-8');
  });

  it('FRM-03 never throws, whatever comes', () => {
    const sane = msgpack(PAIRS);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        readInvocation(bytes);
        readResponse(bytes);
      }),
      { numRuns: 2_000 },
    );
    fc.assert(
      fc.property(fc.nat(sane.length - 1), fc.nat(255), fc.nat(sane.length), (at, byte, cut) => {
        const bytes = Buffer.from(sane);
        bytes[at] = byte;
        readInvocation(bytes);
        readInvocation(bytes.subarray(cut));
        readResponse(bytes);
      }),
      { numRuns: 2_000 },
    );
  });
});
