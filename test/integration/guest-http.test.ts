import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileFunction } from '../../src/wit/codec.ts';
import { HTTP_INCOMING, HTTP_OUTGOING } from '../../src/wit/wire/http.ts';
import { builtGuest } from '../support/built-guest.ts';
import { AsyncValues } from '../../src/wit/async-values.ts';
import { pump } from '../../src/wit/pump.ts';
import type { Member } from '../../src/member.ts';
import { componentId, functionName, instanceName, linkName } from '../../src/ids.ts';
import { ONE_X_HEADERS, RawPeer, until, type RawCall, type RawService } from '../support/raw-peer.ts';
import { startTwoHosts, type TwoHosts } from '../support/two-hosts.ts';
import { type SigningProvider, startSigningProvider } from '../support/wire-provider.ts';

const incoming = compileFunction(HTTP_INCOMING.functions[0]!);
const outgoing = compileFunction(HTTP_OUTGOING.functions[0]!);
const hex = (text: string): { hex: string } => ({ hex: Buffer.from(text).toString('hex') });
const some = <T>(value: T): { some: T } => ({ some: value });

interface Answer {
  readonly ok?: {
    status: number;
    headers: [string, unknown[]][];
    body: { ready: { hex: string } };
    trailers: { ready: unknown };
  };
  readonly err?: unknown;
}

/** A component that exports `wasi:http/incoming-handler`, called over `wrpc:http` by a member that signs. */
describe('wasi:http under enforce', () => {
  let lab: TwoHosts;
  beforeAll(async () => {
    const { file } = await builtGuest('storefront');
    lab = await startTwoHosts({ front: [], back: [{ id: 'storefront', file, policy: 'reuse', maxInstances: 4 }], links: [] }, [
      'storefront wasi:http/incoming-handler',
    ]);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const get = async (path: string, body = 'hi', trailers: unknown = null): Promise<Answer> =>
    (await lab.call('storefront', 'incoming-handler.handle', {
      body: { ready: hex(body) },
      trailers: { ready: trailers },
      method: { case: 'post' },
      'path-with-query': some(path),
      scheme: some({ case: 'HTTP' }),
      authority: some('shop.example'),
      headers: [
        ['X-A', [hex('1'), hex('2')]],
        ['connection', [hex('close')]],
        ['not a name', [hex('x')]],
        ['x-bad', [hex('a\r\nb: c')]],
      ],
    })) as Answer;
  const bodyOf = ({ ok }: Answer): string => Buffer.from(ok!.body.ready.hex, 'hex').toString();

  it('shows the guest the request, without what belongs to connections or is no field', async () => {
    const answer = await get('/info?x=1');
    expect(answer.ok).toMatchObject({ status: 200, headers: [['content-type', [hex('application/json')]]] });
    expect(JSON.parse(bodyOf(answer))).toEqual({
      method: 'post',
      path: '/info?x=1',
      scheme: 'HTTP',
      authority: 'shop.example',
      headers: [
        ['x-a', '1'],
        ['x-a', '2'],
      ],
    });
  });

  it('passes bodies, repeated fields and trailers', async () => {
    const long = 'x'.repeat(300_000);
    const answer = await get('/echo', long, some([['x-sum', [hex('7')]]]));
    expect(answer.ok).toMatchObject({ status: 201, headers: [['x-echo', [hex('1'), hex('2')]]] });
    expect(bodyOf(answer)).toBe(long);
    expect(answer.ok!.trailers).toEqual({ ready: some([['x-sum', [hex('7')]]]) });
  });

  it('answers with an empty body, another status, or an error code', async () => {
    expect((await get('/empty')).ok).toMatchObject({ status: 200, body: { ready: { hex: '' } } });
    expect((await get('/elsewhere')).ok).toMatchObject({ status: 404 });
    expect(await get('/error')).toEqual({
      err: { case: 'DNS-error', payload: { rcode: some('NXDOMAIN'), 'info-code': some(3) } },
    });
    // Requests need a grant or a link.
    expect(bodyOf(await get('/forward'))).toBe('{"tag":"HTTP-request-denied"}');
  });

  it.each(['/none', '/trap', '/trap-late', '/unfinished'])('a guest that breaks off ends the call: %s', async (path) => {
    await expect(get(path)).rejects.toMatchObject({ code: expect.stringMatching(/^TRELLIS_(?:INVOKE|VERIFY)_/) });
    // And nothing of it is left in the next call.
    expect((await get('/empty')).ok).toMatchObject({ status: 200 });
  });

  it('serves many at once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => get('/echo', `body ${i}`)));
    expect(answers.map(bodyOf)).toEqual(Array.from({ length: 20 }, (_, i) => `body ${i}`));
  });
});

/** A request that goes out from a host, comes in at another, and all its answer back: between members that sign. */
describe('wasi:http out and in again under enforce', () => {
  const http = { namespace: 'wasi', package: 'http' };
  let lab: TwoHosts;
  let gateway: SigningProvider;

  /** A gateway that turns each request round, to the shop in the lattice. */
  const forward = (member: Member) => async (request: Record<string, unknown>) => {
    const encoded = incoming.encodeParams([{ ...request, pathWithQuery: '/echo', trailers: request['trailers'] }]);
    if (!encoded.ok) throw new Error(encoded.reason);
    const later = new AsyncValues();
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const handle = member.invoker.invoke(
      {
        origin: componentId('gateway'),
        link: linkName('default'),
        target: componentId('shop'),
        instance: instanceName(HTTP_INCOMING.name),
        func: functionName('handle'),
        params: encoded.bytes,
        timeoutMs: 20_000,
        depth: 1,
        asyncResult: true,
        pendingParams: encoded.pending.length > 0,
      },
      {
        done: resolve,
        fail: (code, detail) => reject(new Error(`${code}: ${detail}`)),
        path: (path, bytes, eof) => void later.push(path, bytes, eof),
        cut: (code) => later.fail(code),
      },
    );
    void pump(encoded.pending, (path, bytes, end) => handle.sendPath(path.join('.'), bytes, end)).catch(reject);
    const decoded = incoming.decodeResult(await promise, later);
    if (!decoded.ok) throw new Error(decoded.reason);
    const [{ tag, val }] = decoded.values as [{ tag: string; val: unknown }];
    if (tag === 'err') throw val as Error;
    return val;
  };

  beforeAll(async () => {
    const { file } = await builtGuest('storefront');
    lab = await startTwoHosts(
      {
        front: [{ id: 'storefront', file }],
        back: [{ id: 'shop', file }],
        links: [
          { source: 'storefront', target: 'gateway', ...http, interfaces: ['outgoing-handler'] },
          { source: 'gateway', target: 'shop', ...http, interfaces: ['incoming-handler'] },
        ],
      },
      ['storefront wasi:http/incoming-handler'],
    );
    gateway = await startSigningProvider(lab.config, 'gateway', HTTP_OUTGOING, (member) => ({ handle: forward(member) }));
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });

  it('carries bodies, as proven streams, through four calls', async () => {
    const long = 'x'.repeat(200_000);
    const answer = (await lab.call('storefront', 'incoming-handler.handle', {
      body: { ready: hex(long) },
      trailers: { ready: null },
      method: { case: 'post' },
      'path-with-query': some('/forward'),
      scheme: null,
      authority: null,
      headers: [],
    })) as Answer;
    expect(gateway.faults).toEqual([]);
    expect(answer.ok).toMatchObject({ status: 201, headers: [['x-echo', [hex('1'), hex('2')]]] });
    expect(Buffer.from(answer.ok!.body.ready.hex, 'hex').toString()).toBe(long);
  });
});

/**
 * The same with peers that know nothing of signatures, message by message as hosts and providers of 1.x send them: where nobody enforces,
 * and under enforce, where the pairs are listed. A host names the link that it calls along, a provider does not.
 */
describe.each([
  { verify: 'observe', headers: ONE_X_HEADERS },
  {
    verify: 'enforce',
    headers: [
      ['source-id', 'raw-caller'],
      ['target-id', 'storefront'],
    ],
  },
] as const)('wasi:http with 1.x peers under $verify', ({ verify, headers }) => {
  let lab: TwoHosts;
  let peer: RawPeer;
  let serve: (service: RawService) => void = () => {};
  beforeAll(async () => {
    const { file } = await builtGuest('storefront');
    lab = await startTwoHosts(
      {
        verify,
        unsigned: [
          { source: 'storefront', target: 'gateway', interface: 'wrpc:http/outgoing-handler' },
          { source: 'raw-caller', target: 'storefront', interface: 'wasi:http/incoming-handler' },
        ],
        front: [{ id: 'storefront', file }],
        back: [],
        links: [
          { source: 'storefront', target: 'gateway', namespace: 'wasi', package: 'http', interfaces: ['outgoing-handler'] },
          {
            source: 'raw-caller',
            target: 'storefront',
            name: verify === 'enforce' ? 'port-80' : 'default',
            namespace: 'wasi',
            package: 'http',
            interfaces: ['incoming-handler'],
          },
        ],
      },
      [],
    );
    peer = await RawPeer.connect(lab.url);
    await peer.serve(`default.gateway.wrpc.0.0.1.${HTTP_OUTGOING.name}.handle`, (service) => serve(service));
  });
  afterAll(async () => {
    await peer[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });

  async function* never(): AsyncGenerator<never> {}
  const request = (path: string): Uint8Array => {
    const encoded = incoming.encodeParams([
      {
        body: never(),
        trailers: Promise.resolve(),
        method: { tag: 'post' },
        pathWithQuery: path,
        scheme: { tag: 'HTTP' },
        authority: undefined,
        headers: [],
      },
    ]);
    if (!encoded.ok) throw new Error(encoded.reason);
    return encoded.bytes;
  };
  const call = async (path: string): Promise<{ call: RawCall; rs: string }> => {
    const made = peer.call(`default.storefront.wrpc.0.0.1.${HTTP_INCOMING.name}.handle`, request(path), headers);
    const rs = await made.acknowledged();
    made.end(rs);
    return { call: made, rs };
  };
  const NO_TRAILERS = '00';

  it('answers before the request has ended, piece by piece', async () => {
    const { call: made, rs } = await call('/echo');
    made.params(rs, '026869', '.0.0');
    await until('the first piece', () => made.on('.0.0').data.toString('hex') === '026869');
    expect(made.on('.0.0').ended).toBe(false);
    made.params(rs, '0121', '.0.0');
    made.params(rs, '00', '.0.0');
    made.end(rs, '.0.0');
    made.params(rs, NO_TRAILERS, '.0.1');
    made.end(rs, '.0.1');
    // Pieces, then the end of the stream.
    expect((await made.result('.0.0')).toString('hex')).toMatch(/^026869012100$/);
    expect((await made.result('.0.1')).toString('hex')).toBe(NO_TRAILERS);
    const decoded = incoming.decodeResult(made.on().data);
    expect(decoded.ok && decoded.values[0]).toMatchObject({ tag: 'ok', val: { status: 201 } });
  });

  it('sends a request along the link, and its answer back', async () => {
    let asked: unknown;
    serve = (service) => {
      const decoded = outgoing.decodeParams(service.payload);
      asked = decoded.ok ? decoded.values : decoded.reason;
      service.acknowledge();
      void until('the body', () =>
        service.frames.some(({ tail, hex: bytes }) => tail === '.params.0.0' && bytes.endsWith('6279')),
      ).then(() => {
        const response = {
          body: never(),
          trailers: Promise.resolve(),
          status: 202,
          headers: [['x-from', [Buffer.from('gateway')]]],
        };
        const encoded = outgoing.encodeResult({ tag: 'ok', val: response });
        service.results([encoded.ok ? encoded.bytes : '', '']);
        // Hosts of 1.x also end the path between the result and its streams.
        service.results([''], '.0');
        service.results(['0474686572', '026521', '00', ''], '.0.0');
        service.results([NO_TRAILERS, ''], '.0.1');
      });
    };
    const { call: made, rs } = await call('/forward');
    made.params(rs, '026279', '.0.0');
    made.params(rs, '00', '.0.0');
    made.end(rs, '.0.0');
    made.params(rs, NO_TRAILERS, '.0.1');
    made.end(rs, '.0.1');
    const body = await made.result('.0.0');
    expect(body.toString('latin1')).toContain('ther');
    const decoded = incoming.decodeResult(made.on().data);
    expect(decoded.ok && decoded.values[0]).toMatchObject({ tag: 'ok', val: { status: 202 } });
    expect(asked).toMatchObject([
      {
        method: { tag: 'put' },
        scheme: { tag: 'HTTPS' },
        authority: 'shop.example:8443',
        pathWithQuery: '/goods?id=1',
      },
      undefined,
    ]);
    const [{ headers: fields }] = asked as [{ headers: [string, Uint8Array[]][] }];
    expect(fields.map(([name, values]) => [name, ...values.map((value) => Buffer.from(value).toString())])).toEqual([
      ['host', 'shop.example:8443'],
      ['x-forwarded', 'yes'],
    ]);
  });

  it('gives the guest the error of the other side', async () => {
    serve = (service) => {
      const encoded = outgoing.encodeResult({ tag: 'err', val: { tag: 'connection-refused' } });
      service.acknowledge();
      service.results([encoded.ok ? encoded.bytes : '', '']);
    };
    const { call: made, rs } = await call('/forward');
    made.params(rs, '00', '.0.0');
    made.end(rs, '.0.0');
    expect((await made.result('.0.0')).toString('latin1')).toContain('{"tag":"connection-refused"}');
  });
});
