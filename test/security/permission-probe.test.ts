import { connect } from 'nats';
import { jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fillTemplate, OWN_KEY } from '../../src/auth/permission-templates.ts';
import { componentId, latticeName } from '../../src/ids.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { probePermissions } from '../../src/nats/permission-probe.ts';
import { describeFinding, isAsExpected, type ProbeFinding } from '../../src/nats/probe-finding.ts';
import type { UserPermissions } from '../support/accounts.ts';
import { leastRights } from '../support/least-rights.ts';
import { type JwtTestServer, startJwtServer, startServer, type TestServer } from '../support/nats-server.ts';
import { asUserPermissions } from '../support/permitted-users.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/trust-lattice.ts';

const lattice = latticeName('lab');
const { log, logged } = recordedLog();

interface Login {
  readonly url: string;
  readonly credsFile?: string;
}
interface Pair extends AsyncDisposable {
  readonly ctl: LatticeConnection;
  readonly rpc: LatticeConnection;
}
async function pair(ctl: Login, rpc: Login): Promise<Pair> {
  const open = (partition: 'ctl' | 'rpc', { url, credsFile }: Login): Promise<LatticeConnection> =>
    connectPartition({
      partition,
      lattice,
      servers: [url],
      name: `test ${partition}`,
      log,
      ...(credsFile === undefined ? {} : { credsFile }),
    });
  const both = { ctl: await open('ctl', ctl), rpc: await open('rpc', rpc) };
  return {
    ...both,
    async [Symbol.asyncDispose]() {
      await Promise.all([both.ctl.close(), both.rpc.close()]);
    },
  };
}

/** `rpc publish commands to hosts` of each finding that is not what it has to be. */
const faults = (findings: readonly ProbeFinding[]): string[] =>
  findings
    .filter((finding) => !isAsExpected(finding))
    .map(({ partition, action, about }) => `${partition} ${action} ${about}`)
    .toSorted();

let jwt: JwtTestServer;
let plain: TestServer;
beforeAll(async () => {
  [jwt, plain] = await Promise.all([startJwtServer(), startServer({ jetstream: true })]);
});
afterAll(async () => {
  await Promise.all([jwt[Symbol.asyncDispose](), plain[Symbol.asyncDispose]()]);
});

const rights = leastRights();
function user(account: 'ctl' | 'rpc', allowed: UserPermissions): Login {
  return { url: jwt.url, credsFile: jwt[account].addUser('host', allowed).credsFile };
}
const more = (base: UserPermissions, extra: UserPermissions): UserPermissions => ({
  publish: [...(base.publish ?? []), ...(extra.publish ?? [])],
  subscribe: [...(base.subscribe ?? []), ...(extra.subscribe ?? [])],
});

describe('the probe of permissions', () => {
  it('START-07 CRD-09 finds nothing to complain of where two users of one account have least rights', async () => {
    const before = logged.length;
    await using both = await pair(user('ctl', rights.ctl), user('ctl', rights.rpc));
    const found = await probePermissions({ ...both, lattice, components: [componentId('hello')] });
    expect(faults(found)).toEqual([]);
    // The server's own word, for all that must be refused: nothing had to be inferred.
    expect(found.filter(({ expected, verdict }) => expected === 'refused' && verdict !== 'refused')).toEqual([]);
    expect(found.filter(({ expected }) => expected === 'refused').length).toBeGreaterThan(30);
    // Refusals that were asked for are no errors.
    expect(logged.slice(before).filter(({ level }) => level !== 'info' && level !== 'debug')).toEqual([]);
  });

  const tooMuch: readonly [who: 'ctl' | 'rpc', right: UserPermissions, found: readonly string[]][] = [
    [
      'rpc',
      { publish: ['wasmbus.ctl.>'] },
      ['rpc publish commands to components', 'rpc publish commands to hosts', 'rpc publish the trust of the lattice'],
    ],
    ['rpc', { publish: ['wasmbus.ctl.v1.lab.host.stop.*'] }, ['rpc publish commands to hosts']],
    [
      'rpc',
      { subscribe: ['wasmbus.ctl.v1.*.>'] },
      ['rpc subscribe commands to components', 'rpc subscribe commands to hosts', 'rpc subscribe the trust of the lattice'],
    ],
    ['rpc', { publish: ['wasmbus.evt.lab.>'] }, ['rpc publish events']],
    ['rpc', { subscribe: ['wasmbus.evt.>'] }, ['rpc subscribe events']],
    ['rpc', { publish: ['wadm.>'] }, ['rpc publish deployments']],
    [
      'rpc',
      { publish: ['wasmcloud.secrets.>'], subscribe: ['wasmcloud.policy.>'] },
      ['rpc publish secrets', 'rpc subscribe policy'],
    ],
    ['rpc', { publish: ['wasmbus.cfg.*.*'] }, ['rpc publish the configuration service']],
    [
      'rpc',
      { publish: ['$KV.>'] },
      ['CONFIGDATA', 'LATTICEDATA', 'LATTICETRUST'].map((bucket) => `rpc publish the bucket ${bucket}_lab`),
    ],
    ['rpc', { subscribe: ['$KV.LATTICEDATA_lab.*'] }, ['rpc subscribe the bucket LATTICEDATA_lab']],
    ['rpc', { publish: ['$JS.API.STREAM.CREATE.*'] }, ['rpc publish making streams']],
    ['rpc', { publish: ['$JS.API.STREAM.INFO.KV_LATTICETRUST_lab'] }, ['rpc publish the bucket LATTICETRUST_lab']],
    ['rpc', { subscribe: ['_INBOX.>'] }, ['rpc subscribe answers to anybody']],
    ['rpc', { subscribe: ['_INBOX_RPC.lab.>'] }, ['rpc subscribe answers to another rpc user']],
    ['rpc', { subscribe: ['_INBOX_CTL.*.*.>'] }, ['rpc subscribe answers to another ctl user']],
    ['rpc', { publish: ['*.*.wrpc.>'] }, ['rpc publish calls of another tenant']],
    ['ctl', { publish: ['lab.*.wrpc.>'] }, ['ctl publish calls']],
    ['ctl', { subscribe: ['lab.>'] }, ['ctl subscribe calls']],
    ['ctl', { publish: ['wasmbus.ctl.>'] }, ['ctl publish commands of another tenant']],
    ['ctl', { subscribe: ['wasmbus.evt.>'] }, ['ctl subscribe events of another tenant']],
    ['ctl', { subscribe: ['_INBOX_CTL.lab.>'] }, ['ctl subscribe answers to another ctl user']],
    ['ctl', { subscribe: ['_INBOX_RPC.>'] }, ['ctl subscribe answers to another rpc user']],
  ];
  it.each(tooMuch)('START-07 names what %s has too much: %j', async (who, right, expected) => {
    const ctl = user('ctl', who === 'ctl' ? more(rights.ctl, right) : rights.ctl);
    const rpc = user('ctl', who === 'rpc' ? more(rights.rpc, right) : rights.rpc);
    await using both = await pair(ctl, rpc);
    expect(faults(await probePermissions({ ...both, lattice }))).toEqual(expected);
  });

  it('START-07 looks for commands where the lattice has them, whatever their prefix', async () => {
    const commands = { publish: ['acme.ctl.v1.lab.>'], subscribe: ['acme.ctl.v1.lab.>'] };
    await using both = await pair(user('ctl', more(rights.ctl, commands)), user('ctl', more(rights.rpc, commands)));
    const found = ['commands to components', 'commands to hosts'];
    expect(faults(await probePermissions({ ...both, lattice, controlPrefix: 'acme.ctl' }))).toEqual(
      ['publish', 'subscribe'].flatMap((action) => found.map((about) => `rpc ${action} ${about}`)),
    );
    expect(faults(await probePermissions({ ...both, lattice }))).toEqual([]);
  });

  it('CRD-07 sees that the credentials of ctl and rpc are swapped', async () => {
    await using both = await pair(user('ctl', rights.rpc), user('ctl', rights.ctl));
    const found = faults(await probePermissions({ ...both, lattice, components: [componentId('hello')] }));
    expect(found).toContain('rpc publish commands to hosts');
    expect(found).toContain('ctl publish calls');
    expect(found).toContain('rpc subscribe calls of hello');
  });

  it('takes two accounts for a partition even where nothing is refused, and still sees what they leave open', async () => {
    await using both = await pair(user('ctl', {}), user('rpc', {}));
    const found = await probePermissions({ ...both, lattice });
    expect(faults(found)).toEqual([
      'ctl publish commands of another tenant',
      'ctl publish events of another tenant',
      'ctl subscribe answers to another ctl user',
      'ctl subscribe answers to anybody',
      'ctl subscribe commands of another tenant',
      'ctl subscribe events of another tenant',
      'rpc publish calls of another tenant',
      'rpc subscribe answers to another rpc user',
      'rpc subscribe answers to anybody',
      'rpc subscribe calls of another tenant',
    ]);
    expect(found.find(({ about, action }) => about === 'commands to hosts' && action === 'publish')?.verdict).toBe('isolated');
  });

  it('START-07 finds nothing to complain of with the rights that trellis auth gives a host', async () => {
    const rightsOf = (name: string): UserPermissions => {
      const allowed = asUserPermissions(fillTemplate(name, { lattice }));
      return { ...allowed, subscribe: allowed.subscribe!.map((subject) => subject.replace(OWN_KEY, '{user}')) };
    };
    await using both = await pair(user('ctl', rightsOf('host-ctl')), user('rpc', rightsOf('host-rpc')));
    expect(faults(await probePermissions({ ...both, lattice, components: [componentId('hello')] }))).toEqual([]);
  });

  it('takes two servers for a partition, and says what nobody’s login cannot tell', async () => {
    await using second = await startServer();
    await using both = await pair(plain, second);
    const found = await probePermissions({ ...both, lattice });
    expect(found.filter(({ expected, verdict }) => expected === 'refused' && verdict === 'allowed')).toEqual([]);
    expect(found.find(({ about }) => about === 'answers to another rpc user')?.verdict).toBe('unknown');
  });

  it('names the rights that a host lacks', async () => {
    const rpc = { publish: ['lab.>'], subscribe: ['lab.other.>', '_INBOX_RPC.lab.{user}.>'] };
    await using both = await pair(
      user('ctl', { ...rights.ctl, subscribe: ['wasmbus.ctl.v1.lab.component.>'] }),
      user('ctl', rpc),
    );
    const found = await probePermissions({ ...both, lattice, components: [componentId('hello'), componentId('other')] });
    const missing = found.filter((finding) => finding.expected === 'allowed' && !isAsExpected(finding));
    expect(missing.map((finding) => describeFinding(finding).replace(/ \S*probe\S*/, ' X'))).toEqual([
      'ctl may not subscribe to X (its own answers)',
      'ctl may not subscribe to wasmbus.ctl.v1.lab.trust.report (questions to hosts)',
      'ctl may not subscribe to wasmbus.ctl.v1.lab.host.ping (commands)',
      'rpc may not publish to X (its own answers)',
      'rpc may not subscribe to X (calls of hello)',
    ]);
  });

  it('leaves no trace: nothing is stored, nobody is asked to do anything', async () => {
    const nc = await connect({ servers: plain.url });
    try {
      await new Kvm(nc).create('LATTICETRUST_lab');
      const manager = await jetstreamManager(nc);
      await manager.streams.add({ name: 'events', subjects: ['wasmbus.evt.>'] });
      const seen: string[] = [];
      for (const subject of ['wasmbus.>', 'lab.>', 'wadm.>', 'wasmcloud.>', '$KV.>'])
        nc.subscribe(subject, { callback: (_, message) => void seen.push(message.subject) });
      await nc.flush();
      await using both = await pair(plain, plain);
      const found = await probePermissions({ ...both, lattice });
      expect(faults(found).length).toBeGreaterThan(30);
      await nc.flush();
      expect(seen.length).toBeGreaterThan(5);
      expect(seen.filter((subject) => !/probe[0-9a-f]{24}(?:ctl|rpc)/.test(subject))).toEqual([]);
      expect((await manager.streams.info('KV_LATTICETRUST_lab')).state.last_seq).toBe(0);
      expect((await manager.streams.info('events')).state.last_seq).toBe(0);
      expect((await manager.streams.names().next()).toSorted()).toEqual(['KV_LATTICETRUST_lab', 'events']);
    } finally {
      await nc.close();
    }
  });

  it('hears what arrives after the verdict', async () => {
    const [spyOnRpc, wayToCtl] = await Promise.all(
      [user('rpc', {}), user('ctl', {})].map(({ url, credsFile }) =>
        connectPartition({ partition: 'rpc', lattice, servers: [url], name: 'test', log, credsFile }),
      ),
    );
    const carried: [subject: string, payload: Uint8Array][] = [];
    // Plays a way between the accounts that is slower than the first answer.
    spyOnRpc!.subscribe('wasmbus.ctl.v1.lab.host.stop.*', {}, ({ subject, payload }) =>
      carried.push([subject, Uint8Array.from(payload)]),
    );
    await spyOnRpc!.flush();
    await using both = await pair(user('ctl', {}), user('rpc', {}));
    const late: ProbeFinding[] = [];
    await probePermissions({ ...both, lattice, lingerMs: 5_000, onLate: (finding) => late.push(finding) });
    expect(late).toEqual([]);
    for (const [subject, payload] of carried) wayToCtl!.publish(subject, payload);
    await until(() => late.length > 0);
    expect(late[0]).toMatchObject({ partition: 'rpc', about: 'commands to hosts', verdict: 'allowed' });
    await Promise.all([spyOnRpc!.close(), wayToCtl!.close()]);
  });

  it('START-07 is not to be fooled by somebody on ctl who learns the subjects and sends on them', async () => {
    const { url, credsFile } = user('ctl', { publish: ['wasmbus.>'], subscribe: ['wasmbus.>', '_INBOX_CTL.lab.{user}.>'] });
    const insider = await connectPartition({
      partition: 'ctl',
      lattice,
      servers: [url],
      name: 'test',
      log,
      ...(credsFile === undefined ? {} : { credsFile }),
    });
    let seen = 0;
    insider.subscribe('wasmbus.ctl.v1.lab.>', {}, ({ subject, payload }) => {
      if (subject.endsWith('rpcpublish')) return;
      seen++;
      // The same for the other direction, with what it saw and with nothing.
      const other = subject.replace('rpcsubscribe', 'rpcpublish');
      for (const bytes of [payload, new Uint8Array(0)]) insider.publish(other, bytes);
    });
    await insider.flush();
    // Rights of rpc on ctl subjects to subscribe alone would be found; here both are refused or lead nowhere.
    await using both = await pair(user('ctl', rights.ctl), user('rpc', {}));
    const late: ProbeFinding[] = [];
    const found = await probePermissions({ ...both, lattice, lingerMs: 300, onLate: (finding) => late.push(finding) });
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(seen).toBeGreaterThan(0);
    expect(late).toEqual([]);
    expect(found.filter(({ about, verdict }) => about === 'commands to hosts' && verdict === 'allowed')).toEqual([]);
    await insider.close();
  });

  it('rejects when a connection goes away, for then nothing is known', async () => {
    await using both = await pair(user('ctl', rights.ctl), user('ctl', rights.rpc));
    await both.rpc.close();
    await expect(probePermissions({ ...both, lattice })).rejects.toThrow(
      expect.objectContaining({ code: 'TRELLIS_NATS_CLOSED' }),
    );
  });
});
