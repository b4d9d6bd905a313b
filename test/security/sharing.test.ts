import { headers as natsHeaders, type Msg, type MsgHdrs, type NatsConnection, nuid } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Caller } from '../../src/caller.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import type { SharedTarget } from '../../src/invocation/link-table.ts';
import { signRevocation } from '../../src/trust/revocation.ts';
import { BYTES, callShared, failing, importAs, share, type SharedTestCall } from '../support/sharing.ts';
import { startTenantServer, type Tenant } from '../support/tenants.ts';
import { acrossReconnect, callTiny, startTrustHost, TINY, type TrustHost, until } from '../support/trust-lattice.ts';

const PARAMS = Uint8Array.of(3, 1, 2, 3);
const SUBJECT = `default.tiny.wrpc.0.0.1.${BYTES}.echo-bytes`;
const component = (id: string): typeof TINY => ({ ...TINY, id, maxInstances: 2 });
const runsOf = ({ host }: TrustHost): number => host.status().components.reduce((sum, { calls }) => sum + calls, 0);
const targetOf = (tenant: Tenant, id = 'tiny'): SharedTarget => ({
  lattice: tenant.lattice,
  component: id,
  issuers: [tenant.issuer.publicKey],
});

/** Codes of what a host refused since `from`. */
const deniedBy = (host: TrustHost, from = 0): unknown[] =>
  host.logged.slice(from).flatMap(({ msg, code }) => (msg === 'invocation denied' ? [code] : []));

describe('what NATS lets through', () => {
  /** Narrow as `trellis auth share` makes it: one interface of one component, for one account. */
  async function startNarrow() {
    const tenants = await startTenantServer((_, tenant) => {
      const [a, b, c] = [tenant('a', 'default'), tenant('b', 'default'), tenant('c', 'other')];
      const subject = share(a, b, 'tiny', BYTES);
      // What B was not given, and what C was not: their own operators may sign such imports all the same.
      importAs(a, b, 'private', `${BYTES}.>`);
      importAs(a, b, 'tiny', 'trellis-samples:echo/other@0.1.0.>', 'a-other');
      c.rpc.addImport({ account: a.rpc.publicKey, subject, localSubject: `other.a-tiny.wrpc.0.0.1.${BYTES}.>` });
      return { a, b, c, subject };
    });
    const { a, b, c } = tenants.made;
    // Verification would let all of them in: only NATS stands between.
    const all = [b, c].flatMap(({ lattice, issuer }) =>
      ['tiny', 'private'].map((target) => ({
        lattice,
        issuers: [issuer.publicKey],
        origins: ['caller'],
        target,
        interface: 'trellis-samples:echo/bytes',
      })),
    );
    const host = await a.host({ components: [TINY, component('private')], trust: { foreign: all } });
    return { tenants, host, callerB: await b.caller(), callerC: await c.caller(), ...tenants.made };
  }

  it('TEN-11 is what was shared with this account, until it is taken back', async () => {
    const lab = await startNarrow();
    const { a, b, callerB, callerC, host, tenants, subject } = lab;
    const call = (more: Omit<SharedTestCall, 'target' | 'timeoutMs'> & Partial<SharedTestCall>): Promise<Uint8Array> =>
      callShared({ target: targetOf(a), timeoutMs: 15_000, ...more });
    expect([...(await call({ caller: callerB }))]).toEqual([...PARAMS]);
    const unreached = /not \(or no longer\) shared|no answer/;
    const nothing = expect.objectContaining({
      code: expect.stringMatching(/^TRELLIS_INVOKE_(?:NO_RESPONDERS|TIMEOUT)$/) as string,
      message: expect.stringMatching(unreached) as string,
    }) as Error;
    await expect(call({ caller: callerB, as: 'a-private', target: targetOf(a, 'private') })).rejects.toEqual(nothing);
    await expect(call({ caller: callerB, as: 'a-other', instance: 'trellis-samples:echo/other@0.1.0' })).rejects.toEqual(nothing);
    await expect(call({ caller: callerB, as: 'never-imported' })).rejects.toEqual(nothing);
    await expect(call({ caller: callerC })).rejects.toEqual(nothing);
    expect(runsOf(host)).toBe(1);
    expect(deniedBy(host)).toEqual([]);

    a.rpc.revokeActivation(b.rpc.publicKey, subject);
    const connections = [callerB.member.rpc, host.host.member!.rpc];
    await acrossReconnect(connections, () => tenants.reload());
    await expect(call({ caller: callerB })).rejects.toEqual(nothing);
    expect(runsOf(host)).toBe(1);

    await Promise.all([callerB[Symbol.asyncDispose](), callerC[Symbol.asyncDispose](), host.stop()]);
    await tenants[Symbol.asyncDispose]();
  });
});

describe('what verification lets through, where NATS lets everybody call everything', () => {
  const share1 = (more: object): object => ({ target: 'tiny', interface: 'trellis-samples:echo/bytes', ...more });

  async function startWide() {
    const tenants = await startTenantServer((_, tenant) => {
      const [a, b, c, twin] = [tenant('a', 'default'), tenant('b', 'default'), tenant('c', 'other'), tenant('twin', 'default')];
      const guests = [b, c];
      for (const from of [a, twin]) from.rpc.addExport({ subject: 'default.*.wrpc.>', isPrivate: false });
      const open = (from: Tenant, by: Tenant, id: string, as: string): void =>
        by.rpc.addImport({
          account: from.rpc.publicKey,
          subject: `default.${id}.wrpc.>`,
          localSubject: `${by.lattice}.${as}.wrpc.>`,
        });
      for (const by of guests) for (const id of ['tiny', 'private', 'partly', 'ended']) open(a, by, id, `a-${id}`);
      open(twin, b, 'tiny', 'twin-tiny');
      open(twin, a, 'tiny', 'twin-tiny');
      return { a, b, c, twin };
    });
    const { a, b, c, twin } = tenants.made;
    const ofB = { lattice: b.lattice, issuers: [b.issuer.publicKey], origins: ['caller'] };
    const foreign = [
      share1(ofB),
      share1({ ...ofB, target: 'partly', functions: ['something-else'] }),
      share1({ ...ofB, target: 'ended', until: new Date(Date.now() - 1_000).toISOString() }),
      // C may call something, and not tiny.
      share1({ lattice: c.lattice, issuers: [c.issuer.publicKey], origins: ['caller'], target: 'partly' }),
    ] as NonNullable<HostConfigInput['trust']>['foreign'];
    const config = a.config({ components: ['tiny', 'private', 'partly', 'ended'].map(component), trust: { foreign: foreign! } });
    const [host, hostB, hostTwin] = await Promise.all([
      startTrustHost(config),
      b.host({ components: [TINY] }),
      twin.host({ components: [TINY], trust: { foreign: [share1(ofB)] as NonNullable<typeof foreign> } }),
    ]);
    const [callerB, strangerB, callerC] = await Promise.all([b.caller(), b.caller('stranger'), c.caller()]);
    const insiders = {
      a: await tenants.login(a.rpc.addUser('insider')),
      b: await tenants.login(b.rpc.addUser('insider')),
    };
    const audited: Record<string, unknown>[] = [];
    const listener = await tenants.login(a.ctl.addUser('audit'));
    listener.subscribe('wasmbus.evt.default.audit_refused', {
      callback: (_, message) => void audited.push(message.json<{ data: Record<string, unknown> }>().data),
    });
    await listener.flush();
    return { tenants, ...tenants.made, audited, config, host, hostB, hostTwin, callerB, strangerB, callerC, insiders };
  }

  let lab: Awaited<ReturnType<typeof startWide>>;
  beforeAll(async () => {
    lab = await startWide();
  });
  afterAll(async () => {
    await Promise.all([lab.callerB, lab.strangerB, lab.callerC].map((caller) => caller[Symbol.asyncDispose]()));
    await Promise.all([lab.host.stop(), lab.hostB.stop(), lab.hostTwin.stop()]);
    await lab.tenants[Symbol.asyncDispose]();
  });

  const call = (caller: Caller, more: Partial<SharedTestCall> = {}): Promise<Uint8Array> =>
    callShared({ caller, target: targetOf(lab.a), timeoutMs: 15_000, ...more });

  /** A refusal, its code at A's host, and that nothing ran there. */
  async function refused(code: string, attempt: () => Promise<unknown>, host = lab.host): Promise<Record<string, unknown>> {
    const [runs, from] = [runsOf(host), host.logged.length];
    await expect(attempt()).rejects.toEqual(failing('TRELLIS_INVOKE_DENIED'));
    expect(deniedBy(host, from)).toEqual([code]);
    expect(runsOf(host)).toBe(runs);
    return host.logged.slice(from).find(({ msg }) => msg === 'invocation denied')!;
  }

  /** Everything that comes to `subject` in an account while `during` runs. */
  async function tapped(connection: NatsConnection, subject: string, during: () => Promise<unknown>): Promise<Msg[]> {
    const messages: Msg[] = [];
    const tap = connection.subscribe(subject, { callback: (_, message) => void messages.push(message) });
    await connection.flush();
    await during();
    await connection.flush();
    tap.unsubscribe();
    return messages;
  }

  /** Sends a message again, as it is or with changes; the status or `ran`. */
  async function resend(
    connection: NatsConnection,
    subject: string,
    message: { data: Uint8Array; headers?: MsgHdrs | undefined },
    changes: Record<string, string | undefined> = {},
    waitMs = 15_000,
  ): Promise<string> {
    const headers = natsHeaders();
    for (const [name, values] of message.headers ?? [])
      if (!(name in changes)) for (const value of values) headers.append(name, value);
    for (const [name, value] of Object.entries(changes)) if (value !== undefined) headers.append(name, value);
    const reply = `_INBOX_RPC.default.${nuid.next()}`;
    let answer: Msg | undefined;
    const listening = connection.subscribe(reply, { callback: (_, each) => void (answer = each) });
    connection.publish(subject, message.data, { reply, headers });
    await until(() => answer !== undefined, waitMs).catch(() => {});
    listening.unsubscribe();
    if (answer === undefined) return 'nothing';
    return answer.headers?.code ? `${answer.headers.code}` : 'ran';
  }

  it('TEN-12 is what trust.foreign lists: caller, component and function, and until when', async () => {
    expect([...(await call(lab.callerB))]).toEqual([...PARAMS]);
    const partly = { as: 'a-partly', target: targetOf(lab.a, 'partly') };
    const denied = await refused('TRELLIS_VERIFY_FOREIGN', () => call(lab.strangerB, { origin: 'stranger' }));
    expect(denied).toMatchObject({ origin: 'stranger', originLattice: 'default', component: 'tiny' });
    expect(denied['detail']).toBe('"stranger" of lattice default is none of the callers that may call this');
    // So do the audit record and the explanation that the caller may ask the other tenant for.
    const record = JSON.stringify({
      code: 'TRELLIS_VERIFY_FOREIGN',
      origin: 'stranger',
      originLattice: 'default',
      proven: false,
    });
    await until(() => lab.audited.length > 0);
    const { code, origin, originLattice, proven } = lab.audited[0]!;
    expect(JSON.stringify({ code, origin, originLattice, proven })).toBe(record);
    await using callerA = await lab.a.caller();
    const [explained] = await callerA.explain(String(denied['correlation']), 2_000);
    expect(explained).toMatchObject({ code: 'TRELLIS_VERIFY_FOREIGN', originLattice: 'default' });
    await refused('TRELLIS_VERIFY_FOREIGN', () => call(lab.callerB, { as: 'a-private', target: targetOf(lab.a, 'private') }));
    await refused('TRELLIS_VERIFY_FOREIGN', () => call(lab.callerB, partly));
    await refused('TRELLIS_VERIFY_FOREIGN', () => call(lab.callerB, { as: 'a-ended', target: targetOf(lab.a, 'ended') }));
    expect([...(await call(lab.callerC, partly))]).toEqual([...PARAMS]);
    expect(await refused('TRELLIS_VERIFY_FOREIGN', () => call(lab.callerC))).toMatchObject({ originLattice: 'other' });
  });

  it('TEN-13 is no lattice but those listed, and not one that has taken the name of one', async () => {
    // The twin has the name of B's lattice and another issuer; it has an import of its own account only, so an insider of B carries it.
    const caller = await lab.twin.caller();
    const [message] = await tapped(lab.insiders.b, `default.a-tiny.>`, () => call(lab.callerB));
    const [genuine] = await tapped(await lab.tenants.login(lab.twin.rpc.addUser('insider')), 'default.a-tiny.>', () =>
      call(caller, { timeoutMs: 300 }).catch(() => undefined),
    );
    expect(message!.headers!.get('Lattice-Delegation')).not.toBe(genuine!.headers!.get('Lattice-Delegation'));
    const from = lab.host.logged.length;
    expect(await resend(lab.insiders.b, `default.a-tiny.wrpc.0.0.1.${BYTES}.echo-bytes`, genuine!)).toBe('401');
    // Nor with B's delegation beside it.
    const borrowed = { 'Lattice-Delegation': message!.headers!.get('Lattice-Delegation') };
    expect(await resend(lab.insiders.b, `default.a-tiny.wrpc.0.0.1.${BYTES}.echo-bytes`, genuine!, borrowed)).toBe('401');
    expect(deniedBy(lab.host, from)).toEqual(['TRELLIS_VERIFY_FOREIGN', 'TRELLIS_VERIFY_DELEGATION']);
    await caller[Symbol.asyncDispose]();
  });

  it('TEN-14 is each call once, unchanged, and nothing without its token', async () => {
    const local = `default.a-tiny.wrpc.0.0.1.${BYTES}.echo-bytes`;
    const [message] = await tapped(lab.insiders.b, 'default.a-tiny.>', () => call(lab.callerB));
    const runs = runsOf(lab.host);
    const from = lab.host.logged.length;
    const send = (changes: Record<string, string | undefined>, data: Uint8Array = message!.data): Promise<string> =>
      resend(lab.insiders.b, local, { data, headers: message!.headers }, changes);
    expect(await send({})).toBe('401');
    expect(await send({ 'source-id': 'somebody' })).toBe('401');
    expect(await send({ 'link-name': 'other' })).toBe('401');
    expect(await send({ 'Lattice-Invocation': undefined })).toBe('401');
    expect(await send({ 'Lattice-Delegation': undefined })).toBe('401');
    expect(await send({ 'Lattice-Delegation': 'dlg2s.e30.AAAA' })).toBe('401');
    expect(await send({ 'Lattice-Delegation': 'x'.repeat(10_000) })).toBe('401');
    expect(await send({ 'Lattice-Invocation': undefined, 'Lattice-Delegation': undefined, 'source-id': 'caller' })).toBe('401');
    expect(deniedBy(lab.host, from)).toEqual([
      'TRELLIS_VERIFY_REPLAYED',
      'TRELLIS_VERIFY_HEADERS',
      'TRELLIS_VERIFY_HEADERS',
      'TRELLIS_VERIFY_UNSIGNED',
      ...Array.from({ length: 4 }, () => 'TRELLIS_VERIFY_FOREIGN'),
    ]);
    expect(runsOf(lab.host)).toBe(runs);

    // A token that nobody has used yet: its call went to an import that is none.
    const [unused] = await tapped(lab.insiders.b, 'default.nowhere.>', () =>
      call(lab.callerB, { as: 'nowhere', timeoutMs: 500 }).catch(() => undefined),
    );
    const fresh = lab.host.logged.length;
    expect(await resend(lab.insiders.b, local, { data: Uint8Array.of(3, 6, 6, 6), headers: unused!.headers })).toBe('401');
    expect(await resend(lab.insiders.b, local, { data: PARAMS.slice(0, 2), headers: unused!.headers })).toBe('413');
    expect(await resend(lab.insiders.b, local.replace('a-tiny', 'a-partly'), unused!)).toBe('401');
    // Older servers do not say that nobody listens beyond an import.
    expect(await resend(lab.insiders.b, local.replace('echo-bytes', 'echo-other'), unused!, {}, 500)).toMatch(
      /^(?:503|nothing)$/,
    );
    expect(deniedBy(lab.host, fresh)).toEqual(['TRELLIS_VERIFY_PAYLOAD', 'TRELLIS_VERIFY_FOREIGN']);
    expect(runsOf(lab.host)).toBe(runs);
    expect(await resend(lab.insiders.b, local, unused!)).toBe('ran');
    expect(await resend(lab.insiders.b, local, unused!)).toBe('401');
    expect(runsOf(lab.host)).toBe(runs + 1);
  });

  it('TEN-15 is no call that a lattice made for itself, or for a third one, though names and subjects are the same', async () => {
    const local = `default.a-tiny.wrpc.0.0.1.${BYTES}.echo-bytes`;
    // B's own caller calls B's own tiny, in B's own lattice "default": the same words as a call of A's.
    const [own] = await tapped(lab.insiders.b, SUBJECT, () => callTiny(lab.callerB));
    const delegation = lab.callerB.member.delegation.held.text;
    const from = lab.host.logged.length;
    const runs = runsOf(lab.host);
    expect(await resend(lab.insiders.b, local, own!, { 'Lattice-Delegation': delegation })).toBe('401');
    // B's call of the twin's tiny, which the twin could carry to A: A trusts the same caller for the same component.
    const [twins] = await tapped(lab.insiders.b, 'default.twin-tiny.>', () =>
      call(lab.callerB, { as: 'twin-tiny', target: targetOf(lab.twin) }),
    );
    expect(await resend(lab.insiders.b, local, twins!)).toBe('401');
    expect(deniedBy(lab.host, from)).toEqual(['TRELLIS_VERIFY_BINDING', 'TRELLIS_VERIFY_BINDING']);
    expect(lab.host.logged.slice(from).find(({ code }) => code === 'TRELLIS_VERIFY_BINDING')!['detail']).toMatch(/^made for /);
    expect(runsOf(lab.host)).toBe(runs);
  });

  it("TEN-16 is nothing on the strict path: a call for another account, in the caller's own or inside the called one", async () => {
    const [message] = await tapped(lab.insiders.b, 'default.a-tiny.>', () => call(lab.callerB));
    // A's own account, where no import changes the reply subject: A's host does not know B's issuer there.
    const from = lab.host.logged.length;
    expect(await resend(lab.insiders.a, SUBJECT, message!)).toBe('401');
    expect(deniedBy(lab.host, from)).toEqual(['TRELLIS_VERIFY_ISSUER']);
    // B's own host knows the signer and serves a component of that name in a lattice of that name.
    const fromB = lab.hostB.logged.length;
    expect(await resend(lab.insiders.b, SUBJECT, message!)).toBe('401');
    expect(deniedBy(lab.hostB, fromB)).toEqual(['TRELLIS_VERIFY_BINDING']);
  });

  it('TEN-17 takes no answer but that of the lattice that was called', async () => {
    // An insider of B answers faster than A: unsigned, refusing, and with what B's own host signed for the very same token.
    const forged = natsHeaders();
    forged.append('Lattice-Result', 'unsigned ok');
    const answers: ((message: Msg) => void)[] = [
      (message) => message.respond(Uint8Array.of(3, 6, 6, 6)),
      (message) => message.respond(Uint8Array.of(3, 6, 6, 6), { headers: forged }),
      (message) => lab.insiders.b.publish(message.reply!, '', { headers: natsHeaders(401, 'invocation denied') }),
      (message) => lab.insiders.b.publish(message.reply!, '', { reply: `_INBOX_RPC.default.evil` }),
      (message) => lab.insiders.b.publish(`${message.reply}.results`, Uint8Array.of(3, 6, 6, 6)),
      (message) => lab.insiders.b.publish(SUBJECT, message.data, { reply: message.reply!, headers: message.headers! }),
    ];
    for (const answer of answers) {
      const forger = lab.insiders.b.subscribe('default.a-tiny.>', { callback: (_, message) => answer(message) });
      await lab.insiders.b.flush();
      expect([...(await call(lab.callerB))]).toEqual([...PARAMS]);
      forger.unsubscribe();
    }
    // A's genuine answer, under issuers that are not A's: nobody who answers counts.
    const wrong = { ...targetOf(lab.a), issuers: [lab.a.issuer.publicKey] };
    await expect(
      call(lab.callerB, { target: { ...wrong, issuers: [lab.twin.issuer.publicKey] }, timeoutMs: 15_000 }),
    ).rejects.toEqual(failing('TRELLIS_INVOKE_DENIED'));
    const both = [lab.a.issuer.publicKey, lab.twin.issuer.publicKey];
    expect([...(await call(lab.callerB, { target: { ...wrong, issuers: both } }))]).toEqual([...PARAMS]);
  });

  it('TEN-19 changes while the host runs, and an id that was used stays used', async () => {
    const { host, callerB, insiders, config } = lab;
    const local = `default.a-tiny.wrpc.0.0.1.${BYTES}.echo-bytes`;
    const [used] = await tapped(insiders.b, 'default.a-tiny.>', () => call(callerB));
    const without = { ...config, trust: { ...config.trust, foreign: [] } };
    expect(await host.host.reload(without)).toMatchObject({ applied: ['trust.foreign'], needsRestart: [] });
    await refused('TRELLIS_VERIFY_FOREIGN', () => call(callerB));
    expect(await host.host.reload(config)).toMatchObject({ applied: ['trust.foreign'] });
    expect([...(await call(callerB))]).toEqual([...PARAMS]);
    const from = host.logged.length;
    expect(await resend(insiders.b, local, used!)).toBe('401');
    expect(deniedBy(host, from)).toEqual(['TRELLIS_VERIFY_REPLAYED']);
  });

  it('TEN-20 is paid by the lattice that floods: neither the called one nor a third one is turned away for it', async () => {
    const { host, a, callerB, callerC, insiders } = lab;
    const local = `default.a-tiny.wrpc.0.0.1.${BYTES}.echo-bytes`;
    const [unused] = await tapped(insiders.b, 'default.nowhere.>', () =>
      call(callerB, { as: 'nowhere', timeoutMs: 500 }).catch(() => undefined),
    );
    const token = unused!.headers!.get('Lattice-Invocation');
    const headers = natsHeaders();
    for (const [name, values] of unused!.headers ?? []) for (const value of values) headers.append(name, value);
    headers.set('Lattice-Invocation', `${token.slice(0, -60)}${'A'.repeat(30)}${token.slice(-30)}`);
    const [runs, from] = [runsOf(host), host.logged.length];
    for (let n = 0; n < 1_000; n++) insiders.b.publish(local, unused!.data, { reply: `_INBOX_RPC.default.flood`, headers });
    await insiders.b.flush();
    await using callerA = await a.caller();
    for (let n = 0; n < 20; n++) {
      expect([...(await callTiny(callerA))]).toEqual([...PARAMS]);
      expect([...(await call(callerC, { as: 'a-partly', target: targetOf(a, 'partly') }))]).toEqual([...PARAMS]);
    }
    expect(runsOf(host)).toBe(runs + 40);
    const codes = deniedBy(host, from).concat(
      host.logged.slice(from).flatMap(({ code }) => (code === 'TRELLIS_VERIFY_FLOODED' ? [code] : [])),
    );
    expect(codes).toContain('TRELLIS_VERIFY_SIGNATURE');
    expect(codes).toContain('TRELLIS_VERIFY_FLOODED');
    // And it passes by itself.
    await until(() =>
      call(callerB).then(
        () => true,
        () => false,
      ),
    );
  });

  it('TEN-18 is nobody whose delegation the called lattice has revoked, while its own lattice knows nothing of it', async () => {
    const caller = await lab.b.caller();
    expect([...(await call(caller))]).toEqual([...PARAMS]);
    const nowMs = Date.now();
    const { issuer, lattice } = lab.a;
    const { iss, sub } = { iss: issuer.publicKey, sub: caller.member.signer.issuer };
    const text = signRevocation(issuer, { v: 2, iat: nowMs, lat: lattice, iss, sub, frm: nowMs + 60_000 });
    expect(lab.host.host.member!.trust.takeRevocation(text)).toBe('taken');
    expect(await refused('TRELLIS_VERIFY_REVOKED', () => call(caller))).toMatchObject({ originLattice: 'default' });
    expect([...(await call(lab.callerB))]).toEqual([...PARAMS]);
    await caller[Symbol.asyncDispose]();
  });
});

describe('a host that shares nothing', () => {
  it('ENV-27 refuses what comes through an import, signed or not, also where its own lattice may do without', async () => {
    const tenants = await startTenantServer((_, tenant) => {
      const [a, b] = [tenant('a', 'default'), tenant('b', 'default')];
      share(a, b, 'tiny', BYTES);
      return { a, b };
    });
    const { a, b } = tenants.made;
    const pair = { source: 'caller', target: 'tiny', interface: 'trellis-samples:echo/bytes' };
    const link = { source: 'caller', target: 'tiny', namespace: 'trellis-samples', package: 'echo', interfaces: ['bytes'] };
    const caller = await b.caller();
    const guest = await tenants.login(b.rpc.addUser('guest'));
    const headers = natsHeaders();
    for (const [name, value] of [
      ['source-id', 'caller'],
      ['Lattice-Reply', 'unary'],
      ['Lattice-Length', '4'],
    ])
      headers.append(name!, value!);
    for (const verify of ['enforce', 'observe', 'off'] as const) {
      const host = await a.host({ components: [TINY], links: [link], trust: { verify, unsigned: [pair] } });
      await expect(callShared({ caller, target: targetOf(a) })).rejects.toEqual(failing('TRELLIS_INVOKE_DENIED'));
      const answer = await guest.request(`default.a-tiny.wrpc.0.0.1.${BYTES}.echo-bytes`, PARAMS, { timeout: 3_000, headers });
      expect(answer.headers?.code, verify).toBe(401);
      expect(deniedBy(host), verify).toEqual(['TRELLIS_VERIFY_FOREIGN', 'TRELLIS_VERIFY_FOREIGN']);
      expect(runsOf(host), verify).toBe(0);
      await host.stop();
    }
    await caller[Symbol.asyncDispose]();
    await tenants[Symbol.asyncDispose]();
  });
});
