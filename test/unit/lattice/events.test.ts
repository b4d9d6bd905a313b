import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TrellisError } from '../../../src/errors.ts';
import {
  cloudEvent,
  componentScaled,
  componentScaleFailed,
  configDeleted,
  configSet,
  errorAndRemedy,
  errorChain,
  EventIds,
  eventSubject,
  hostStarted,
  hostStopped,
  labelsChanged,
  linkdefDeleted,
  linkdefSet,
  linkdefSetFailed,
  nanosecondTime,
} from '../../../src/lattice/events.ts';

const HOST = `N${'A'.repeat(55)}`;
const LINK = {
  source_id: 'web',
  target: 'store',
  name: 'default',
  wit_namespace: 'wasi',
  wit_package: 'keyvalue',
  interfaces: ['store', 'atomics'],
  source_config: ['a'],
  target_config: [],
};
const SCALED = {
  componentId: 'web',
  hostId: HOST,
  imageRef: 'file:///tmp/web.wasm',
  annotations: { 'wasmcloud.dev/scaler': 'x' },
  maxInstances: 10,
};

describe('the envelope of an event', () => {
  it('is a CloudEvent with its data inline', () => {
    const id = new EventIds(() => Buffer.alloc(10, 0xab)).next(0x0123_4567_89ab);
    expect(id).toBe('01234567-89ab-abab-abab-abababababab');
    expect(JSON.parse(cloudEvent(configSet('db'), { id, source: HOST, timeMs: Date.UTC(2025, 0, 1) + 123 }))).toEqual({
      specversion: '1.0',
      id,
      type: 'com.wasmcloud.lattice.config_set',
      source: HOST,
      datacontenttype: 'application/json',
      time: '2025-01-01T00:00:00.123000000Z',
      data: { config_name: 'db' },
    });
    expect(eventSubject('default', 'config_set')).toBe('wasmbus.evt.default.config_set');
  });

  it('has times of nine digits, also where the clock counts finer', () => {
    expect(nanosecondTime(1.5)).toBe('1970-01-01T00:00:00.001500000Z');
    expect(nanosecondTime(1.999_999_999_9)).toBe('1970-01-01T00:00:00.001999999Z');
  });

  it('has ids that sort as they were made, whatever the clock does', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 2 ** 48 - 2 }), { minLength: 2, maxLength: 50 }), (times) => {
        const ids = new EventIds();
        const made = times.map((timeMs) => ids.next(timeMs));
        expect(made).toEqual(made.toSorted());
        expect(new Set(made).size).toBe(made.length);
        for (const id of made) expect(id).toMatch(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      }),
    );
  });

  it('moves to the next millisecond when one has used up its ids', () => {
    const ids = new EventIds(() => Buffer.alloc(10, 0xff));
    expect([ids.next(1), ids.next(1)]).toEqual(['00000000-0001-ffff-ffff-ffffffffffff', '00000000-0002-ffff-ffff-ffffffffffff']);
  });
});

describe('what an event says', () => {
  it('of the host', () => {
    expect(hostStarted({ friendly_name: 'f', labels: { a: 'b' }, version: '1.9.2+trellis.0.1.0' })).toEqual({
      name: 'host_started',
      data: { friendly_name: 'f', labels: { a: 'b' }, uptime_seconds: 0, version: '1.9.2+trellis.0.1.0' },
    });
    expect(hostStopped({ a: 'b' })).toEqual({ name: 'host_stopped', data: { labels: { a: 'b' } } });
    expect(labelsChanged(HOST, {})).toEqual({ name: 'labels_changed', data: { host_id: HOST, labels: {} } });
  });

  it('of a component without claims', () => {
    const data = {
      annotations: { 'wasmcloud.dev/scaler': 'x' },
      host_id: HOST,
      image_ref: 'file:///tmp/web.wasm',
      max_instances: 10,
      component_id: 'web',
    };
    expect(componentScaled(SCALED)).toEqual({ name: 'component_scaled', data });
    expect(componentScaleFailed(SCALED, 'no such file')).toEqual({
      name: 'component_scale_failed',
      data: { ...data, error: 'no such file' },
    });
  });

  it('of a component with claims, null for what they leave out', () => {
    const claims = { subject: 'MABC', issuer: 'AABC', revision: 3, expires: 1_700_000_000 };
    expect(componentScaled({ ...SCALED, claims }).data).toMatchObject({
      public_key: 'MABC',
      claims: {
        call_alias: null,
        issuer: 'AABC',
        tags: null,
        name: null,
        version: null,
        revision: 3,
        not_before_human: 'never',
        expires_human: '1700000000',
      },
    });
    const failed = componentScaleFailed({ ...SCALED, claims }, 'x').data;
    expect(failed).toMatchObject({ public_key: 'MABC' });
    expect(failed).not.toHaveProperty('claims');
  });

  it('of links and configurations', () => {
    expect(linkdefSet(LINK)).toEqual({ name: 'linkdef_set', data: LINK });
    expect(linkdefSetFailed(LINK, 'why')).toEqual({ name: 'linkdef_set_failed', data: { ...LINK, error: 'why' } });
    const key = { source_id: 'web', name: 'default', wit_namespace: 'wasi', wit_package: 'keyvalue' };
    expect(linkdefDeleted(key)).toEqual({ name: 'linkdef_deleted', data: key });
    expect(linkdefDeleted(key, LINK)).toEqual({
      name: 'linkdef_deleted',
      data: { ...key, target: 'store', interfaces: ['store', 'atomics'] },
    });
    expect(configDeleted('db')).toEqual({ name: 'config_deleted', data: { config_name: 'db' } });
  });

  it('of an error: the whole chain, of bounded length', () => {
    const chain = errorChain(new Error('outer', { cause: new Error('inner', { cause: 'root' }) }));
    expect(chain).toBe('outer: inner: root');
    const circular = new Error('again');
    circular.cause = circular;
    expect(errorChain(circular).split(': ')).toHaveLength(10);
    const { error } = componentScaleFailed(SCALED, 'x'.repeat(5_000)).data as { error: string };
    expect([error.length, error.slice(-4)]).toEqual([4_096, 'x...']);
  });

  it('says beside it what helps, where somebody knows', () => {
    const known = new TrellisError('TRELLIS_CONFIG_MISSING', { message: 'No such thing.', remedy: 'Put it there.' });
    expect(errorAndRemedy(known)).toBe('No such thing. To fix it: Put it there.');
    expect(errorAndRemedy(new Error('outer'))).toBe('outer');
  });
});
