import { setTimeout as sleep } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { headers as natsHeaders, type Msg, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Caller } from '../../src/caller.ts';
import { callTiny, startTrustCaller, TINY, type TrustHost, until } from '../support/trust-lattice.ts';
import { startTenantServer } from '../support/tenants.ts';

const EMPTY = new Uint8Array(0);
const LATTICE = 'default';
/** Both tenants serve it, in lattices of the same name. */
const TINY_SUBJECT = `${LATTICE}.tiny.wrpc.0.0.1.trellis-samples:echo/bytes@0.1.0.echo-bytes`;

type Lab = Awaited<ReturnType<typeof startLab>>;

/**
 * One server; tenants A and B, whose lattices have the same name, one host each; and an attacker who holds all that B has: users without
 * any limits in both of B's accounts, which takes an account key, and B's cluster seed.
 */
async function startLab() {
  const tenants = await startTenantServer((operator, tenant) => {
    const a = tenant('a', LATTICE);
    const b = tenant('b', LATTICE);
    a.rpc.addExport({ subject: TINY_SUBJECT, isPrivate: true });
    // What the operator signs for whoever asks: imports that A never granted. The server has the last word on them.
    const other = `${LATTICE}.other.wrpc.0.0.1.f`;
    const cases: Readonly<Record<string, readonly [subject: string, token?: (thief: string) => string]>> = {
      'without an export': [other],
      'of inboxes': [`_INBOX_RPC.${LATTICE}.>`],
      'of everything, with an activation': [`${LATTICE}.>`, (thief) => a.rpc.activate(thief, `${LATTICE}.>`)],
      'without activation': [TINY_SUBJECT],
      'with an activation that the importer signed itself': [TINY_SUBJECT],
      'with an activation by a third account': [TINY_SUBJECT, (thief) => b.rpc.activate(thief, TINY_SUBJECT)],
      "with an activation by the exporter's ctl account": [TINY_SUBJECT, (thief) => a.ctl.activate(thief, TINY_SUBJECT)],
      'with the activation of another account': [TINY_SUBJECT, () => a.rpc.activate(b.rpc.publicKey, TINY_SUBJECT)],
      'with an activation for another subject': [TINY_SUBJECT, (thief) => a.rpc.activate(thief, other)],
      'with an activation that has expired': [TINY_SUBJECT, (thief) => a.rpc.activate(thief, TINY_SUBJECT, -60_000)],
    };
    const thieves = Object.entries(cases).map(([name, [subject, token]], at) => {
      const account = operator.addAccount(`thief-${at}`);
      const signed = token?.(account.publicKey);
      const taken = name.includes('signed itself') ? account.activate(account.publicKey, TINY_SUBJECT) : signed;
      const localSubject = subject.endsWith('>') ? 'stolen.>' : 'stolen';
      account.addImport({ account: a.rpc.publicKey, subject, localSubject, ...(taken === undefined ? {} : { token: taken }) });
      return { name, account };
    });
    const guest = operator.addAccount('guest');
    const token = a.rpc.activate(guest.publicKey, TINY_SUBJECT);
    guest.addImport({ account: a.rpc.publicKey, subject: TINY_SUBJECT, localSubject: 'granted', token });
    return { a, b, thieves, guest };
  });
  const { a, b, thieves, guest } = tenants.made;
  const [hostA, hostB, callerA] = [await a.host({ components: [TINY] }), await b.host({ components: [TINY] }), await a.caller()];
  const seen: { readonly who: string; readonly subject: string; readonly text: string }[] = [];
  const recorder = (who: string) => (_: unknown, message: Msg) => {
    seen.push({ who, subject: message.subject, text: `${message.reply} ${Buffer.from(message.data).toString('latin1')}` });
  };
  const attackers = {
    ctl: await tenants.login(b.ctl.addUser('attacker')),
    rpc: await tenants.login(b.rpc.addUser('attacker')),
  };
  // A witness inside A's accounts: what reaches A at all reaches it.
  const witnesses = {
    ctl: await tenants.login(a.ctl.addUser('witness')),
    rpc: await tenants.login(a.rpc.addUser('witness')),
  };
  for (const [who, connection] of Object.entries(witnesses)) connection.subscribe('>', { callback: recorder(`witness ${who}`) });
  await Promise.all(Object.values({ ...attackers, ...witnesses }).map((connection) => connection.flush()));
  return { tenants, a, b, thieves, guest, hostA, hostB, callerA, attackers, witnesses, seen, recorder };
}

const runsOf = ({ host }: TrustHost): number => host.status().components.reduce((sum, { calls }) => sum + calls, 0);

/** For a request that is answered. */
const PATIENT_MS = 30_000;
/** A request by whoever it is; what came of it. */
async function ask(
  connection: NatsConnection,
  subject: string,
  data: Uint8Array | string = EMPTY,
  timeout = 400,
): Promise<string> {
  return connection.request(subject, data, { timeout }).then(
    (answer) => `answered ${answer.headers?.code ?? ''} ${Buffer.from(answer.data).toString('latin1')}`,
    () => 'refused',
  );
}

let lab: Lab;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(async () => {
  await lab.callerA[Symbol.asyncDispose]();
  await Promise.all([lab.hostA.stop(), lab.hostB.stop()]);
  await lab.tenants[Symbol.asyncDispose]();
});

/** Calls A's component as A's own caller does; everything must go as if nobody else were there. */
async function worksFor(caller: Caller, host: TrustHost, times = 1): Promise<void> {
  const before = runsOf(host);
  for (let n = 0; n < times; n++) expect([...(await callTiny(caller))]).toEqual([3, 1, 2, 3]);
  expect(runsOf(host)).toBe(before + times);
}

/** Nothing that an attacker sent with `mark` in it has come anywhere near A, and A's component has not run. */
async function nothingReached(mark: string, runsBefore: number): Promise<void> {
  await Promise.all(Object.values(lab.attackers).map((connection) => connection.flush()));
  await sleep(100);
  await Promise.all(Object.values(lab.witnesses).map((connection) => connection.flush()));
  const crossed = lab.seen.filter(
    ({ who, subject, text }) => who.startsWith('witness') && (subject.includes(mark) || text.includes(mark)),
  );
  expect(crossed).toEqual([]);
  expect(runsOf(lab.hostA)).toBe(runsBefore);
  expect(lab.hostA.logged.filter(({ msg }) => msg === 'invocation denied')).toEqual([]);
}

describe('a tenant whose every credential an attacker holds, against another tenant', () => {
  it('both tenants have the same lattice name, component and bucket, and work', async () => {
    await worksFor(lab.callerA, lab.hostA);
    expect(runsOf(lab.hostB)).toBe(0);
    const callerB = await lab.b.caller();
    await worksFor(callerB, lab.hostB);
    await callerB[Symbol.asyncDispose]();
  });

  it('TEN-01 hears nothing of it, by wildcard or by name, calls and answers and control alike', async () => {
    const heard: string[] = [];
    const inboxes = [
      lab.callerA.member.rpc.inboxPrefix,
      lab.callerA.member.ctl.inboxPrefix,
      lab.hostA.host.member!.rpc.inboxPrefix,
    ];
    const subjects = [
      '>',
      '*.>',
      `${LATTICE}.>`,
      TINY_SUBJECT,
      '_INBOX_RPC.>',
      '_INBOX_CTL.>',
      '_R_.>',
      '$KV.>',
      '$SYS.>',
      '$JS.>',
    ];
    const mine = [lab.attackers.ctl, lab.attackers.rpc].flatMap((connection) =>
      [...subjects, ...inboxes.map((inbox) => `${inbox}.>`)].map((subject) =>
        connection.subscribe(subject, {
          callback: (error, message) => {
            if (error === null) heard.push(`${message.subject} ${message.reply}`);
          },
        }),
      ),
    );
    // An operator's own subjects are closed to every tenant: such a subscription is refused, or leads nowhere.
    await Promise.all(Object.values(lab.attackers).map((connection) => connection.flush()));
    await worksFor(lab.callerA, lab.hostA, 20);
    await lab.callerA.describe('tiny', 5_000);
    await Promise.all(Object.values(lab.attackers).map((connection) => connection.flush()));
    // They do listen: what is B's own they hear.
    lab.attackers.ctl.publish(`${LATTICE}.own`);
    await until(() => heard.some((text) => text.startsWith(`${LATTICE}.own`)));
    // B's own host goes on talking to itself; of A there must be nothing: none of its calls, and no name of its users.
    const users = inboxes.map((inbox) => inbox.split('.')[2]!);
    expect(users.every((user) => user.startsWith('U'))).toBe(true);
    expect(heard.filter((text) => text.startsWith(TINY_SUBJECT) || users.some((user) => text.includes(user)))).toEqual([]);
    for (const subscription of mine) subscription.unsubscribe();
  });

  it('TEN-02 reaches no subject of it: calls, inboxes, control, events, the trust bucket', async () => {
    const runs = runsOf(lab.hostA);
    const mark = 'MARK02';
    const subjects = [
      TINY_SUBJECT,
      `${lab.callerA.member.rpc.inboxPrefix}.w.x`,
      `${lab.callerA.member.ctl.inboxPrefix}.w.x`,
      `wasmbus.ctl.v1.${LATTICE}.trust.renew`,
      `wasmbus.ctl.v1.${LATTICE}.component.describe.tiny`,
      `wasmbus.evt.${LATTICE}.audit_refused`,
      `$KV.LATTICETRUST_${LATTICE}.issuers.1`,
      `$JS.ACK.KV_LATTICETRUST_${LATTICE}.x`,
      `_R_.x.y`,
    ];
    const headers = natsHeaders();
    headers.append('Lattice-Invocation', mark);
    for (const connection of [lab.attackers.rpc, lab.attackers.ctl])
      for (const subject of subjects) connection.publish(subject, mark, { reply: `_INBOX_RPC.${LATTICE}.${mark}`, headers });
    await nothingReached(mark, runs);
    await worksFor(lab.callerA, lab.hostA);
  });

  it('TEN-03 gets no call of it by joining its queue group', async () => {
    let stolen = 0;
    const served = [lab.attackers.rpc, lab.attackers.ctl].map((connection) =>
      connection.subscribe(TINY_SUBJECT, {
        queue: `${LATTICE}.tiny`,
        callback: (_, message) => {
          stolen++;
          message.respond('stolen');
        },
      }),
    );
    await Promise.all(Object.values(lab.attackers).map((connection) => connection.flush()));
    await worksFor(lab.callerA, lab.hostA, 200);
    expect(stolen).toBe(0);
    for (const subscription of served) subscription.unsubscribe();
  });

  it('TEN-04 a bucket of the same name is another bucket: issuers and revocations written there reach nobody else', async () => {
    const bucket = await new Kvm(lab.attackers.ctl).open(`LATTICETRUST_${LATTICE}`);
    const theirs = await bucket.keys();
    const keys: string[] = [];
    for await (const key of theirs) keys.push(key);
    expect(keys).toContain(`delegation.${lab.hostB.host.id}`);
    expect(keys.join(' ')).not.toContain(lab.hostA.host.id);
    const before = { epoch: lab.hostA.host.member!.trust.epoch, issuers: lab.hostA.host.member!.trust.issuers };
    await bucket.put(`revoked.${lab.hostA.host.id}`, 'MARK04');
    await bucket.put('issuers.1', 'MARK04');
    const manager = await jetstreamManager(lab.attackers.ctl);
    await manager.streams.purge(`KV_LATTICETRUST_${LATTICE}`);
    await nothingReached('MARK04', runsOf(lab.hostA));
    const { epoch, issuers } = lab.hostA.host.member!.trust;
    expect({ epoch, issuers }).toEqual(before);
    // A witness of A sees A's bucket, whole.
    const own = await new Kvm(lab.witnesses.ctl).open(`LATTICETRUST_${LATTICE}`);
    expect((await own.get(`delegation.${lab.hostA.host.id}`))?.string()).toContain('dlg2s.');
    await worksFor(lab.callerA, lab.hostA);
  });

  it('TEN-05 JetStream records nothing of it, sources nothing from it and delivers nothing to it', async () => {
    const manager = await jetstreamManager(lab.attackers.ctl);
    await manager.streams.add({ name: 'TAP', subjects: [`${LATTICE}.>`, '_INBOX_RPC.>', '_INBOX_CTL.>'] });
    const external = { api: '$JS.API', deliver: 'deliver.a' };
    await manager.streams
      .add({
        name: 'MIRROR',
        mirror: { name: 'KV_LATTICETRUST_default', external: { ...external, api: `$JS.${lab.a.ctl.publicKey}.API` } },
      })
      .catch(() => {});
    await manager.streams.add({ name: 'SPRAY', subjects: ['spray'] });
    lab.attackers.ctl.publish('spray', 'MARK05');
    await manager.consumers
      .add('SPRAY', { durable_name: 'spray', deliver_subject: TINY_SUBJECT, ack_policy: 'none' })
      .catch(() => {});
    await worksFor(lab.callerA, lab.hostA, 20);
    await nothingReached('MARK05', runsOf(lab.hostA));
    expect((await manager.streams.info('TAP')).state.messages).toBe(0);
    const mirrored = await manager.streams.info('MIRROR').then(
      ({ state }) => state.messages,
      () => 0,
    );
    expect(mirrored).toBe(0);
    // No JetStream at all where calls travel, not for the owner either.
    await expect(jetstreamManager(lab.attackers.rpc)).rejects.toThrow();
    for (const name of ['TAP', 'MIRROR', 'SPRAY']) await manager.streams.delete(name).catch(() => {});
  });

  it('TEN-06 $SYS tells it of no account but its own, and takes no claims from it', async () => {
    const { publicKey } = lab.a.rpc;
    const requests = [
      '$SYS.REQ.SERVER.PING',
      '$SYS.REQ.SERVER.PING.CONNZ',
      '$SYS.REQ.SERVER.PING.ACCOUNTZ',
      '$SYS.REQ.SERVER.PING.SUBSZ',
      '$SYS.REQ.SERVER.PING.VARZ',
      '$SYS.REQ.SERVER.PING.JSZ',
      `$SYS.REQ.ACCOUNT.${publicKey}.CONNZ`,
      `$SYS.REQ.ACCOUNT.${publicKey}.SUBSZ`,
      `$SYS.REQ.ACCOUNT.${publicKey}.JSZ`,
      `$SYS.REQ.ACCOUNT.${publicKey}.INFO`,
      `$SYS.REQ.ACCOUNT.${publicKey}.CLAIMS.LOOKUP`,
      '$SYS.REQ.ACCOUNT.PING.CONNZ',
      '$SYS.REQ.ACCOUNT.PING.STATZ',
      '$SYS.REQ.ACCOUNT.PING.SUBSZ',
      '$SYS.REQ.CLAIMS.LIST',
      '$SYS.REQ.CLAIMS.PACK',
      '$SYS.REQ.CLAIMS.UPDATE',
      '$SYS.REQ.CLAIMS.DELETE',
      '$SYS.REQ.USER.INFO',
    ];
    const questions = [
      EMPTY,
      JSON.stringify({ acc: publicKey, account: publicKey, accounts: [publicKey], subscriptions: true, auth: true }),
    ];
    const users = [lab.callerA, lab.hostA.host].map(
      (member) => ('member' in member ? member.member! : member).rpc.inboxPrefix.split('.')[2]!,
    );
    const told: string[] = [];
    for (const connection of [lab.attackers.rpc, lab.attackers.ctl]) {
      for (const question of questions) {
        const answers = await Promise.all(requests.map((subject) => ask(connection, subject, question)));
        told.push(...answers.map((answer, at) => `${requests[at]} ${answer}`));
      }
    }
    const ofA = told.filter((text) =>
      [publicKey, lab.a.ctl.publicKey, ...users].some((key) => text.slice(text.indexOf(' ')).includes(key)),
    );
    expect(ofA).toEqual([]);
    // What does answer speaks of the asker's own account, so this test looks at the right thing.
    expect(await ask(lab.attackers.rpc, '$SYS.REQ.ACCOUNT.PING.CONNZ', questions[1], PATIENT_MS)).toContain(lab.b.rpc.publicKey);
    expect(told.filter((text) => /CLAIMS\.\w+ answered/.test(text) && !text.includes('answered 503'))).toEqual([]);
  });

  it('TEN-07 its account key makes no user of another account', async () => {
    const { b, a, tenants } = lab;
    await expect(tenants.login(b.rpc.addUser('as-a', { claimsAccount: a.rpc.publicKey }))).rejects.toThrow(/Authorization/);
    await expect(tenants.login(b.ctl.addUser('as-a', { claimsAccount: a.ctl.publicKey }))).rejects.toThrow(/Authorization/);
    await expect(tenants.login(b.rpc.addUser('as-sys', { claimsAccount: tenants.operator.system.publicKey }))).rejects.toThrow(
      /Authorization/,
    );
    // Nor of its own other account: ctl and rpc are two accounts, and the key of one is nothing to the other.
    await expect(tenants.login(b.rpc.addUser('as-ctl', { claimsAccount: b.ctl.publicKey }))).rejects.toThrow(/Authorization/);
  });

  it('TEN-08 an import that A did not grant leads nowhere, whatever the operator signed', async () => {
    const runs = runsOf(lab.hostA);
    const came: Record<string, string> = {};
    await Promise.all(
      lab.thieves.map(async ({ name, account }) => {
        // The server may refuse the whole account for such an import.
        const connection = await lab.tenants.login(account.addUser('attacker')).catch(() => undefined);
        const subjects = ['stolen', 'stolen.tiny.wrpc.0.0.1.trellis-samples:echo/bytes@0.1.0.echo-bytes', 'stolen.w.x'];
        if (connection === undefined) came[name] = 'no login';
        else came[name] = (await Promise.all(subjects.map((subject) => ask(connection, subject, 'MARK08')))).join(', ');
      }),
    );
    expect(Object.keys(came).toSorted()).toEqual(lab.thieves.map(({ name }) => name).toSorted());
    expect(Object.entries(came).filter(([, text]) => !/^(?:no login|refused(?:, refused)*)$/.test(text))).toEqual([]);
    await nothingReached('MARK08', runs);
    // One that A did grant does lead to A's host, so the others are refused for their one flaw; what it brings is unsigned.
    const guest = await lab.tenants.login(lab.guest.addUser('guest'));
    expect(await ask(guest, 'granted', EMPTY, PATIENT_MS)).toMatch(/^answered 401/);
    expect(runsOf(lab.hostA)).toBe(runs);
  });
});

describe('a tenant whose messages are carried to another by somebody who can reach both', () => {
  /** A message of A's caller as a witness in A's account saw it: token, pass, delegation and all. */
  async function capture(): Promise<Msg> {
    const messages: Msg[] = [];
    const tap = lab.witnesses.rpc.subscribe(TINY_SUBJECT, { callback: (_, message) => void messages.push(message) });
    await lab.witnesses.rpc.flush();
    await callTiny(lab.callerA);
    await until(() => messages.length > 0);
    tap.unsubscribe();
    return messages[0]!;
  }

  it("TEN-09 a genuine call of A, replayed in B's account, is refused by B's host: same names, another issuer", async () => {
    const message = await capture();
    const runs = runsOf(lab.hostB);
    const from = lab.hostB.logged.length;
    const denied = (): unknown[] =>
      lab.hostB.logged
        .slice(from)
        .filter(({ msg }) => msg === 'invocation denied')
        .map(({ code }) => code);
    expect(message.headers?.get('Lattice-Invocation')).toMatch(/^inv2/);
    const reply = `_INBOX_RPC.${LATTICE}.replayed`;
    const statuses: string[] = [];
    lab.attackers.rpc.subscribe(reply, { callback: (_, answer) => void statuses.push(`${answer.headers?.code}`) });
    for (const [subject, answerTo] of [
      [TINY_SUBJECT, reply],
      [TINY_SUBJECT, message.reply!],
    ] as const)
      lab.attackers.rpc.publish(subject, message.data, { reply: answerTo, headers: message.headers! });
    await until(() => denied().length >= 2 && statuses.length > 0);
    expect(statuses).toEqual(['401']);
    expect(runsOf(lab.hostB)).toBe(runs);
    // The delegation goes along for half a minute; without it B's host does not even know whom it refuses.
    expect(denied().every((code) => code === 'TRELLIS_VERIFY_ISSUER' || code === 'TRELLIS_VERIFY_DELEGATION')).toBe(true);
  });

  it("TEN-10 B's cluster seed signs nothing that A's host runs, even with a user of A's account", async () => {
    const { a, b, tenants, hostA } = lab;
    // B's member logs in to A's accounts, as if the operator had handed out users by mistake: only verification is left.
    const misplaced = a.config();
    const stranger = await startTrustCaller({
      ...misplaced,
      trust: { ...misplaced.trust, store: 'off', clusterSeedFile: b.config().trust.clusterSeedFile! },
    });
    const runs = runsOf(hostA);
    await expect(callTiny(stranger)).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_DENIED' });
    expect(runsOf(hostA)).toBe(runs);
    expect(hostA.logged.filter(({ msg }) => msg === 'invocation denied').map(({ code }) => code)).toContain(
      'TRELLIS_VERIFY_ISSUER',
    );
    await stranger[Symbol.asyncDispose]();
    expect(tenants.server.running).toBe(true);
    await worksFor(lab.callerA, lab.hostA);
  });
});

describe('two lattices of one issuer', () => {
  it("ENV-27 a call signed for the one is refused in the other's account, though the issuer is the same", async () => {
    await using tenants = await startTenantServer((_operator, tenant) => [tenant('a', 'first'), tenant('b', 'second')] as const);
    const [first, second] = tenants.made;
    const shared = { trust: { clusterSeedFile: first.config().trust.clusterSeedFile!, unlinkedOrigins: ['caller'] } };
    await using host = await second.host({ components: [TINY], ...shared });
    await using own = await first.host({ components: [TINY], ...shared });
    const caller = await first.caller();
    const messages: Msg[] = [];
    const tap = await tenants.login(first.rpc.addUser('tap'));
    tap.subscribe('first.tiny.>', { callback: (_, message) => void messages.push(message) });
    await tap.flush();
    await worksFor(caller, own);
    const carrier = await tenants.login(second.rpc.addUser('carrier'));
    const subject = messages[0]!.subject.replace(/^first\./, 'second.');
    carrier.publish(subject, messages[0]!.data, { reply: messages[0]!.reply!, headers: messages[0]!.headers! });
    await until(() => host.logged.some(({ msg }) => msg === 'invocation denied'));
    expect(host.logged.find(({ msg }) => msg === 'invocation denied')).toMatchObject({ code: 'TRELLIS_VERIFY_LATTICE' });
    expect(runsOf(host)).toBe(0);
    await caller[Symbol.asyncDispose]();
  });
});
