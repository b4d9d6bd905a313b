import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as messages from '../../../src/lattice/control-messages.ts';

const bytes = (value: unknown): Uint8Array => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const LINK = { source_id: 'a', target: 'b', wit_namespace: 'wasi', wit_package: 'http', interfaces: ['incoming-handler'] };
const FULL_LINK = { ...LINK, name: 'default', source_config: [], target_config: [] };

type Reader = (payload: Uint8Array) => messages.Parsed<unknown>;

const READERS: readonly (readonly [string, Reader, string])[] = [
  ['component.auction', messages.readComponentAuction, 'failed to deserialize component auction command'],
  ['provider.auction', messages.readProviderAuction, 'failed to deserialize provider auction command'],
  ['component.scale', messages.readScale, 'failed to deserialize component scale command'],
  ['component.update', messages.readUpdate, 'failed to deserialize component update command'],
  ['provider.start', messages.readStartProvider, 'failed to deserialize provider start command'],
  ['provider.stop', messages.readStopProvider, 'failed to deserialize provider stop command'],
  ['host.stop', messages.readStopHost, 'failed to deserialize stop command'],
  ['label.put', messages.readPutLabel, 'failed to deserialize put label request'],
  ['label.del', messages.readDeleteLabel, 'failed to deserialize delete label request'],
  ['link.put', messages.readPutLink, 'failed to deserialize wrpc link definition'],
  ['link.del', messages.readDeleteLink, 'failed to deserialize wrpc link definition'],
  ['config.put', messages.readConfig, 'config data should be a map of string -> string'],
  ['registry.put', messages.readRegistries, 'failed to deserialize registries put command'],
];

describe.each(READERS)('the body of %s', (name, read, error) => {
  it.each([
    ['text', '"x"'],
    ['a list', '[]'],
    ['null', 'null'],
    ['half an object', '{"a":'],
    ['bytes that are no UTF-8', '\xff'],
    ['a byte order mark', '\ufeff{}'],
    ['a value behind the object', '{} {}'],
  ])('is not %s', (what, text) => {
    const payload = what.includes('no UTF-8') ? Buffer.from([0x7b, 0xff, 0x7d]) : bytes(text);
    expect(read(payload)).toEqual({ error });
  });

  it('is nothing nested so deep that it would take many times its size', () => {
    const deep = `{"x":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
    expect(read(bytes(deep))).toEqual({ error });
  });

  it('never throws, and is refused in one way only', () => {
    const some = fc.oneof(fc.uint8Array(), fc.json().map(bytes), fc.dictionary(fc.string(), fc.jsonValue()).map(bytes));
    fc.assert(
      fc.property(some, (payload) => {
        const parsed = read(payload);
        if ('error' in parsed) expect(parsed).toEqual({ error });
      }),
    );
  });

  it(`is ${name === 'host.stop' ? 'allowed to be' : 'not'} empty`, () => {
    expect(read(new Uint8Array(0))).toEqual(name === 'host.stop' ? { value: { hostId: '' } } : { error });
  });
});

/** Bodies as clients send them, and what they mean. */
const READ: readonly (readonly [Reader, unknown, unknown])[] = [
  [messages.readScale, { component_id: 'x' }, { componentId: 'x', componentRef: '', count: 0, hostId: '', allowUpdate: false }],
  // A scale that says it in another word than the wire's stops the component, as in 1.x.
  [
    messages.readScale,
    { component_id: 'x', max_instances: 9 },
    { componentId: 'x', componentRef: '', count: 0, hostId: '', allowUpdate: false },
  ],
  [
    messages.readScale,
    {
      component_id: 'x',
      component_ref: 'file:///a',
      count: 4_294_967_295,
      annotations: { 'wasmcloud.dev/appspec': 'y' },
      component_limits: { max_memory_limit: '1' },
      host_id: 'N',
      config: ['a', 'SECRET_b'],
      allow_update: true,
      unknown: [1],
    },
    {
      componentId: 'x',
      componentRef: 'file:///a',
      count: 4_294_967_295,
      annotations: { 'wasmcloud.dev/appspec': 'y' },
      limits: { max_memory_limit: '1' },
      hostId: 'N',
      config: ['a', 'SECRET_b'],
      allowUpdate: true,
    },
  ],
  [
    messages.readScale,
    { component_id: 'x', annotations: null, component_limits: null },
    { componentId: 'x', componentRef: '', count: 0, hostId: '', allowUpdate: false },
  ],
  [messages.readUpdate, {}, { componentId: '', newComponentRef: '' }],
  [
    messages.readUpdate,
    { host_id: 'N', component_id: 'x', new_component_ref: 'r', annotations: {} },
    { componentId: 'x', newComponentRef: 'r', annotations: {} },
  ],
  [messages.readComponentAuction, { component_id: 'x', constraints: {} }, { ref: '', id: 'x', constraints: {} }],
  [
    messages.readProviderAuction,
    { provider_ref: 'r', provider_id: 'default', constraints: { a: 'b' } },
    { ref: 'r', id: 'default', constraints: { a: 'b' } },
  ],
  [messages.readStartProvider, { provider_id: 'p' }, { providerId: 'p', providerRef: '', hostId: '', config: [] }],
  [messages.readStopProvider, {}, { hostId: '', providerId: '' }],
  [messages.readStopProvider, { provider_ref: 'p' }, { hostId: '', providerId: 'p' }],
  [messages.readStopHost, {}, { hostId: '' }],
  [messages.readStopHost, { host_id: 'N', timeout: 0 }, { hostId: 'N', timeoutMs: 0 }],
  [messages.readStopHost, '{"timeout":18446744073709551615}', { hostId: '', timeoutMs: 2 ** 64 }],
  [messages.readPutLabel, { key: '', value: '' }, { key: '', value: '' }],
  [messages.readDeleteLabel, { key: 'k' }, { key: 'k' }],
  [messages.readPutLink, LINK, FULL_LINK],
  [
    messages.readDeleteLink,
    { source_id: 'a', wit_namespace: 'wasi', wit_package: 'http' },
    { source_id: 'a', name: 'default', wit_namespace: 'wasi', wit_package: 'http' },
  ],
  [messages.readConfig, {}, {}],
  [
    messages.readRegistries,
    { 'ghcr.io': { username: 'u', password: 'p' } },
    { 'ghcr.io': { username: 'u', password: 'p', registryType: 'oci' } },
  ],
  [
    messages.readRegistries,
    { r: { token: 't', registryType: 'other', password: null } },
    { r: { token: 't', registryType: 'other' } },
  ],
];

describe('requests as 1.x clients write them', () => {
  it.each(READ)('%o reads %j', (read, body, value) => {
    expect(read(bytes(body))).toEqual({ value });
  });

  it.each([
    [messages.readScale, { component_ref: 'r' }],
    [messages.readScale, { component_id: 'x', count: -1 }],
    [messages.readScale, { component_id: 'x', count: 4_294_967_296 }],
    [messages.readScale, { component_id: 'x', count: 1.5 }],
    [messages.readScale, { component_id: 'x', count: '1' }],
    [messages.readScale, { component_id: 'x', count: null }],
    [messages.readScale, { component_id: 'x', config: null }],
    [messages.readScale, { component_id: 'x', config: [1] }],
    [messages.readScale, { component_id: 'x', annotations: { a: 1 } }],
    [messages.readScale, { component_id: 'x', component_limits: ['a'] }],
    [messages.readScale, { component_id: 'x', allow_update: 'true' }],
    [messages.readScale, { component_id: 'x', component_ref: null }],
    [messages.readUpdate, { component_id: 1 }],
    [messages.readComponentAuction, { component_id: 'x' }],
    [messages.readComponentAuction, { constraints: {} }],
    [messages.readComponentAuction, { component_id: 'x', constraints: { a: 1 } }],
    [messages.readStartProvider, { provider_ref: 'r' }],
    [messages.readStopHost, { timeout: -1 }],
    [messages.readStopHost, { timeout: '5' }],
    [messages.readStopHost, { host_id: 5 }],
    [messages.readPutLabel, { key: 'a' }],
    [messages.readPutLabel, { key: 'a', value: 1 }],
    [messages.readDeleteLabel, {}],
    [messages.readPutLink, { ...LINK, interfaces: 'x' }],
    [messages.readPutLink, { ...LINK, target: undefined }],
    [messages.readDeleteLink, { source_id: 'a' }],
    [messages.readConfig, { a: 1 }],
    [messages.readConfig, { a: { b: 'c' } }],
    [messages.readRegistries, { r: 'token' }],
    [messages.readRegistries, { r: { username: 1 } }],
    [messages.readRegistries, { r: { registryType: null } }],
    [messages.readRegistries, Object.fromEntries(Array.from({ length: 1_001 }, (_, at) => [`r${at}`, {}]))],
  ])('%o does not read %j', (read, body) => {
    expect(read(bytes(body))).toHaveProperty('error');
  });

  it.each([
    [messages.readPutLabel, '{"key":"\\ud800","value":"x"}'],
    [messages.readPutLabel, '{"key":"x","value":"\\udc00"}'],
    [messages.readConfig, '{"\\ud800":"x"}'],
    [messages.readScale, '{"component_id":"x","annotations":{"a":"\\ud800"}}'],
    [messages.readScale, '{"component_id":"x","config":["\\ud800"]}'],
    [messages.readPutLink, JSON.stringify({ ...LINK, interfaces: ['\ud800'] })],
    [messages.readDeleteLink, '{"source_id":"\\ud800","wit_namespace":"a","wit_package":"b"}'],
    [messages.readRegistries, '{"\\ud800":{}}'],
  ])('%o takes no text that other hosts could not read again: %s', (read, body) => {
    expect(read(bytes(body))).toHaveProperty('error');
  });

  it('keeps a key called __proto__ a key', () => {
    const parsed = messages.readConfig(bytes('{"__proto__":"x"}'));
    expect(JSON.stringify(parsed)).toBe('{"value":{"__proto__":"x"}}');
    const registries = messages.readRegistries(bytes('{"__proto__":{"token":"t"}}'));
    expect('value' in registries && Object.keys(registries.value)).toEqual(['__proto__']);
  });

  it('reads back every scale that can be written', () => {
    const strings = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }));
    const scale = fc.record({
      component_id: fc.string({ unit: 'grapheme' }),
      component_ref: fc.string({ unit: 'grapheme' }),
      count: fc.nat({ max: 4_294_967_295 }),
      annotations: strings,
      config: fc.array(fc.string({ unit: 'grapheme' })),
      allow_update: fc.boolean(),
    });
    fc.assert(
      fc.property(scale, (body) => {
        const parsed = messages.readScale(bytes(body));
        expect('value' in parsed && JSON.stringify(parsed.value.annotations)).toBe(JSON.stringify(body.annotations));
        expect(parsed).toMatchObject({
          value: { componentId: body.component_id, count: body.count, config: body.config, allowUpdate: body.allow_update },
        });
      }),
    );
  });
});
