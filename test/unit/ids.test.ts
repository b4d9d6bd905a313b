import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  componentId,
  functionName,
  hostPort,
  instanceName,
  isToken,
  latticeName,
  linkKey,
  linkName,
  quote,
  quotePath,
} from '../../src/ids.ts';
import { takesAtMost } from '../support/takes-at-most.ts';

describe('names', () => {
  it.each(['greet', 'get-DNS-name', 'counter.up', 'a1-2b', 'x-1'])('takes the function name %s', (name) => {
    expect(functionName(name)).toBe(name);
  });

  it.each(['', 'Greet', '1a', 'a--b', 'a-', '-a', 'a.b.c', 'a b', 'a_b', 'a-bC', 'a\u0000', '>', '*', 'é'])(
    'refuses the function name %j',
    (name) => {
      expect(() => functionName(name)).toThrow(expect.objectContaining({ code: 'TRELLIS_ID_INVALID' }));
    },
  );

  it.each(['', 'handler', 'wasi:http/incoming-handler@0.2.0', 'wrpc:keyvalue/store@0.2.0-draft', 'a:b:c/d/e@1.0.0+build.5'])(
    'takes the interface name %j',
    (name) => {
      expect(instanceName(name)).toBe(name);
    },
  );

  it.each(['a:b/c@1', 'a/b@1.0.0 ', 'a:*/c', 'a:b/c@1.0.0.>', ':a/b', 'a:/b', 'A b', 'a:b/c@1.0.0\r\nPUB x'])(
    'refuses the interface name %j',
    (name) => {
      expect(() => instanceName(name)).toThrow(expect.objectContaining({ code: 'TRELLIS_ID_INVALID' }));
    },
  );

  it('INJ-07 refuses a name made to backtrack without delay', async () => {
    await takesAtMost(200, () => {
      const begin = performance.now();
      for (const name of [
        `a${'-1'.repeat(95)}!`,
        `a${'-1a'.repeat(60)}!`,
        `${'a:'.repeat(100)}!`,
        `a@1.0.0-${'.-'.repeat(100)}!`,
      ]) {
        expect(() => functionName(name)).toThrow();
        expect(() => instanceName(name)).toThrow();
      }
      return performance.now() - begin;
    });
  });

  it('judges any text the same in every kind, and never throws anything but its own error', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('a', 'A', '-', '1', '.', '*', '>', ' ', '\n', '_') })),
        (text) => {
          for (const check of [latticeName, componentId, linkName, functionName, instanceName]) {
            try {
              expect(check(text)).toBe(text);
              if (text !== '') expect(text).toMatch(/^[\x21-\x7e]+$/);
            } catch (error) {
              expect(error).toMatchObject({ code: 'TRELLIS_ID_INVALID' });
            }
          }
          expect(isToken(text)).toBe(/^[A-Za-z0-9_-]{1,128}$/.test(text));
          expect(quote(text)).toMatch(/^[\x20-\x7e]*$/);
        },
      ),
    );
  });
});

describe('hosts with ports', () => {
  it.each([
    ['Example.COM:443', 'example.com', 443],
    ['localhost:1', 'localhost', 1],
    ['a_b-c.d:65535', 'a_b-c.d', 65_535],
    ['10.0.0.1:80', '10.0.0.1', 80],
    ['[::1]:80', '::1', 80],
    ['[2001:DB8:0:0:0:0:0:1]:80', '2001:db8::1', 80],
  ])('take %s', (text, host, port) => {
    expect(hostPort(text)).toEqual({ host, port });
  });

  it.each([
    'example.com',
    'example.com:',
    'example.com:0',
    'example.com:080',
    'example.com:65536',
    'example.com.:80',
    '*.example.com:80',
    '.example.com:80',
    'a..b:80',
    '-a.b:80',
    'user@example.com:80',
    'http://example.com:80',
    'exa mple.com:80',
    'example.com\n:80',
    'exämple.com:80',
    '127.1:80',
    '0x7f.0.0.1:80',
    '0177.0.0.1:80',
    '2130706433:80',
    '1.2.3.4.5:80',
    'a.0x10:80',
    '::1:80',
    '[::1%lo]:80',
    '[::ffff:127.0.0.1]:80',
    '[::ffff:7f00:1]:80',
    '[127.0.0.1]:80',
    `${'a'.repeat(64)}:80`,
    `${'a.'.repeat(130)}a:80`,
    '',
  ])('refuse %j', (text) => {
    expect(hostPort(text)).toBeUndefined();
  });
});

describe('a path in a message', () => {
  it('LEK-07 is one line of printable ASCII, and of a long one the end is kept', () => {
    expect(quotePath('/run/creds/rpc.creds')).toBe('"/run/creds/rpc.creds"');
    expect(quotePath('/a\r\n\u001b[31m/ü"')).toBe(String.raw`"/a\r\n\u001b[31m/\u00fc\""`);
    const long = quotePath(`/${'long/'.repeat(100)}rpc.creds`);
    expect([long.length, long.slice(0, 4), long.slice(-10)]).toEqual([202, '"...', 'rpc.creds"']);
  });
});

describe('linkKey', () => {
  it('drops the version, and knows the two forms of one interface', () => {
    expect(linkKey('trellis-samples:hello/greeting@0.1.0')).toBe('trellis-samples:hello/greeting');
    expect(linkKey('a:b/c')).toBe('a:b/c');
    expect(linkKey('')).toBe('');
    for (const face of ['store', 'atomics', 'batch', 'watcher']) {
      expect(linkKey(`wasi:keyvalue/${face}@0.2.0-draft`)).toBe(`wasi:keyvalue/${face}`);
      expect(linkKey(`wrpc:keyvalue/${face}@0.2.0-draft`)).toBe(`wasi:keyvalue/${face}`);
    }
    expect(linkKey('wrpc:http/incoming-handler@0.1.0')).toBe('wasi:http/incoming-handler');
    expect(linkKey('wasi:http/outgoing-handler@0.2.9')).toBe('wasi:http/outgoing-handler');
    for (const name of ['wasi:blobstore/container@0.2.0-draft', 'wasi:blobstore/types', 'wrpc:blobstore/blobstore@0.1.0']) {
      expect(linkKey(name)).toBe('wasi:blobstore/blobstore');
    }
    for (const name of ['producer@0.3.0', 'request-reply@0.3.0', 'consumer@0.2.0']) {
      expect(linkKey(`wasmcloud:messaging/${name}`)).toBe('wasmcloud:messaging/consumer');
    }
    expect(linkKey('wasmcloud:messaging/incoming-handler')).toBe('wasmcloud:messaging/handler');
    expect(linkKey('wrpc:rpc/invoker@0.1.0')).toBe('wrpc:rpc/invoker');
    expect(linkKey('constructor')).toBe('constructor');
  });

  it('never throws, and gives no name that it would change again', () => {
    fc.assert(fc.property(fc.string(), (text) => linkKey(linkKey(text)) === linkKey(text)));
  });
});
