import { connect, headers as natsHeaders, type NatsConnection } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { admitSigned } from '../../src/control/signed-control.ts';
import { type LatticeName, latticeName } from '../../src/ids.ts';
import { type ControlOperation, controlRoot, controlSubject, forHostAlone } from '../../src/lattice/control-subjects.ts';
import { Audit } from '../../src/telemetry/audit.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { signCommand } from '../../src/trust/control-token.ts';
import { delegationThumbprint, mintDelegation } from '../../src/trust/delegation.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { ReplayWindow } from '../../src/trust/replay.ts';
import { RestartFence } from '../../src/trust/restart-fence.ts';
import { signRevocation } from '../../src/trust/revocation.ts';
import { TrustState } from '../../src/trust/trust-state.ts';
import { TrustedTime } from '../../src/trust/trusted-time.ts';
import { createCommandVerifier } from '../../src/trust/verify-command.ts';
import { type ControlHost, startControlHost } from '../support/control-host.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { MemoryAheadStore } from '../support/trust.ts';

// Commands to hosts with `control.mode: signed`, as somebody sends them who may publish whatever he likes on the control connection,
// sees everything there, and has no operator's key: or the key of one with fewer rights.

const LINK = { source_id: 'a', target: 'b', wit_namespace: 'w', wit_package: 'p', interfaces: ['i'] };
const ANSWER_MS = 5_000;

interface Signed {
  readonly subject: string;
  readonly body: string;
  readonly reply: string;
  readonly token: string;
  readonly delegation: string | undefined;
}
interface Reply {
  readonly success: boolean;
  readonly message: string;
}

const issuer = SigningKey.generate('cluster');
const operator = SigningKey.generate('user');
const linker = SigningKey.generate('user');
const provider = SigningKey.generate('server');

const delegate = (
  subject: string,
  commands: readonly string[] | '*' | undefined,
  by = issuer,
  beganMs = Date.now() - 1_000,
): string =>
  mintDelegation(by, {
    lattice,
    subject,
    origins: commands === undefined ? '*' : [],
    targets: commands === undefined ? '*' : [],
    ...(commands === undefined ? {} : { commands }),
    epoch: 0,
    nowMs: beganMs,
    lifetimeMs: 3_600_000,
  });

let server: TestServer;
let nc: NatsConnection;
beforeAll(async () => {
  server = await startServer({ jetstream: true });
  nc = await connect({ servers: server.url });
});
afterAll(async () => {
  await nc.close();
  await server[Symbol.asyncDispose]();
});

/** What one host believes, and what it counted. */
function signedMode() {
  const time = new TrustedTime(systemClock);
  const trust = new TrustState({ lattice, issuers: [issuer.publicKey], time, skewMs: 1_000 });
  const verify = createCommandVerifier({
    lattice,
    trust,
    time,
    replay: new ReplayWindow({ clock: systemClock, maxEntries: 1_000, skewMs: 1_000 }),
    fence: new RestartFence(time, 1_000, new MemoryAheadStore()),
    skewMs: 1_000,
  });
  const log = silentLogger();
  const audit = new Audit({ clock: systemClock, host: 'N', lattice: lattice, maxPerSecond: 10_000, scrubber: log.scrubber });
  const denied: string[] = [];
  const metrics = { denied: (code: string) => void denied.push(code) };
  return { trust, audit, denied, admit: admitSigned({ verify, audit, log, metrics }) };
}

/** One for each test, with buckets of its own. */
let lattice: LatticeName;
let root: string;
/** What lets the operator give any command. */
let right: string;
let mode: ReturnType<typeof signedMode>;
let host: ControlHost;
let lattices = 0;
beforeEach(async () => {
  lattice = latticeName(`signed${++lattices}`);
  root = controlRoot('wasmbus.ctl', lattice);
  right = delegate(operator.publicKey, '*');
  mode = signedMode();
  host = await startControlHost(server.url, { lattice, admit: mode.admit, silentRegistries: true });
});
afterEach(() => host[Symbol.asyncDispose]());

const onlySubject = (host: string, operation: ControlOperation, argument = ''): string =>
  `${root}.${forHostAlone(host, argument === '' ? operation : `${operation}.${argument}`)}`;

let inboxes = 0;

/** A command as an operator signs it, ready to be sent. */
function signed(
  subject: string,
  body: unknown,
  more: { key?: SigningKey; delegation?: string | undefined; lattice?: string; nowMs?: number; reply?: string } = {},
): Signed {
  const { key = operator, lattice: madeFor = lattice, nowMs = Date.now(), reply = `_INBOX.signed.${++inboxes}` } = more;
  const delegation = 'delegation' in more ? more.delegation : right;
  const kid = delegation === undefined ? undefined : delegationThumbprint(delegation);
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const token = signCommand(key, { lattice: madeFor, subject, reply, body: Buffer.from(text), kid, nowMs });
  return { subject, body: text, reply, token, delegation };
}

/** Sends it, whatever it is by now, and resolves to the answer. */
async function send(command: Partial<Signed> & Pick<Signed, 'subject' | 'body' | 'reply'>): Promise<Reply> {
  const { subject, body, reply, token, delegation } = command;
  const { promise, resolve, reject } = Promise.withResolvers<Reply>();
  const subscription = nc.subscribe(reply, { max: 1, callback: (_, message) => resolve(message.json<Reply>()) });
  const entries = natsHeaders();
  if (token !== undefined) entries.set('Lattice-Command', token);
  if (delegation !== undefined) entries.set('Lattice-Delegation', delegation);
  nc.publish(subject, body, { reply, headers: entries });
  const timer = setTimeout(() => reject(new Error(`no answer on ${subject}`)), ANSWER_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    subscription.unsubscribe();
  }
}

const scale = (more = {}): Signed => signed(`${root}.component.scale.${host.id}`, { component_id: 'c', count: 1 }, more);
const putLink = (more = {}): Signed => signed(onlySubject(host.id, 'link.put'), LINK, more);
const label = (more = {}): Signed => signed(`${root}.label.put.${host.id}`, { key: 'k', value: 'v' }, more);

/** What the host did of all it was told. */
async function done(): Promise<unknown> {
  const { asked, stops, credentials, data, facts } = host;
  return [
    asked.length,
    stops.length,
    credentials.length,
    data.links().length,
    facts.labels.all()['k'],
    await data.getConfig('x'),
  ];
}
const NOTHING = [0, 0, 0, 0, undefined, undefined];

describe('a signed command', () => {
  it('is carried out, whatever it changes, and its signer is in the audit', async () => {
    const commands: readonly [string, unknown][] = [
      [`component.scale.${host.id}`, { component_id: 'c', count: 1 }],
      [`component.update.${host.id}`, { host_id: host.id, component_id: 'c', new_component_ref: 'r' }],
      [`label.put.${host.id}`, { key: 'k', value: 'v' }],
      [`label.del.${host.id}`, { key: 'k' }],
      ['registry.put', {}],
      [`only.${host.id}.config.put.x`, { a: 'b' }],
      [`only.${host.id}.link.put`, LINK],
      [`only.${host.id}.link.del`, { ...LINK, name: 'default' }],
      [`only.${host.id}.config.del.x`, ''],
      [`host.stop.${host.id}`, ''],
    ];
    for (const [tail, body] of commands) {
      expect([tail, await send(signed(`${root}.${tail}`, body))]).toEqual([tail, expect.objectContaining({ success: true })]);
    }
    // The host stops when its answer is on the way.
    await expect.poll(() => [host.asked.length, host.stops.length, host.credentials.length]).toEqual([2, 1, 1]);
    const signers = host.audited.filter(({ kind }) => kind === 'control').map(({ signer }) => signer);
    expect(signers).toEqual(commands.map(() => operator.publicKey));
    expect(mode.denied).toEqual([]);
  });

  it('may come from a cluster key, and from an operator with some of the rights', async () => {
    expect(await send(scale({ key: issuer, delegation: undefined }))).toMatchObject({ success: true });
    const delegation = delegate(linker.publicKey, ['link']);
    expect(await send(putLink({ key: linker, delegation }))).toMatchObject({ success: true });
  });

  it('is not needed to read', async () => {
    const reads = [`host.get.${host.id}`, 'host.ping', 'link.get', 'claims.get', 'config.get.x', `only.${host.id}.link.get`];
    for (const tail of reads) {
      expect([tail, await send({ subject: `${root}.${tail}`, body: '', reply: `_INBOX.read.${++inboxes}` })]).toMatchObject([
        tail,
        { success: true },
      ]);
    }
  });
});

describe('a host that takes signed commands only', () => {
  const refused = async (command: Parameters<typeof send>[0], why: RegExp, detail: string): Promise<void> => {
    const before = host.audited.length;
    const { success, message } = await send(command);
    expect([success, message]).toEqual([false, expect.stringMatching(why)]);
    const id = /\(trellis explain (?:-- )?([\w-]{22})\)$/.exec(message)?.[1];
    expect(mode.audit.find(id ?? '').at(-1)).toMatchObject({
      kind: 'refused',
      code: 'TRELLIS_CONTROL_DENIED',
      detail: expect.stringMatching(`^TRELLIS_VERIFY_${detail}: `),
    });
    expect(mode.denied.at(-1)).toBe('TRELLIS_CONTROL_DENIED');
    // Nothing is recorded as done.
    expect(host.audited.length).toBe(before);
  };
  const UNSIGNED = /^this host takes signed commands only: trellis … --sign-seed-file/;

  it('SGN-01 refuses every unsigned command, and says how to sign', async () => {
    const commands: readonly [ControlOperation, string, unknown][] = [
      ['component.scale', host.id, { component_id: 'c', count: 1 }],
      ['component.update', host.id, { component_id: 'c', new_component_ref: 'r', host_id: host.id }],
      ['provider.start', host.id, { provider_id: 'p', provider_ref: 'r' }],
      ['provider.stop', host.id, { provider_id: 'p' }],
      ['host.stop', host.id, ''],
      ['label.put', host.id, { key: 'k', value: 'v' }],
      ['label.del', host.id, { key: 'zone' }],
      ['link.put', '', LINK],
      ['link.del', '', LINK],
      ['config.put', 'x', { a: 'b' }],
      ['config.del', 'x', ''],
      ['registry.put', '', { r: { username: 'u', password: 'p' } }],
    ];
    for (const [operation, argument, body] of commands) {
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      const reply = (): string => `_INBOX.unsigned.${++inboxes}`;
      await refused({ subject: controlSubject(root, operation, argument), body: text, reply: reply() }, UNSIGNED, 'UNSIGNED');
      if (/^(?:link|config)/.test(operation))
        await refused({ subject: onlySubject(host.id, operation, argument), body: text, reply: reply() }, UNSIGNED, 'UNSIGNED');
    }
    expect(await done()).toEqual(NOTHING);
    expect(host.facts.labels.all()['zone']).toBe('a');
  });

  it('SGN-02 carries out no unsigned registry.put that asks for no answer', async () => {
    nc.publish(`${root}.registry.put`, JSON.stringify({ r: { username: 'u', password: 'p' } }));
    await nc.flush();
    await expect.poll(() => mode.denied).toEqual(['TRELLIS_CONTROL_DENIED']);
    expect(await done()).toEqual(NOTHING);
  });

  it('SGN-03 runs no copy, at once or later, with the same delegation or another way', async () => {
    const command = label();
    expect(await send(command)).toMatchObject({ success: true });
    await send(signed(`${root}.label.del.${host.id}`, { key: 'k' }));
    for (const copy of [command, { ...command, delegation: undefined }]) {
      await refused(copy, /^this is a copy of a command that came before/, 'REPLAYED');
    }
    expect(await done()).toEqual(NOTHING);
  });

  it('SGN-04 runs nothing that was signed for another host, although both hear it', async () => {
    const [elsewhere, command] = [signedMode(), scale()];
    await using other = await startControlHost(server.url, { lattice, admit: elsewhere.admit });
    const turned = await send({ ...command, subject: `${root}.component.scale.${other.id}` });
    expect(turned).toEqual({ success: false, message: expect.stringMatching(/^the signature does not fit/) });
    expect(other.asked).toEqual([]);
    const link = putLink();
    expect(await send({ ...link, subject: onlySubject(other.id, 'link.put') })).toMatchObject({ success: false });
    expect(elsewhere.denied).toHaveLength(2);
    expect(host.data.links()).toEqual([]);
    // And the host it was signed for runs it all the same, once.
    expect(await send(link)).toMatchObject({ success: true });
  });

  it('SGN-05 runs no copy of what goes to whichever host takes it: signed so, it is refused by all of them', async () => {
    await refused(signed(`${root}.link.put`, LINK), /^such a command is taken only if it is sent to one host alone/, 'BINDING');
    await refused(signed(`${root}.config.put.x`, { a: 'b' }), /sent to one host alone/, 'BINDING');
    // A copy of one for this host alone, sent to the group.
    await refused({ ...putLink(), subject: `${root}.link.put` }, /sent to one host alone/, 'BINDING');
    expect(await done()).toEqual(NOTHING);
  });

  it('SGN-06 runs nothing on another subject: not another verb, not another configuration', async () => {
    const command = signed(onlySubject(host.id, 'config.put', 'y'), { a: 'b' });
    await refused({ ...command, subject: onlySubject(host.id, 'config.put', 'x') }, /does not fit/, 'BINDING');
    await refused({ ...command, subject: onlySubject(host.id, 'config.del', 'y') }, /does not fit/, 'BINDING');
    await refused({ ...label(), subject: `${root}.label.del.${host.id}` }, /does not fit/, 'BINDING');
    await refused({ ...scale(), subject: `${root}.host.stop.${host.id}` }, /does not fit/, 'BINDING');
    expect(await done()).toEqual(NOTHING);
  });

  it('SGN-07 runs no other body, longer, shorter or empty', async () => {
    const command = scale();
    const other = command.body.replace('"count":1', '"count":9');
    await refused({ ...command, body: other }, /does not fit/, 'PAYLOAD');
    await refused({ ...scale(), body: `${command.body} ` }, /does not fit/, 'PAYLOAD');
    await refused({ ...scale(), body: '' }, /does not fit/, 'PAYLOAD');
    // One altered copy costs the genuine one nothing.
    expect(await send(command)).toMatchObject({ success: true });
  });

  it('SGN-08 answers to nobody but whom the operator named', async () => {
    await refused({ ...scale(), reply: `_INBOX.thief.${++inboxes}` }, /does not fit/, 'BINDING');
    expect(await done()).toEqual(NOTHING);
  });

  it('SGN-09 runs nothing of another lattice, by the token or by the delegation', async () => {
    await refused(scale({ lattice: 'other' }), /does not fit/, 'LATTICE');
    const foreign = mintDelegation(issuer, {
      lattice: 'other',
      subject: operator.publicKey,
      origins: [],
      targets: [],
      commands: '*',
      epoch: 0,
      nowMs: Date.now(),
      lifetimeMs: 60_000,
    });
    await refused(scale({ delegation: foreign }), /does not fit/, 'LATTICE');
    expect(await done()).toEqual(NOTHING);
  });

  it('SGN-10 runs nothing that is over, from the future, or from before the host started', async () => {
    await refused(scale({ nowMs: Date.now() - 17_000 }), /^the signature is too old or too early/, 'EXPIRED');
    await refused(scale({ nowMs: Date.now() + 5_000 }), /too old or too early/, 'EARLY');
    await refused(scale({ nowMs: Date.now() - 12_000 }), /too old or too early/, 'FENCED');
    expect(await done()).toEqual(NOTHING);
  });

  it('SGN-11 takes the word of nobody else: no stranger, no other operator under this name, no stranger as the issuer', async () => {
    const stranger = SigningKey.generate('user');
    await refused(scale({ key: stranger }), /^the delegation of this key does not count/, 'DELEGATION');
    await refused(scale({ key: stranger, delegation: undefined }), /does not count/, 'ISSUER');
    const forged = delegate(stranger.publicKey, '*', SigningKey.generate('cluster'));
    await refused(scale({ key: stranger, delegation: forged }), /does not count/, 'ISSUER');
    // The operator's own delegation and name, with somebody else's signature.
    const genuine = scale();
    const [header, , proof] = scale({ key: stranger }).token.split('.') as [string, string, string];
    await refused({ ...genuine, token: `${header}.${genuine.token.split('.')[1]}.${proof}` }, /does not fit/, 'SIGNATURE');
    expect(await done()).toEqual(NOTHING);
  });

  it('SGN-12 gives no host the right to command, whatever components its delegation names', async () => {
    const delegation = delegate(provider.publicKey, undefined);
    await refused(scale({ key: provider, delegation }), /^this key may not give such a command/, 'SCOPE');
    expect(await done()).toEqual(NOTHING);
  });

  it('SGN-13 goes by the commands that the delegation names', async () => {
    const more = { key: linker, delegation: delegate(linker.publicKey, ['link']) };
    await refused(scale(more), /^this key may not give such a command/, 'SCOPE');
    await refused(label(more), /may not give such a command/, 'SCOPE');
    await refused(signed(`${root}.host.stop.${host.id}`, '', more), /may not give/, 'SCOPE');
    await refused(signed(`${root}.registry.put`, {}, more), /may not give/, 'SCOPE');
    await refused(signed(onlySubject(host.id, 'config.put', 'x'), { a: 'b' }, more), /may not give/, 'SCOPE');
    expect(await done()).toEqual(NOTHING);
  });

  it('SGN-14 refuses a delegation that is over, and one that was taken back while it was in use', async () => {
    const late = delegate(operator.publicKey, '*', issuer, Date.now() - 3_600_000 - 2_000);
    await refused(scale({ delegation: late }), /does not count/, 'DELEGATION_EXPIRED');
    const before = host.asked.length;
    expect(await send(label())).toMatchObject({ success: true });
    const now = Date.now();
    const text = signRevocation(issuer, {
      v: 2,
      iat: now,
      lat: lattice,
      iss: issuer.publicKey,
      sub: operator.publicKey,
      frm: Number.MAX_SAFE_INTEGER,
    });
    expect(mode.trust.takeRevocation(text)).toBe('taken');
    await refused(scale(), /^this key has been revoked/, 'REVOKED');
    expect(host.asked.length).toBe(before);
  });

  it('SGN-15 takes a token without its header, or under another one, for no signature', async () => {
    const { token: _, ...stripped } = scale();
    await refused(stripped, UNSIGNED, 'UNSIGNED');
    const command = scale();
    for (const token of ['', 'ctl2s', `${command.token}x`, command.token.replace('ctl2s', 'ctl2b'), command.delegation!]) {
      const { message, success } = await send({ ...command, token });
      expect([token.slice(0, 8), success, message]).toEqual([token.slice(0, 8), false, expect.stringMatching(/explain/)]);
    }
    expect(await done()).toEqual(NOTHING);
  });

  it('SGN-16 is not worn out by forgeries: commands go through beside a flood of them', async () => {
    const genuine = scale();
    const forged = scale();
    const broken = `${forged.token.slice(0, -3)}AAA`;
    for (let at = 0; at < 300; at++) {
      const entries = natsHeaders();
      entries.set('Lattice-Command', broken);
      entries.set('Lattice-Delegation', right);
      nc.publish(forged.subject, forged.body, { reply: forged.reply, headers: entries });
    }
    expect(await send(genuine)).toMatchObject({ success: true });
    expect(host.asked).toHaveLength(1);
  });
});
