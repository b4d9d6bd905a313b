import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import { InputStream, OutputStream, STREAM_CLOSED, StreamFailure, errorDetail } from '../../../src/component/runner/wasi/io.ts';
import { ByteQueue } from '../../../src/component/runner/wasi/network/byte-queue.ts';
import { Connections } from '../../../src/component/runner/wasi/network/connections.ts';
import { AddressProhibited, mayLeadTo, NetworkGrants } from '../../../src/component/runner/wasi/network/grants.ts';
import { OutgoingBody, SentBody } from '../../../src/component/runner/wasi/network/http-bodies.ts';
import { httpErrorCode } from '../../../src/component/runner/wasi/network/http-errors.ts';
import { Fields, MAX_FIELDS_BYTES } from '../../../src/component/runner/wasi/network/http-fields.ts';
import { OutgoingRequest, parseAuthority, RequestOptions } from '../../../src/component/runner/wasi/network/http-messages.ts';
import { fromText, toText } from '../../../src/component/runner/wasi/network/ip-address.ts';
import { Reachable, resolveAddresses } from '../../../src/component/runner/wasi/network/name-lookup.ts';
import { createNetwork } from '../../../src/component/runner/wasi/network/network.ts';
import { Lifetime, poll, Pollable, timer } from '../../../src/component/runner/wasi/poll.ts';
import { WitError } from '../../../src/component/runner/wasi/wit-error.ts';
import { anyText } from '../../support/texts.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const text = (value: Uint8Array): string => Buffer.from(value).toString('latin1');

/** The value a host function throws for the error case of its result. */
function payloadOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    if (error instanceof WitError) return error.payload;
    throw error;
  }
  return 'no error';
}

class TestClock implements Clock {
  monotonic = 0;
  wallMs(): number {
    return 0;
  }
  monotonicMs(): number {
    return this.monotonic;
  }
}

describe('fields', () => {
  it('keep names in lower case, values as they are, and order', () => {
    const fields = Fields.fromList([
      ['X-One', bytes('1')],
      ['x-two', bytes('\xff\t')],
      ['X-ONE', bytes('')],
    ]);
    expect(fields.get('x-ONE').map(text)).toEqual(['1', '']);
    expect(fields.has('X-Two')).toBe(true);
    fields.set('x-one', [bytes('3'), bytes('4')]);
    expect(fields.entries().map(([name, value]) => `${name}=${text(value)}`)).toEqual(['x-two=\xff\t', 'x-one=3', 'x-one=4']);
    const copy = fields.clone();
    fields.delete('X-one');
    expect(fields.getAndDelete('x-two').map(text)).toEqual(['\xff\t']);
    expect(fields.entries()).toEqual([]);
    expect(copy.entries()).toHaveLength(3);
    expect(Fields.toNode(copy)).toEqual({ 'x-two': ['\xff\t'], 'x-one': ['3', '4'] });
  });

  it('INJ-09 take no byte that ends a line, and no name that is not a token', () => {
    fc.assert(
      fc.property(anyText(12), fc.uint8Array({ maxLength: 12 }), (name, value) => {
        const fields = new Fields();
        const refused = payloadOf(() => fields.append(name, value));
        const fine = /^[\w!#$%&'*+.^`|~-]+$/.test(name) && !value.some((byte) => (byte < 32 && byte !== 9) || byte === 127);
        if (!fine) expect(refused).toEqual({ tag: 'invalid-syntax' });
        const written = Object.entries(Fields.toNode(fields)).flat(2).join('');
        // oxlint-disable-next-line no-control-regex
        expect(written).not.toMatch(/[\x00-\x08\x0a-\x1f\x7f]/);
      }),
      { numRuns: 300 },
    );
  });

  it('INJ-09 leave to the host what frames a message or names its connection', () => {
    for (const name of ['Transfer-Encoding', 'HOST', 'connection', 'Proxy_Connection', 'content_length', 'trailer']) {
      const fields = new Fields();
      expect(
        payloadOf(() => fields.set(name, [bytes('x')])),
        name,
      ).toEqual({ tag: 'forbidden' });
      expect(
        payloadOf(() => Fields.fromList([[name, bytes('x')]])),
        name,
      ).toEqual({ tag: 'forbidden' });
    }
    const received = Fields.received(['Connection', 'close', 'X', 'y', 'Transfer-Encoding', 'chunked']);
    expect(received.entries().map(([name]) => name)).toEqual(['x']);
  });

  it('are bounded, and fixed once they belong to a message', () => {
    const fields = new Fields();
    expect(() => {
      for (let i = 0; i < 10_000; i++) fields.append('a', new Uint8Array());
    }).toThrow(`${MAX_FIELDS_BYTES} bytes`);
    const request = new OutgoingRequest(Fields.fromList([['a', bytes('b')]]));
    expect(payloadOf(() => request.headers().append('c', bytes('d')))).toEqual({ tag: 'immutable' });
    expect(payloadOf(() => request.headers().delete('a'))).toEqual({ tag: 'immutable' });
    // A copy is the guest's own again.
    request.headers().clone().append('c', bytes('d'));
    // The guest's buffer is not the field.
    const value = bytes('before');
    fields.set('a', [value]);
    value.fill(0x21);
    expect(text(fields.get('a')[0]!)).toBe('before');
  });
});

describe('what a request says', () => {
  const head = (build: (request: OutgoingRequest) => void) => {
    const request = new OutgoingRequest(new Fields());
    build(request);
    return OutgoingRequest.head(request);
  };

  it('is HTTPS to the port of its scheme unless told otherwise', () => {
    expect(head((request) => request.setAuthority('Example.com'))).toMatchObject({
      method: 'GET',
      path: '/',
      secure: true,
      target: { host: 'example.com', port: 443 },
    });
    expect(
      head((request) => {
        request.setScheme({ tag: 'HTTP' });
        request.setAuthority('[::1]');
        request.setPathWithQuery('?a');
        request.setMethod({ tag: 'other', val: 'PURGE' });
      }),
    ).toMatchObject({ method: 'PURGE', path: '/?a', secure: false, target: { host: '::1', port: 80 } });
    expect(head((request) => request.setScheme({ tag: 'other', val: 'ftp' }))).toMatchObject({
      secure: undefined,
      target: undefined,
    });
  });

  it('INJ-09 has no method, path or authority that could be read as something else', () => {
    const request = new OutgoingRequest(new Fields());
    for (const val of ['', 'G T', 'GET\r\n', 'GET\0']) {
      expect(
        payloadOf(() => request.setMethod({ tag: 'other', val })),
        val,
      ).toBeUndefined();
    }
    for (const path of ['a', '//\n', '/ ', '/#', '/\x7f', 'http://a/', '*'])
      expect(
        payloadOf(() => request.setPathWithQuery(path)),
        path,
      ).toBeUndefined();
    for (const authority of ['a@b', 'a/b', 'a:', ':80', 'a:80:80', 'a b', 'a\r\n', '[::1', '::1', 'a:b'])
      expect(
        payloadOf(() => request.setAuthority(authority)),
        authority,
      ).toBeUndefined();
    expect(head((each) => each.setMethod({ tag: 'connect' })).method).toBeUndefined();
    expect(head((each) => each.setPathWithQuery(`/${'a'.repeat(10_000)}`)).path).toBeUndefined();
  });

  it('names one host in one way only', () => {
    fc.assert(
      fc.property(fc.webAuthority({ withPort: true, withIPv4: true, withIPv6: true, withUserInfo: true }), (authority) => {
        const target = parseAuthority(authority, 80);
        if (target === undefined) return;
        // What a URL parser takes it for is the same machine and port.
        const url = new URL(`http://${authority}/`);
        expect(url.hostname.replace(/^\[|\]$/g, '')).toBe(target.host);
        expect(Number(url.port || 80)).toBe(target.port);
        expect(url.username).toBe('');
      }),
    );
    // Making such addresses takes fast-check seconds on a busy machine.
  }, 60_000);

  it('rounds times up to milliseconds, and to what a timer can wait for', () => {
    const options = new RequestOptions();
    options.setConnectTimeout(1n);
    options.setFirstByteTimeout(2n ** 64n - 1n);
    expect(options.firstByteTimeout()).toBe(2n ** 64n - 1n);
    expect(RequestOptions.timeouts(options)).toEqual({ connectMs: 1, firstByteMs: 2_147_483_647, betweenBytesMs: undefined });
  });
});

describe('a request body', () => {
  it('holds a little until there is a connection, and no more than was declared', () => {
    const request = new OutgoingRequest(Fields.fromList([['content-length', bytes('10')]]));
    const body = request.body();
    expect(payloadOf(() => request.body())).toBeUndefined();
    const stream = body.write();
    expect(payloadOf(() => body.write())).toBeUndefined();
    stream.write(bytes('12345'));
    expect(payloadOf(() => stream.write(bytes('678901')))).toMatchObject({ tag: 'last-operation-failed' });
    expect(payloadOf(() => OutgoingBody.finish(body, undefined))).toEqual({ tag: 'HTTP-request-body-size', val: 11n });
    const endless = new OutputStream(() => {}, new SentBody('request'));
    expect(endless.checkWrite()).toBe(65_536n);
  });

  it('that is full before it is sent is a trap, not a wait without end', async () => {
    const body = new OutgoingRequest(new Fields()).body();
    const stream = body.write();
    while (stream.checkWrite() > 0n) stream.write(new Uint8Array(65_536));
    expect(() => stream.write(new Uint8Array(1))).toThrow('check-write');
    await expect(stream.blockingWriteAndFlush(new Uint8Array(1))).rejects.toThrow('cannot happen');
    await expect(stream.subscribe().block()).rejects.toThrow('cannot happen');
  });

  it('has no trailers', () => {
    const body = new OutgoingRequest(new Fields()).body();
    const trailers = Fields.fromList([['x', bytes('y')]]);
    expect(payloadOf(() => OutgoingBody.finish(body, trailers))).toMatchObject({ tag: 'HTTP-request-trailer-section-size' });
    const other = new OutgoingRequest(new Fields()).body();
    OutgoingBody.finish(other, new Fields());
    expect(payloadOf(() => other.write().checkWrite())).toEqual({ tag: 'closed' });
  });
});

describe('where a grant leads', () => {
  it('refuses an entry that is no host with a port', () => {
    for (const entry of ['example.com', '*.example.com:443', 'http://example.com:80', '10.0.0.0/8:80', 'localhost:*'])
      expect(() => createNetwork([entry]), entry).toThrow('is not host:port');
  });

  it('compares hosts and ports as they are', () => {
    const grants = new NetworkGrants(['Example.com:443', 'example.com:80', '10.0.0.1:5432', '[2001:db8:0::1]:1']);
    expect(grants.allows('example.com', 443) && grants.allows('example.com', 80)).toBe(true);
    expect(grants.allows('10.0.0.1', 5432) && grants.allows('2001:db8::1', 1)).toBe(true);
    for (const [host, port] of [
      ['example.com', 8080],
      ['www.example.com', 443],
      ['com', 443],
      ['10.0.0.1', 443],
      ['__proto__', 443],
    ] as const)
      expect(grants.allows(host, port), host).toBe(false);
  });

  it.each([
    ['127.0.0.1', 4],
    ['127.8.8.8', 4],
    ['0.0.0.0', 4],
    ['169.254.169.254', 4],
    ['224.0.0.1', 4],
    ['255.255.255.255', 4],
    ['::1', 6],
    ['::', 6],
    ['::7f00:1', 6],
    ['::ffff:127.0.0.1', 6],
    ['::ffff:10.0.0.1', 6],
    ['64:ff9b::7f00:1', 6],
    ['fe80::1', 6],
    ['fe80::1%eth0', 6],
    ['ff02::1', 6],
  ] as const)('GST-13 is never %s by a name, whatever the resolver says', async (address, family) => {
    expect(mayLeadTo('example.com', { address, family })).toBe(false);
    const grants = new NetworkGrants(['example.com:80'], () => Promise.resolve([{ address, family }]));
    await expect(grants.resolve('example.com')).rejects.toBeInstanceOf(AddressProhibited);
  });

  it('is only this machine for `localhost`, and any other for other names', async () => {
    const addresses = [
      { address: '127.0.0.1', family: 4 },
      { address: '10.0.0.1', family: 4 },
      { address: '::1', family: 6 },
      { address: '2001:db8::1', family: 6 },
    ] as const;
    const grants = new NetworkGrants(['localhost:80', 'db.internal:80'], () => Promise.resolve(addresses));
    expect((await grants.resolve('localhost')).map(({ address }) => address)).toEqual(['127.0.0.1', '::1']);
    expect((await grants.resolve('db.internal')).map(({ address }) => address)).toEqual(['10.0.0.1', '2001:db8::1']);
    // An address that was granted by itself is not looked up.
    expect(await grants.resolve('127.0.0.1')).toEqual([{ address: '127.0.0.1', family: 4 }]);
  });

  it('GST-13 lets a socket connect to what a lookup gave it, at the ports of that name', async () => {
    const grants = new NetworkGrants(['a.test:80', 'a.test:81', 'b.test:82', '192.0.2.9:83'], (name) =>
      Promise.resolve([{ address: name === 'a.test' ? '192.0.2.1' : '192.0.2.2', family: 4 }]),
    );
    const reachable = new Reachable(grants);
    expect(reachable.allows('192.0.2.1', 80)).toBe(false);
    await reachable.lookUp('a.test');
    expect(reachable.allows('192.0.2.1', 80) && reachable.allows('192.0.2.1', 81)).toBe(true);
    expect(reachable.allows('192.0.2.9', 83)).toBe(true);
    expect(reachable.allows('192.0.2.1', 82) || reachable.allows('192.0.2.2', 82)).toBe(false);
    // What one instance has learned is no other's.
    expect(new Reachable(grants).allows('192.0.2.1', 80)).toBe(false);
  });

  it('writes addresses of sockets in the form they are compared in', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
        const value = fromText(address.includes('.') && address.includes(':') ? '::1' : address);
        const canonical = toText(value);
        expect(value.val).toHaveLength(value.tag === 'ipv4' ? 4 : 8);
        if (canonical !== undefined) expect(fromText(canonical)).toEqual(value);
      }),
    );
    expect(toText({ tag: 'ipv6', val: [0, 0, 0, 0, 0, 0xffff, 0x7f00, 1] })).toBeUndefined();
  });
});

describe('failures', () => {
  it.each([
    ['ECONNREFUSED', 'connection-refused'],
    ['ENOTFOUND', 'DNS-error'],
    ['HPE_INVALID_HEADER_TOKEN', 'HTTP-protocol-error'],
    ['HPE_HEADER_OVERFLOW', 'HTTP-response-header-section-size'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'TLS-certificate-error'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'TLS-certificate-error'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'TLS-certificate-error'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'TLS-protocol-error'],
    ['constructor', 'internal-error'],
  ])('of %s are %s', (code, tag) => {
    expect(httpErrorCode(Object.assign(new Error('secret'), { code }))).toMatchObject({ tag });
    expect(JSON.stringify(httpErrorCode(Object.assign(new Error('secret'), { code })))).not.toContain('secret');
  });
});

describe('streams and pollables that wait', () => {
  it('wake when something changes, whatever it is', async () => {
    const lifetime = new Lifetime(new TestClock());
    let ready = false;
    const awaited = new Pollable({ lifetime, ready: () => ready });
    const never = new Pollable({ lifetime, ready: () => false });
    const polling = poll([never, awaited, new Pollable(timer(lifetime, 60_000))]) as Promise<Uint32Array>;
    lifetime.changed();
    ready = true;
    lifetime.changed();
    expect(await polling).toEqual(Uint32Array.of(1));
    expect(awaited.block()).toBeUndefined();
    const waiting = never.block();
    lifetime.stop(new Error('the end'));
    await expect(waiting).rejects.toThrow('the end');
  });

  it('read nothing, then bytes, then the end', async () => {
    const lifetime = new Lifetime(new TestClock());
    const queue = new ByteQueue();
    let ended = false;
    const stream = new InputStream((max) => queue.take(max) ?? (ended ? undefined : new Uint8Array()), {
      lifetime,
      ready: () => queue.bytes > 0 || ended,
    });
    expect(stream.read(10n)).toHaveLength(0);
    const reading = stream.blockingRead(3n) as Promise<Uint8Array>;
    queue.push(bytes('abcdef'));
    lifetime.changed();
    expect(text(await reading)).toBe('abc');
    expect(stream.blockingSkip(2n)).toBe(2n);
    expect(text(stream.blockingRead(9n) as Uint8Array)).toBe('f');
    const atEnd = stream.blockingRead(1n) as Promise<Uint8Array>;
    ended = true;
    lifetime.changed();
    await expect(atEnd).rejects.toMatchObject({ payload: { tag: 'closed' } });
  });

  it('write as much as there is room for, and flush', async () => {
    const lifetime = new Lifetime(new TestClock());
    const written: number[] = [];
    let held = 0;
    const state = { lifetime, room: () => 100 - held, flushed: () => held === 0 };
    const stream = new OutputStream((part) => {
      written.push(part.length);
      held += part.length;
    }, state);
    expect(stream.checkWrite()).toBe(100n);
    expect(() => stream.write(new Uint8Array(101))).toThrow('check-write');
    const writing = stream.blockingWriteAndFlush(new Uint8Array(250)) as Promise<void>;
    for (let i = 0; i < 3; i++) {
      await new Promise(setImmediate);
      held = 0;
      lifetime.changed();
    }
    await writing;
    expect(written).toEqual([100, 100, 50]);
    stream.write(new Uint8Array(1));
    stream.flush();
    expect(stream.checkWrite()).toBe(0n);
    held = 0;
    expect(stream.checkWrite()).toBe(100n);
  });

  it('tell a failure in the words of the interface behind them, and a regular end', () => {
    const state = (failure: Error) => ({
      lifetime: undefined,
      flushed: () => true,
      room: () => {
        throw failure;
      },
    });
    const failed = payloadOf(() => new OutputStream(() => {}, state(new StreamFailure('gone', 'a code'))).checkWrite()) as {
      tag: string;
      val: { toDebugString(): string };
    };
    expect(failed.tag).toBe('last-operation-failed');
    expect(failed.val.toDebugString()).toBe('gone');
    expect(errorDetail(failed.val)).toBe('a code');
    expect(payloadOf(() => new OutputStream(() => {}, state(STREAM_CLOSED)).checkWrite())).toEqual({ tag: 'closed' });
  });

  it('end with the call, at most so many at once', () => {
    const lifetime = new Lifetime(new TestClock());
    const connections = new Connections(lifetime);
    const ended: string[] = [];
    const forget = connections.add(() => ended.push('forgotten'))!;
    forget();
    for (let i = 0; i < 64; i++) expect(connections.add(({ message }) => ended.push(message))).toBeDefined();
    expect(connections.add(() => {})).toBeUndefined();
    connections.endAll(new Error('the call has ended'));
    expect(ended).toEqual(Array.from({ length: 64 }, () => 'the call has ended'));
    connections.add(() => ended.push('with the instance'));
    lifetime.stop(new Error('stopped'));
    expect(ended.at(-1)).toBe('with the instance');
    expect(connections.add(() => {})).toBeUndefined();
    expect(() =>
      resolveAddresses('127.0.0.1', new NetworkGrants([]), new Reachable(new NetworkGrants([])), connections),
    ).toThrow();
  });
});
