import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeHeaders } from '../../../src/nats/headers.ts';
import { NatsMessage } from '../../../src/nats/message.ts';
import { type BusHeaders, type BusLine, headerBlockBytes } from '../../../src/wrpc/bus.ts';

const text = (headers: BusHeaders): string => Buffer.from(encodeHeaders(headers) ?? []).toString('utf8');

/** The message that a block makes on the receiving side. */
function receive(block: Uint8Array, payload = new Uint8Array(0)): NatsMessage {
  const raw = {
    _msg: { subject: Buffer.from('s'), hdr: block.length === 0 ? -1 : block.length },
    _rdata: Buffer.concat([block, payload]),
  };
  return new NatsMessage(raw, {} as BusLine);
}

describe('header blocks', () => {
  it('are the bytes a Rust client sends', () => {
    const block = text({
      entries: [
        ['source-id', 'comp-a'],
        ['link-name', 'default'],
        ['traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
      ],
    });
    expect(block).toBe(
      'NATS/1.0\r\nsource-id: comp-a\r\nlink-name: default\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n',
    );
    expect(block.length).toBe(121);
  });

  it('carry a status with and without text', () => {
    expect(text({ entries: [], status: 401, statusText: 'unauthorized' })).toBe('NATS/1.0 401 unauthorized\r\n\r\n');
    expect(text({ entries: [], status: 503 })).toBe('NATS/1.0 503\r\n\r\n');
  });

  it('are left out when there is nothing to say', () => {
    expect(encodeHeaders({ entries: [] })).toBeUndefined();
  });

  it.each([
    ['a name', { entries: [['a\r\nb', 'c']] }],
    ['a name with a colon', { entries: [['a:b', 'c']] }],
    ['an empty name', { entries: [['', 'c']] }],
    ['a value', { entries: [['a', 'b\r\nLattice-Invocation: forged']] }],
    ['a value with a lone LF', { entries: [['a', 'b\nc']] }],
    ['a status text', { entries: [], status: 401, statusText: 'no\r\nX: y' }],
    ['a status', { entries: [], status: 40.5 }],
  ] satisfies [string, BusHeaders][])('refuse a line break in %s', (_, headers) => {
    expect(() => encodeHeaders(headers)).toThrow(expect.objectContaining({ code: 'TRELLIS_NATS_HEADER_INVALID' }));
  });

  it('read back what was written, and are as long as foretold', () => {
    const value = fc.string({ unit: fc.constantFrom('a', '-', ':', ' ', 'é', '€', '0') }).map((v) => v.trim());
    const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,20}$/);
    const headers = fc.record(
      {
        entries: fc.uniqueArray(fc.tuple(name, value), { selector: ([n]) => n, maxLength: 6 }),
        status: fc.integer({ min: 100, max: 999 }),
        statusText: value,
      },
      { requiredKeys: ['entries'] },
    ) as fc.Arbitrary<BusHeaders>;
    fc.assert(
      fc.property(headers, fc.uint8Array({ maxLength: 20 }), (sent, payload) => {
        const block = encodeHeaders(sent) ?? new Uint8Array(0);
        expect(block.length).toBe(headerBlockBytes(sent));
        const message = receive(block, payload);
        expect(message.headerCount).toBe(sent.entries.length);
        expect(message.status).toBe(sent.status ?? 0);
        expect(message.statusText).toBe(sent.status === undefined ? '' : (sent.statusText ?? ''));
        for (const [n, v] of sent.entries) expect(message.header(n)).toBe(v);
        expect(message.header('not-there')).toBeUndefined();
        expect([...message.payload]).toEqual([...payload]);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a received block', () => {
  it('gives the first of repeated headers, case-sensitively', () => {
    const message = receive(Buffer.from('NATS/1.0\r\nX: 1\r\nX: 2\r\nx: 3\r\n\r\n'));
    expect(message.header('X')).toBe('1');
    expect(message.header('x')).toBe('3');
    expect(message.headerCount).toBe(3);
  });

  it('does not find a header inside a value or a payload', () => {
    const message = receive(Buffer.from('NATS/1.0\r\nX: Y: 1\r\n\r\n'), Buffer.from('\r\nZ: 1\r\n'));
    expect(message.header('Y')).toBeUndefined();
    expect(message.header('Z')).toBeUndefined();
    expect(message.header('X')).toBe('Y: 1');
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => {
        const message = receive(Buffer.from(bytes));
        message.header('a');
        expect(message.headerCount).toBeGreaterThanOrEqual(0);
        expect(message.status).toBeGreaterThanOrEqual(0);
        expect(typeof message.statusText).toBe('string');
      }),
      { numRuns: 2000 },
    );
  });
});
