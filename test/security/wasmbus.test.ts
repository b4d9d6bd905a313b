import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SigningKey } from '../../src/trust/nkey.ts';
import { openWasmbusToken, wasmbusCallText, wasmbusHash } from '../../src/trust/wasmbus-claims.ts';
import { legacyComponent } from '../support/components.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { until } from '../support/raw-peer.ts';
import { msgpack, type Packable, type Party } from '../support/wasmbus.ts';
import {
  answerBytes,
  type PeerAnswer,
  type PeerCall,
  type PeerRequest,
  type Style,
  WasmbusPeer,
} from '../support/wasmbus-peer.ts';

const key = (kind: 'module' | 'service'): string => SigningKey.generate(kind).publicKey;
const actor = (publicKey: string): Party => ({ publicKey, linkName: '', contractId: '' });
const CONTRACT = 'wasmcloud:testoperation';
/** Our components, as their peers know them. */
const ACTOR = actor(key('module'));
const OTHER = actor(key('module'));
const PROVIDER: Party = { publicKey: key('service'), linkName: 'default', contractId: CONTRACT };
/** Peers of 0.82. */
const CALLER = actor(key('module'));
const STRANGER = actor(key('module'));
const STORE: Party = { publicKey: key('service'), linkName: 'default', contractId: 'wasmcloud:keyvalue' };
const PAYLOAD = Buffer.from('payload');
const BIG = 900 * 1024 + 1;
/** Chance, but for the `!` with which the component begins an error. */
const payloadOf = (bytes: number): Buffer => Buffer.concat([Buffer.of(0), randomBytes(bytes - 1)]);

const dir = mkdtempSync(join(tmpdir(), 'trellis-wasmbus-'));
const outboundKey = SigningKey.generate('cluster');
let lattice: TestLattice;
let peer: WasmbusPeer;

function subjectOf({ publicKey, linkName }: Party): string {
  return `wasmbus.rpc.default.${publicKey}${linkName === '' ? '' : `.${linkName}`}`;
}

function callOf(changes: Partial<PeerCall> = {}): PeerCall {
  return {
    origin: CALLER,
    target: ACTOR,
    operation: 'TestOperation.HandleTest',
    payload: PAYLOAD,
    ...WasmbusPeer.defaults(),
    ...changes,
  };
}

/** Makes a call; `changed` replaces fields that were signed. */
function call(
  changes: Partial<PeerCall> = {},
  changed: Readonly<Record<string, Packable>> = {},
  style: Style = 'rust',
): Promise<PeerAnswer> {
  const made = callOf(changes);
  return peer.send(subjectOf(made.target), peer.pack(made, changed, style));
}

const runs = (): number => lattice.runs('legacy') + lattice.runs('other') + lattice.runs('provider');

/** Tokens of 0.82 carry whole seconds: those of the second in which a host started may be older than it, and are refused. */
async function pastStart(): Promise<void> {
  const startSecond = Math.floor(Date.now() / 1_000);
  await until('the next second', () => Date.now() >= (startSecond + 1) * 1_000);
}

/** Expects a refusal: the one text, its code in the log, and no guest code run. */
async function refused(code: string, attempt: () => Promise<PeerAnswer>): Promise<void> {
  const before = runs();
  const logged = lattice.logged.length;
  const answer = await attempt();
  expect(answer).toMatchObject({ error: 'invocation denied', contentLength: 0 });
  expect(answer.msg).toHaveLength(0);
  await until(`${code} in the log`, () => lattice.logged.slice(logged).some((line) => line['code'] === code));
  expect(runs()).toBe(before);
}

beforeAll(async () => {
  const seedFile = join(dir, 'wasmbus.seed');
  writeFileSync(seedFile, outboundKey.exportSeed().reveal(), { mode: 0o600 });
  const { file } = legacyComponent();
  const link = { namespace: 'wasmcloud', package: 'testoperation' };
  const served = { ...link, interfaces: ['test-operation'] };
  lattice = await startTestLattice({
    components: [
      { id: 'legacy', file, wasmbus: { key: ACTOR.publicKey } },
      { id: 'other', file, wasmbus: { key: OTHER.publicKey } },
      { id: 'provider', file, wasmbus: { key: PROVIDER.publicKey, contract: CONTRACT } },
    ],
    links: [
      ...['legacy', 'other', 'provider'].map((target) => ({ source: CALLER.publicKey, target, ...served })),
      { source: STORE.publicKey, target: 'legacy', ...served },
      { source: 'legacy', target: STORE.publicKey, ...link, interfaces: ['key-value'], wasmbus: { contract: STORE.contractId } },
    ],
    trust: { wasmbus: { seedFile } },
  });
  await pastStart();
  const { clusterSeedFile } = lattice.lattice.callerConfig.trust;
  peer = await WasmbusPeer.connect(lattice.lattice.server.url, readFileSync(clusterSeedFile!, 'utf8').trim());
});

afterAll(async () => {
  await peer[Symbol.asyncDispose]();
  await lattice[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

describe('a peer of 0.82 calls a component here', () => {
  it('as an actor and as a provider, with any payload', async () => {
    for (const target of [ACTOR, PROVIDER]) {
      for (const payload of [PAYLOAD, Buffer.alloc(0), Buffer.of(0xc1, 0xff, 0), payloadOf(200_000)]) {
        const made = callOf({ target, payload });
        const answer = await peer.send(subjectOf(target), peer.pack(made));
        expect(answer).toMatchObject({ error: undefined, invocationId: made.id, contentLength: payload.length });
        expect(answer.msg.equals(payload)).toBe(true);
      }
    }
  });

  it('gets a declared error as the error, and no payload where there is none', async () => {
    expect(await call({ payload: Buffer.from('!no') })).toMatchObject({ error: '!no', contentLength: 0 });
    expect(await call({ operation: 'TestOperation.Notify' })).toMatchObject({ error: undefined, contentLength: 0 });
    expect(await call({ operation: 'TestOperation.Notify', payload: Buffer.from('!no') })).toMatchObject({ error: '!no' });
  });

  it('as the OTP host calls: a cluster key in host_id, the payload as text, no content_length', async () => {
    const payload = Buffer.of(0xff, 0xfe, 0, 0x80);
    const answer = await call({ payload }, {}, 'otp');
    expect(answer.error).toBeUndefined();
    expect(answer.msg.equals(payload)).toBe(true);
  });

  it('with more than 900 KiB both ways, through the object store', async () => {
    const store = await peer.store();
    const payload = payloadOf(BIG + 200_000);
    const made = callOf({ payload });
    await store.putBlob({ name: made.id, options: { max_chunk_size: 128 * 1024 } }, payload);
    const answer = await peer.send(subjectOf(ACTOR), peer.pack(made, { msg: Buffer.alloc(0) }), 30_000);
    expect(answer).toMatchObject({ error: undefined, contentLength: payload.length });
    expect(answer.msg.equals(payload)).toBe(true);
    // What was read is gone; the answer is for its reader to delete.
    expect((await store.info(made.id))?.deleted ?? true).toBe(true);
    expect((await store.info(`${made.id}-r`))?.size).toBe(payload.length);
  });

  it('with a stored payload below the limit, as OTP sends above 700 KiB', async () => {
    const made = callOf({ payload: payloadOf(750_000) });
    await (await peer.store()).putBlob({ name: made.id }, made.payload);
    const answer = await peer.send(subjectOf(ACTOR), peer.pack(made, { msg: Buffer.alloc(0) }), 30_000);
    expect(answer.msg.equals(made.payload)).toBe(true);
  });

  it('reaches no operation whose types the host would have to know, and none that is not there', async () => {
    const before = runs();
    for (const operation of ['TestOperation.Typed', 'TestOperation.Nothing', 'testoperation.handletest', '', '__halt']) {
      expect(await call({ operation })).toMatchObject({ error: 'invocation denied' });
    }
    expect(runs()).toBe(before);
  });
});

describe('holes of 0.82', () => {
  it('Z5 an empty message with a planted object runs nothing, above and below the limit of the Rust host', async () => {
    const store = await peer.store();
    for (const planted of [Buffer.from('planted'), randomBytes(BIG)]) {
      const made = callOf();
      await store.putBlob({ name: made.id }, planted);
      const message = peer.pack(made, { msg: Buffer.alloc(0), content_length: planted.length });
      await refused('TRELLIS_VERIFY_PAYLOAD', () => peer.send(subjectOf(ACTOR), message, 30_000));
    }
    const emptied = callOf();
    const message = peer.pack(emptied, { msg: Buffer.alloc(0), content_length: 0 });
    await refused('TRELLIS_VERIFY_PAYLOAD', () => peer.send(subjectOf(ACTOR), message));
  });

  it('Z6 a captured message runs once, and an old one never', async () => {
    const message = peer.pack(callOf());
    expect((await peer.send(subjectOf(ACTOR), message)).error).toBeUndefined();
    await refused('TRELLIS_VERIFY_REPLAYED', () => peer.send(subjectOf(ACTOR), message));
    await refused('TRELLIS_VERIFY_EXPIRED', () => call({ iat: Math.floor(Date.now() / 1_000) - 70 }));
    await refused('TRELLIS_VERIFY_FIELDS', () => call({}, { id: 'another' }));
  });

  it('Z7 a token for another actor runs on neither', async () => {
    const forOther = peer.pack(callOf({ target: OTHER }));
    await refused('TRELLIS_VERIFY_TARGET', () => peer.send(subjectOf(ACTOR), forOther));
    const target: Packable = [
      ['public_key', ACTOR.publicKey],
      ['link_name', ''],
      ['contract_id', ''],
    ];
    await refused('TRELLIS_VERIFY_TARGET', () => peer.send(subjectOf(ACTOR), peer.pack(callOf({ target: OTHER }), { target })));
    expect((await peer.send(subjectOf(OTHER), forOther)).error).toBeUndefined();
  });

  it('Z8 an empty host_id, a short signature and garbage are answered, and the host goes on serving', async () => {
    expect((await call({ hostId: '' })).error).toBeUndefined();
    const made = callOf();
    const token = peer.sign(made);
    for (const [claims, code] of [
      [token.slice(0, -40), 'TRELLIS_VERIFY_MALFORMED'],
      [token.slice(0, token.lastIndexOf('.') + 1), 'TRELLIS_VERIFY_MALFORMED'],
      ['x', 'TRELLIS_VERIFY_MALFORMED'],
      ['..', 'TRELLIS_VERIFY_FORM'],
      ['', 'TRELLIS_VERIFY_UNSIGNED'],
    ] as const) {
      await refused(code, () => peer.send(subjectOf(ACTOR), peer.pack(made, { encoded_claims: claims })));
    }
    for (const garbage of [Buffer.alloc(0), Buffer.of(0x80), Buffer.of(0xc1), randomBytes(64), msgpack({ list: ['a'] })]) {
      expect(await peer.send(subjectOf(ACTOR), garbage)).toMatchObject({ error: 'invocation denied', invocationId: 'UNKNOWN' });
    }
    expect((await call()).error).toBeUndefined();
  });

  it('Z9 shifted boundaries and an actor key with contract or link run nothing', async () => {
    const withContract: Packable = [
      ['public_key', CALLER.publicKey],
      ['link_name', ''],
      ['contract_id', 'wasmcloud:httpserver'],
    ];
    await refused('TRELLIS_VERIFY_FIELDS', () => call({}, { origin: withContract }));
    const shifted: Packable = [
      ['public_key', PROVIDER.publicKey],
      ['link_name', 'testoperation/default'],
      ['contract_id', 'wasmcloud'],
    ];
    await refused('TRELLIS_VERIFY_TARGET', () => call({ target: PROVIDER }, { target: shifted }));
  });

  it('Z10 a stored payload is neither read nor deleted for who is not authenticated', async () => {
    const store = await peer.store();
    const made = callOf({ payload: payloadOf(BIG) });
    await store.putBlob({ name: made.id }, made.payload);
    const good = peer.sign(made);
    const forged = `${good.slice(0, -86)}${randomBytes(64).toString('base64url')}`;
    await refused('TRELLIS_VERIFY_SIGNATURE', () =>
      peer.send(subjectOf(ACTOR), peer.pack(made, { msg: Buffer.alloc(0), encoded_claims: forged })),
    );
    // Another call that names this object as its own.
    await refused('TRELLIS_VERIFY_FIELDS', () =>
      peer.send(subjectOf(ACTOR), peer.pack(callOf(), { msg: Buffer.alloc(0), content_length: BIG, id: made.id })),
    );
    expect((await store.info(made.id))?.size).toBe(BIG);
    expect((await peer.send(subjectOf(ACTOR), peer.pack(made, { msg: Buffer.alloc(0) }), 30_000)).error).toBeUndefined();
  });

  it('Z3 a caller that no link names is refused, whoever signed for it', async () => {
    await refused('TRELLIS_VERIFY_LINK', () => call({ origin: STRANGER }));
    // As `wash call` does.
    await refused('TRELLIS_VERIFY_LINK', () => call({ origin: ACTOR }));
    await refused('TRELLIS_VERIFY_LINK', () => call({ origin: STORE }));
  });

  it('Z4 link definitions, shutdown and health are not obeyed: nobody listens', async () => {
    for (const verb of ['linkdefs.put', 'linkdefs.del', 'shutdown', 'health']) {
      await expect(peer.client.request(`${subjectOf(PROVIDER)}.${verb}`, '{}', { timeout: 2_000 })).rejects.toThrow(
        /no responders/i,
      );
    }
  });

  it('a key that is not on the list is refused, also one that signs for another', async () => {
    const stranger = SigningKey.generate('cluster');
    await using impostor = await WasmbusPeer.connect(lattice.lattice.server.url, stranger.exportSeed().reveal());
    await refused('TRELLIS_VERIFY_ISSUER', () => impostor.send(subjectOf(ACTOR), impostor.pack(callOf())));
    const made = callOf();
    await refused('TRELLIS_VERIFY_SIGNATURE', () =>
      peer.send(subjectOf(ACTOR), peer.pack(made, { encoded_claims: peer.sign(made, stranger) })),
    );
  });
});

describe('a component here calls a peer of 0.82', () => {
  let asked: PeerRequest[] = [];
  let answer: (request: PeerRequest) => Promise<Buffer> | Buffer;

  beforeAll(() => {
    peer.serve(subjectOf(STORE), 'rpc', (request) => {
      asked.push(request);
      return answer(request);
    });
  });

  const relay = (payload: Uint8Array) =>
    lattice.call('legacy', 'test-operation.relay', [[...payload]], 20_000).then(({ json }) => json);

  it('signed as 0.82 signs, with the key that the peer lists', async () => {
    asked = [];
    answer = (request) => answerBytes(request.id, Buffer.from('the value'));
    expect(await relay(PAYLOAD)).toEqual({ ok: { hex: Buffer.from('the value').toString('hex') } });
    const [{ id, keys, texts, maps, contentLength }] = asked as [PeerRequest];
    expect(keys).toEqual([
      'origin',
      'target',
      'operation',
      'msg',
      'id',
      'encoded_claims',
      'host_id',
      'content_length',
      'traceContext',
    ]);
    expect(maps.get('origin')).toEqual({
      public_key: ACTOR.publicKey,
      link_name: '',
      contract_id: '',
    });
    expect(texts.get('operation')?.toString()).toBe('KeyValue.Get');
    expect(texts.get('host_id')?.toString()).toMatch(/^N[A-Z2-7]{55}$/);
    expect(contentLength).toBe(PAYLOAD.length);
    const token = openWasmbusToken(texts.get('encoded_claims')!.toString());
    if ('fault' in token) throw new Error(token.reason);
    const text = wasmbusCallText(ACTOR, STORE, 'KeyValue.Get');
    expect(token.claims).toMatchObject({
      iss: outboundKey.publicKey,
      sub: id,
      targetUrl: `wasmbus://wasmcloud/keyvalue/default/${STORE.publicKey}/KeyValue.Get`,
      originUrl: `wasmbus://${ACTOR.publicKey}`,
      hash: wasmbusHash(text, PAYLOAD),
    });
    expect(outboundKey.sign(Buffer.from(token.signedText)).equals(token.signature)).toBe(true);
  });

  it('gets the error of the peer as the error it declares', async () => {
    answer = (request) => answerBytes(request.id, Buffer.from('ignored'), 'not found');
    expect(await relay(PAYLOAD)).toEqual({ err: 'not found' });
    answer = () => answerBytes('UNKNOWN', Buffer.alloc(0), 'could not be read');
    expect(await relay(PAYLOAD)).toEqual({ err: 'could not be read' });
  });

  it('waits on when an answer is none, or one to another call, or of another size', async () => {
    let n = 0;
    const good = Buffer.from('good');
    answer = async (request) => {
      const { client } = peer;
      const reply = lastReply!;
      client.publish(reply, randomBytes(20));
      client.publish(reply, answerBytes('another', Buffer.from('forged')));
      client.publish(reply, answerBytes(request.id, Buffer.from('forged'), undefined, 1));
      n++;
      return answerBytes(request.id, good);
    };
    let lastReply: string | undefined;
    const subscription = peer.client.subscribe(subjectOf(STORE), {
      callback: (_error, message) => void (lastReply = message.reply),
    });
    await peer.client.flush();
    expect(await relay(PAYLOAD)).toEqual({ ok: { hex: good.toString('hex') } });
    expect(n).toBe(1);
    subscription.unsubscribe();
  });

  it('with more than 900 KiB both ways', async () => {
    const store = await peer.store();
    const payload = Buffer.alloc(BIG + 1_000, 7);
    asked = [];
    answer = async (request) => {
      const stored = await store.getBlob(request.id);
      await store.putBlob({ name: `${request.id}-r` }, stored);
      return answerBytes(request.id, Buffer.alloc(0), undefined, stored!.length);
    };
    // The payload reaches the component inside the lattice too: through the peer's own form.
    const made = callOf({ operation: 'TestOperation.Relay', payload });
    await store.putBlob({ name: made.id }, payload);
    const result = await peer.send(subjectOf(ACTOR), peer.pack(made, { msg: Buffer.alloc(0) }), 30_000);
    expect(result.error).toBeUndefined();
    expect(result.msg.equals(payload)).toBe(true);
    const [request] = asked as [PeerRequest];
    expect(request.contentLength).toBe(payload.length);
    expect(request.texts.get('msg')).toHaveLength(0);
    // Read answers are gone.
    expect((await store.info(`${request.id}-r`))?.deleted ?? true).toBe(true);
  });
});

describe('a host that ends', () => {
  it('delivers the answers of what it has begun, also those that go through the object store', async () => {
    const { file } = legacyComponent();
    const link = { source: CALLER.publicKey, target: 'legacy', namespace: 'wasmcloud', package: 'testoperation' };
    await using ending = await startTestLattice({
      components: [{ id: 'legacy', file, wasmbus: { key: ACTOR.publicKey } }],
      links: [{ ...link, interfaces: ['test-operation'] }],
    });
    await pastStart();
    const seed = readFileSync(ending.lattice.callerConfig.trust.clusterSeedFile!, 'utf8').trim();
    await using caller = await WasmbusPeer.connect(ending.lattice.server.url, seed);
    const made = callOf({ payload: payloadOf(BIG) });
    await (await caller.store()).putBlob({ name: made.id }, made.payload);
    const answer = caller.send(subjectOf(ACTOR), caller.pack(made, { msg: Buffer.alloc(0) }), 30_000);
    await until('the call has begun', () => ending.runs('legacy') > 0);
    await ending.lattice.host.drain();
    expect((await answer).msg.equals(made.payload)).toBe(true);
  });
});

describe('settings', () => {
  it('selfCalls lets wash call, and nothing else', async () => {
    const { file } = legacyComponent();
    await using open = await startTestLattice({
      components: [{ id: 'legacy', file, wasmbus: { key: ACTOR.publicKey } }],
      links: [],
      trust: { wasmbus: { selfCalls: true } },
    });
    await pastStart();
    const seed = readFileSync(open.lattice.callerConfig.trust.clusterSeedFile!, 'utf8').trim();
    await using wash = await WasmbusPeer.connect(open.lattice.server.url, seed);
    expect((await wash.send(subjectOf(ACTOR), wash.pack(callOf({ origin: ACTOR })))).error).toBeUndefined();
    expect((await wash.send(subjectOf(ACTOR), wash.pack(callOf()))).error).toBe('invocation denied');
  });

  it('RPL-03 a component whose calls shall run once in the lattice is not served to callers that cannot confirm them', async () => {
    const { file } = legacyComponent();
    const once = { id: 'legacy', file, replay: 'cluster', wasmbus: { key: ACTOR.publicKey } } as const;
    await expect(startTestLattice({ components: [once], links: [] })).rejects.toMatchObject({
      code: 'TRELLIS_WASMBUS_IDENTITY',
      remedy: expect.stringContaining('replay: local'),
    });
  });

  it('a component that peers could call nothing of does not start', async () => {
    const { file } = legacyComponent();
    const wasmbus = { key: key('service'), contract: 'wasmcloud:keyvalue' };
    await expect(startTestLattice({ components: [{ id: 'legacy', file, wasmbus }], links: [] })).rejects.toMatchObject({
      code: 'TRELLIS_WASMBUS_OPERATIONS',
    });
  });
});
