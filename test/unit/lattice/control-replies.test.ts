import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { listOf, readAuction, readHost, readInventory, readReply, readTexts } from '../../../src/lattice/control-replies.ts';
import { readLink } from '../../../src/lattice/links.ts';
import { readEvent } from '../../../src/lattice/read-event.ts';

const HOST = `N${'A'.repeat(55)}`;
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const READERS = [readHost, readInventory, readAuction, listOf(readLink), readTexts];

describe('a reply of the control interface', () => {
  it('is read with its response, and without one', () => {
    const full = bytes({ success: true, message: 'x', response: { a: 'b', c: 1 } });
    expect(readReply(full, readTexts)).toEqual({ success: true, message: 'x', response: { a: 'b' } });
    expect(readReply(bytes({ success: true }), readTexts)).toEqual({ success: true, message: '' });
    expect(readReply(bytes({ success: false, message: 'no', response: 3 }), readTexts)).toEqual({
      success: false,
      message: 'no',
    });
  });

  it('is none when its response is of another kind, or it says nothing of success', () => {
    expect(readReply(bytes({ success: true, response: [] }), readTexts)).toBeUndefined();
    expect(readReply(bytes({ success: 'true' }), readTexts)).toBeUndefined();
    expect(readReply(Buffer.from('+ACK'), readTexts)).toBeUndefined();
    expect(readReply(Buffer.alloc(0), readTexts)).toBeUndefined();
  });

  it('never throws, whatever came', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), fc.json().map(Buffer.from)), (payload) => {
        for (const read of READERS) readReply<unknown>(payload, read);
        readEvent('wasmbus.evt.default.x', payload);
      }),
    );
  });

  it('never throws for fields of any kind', () => {
    const fields = ['id', 'host_id', 'labels', 'components', 'providers', 'annotations', 'limits', 'source', 'data'];
    const odd = fc.dictionary(fc.constantFrom(...fields), fc.jsonValue());
    fc.assert(
      fc.property(odd, (response) => {
        for (const read of READERS) readReply<unknown>(bytes({ success: true, response }), read);
        readEvent('wasmbus.evt.default.x', bytes(response));
      }),
    );
  });
});

describe('a host', () => {
  it('needs a key and nothing else', () => {
    expect(readHost({ id: HOST })).toEqual({ id: HOST, friendly_name: '', labels: {}, lattice: '', uptime_seconds: 0 });
    expect(readHost({ id: 'NABC' })).toBeUndefined();
    expect(readHost({ id: `${HOST}\n` })).toBeUndefined();
  });
});

describe('an inventory', () => {
  it('has components by either name, with defaults for what hosts leave out', () => {
    const component = { id: 'a', image_ref: 'r', annotations: {}, revision: 0, max_instances: 1, limits: null };
    for (const name of ['components', 'actors']) {
      const read = readInventory({ host_id: HOST, [name]: [{ id: 'a', image_ref: 'r', max_instances: 1 }, { image_ref: 'r' }] });
      expect(read?.components).toEqual([component]);
    }
  });
});

describe('an event', () => {
  it('is named by its subject, and says who speaks', () => {
    const event = bytes({ specversion: '1.0', id: '1', source: HOST, type: 'x', time: 't', data: { a: 1 } });
    expect(readEvent('wasmbus.evt.default.component_scaled', event)).toEqual({
      name: 'component_scaled',
      source: HOST,
      id: '1',
      time: 't',
      data: { a: 1 },
    });
    expect(readEvent('wasmbus.evt.default.x', bytes({ source: HOST, data: 'text' }))?.data).toEqual({});
    expect(readEvent('wasmbus.evt.default.x', bytes({ data: {} }))).toBeUndefined();
  });
});
