import { renameSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleFile } from '../../src/development.ts';
import { SHARED_HEADER_BYTES } from '../../src/invocation/foreign/one-message.ts';
import { freePort } from '../support/free-port.ts';
import { templateRights } from '../support/leaf.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { BYTES, callShared, failing, share, type SharedTestCall } from '../support/sharing.ts';
import { startTenantServer, type Tenant } from '../support/tenants.ts';
import { startTrustCaller, startTrustHost, TINY, type TrustHost, until } from '../support/trust-lattice.ts';

const GREETING = 'trellis-samples:hello/greeting@0.1.0';
const VALUES = 'trellis-samples:echo/values@0.1.0';
const STREAMS = 'trellis-samples:echo/streams@0.1.0';

/** Tenant A shares; tenant B, whose lattice has the same name, calls. */
async function startLab() {
  const tenants = await startTenantServer((_, tenant) => {
    const a = tenant('a', 'default');
    const b = tenant('b', 'default');
    share(a, b, 'hello', GREETING);
    share(a, b, 'echo', VALUES);
    share(a, b, 'echo-streams', STREAMS);
    share(a, b, 'once', VALUES);
    return { a, b };
  });
  const { a, b } = tenants.made;
  const foreign = { lattice: b.lattice, issuers: [b.issuer.publicKey], origins: ['caller', 'greeter-chain'] };
  const hostA = await a.host({
    components: [
      { id: 'hello', file: sampleFile('hello/build/hello.wasm'), policy: 'reuse', maxInstances: 2 },
      { id: 'echo', file: sampleFile('echo/echo.wasm'), policy: 'reuse', maxInstances: 2 },
      { id: 'once', file: sampleFile('echo/echo.wasm'), maxInstances: 2, replay: 'cluster' },
      { id: 'echo-streams', file: sampleFile('echo/echo-streams.wasm'), maxInstances: 2 },
    ],
    trust: {
      foreign: [
        { ...foreign, target: 'hello', interface: 'trellis-samples:hello/greeting' },
        { ...foreign, target: 'echo', interface: 'trellis-samples:echo/values' },
        { ...foreign, target: 'once', interface: 'trellis-samples:echo/values' },
        { ...foreign, target: 'echo-streams', interface: STREAMS.slice(0, -6) },
      ],
    },
  });
  const hostB = await b.host({
    components: [{ id: 'greeter-chain', file: sampleFile('greeter-chain/build/greeter-chain.wasm'), policy: 'reuse' }],
    links: [
      {
        source: 'greeter-chain',
        target: 'a-hello',
        namespace: 'trellis-samples',
        package: 'hello',
        interfaces: ['greeting'],
        shared: { lattice: a.lattice, component: 'hello', issuers: [a.issuer.publicKey] },
      },
    ],
  });
  return { tenants, a, b, hostA, hostB, caller: await b.caller() };
}

let lab: Awaited<ReturnType<typeof startLab>>;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(async () => {
  await lab.caller[Symbol.asyncDispose]();
  await Promise.all([lab.hostA.stop(), lab.hostB.stop()]);
  await lab.tenants[Symbol.asyncDispose]();
});

const runsOf = ({ host }: TrustHost, id: string): number =>
  host.status().components.find((component) => component.id === id)!.calls;

/** A call of a component of A by B's caller. */
function call(component: string, params: Uint8Array, more: Partial<SharedTestCall> = {}): Promise<Uint8Array> {
  const { caller, a } = lab;
  const target = { lattice: a.lattice, component, issuers: [a.issuer.publicKey] };
  return callShared({ caller, target, as: `a-${component}`, instance: VALUES, params, ...more });
}

/** Bytes as a string or list of bytes of the wire: their number in three bytes, then they. */
function counted(length: number): Buffer {
  const head = [(length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14];
  return Buffer.concat([Buffer.from(head), Buffer.alloc(length, 'a')]);
}

describe('a component of another account', () => {
  it('is called by a component along a link, and neither knows that the server changes subject and reply', async () => {
    const names = ['Ada', 'Grace'].map((name) => Buffer.from([name.length, ...Buffer.from(name)]));
    const result = await lab.caller.call({
      target: 'greeter-chain',
      instance: 'trellis-samples:chain/greeter@0.1.0',
      func: 'greet-all',
      params: Buffer.concat([Buffer.from([names.length]), ...names]),
      timeoutMs: 10_000,
    });
    const text = Buffer.from(result).toString('latin1');
    expect(text).toContain('Hello, Ada!');
    expect(text).toContain('Hello, Grace!');
    expect(runsOf(lab.hostA, 'hello')).toBe(2);
  });

  it('answers one call at a time or many, each once', async () => {
    const runs = runsOf(lab.hostA, 'echo');
    const calls = Array.from({ length: 300 }, (_, at) => Uint8Array.of(2, at & 0xff, at >> 8));
    const results = await Promise.all(calls.map((params) => call('echo', params, { timeoutMs: 30_000 })));
    expect(results.map((result) => [...result])).toEqual(calls.map((params) => [...params]));
    expect(runsOf(lab.hostA, 'echo')).toBe(runs + 300);
    expect(lab.caller.member.shared.inFlight).toBe(0);
  });

  it('takes as much as fits one message, and what does not fit is not sent', async () => {
    const limit = lab.caller.member.rpc.maxPayloadBytes - SHARED_HEADER_BYTES;
    const largest = counted(limit - 3);
    expect(Buffer.from(await call('echo', largest)).equals(largest)).toBe(true);
    const runs = runsOf(lab.hostA, 'echo');
    await expect(call('echo', counted(limit - 2))).rejects.toEqual(failing('TRELLIS_SHARED_TOO_LARGE', /pass in one message/));
    expect(runsOf(lab.hostA, 'echo')).toBe(runs);
  });

  it('says, signed, that a result does not fit', async () => {
    const name = counted(lab.caller.member.rpc.maxPayloadBytes - SHARED_HEADER_BYTES - 3);
    const greeting = call('hello', name, { instance: GREETING, func: 'greet' });
    await expect(greeting).rejects.toEqual(failing('TRELLIS_SHARED_TOO_LARGE', /the target answered too-large/));
    expect(lab.hostA.logged.find(({ code }) => code === 'TRELLIS_SHARED_TOO_LARGE')).toMatchObject({
      component: 'hello',
      origin: 'caller',
      originLattice: 'default',
    });
  });

  it('has no streams and futures: the caller does not send them, the callee does not begin them', async () => {
    for (const more of [{ asyncResult: true }, { pendingParams: true }])
      await expect(call('echo', new Uint8Array(1), more)).rejects.toEqual(failing('TRELLIS_SHARED_FORM', /streams and futures/));
    const runs = runsOf(lab.hostA, 'echo-streams');
    // As if the caller did not know that the result is a stream.
    const unaware = call('echo-streams', Uint8Array.of(0), { instance: STREAMS, func: 'make-bytes' });
    await expect(unaware).rejects.toEqual(failing('TRELLIS_SHARED_FORM', /the target answered unsigned-values/));
    expect(runsOf(lab.hostA, 'echo-streams')).toBe(runs);
  });

  it('cannot be one whose calls shall run once in the lattice: that takes a word back', async () => {
    await expect(call('once', Uint8Array.of(1, 7))).rejects.toEqual(failing('TRELLIS_INVOKE_FAILED', /unavailable/));
    expect(runsOf(lab.hostA, 'once')).toBe(0);
    expect(lab.hostA.logged.filter(({ code }) => code === 'TRELLIS_SHARED_FORM').at(-1)).toMatchObject({ component: 'once' });
  });
});

describe('calls between accounts while credentials are replaced', () => {
  it('are answered, all of them, on whatever connection they began', async () => {
    const tenants = await startTenantServer((_, tenant) => {
      const [a, b] = [tenant('a', 'one'), tenant('b', 'two')];
      share(a, b, 'tiny', BYTES);
      return { a, b };
    });
    const { a, b } = tenants.made;
    const foreign = { lattice: b.lattice, issuers: [b.issuer.publicKey], origins: ['caller'] };
    const trust = { foreign: [{ ...foreign, target: 'tiny', interface: 'trellis-samples:echo/bytes' }] };
    const configs = { host: a.config({ components: [TINY], trust }), caller: b.config() };
    const host = await startTrustHost(configs.host);
    const caller = await startTrustCaller(configs.caller);
    const target = { lattice: a.lattice, component: 'tiny', issuers: [a.issuer.publicKey] };
    /** What an operator brings: a new user in the old one's file. */
    const renew = (tenant: Tenant, file: string | undefined): void => {
      const { credsFile } = tenant.rpc.addUser('renewed', templateRights('host-rpc', tenant.lattice));
      renameSync(credsFile, file!);
    };
    let answered = 0;
    const lost: unknown[] = [];
    const end = new AbortController();
    const workers = Array.from({ length: 8 }, async () => {
      while (!end.signal.aborted) {
        await callShared({ caller, target }).then(
          () => answered++,
          (error: unknown) => lost.push(error),
        );
      }
    });
    const connections = [host.host.member!.rpc, caller.member.rpc];
    for (let round = 0; round < 3; round++) {
      const users = connections.map(({ userKey }) => userKey);
      renew(a, configs.host.rpc.credsFile);
      renew(b, configs.caller.rpc.credsFile);
      await until(() => connections.every(({ userKey }, at) => userKey !== users[at]));
      const before = answered;
      await until(() => answered > before + 100);
    }
    end.abort();
    await Promise.all(workers);
    expect(lost).toEqual([]);
    expect(answered).toBeGreaterThan(300);
    await Promise.all([caller[Symbol.asyncDispose](), host.stop()]);
    await tenants[Symbol.asyncDispose]();
  });
});

describe('a shared component, and its callers, behind leaf nodes', () => {
  it('is called through both: the mark of another account and the one answer pass', async () => {
    const port = freePort();
    const tenants = await startTenantServer((_, tenant) => {
      const [a, b] = [tenant('a', 'one'), tenant('b', 'two')];
      share(a, b, 'tiny', BYTES);
      return { a, b };
    }, `leafnodes { host: 127.0.0.1, port: ${port} }\n`);
    const { a, b } = tenants.made;
    const sidecars: TestServer[] = [];
    /** What is anonymous there is a user of a leaf node at the hub; only calls go through it. */
    const through = async (tenant: Tenant): Promise<{ servers: string[]; inboxPrefix: string }> => {
      const { lattice } = tenant;
      const user = tenant.rpc.addUser('leaf', {
        publish: [`${lattice}.*.wrpc.>`, `_INBOX_RPC.${lattice}.>`, '_R_.>'],
        subscribe: [`${lattice}.*.wrpc.>`, `_INBOX_RPC.${lattice}.{user}.>`],
      });
      const remote = `{ url: "nats://127.0.0.1:${port}", credentials: "${user.credsFile}" }`;
      const sidecar = await startServer({ configText: `leafnodes { remotes: [ ${remote} ] }\n` });
      sidecars.push(sidecar);
      return { servers: [sidecar.url], inboxPrefix: `_INBOX_RPC.${lattice}.${user.publicKey}` };
    };
    const [rpcA, rpcB] = [await through(a), await through(b)];
    const foreign = { lattice: b.lattice, issuers: [b.issuer.publicKey], origins: ['caller'] };
    const host = await a.host({
      rpc: rpcA,
      components: [TINY],
      trust: { foreign: [{ ...foreign, target: 'tiny', interface: 'trellis-samples:echo/bytes' }] },
    });
    const caller = await startTrustCaller(b.config({ rpc: rpcB }));
    const target = { lattice: a.lattice, component: 'tiny', issuers: [a.issuer.publicKey] };
    await until(() =>
      callShared({ caller, target, timeoutMs: 1_000 }).then(
        () => true,
        () => false,
      ),
    );
    for (let n = 0; n < 20; n++) expect([...(await callShared({ caller, target }))]).toEqual([3, 1, 2, 3]);
    expect(host.logged.filter(({ msg }) => msg === 'invocation denied')).toEqual([]);
    await Promise.all([caller[Symbol.asyncDispose](), host.stop()]);
    await Promise.all(sidecars.map((sidecar) => sidecar[Symbol.asyncDispose]()));
    await tenants[Symbol.asyncDispose]();
  });
});
