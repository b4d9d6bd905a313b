import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BodyFromWire, BodyToWire } from '../../../src/component/runner/twins/http-bodies.ts';
import { HttpTwin } from '../../../src/component/runner/twins/http.ts';
import { HELD_BYTES, OutgoingBody, SentBody } from '../../../src/component/runner/wasi/network/http-bodies.ts';
import { Fields, type WireFields } from '../../../src/component/runner/wasi/network/http-fields.ts';
import { OutgoingRequest } from '../../../src/component/runner/wasi/network/http-messages.ts';
import { Lifetime } from '../../../src/component/runner/wasi/poll.ts';
import { systemClock } from '../../../src/clock.ts';
import { exportedFunctions, importedFunctions } from '../../../src/component/runner/functions.ts';
import type { WitFunction } from '../../../src/wit/types.ts';
import { wireTypes } from '../../../src/wit/wire/wire-forms.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);
async function gathered(body: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const piece of body) all.push(piece);
  return all;
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('fields along a link', () => {
  it('GST-13 are fields of HTTP or are left out, whatever comes', () => {
    const some = fc.array(fc.tuple(fc.string(), fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 3 })), { maxLength: 8 });
    fc.assert(
      fc.property(some, (entries) => {
        for (const [name, value] of Fields.ofWire(entries).entries()) {
          expect(name).toMatch(/^[!#$%&'*+.^_`|~0-9a-z-]+$/);
          expect(Buffer.from(value).toString('latin1')).toMatch(/^[\t\x20-\x7e\x80-\xff]*$/);
          expect(name).not.toMatch(/^(?:host|connection|transfer-encoding|te|upgrade)$/);
        }
      }),
    );
  });

  it('go and come with their values in order', () => {
    const wire: WireFields = [
      ['x-a', [bytes('1'), bytes('2')]],
      ['x-b', [bytes('3')]],
    ];
    expect(Fields.toWire(Fields.ofWire(wire))).toEqual(
      wire.map(([name, values]) => [name, values.map((each) => new Uint8Array(each))]),
    );
    expect(() => Fields.ofWire(wire).append('x-c', bytes('4'))).toThrow();
  });
});

describe('a body that comes', () => {
  it('is not asked for more than is held, and goes on when that is read', async () => {
    let given = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      for (; given < 40; given++) yield new Uint8Array(HELD_BYTES / 8);
    }
    const body = new BodyFromWire({ body: source(), trailers: Promise.resolve(undefined) }, new Lifetime(systemClock));
    expect(given).toBe(0);
    body.start();
    await settled();
    expect(given).toBeLessThan(10);
    let read = 0;
    for (let piece = body.read(1e9); piece !== undefined; piece = body.read(1e9)) {
      read += piece.length;
      if (piece.length === 0) await settled();
    }
    expect(read).toBe(40 * (HELD_BYTES / 8));
    await settled();
    expect(body.outcome()).toEqual({ failure: undefined, trailers: undefined });
  });

  it('fails when it is broken off, after what came before', async () => {
    async function* source(): AsyncGenerator<Uint8Array> {
      yield bytes('half');
      throw new Error('gone');
    }
    const body = new BodyFromWire({ body: source(), trailers: new Promise(() => {}) }, new Lifetime(systemClock));
    body.start();
    await settled();
    expect(Buffer.from(body.read(10)!).toString()).toBe('half');
    expect(() => body.read(10)).toThrow('connection-terminated');
    expect(body.outcome()).toMatchObject({ failure: { tag: 'connection-terminated' } });
  });
});

describe('a body that goes', () => {
  it('makes the guest wait until it is asked for', async () => {
    const wire = new BodyToWire();
    const sent = new SentBody('response');
    sent.attach(wire, new Lifetime(systemClock));
    const stream = new OutgoingBody(sent).write();
    let written = 0;
    while (stream.checkWrite() > 0n) {
      stream.write(new Uint8Array(65_536));
      written += 65_536;
    }
    expect(written).toBe(HELD_BYTES);
    const pieces = wire.body[Symbol.asyncIterator]();
    await pieces.next();
    expect(stream.checkWrite()).toBeGreaterThan(0n);
  });

  it('ends with trailers, or is broken off', async () => {
    const whole = new BodyToWire();
    const sent = new SentBody('response');
    sent.attach(whole, new Lifetime(systemClock));
    OutgoingBody.finish(new OutgoingBody(sent), Fields.ofWire([['x-sum', [bytes('7')]]]));
    expect(await whole.trailers).toEqual([['x-sum', [new Uint8Array(bytes('7'))]]]);
    expect(await gathered(whole.body)).toEqual([]);

    const torn = new BodyToWire();
    const failing = new SentBody('response');
    failing.attach(torn, new Lifetime(systemClock));
    failing.write(bytes('half'));
    new OutgoingBody(failing)[Symbol.dispose]();
    await expect(gathered(torn.body)).rejects.toThrow('broken off');
    await expect(torn.trailers).rejects.toThrow('broken off');
  });
});

describe('a request that goes along a link', () => {
  /** What is sent for a request made by `make`. */
  function sent(make: (request: OutgoingRequest) => void): unknown {
    let asked: unknown;
    const wire = (_instance: string, _func: string, [request]: readonly unknown[]): Promise<unknown> => {
      asked = request;
      return new Promise(() => {});
    };
    const imports = new HttpTwin(new Lifetime(systemClock), wire).imports();
    const request = new OutgoingRequest(new Fields());
    make(request);
    (imports['wasi:http/outgoing-handler'] as { handle(request: OutgoingRequest): unknown }).handle(request);
    return asked;
  }

  it('has all parts of an address, also where the guest left some out', () => {
    expect(sent((request) => request.setAuthority('shop.example'))).toMatchObject({
      method: { tag: 'get' },
      scheme: { tag: 'HTTPS' },
      authority: 'shop.example',
      pathWithQuery: '/',
      headers: [['host', [bytes('shop.example')]]],
    });
    const plain = sent((request) => {
      request.setScheme({ tag: 'HTTP' });
      request.setAuthority('shop.example:80');
      request.setPathWithQuery('/a?b');
    });
    expect(plain).toMatchObject({ scheme: { tag: 'HTTP' }, authority: 'shop.example:80', pathWithQuery: '/a?b' });
  });

  it('is refused without an authority, and with a path that is too long rather than a part of it', () => {
    const code = (make: (request: OutgoingRequest) => void): unknown => {
      try {
        return sent(make);
      } catch (error) {
        return (error as { payload: unknown }).payload;
      }
    };
    expect(code(() => {})).toEqual({ tag: 'HTTP-request-URI-invalid' });
    const long = (request: OutgoingRequest): void => {
      request.setAuthority('shop.example');
      request.setPathWithQuery(`/${'x'.repeat(100_000)}`);
    };
    expect(code(long)).toEqual({ tag: 'HTTP-request-URI-too-long' });
  });
});

describe('forms on the wire', () => {
  const fn: WitFunction = { name: 'handle', wireName: 'handle', params: [], result: null, async: false };
  const wit = (name: string) => ({ name, functions: [fn] });

  it.each([
    ['wasi:http/incoming-handler@0.2.0', 'wrpc:http/incoming-handler@0.1.0'],
    ['wasi:http/incoming-handler@0.2.9', 'wrpc:http/incoming-handler@0.1.0'],
    ['wasi:keyvalue/watcher@0.2.0-draft', 'wrpc:keyvalue/watcher@0.2.0-draft'],
    ['wasi:http/incoming-handler@0.3.0', 'wasi:http/incoming-handler@0.3.0'],
    ['wasi:keyvalue/watcher@0.2.0-draft2', 'wasi:keyvalue/watcher@0.2.0-draft2'],
    ['a:b/c@1.0.0', 'a:b/c@1.0.0'],
  ])('%s is served as %s', (guest, wire) => {
    const types = { imports: [], exports: [wit(guest)] };
    expect(exportedFunctions(types).every(({ instance }) => instance === wire)).toBe(true);
    expect(wireTypes(types).exports.map(({ name }) => name)).toEqual([wire]);
  });

  it('numbers a form that several imports have in common once', () => {
    const names = ['blobstore', 'container', 'types'].map((face) => `wasi:blobstore/${face}@0.2.0-draft`);
    const numbered = importedFunctions({ imports: [...names, 'a:b/c'].map(wit), exports: [] });
    expect(numbered.map(({ index }) => index)).toEqual(numbered.map((_, at) => at));
    expect(new Set(numbered.map(({ instance, fn: { name } }) => `${instance} ${name}`)).size).toBe(numbered.length);
    expect([...new Set(numbered.map(({ instance }) => instance))]).toEqual([
      'wrpc:blobstore/blobstore@0.2.0',
      'wrpc:blobstore/blobstore@0.1.0',
      'a:b/c',
    ]);
  });
});
