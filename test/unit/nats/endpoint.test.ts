import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { resolveEndpoints } from '../../../src/nats/endpoint.ts';

const code = (name: string) => expect.objectContaining({ code: name });
const readable = fileURLToPath(import.meta.url);

describe('server addresses', () => {
  it.each([
    ['nats://127.0.0.1:4222', '127.0.0.1:4222'],
    ['127.0.0.1', '127.0.0.1:4222'],
    ['localhost:5000', 'localhost:5000'],
    ['nats://[::1]:4223', '[::1]:4223'],
    ['nats://127.8.8.8/', '127.8.8.8:4222'],
  ])('understand %s', (given, server) => {
    expect(resolveEndpoints([given], undefined)).toEqual({ servers: [server], tls: undefined, loopback: true });
  });

  it.each([
    'ws://127.0.0.1',
    'http://127.0.0.1',
    '',
    'nats://',
    'nats://a b',
    'nats://127.0.0.1:99999',
    'nats://127.0.0.1/path',
    'nats://127.0.0.1?x=y',
    'nats://ho$t',
    'x'.repeat(400),
  ])('refuse %j', (given) => {
    expect(() => resolveEndpoints([given], undefined, true)).toThrow(code('TRELLIS_NATS_SERVERS_INVALID'));
  });

  it.each(['nats://user:hunter2@127.0.0.1', 'nats://t0ken@127.0.0.1'])('refuse a login in %s without repeating it', (given) => {
    try {
      resolveEndpoints([given], undefined);
      expect.unreachable();
    } catch (error) {
      expect(error).toEqual(code('TRELLIS_NATS_SERVERS_INVALID'));
      expect(JSON.stringify(error)).not.toMatch(/hunter2|t0ken/);
    }
  });

  it('refuse an empty list', () => {
    expect(() => resolveEndpoints([], undefined)).toThrow(code('TRELLIS_NATS_SERVERS_INVALID'));
  });
});

describe('TLS', () => {
  it('is due beyond loopback, for every server of the list', () => {
    expect(() => resolveEndpoints(['nats://hub.example'], undefined)).toThrow(code('TRELLIS_NATS_TLS_REQUIRED'));
    expect(() => resolveEndpoints(['nats://127.0.0.1', 'nats://hub.example'], undefined)).toThrow(
      code('TRELLIS_NATS_TLS_REQUIRED'),
    );
    expect(resolveEndpoints(['nats://hub.example'], undefined, true).tls).toBeUndefined();
  });

  it('F4 is an object for the client whenever the address says tls, or settings are given', () => {
    expect(resolveEndpoints(['tls://hub.example'], undefined).tls).toEqual({ minVersion: 'TLSv1.2' });
    expect(resolveEndpoints(['nats://localhost'], {}).tls).toEqual({ minVersion: 'TLSv1.2' });
    expect(resolveEndpoints(['tls://hub.example', 'nats://127.0.0.1'], { serverName: 'hub.example' }).tls).toBeDefined();
  });

  it('needs a name when the server is addressed by number', () => {
    expect(() => resolveEndpoints(['tls://192.0.2.7'], undefined)).toThrow(code('TRELLIS_NATS_TLS_INVALID'));
    expect(resolveEndpoints(['tls://192.0.2.7'], { serverName: 'hub.example' }).tls).toMatchObject({ servername: 'hub.example' });
  });

  it('passes files and options on, and nothing that is undefined', () => {
    const tls = { caFile: readable, certFile: readable, keyFile: readable, serverName: undefined, handshakeFirst: true };
    expect(resolveEndpoints(['tls://hub.example'], tls).tls).toStrictEqual({
      minVersion: 'TLSv1.2',
      caFile: readable,
      certFile: readable,
      keyFile: readable,
      handshakeFirst: true,
    });
  });

  it.each([
    { certFile: readable },
    { keyFile: readable },
    { caFile: '/nowhere/ca.pem' },
    { certFile: readable, keyFile: '/nowhere/key.pem' },
  ])('refuses %j', (tls) => {
    expect(() => resolveEndpoints(['tls://hub.example'], tls)).toThrow(code('TRELLIS_NATS_TLS_INVALID'));
  });
});
