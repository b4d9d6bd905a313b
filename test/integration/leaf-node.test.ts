import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Caller } from '../../src/caller.ts';
import { latticeName } from '../../src/ids.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { TrustBucket } from '../../src/nats/trust-bucket.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { linkOf, startDataHost } from '../support/lattice-data.ts';
import { type LeafHub, startLeafHub, templateRights } from '../support/leaf.ts';
import { callTiny, LeafLattice, streams, tiny } from '../support/leaf-lattice.ts';
import { bytes } from '../support/raw-peer.ts';
import { sized } from '../support/running-component.ts';
import { type TrustHost, until } from '../support/trust-lattice.ts';

let root: string;
let hub: LeafHub;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'trellis-test-'));
  hub = await startLeafHub(root);
});
afterAll(async () => {
  await hub[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

const STREAMS = 'trellis-samples:echo/streams@0.1.0';

/** Sends a stream through `copy-bytes` of a component, and returns what comes back. */
async function copyStream(caller: Caller, target: string, content: Buffer): Promise<Buffer> {
  const back: Buffer[] = [];
  let ended: () => void = () => {};
  const end = new Promise<void>((resolve) => (ended = resolve));
  await caller.call({
    target,
    instance: STREAMS,
    func: 'copy-bytes',
    params: bytes('00'),
    timeoutMs: 20_000,
    pendingParams: true,
    onPath: (_path, chunk, eof) => {
      back.push(Buffer.from(chunk));
      if (eof) ended();
    },
    onHandle: (handle) => {
      for (let at = 0; at < content.length; at += 65_536) handle.sendPath('0', sized(content.subarray(at, at + 65_536)), false);
      handle.sendPath('0', bytes('00'), true);
    },
  });
  await end;
  return unchunked(Buffer.concat(back));
}

/** Elements of a stream of bytes: chunks with their lengths before them, and one of no length at the end. */
function unchunked(content: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; at < content.length;) {
    let count = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = content[at++]!;
      count |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    chunks.push(content.subarray(at, at + count));
    at += count;
  }
  return Buffer.concat(chunks);
}

/** What becomes of a TCP connection to an address: `open`, or the code of its failure. */
function dial(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2_000 });
    const end = (what: string): void => {
      socket.destroy();
      resolve(what);
    };
    socket.on('connect', () => end('open'));
    socket.on('timeout', () => end('ETIMEDOUT'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? 'failed'));
  });
}

describe.each(['both', 'pair', 'operator'] as const)('a host behind a leaf node, form %s', (form) => {
  let lattice: LeafLattice;
  let near: Caller;
  let far: Caller;
  let behind: TrustHost;
  beforeAll(async () => {
    lattice = await LeafLattice.start(hub, form, `lab-${form}`);
    await lattice.host(lattice.direct(), [tiny('far'), streams('far-streams')]);
    behind = await lattice.host(lattice.behind(), [tiny('near'), streams('near-streams')]);
    far = await lattice.caller(lattice.direct());
    near = await lattice.caller(lattice.behind());
  });
  afterAll(() => lattice[Symbol.asyncDispose]());

  it('calls and is called across the hub, verified', async () => {
    expect([...(await callTiny(near, 'far'))]).toEqual([3, 1, 2, 3]);
    expect([...(await callTiny(far, 'near'))]).toEqual([3, 1, 2, 3]);
    expect(behind.logged.find(({ component, outcome }) => component === 'near' && outcome === 'ok')).toMatchObject({
      verified: true,
    });
  });

  it('sends and gets streams of 3 MB across the hub', async () => {
    const content = Buffer.alloc(3 * 1024 * 1024, 'stream ');
    const [there, back] = await Promise.all([copyStream(near, 'far-streams', content), copyStream(far, 'near-streams', content)]);
    expect(there.equals(content)).toBe(true);
    expect(back.equals(content)).toBe(true);
  });

  it('answers questions on control subjects, and knows by the hub that it has the rights it needs', async () => {
    expect(await far.describe('near', 5_000)).toMatchObject({ id: 'near' });
    expect(await near.describe('far', 5_000)).toMatchObject({ id: 'far' });
    const said = behind.logged.filter(({ msg }) => String(msg).startsWith('the hub grants the leaf node'));
    // Servers tell a user's rights since 2.10.
    if (!hub.server.version.startsWith('2.9.'))
      expect(new Set(said.map(({ partition }) => partition))).toEqual(new Set(['ctl', 'rpc']));
  });

  it('hears of what is written into the trust bucket at the hub, and not only when it looks there', async () => {
    const settings = lattice.config(lattice.behind());
    const name = latticeName(lattice.name);
    await using ctl = await lattice.connect('ctl', lattice.behind());
    await using writer = await lattice.connect('ctl', lattice.direct());
    const place = { domain: settings.jsDomain, viaLeaf: true };
    const [here, there] = [await TrustBucket.open(ctl, name, place), await TrustBucket.open(writer, name)];
    const heard: string[] = [];
    const follower = await here!.follow(
      {
        entry: (key, text) => void heard.push(`${key} ${text ?? ''}`),
        current() {},
        rolledBack() {},
        failed() {},
      },
      60_000,
    );
    await ctl.flush();
    // The hub answers this over the connection by which it hears, before, what the sidecar's side subscribes to.
    await here!.list('issuers');
    await there!.put('revoked.nobody', 'no text that proves itself');
    await until(() => heard.includes('revoked.nobody no text that proves itself'));
    follower.end();
    await there!.delete('revoked.nobody');
  });

  it('NAT-13 knows the links and configurations of the lattice, reads and writes them, and hears when others write', async () => {
    const place = { domain: lattice.config(lattice.behind()).jsDomain, viaLeaf: true };
    // Nobody looks by itself in this test.
    const checkEveryMs = 600_000;
    await using here = await startDataHost('', lattice.name, {
      ctl: await lattice.connect('ctl', lattice.behind()),
      place,
      checkEveryMs,
    });
    await using there = await startDataHost('', lattice.name, {
      ctl: await lattice.connect('ctl', lattice.direct()),
      checkEveryMs,
    });
    expect([here.data.state, there.data.state]).toEqual(['current', 'current']);
    await here.ctl.flush();
    await there.data.putConfig('one', { a: '1' });
    // The sidecar's interest has to reach the hub before a word can come back.
    await sleep(200);
    const bundle = await here.data.openConfig(['one']);
    await there.data.putLink(linkOf('a', 'there'));
    await until(() => here.data.links().length === 1);
    await here.data.putLink(linkOf('b', 'here'));
    await until(() => there.data.links().length === 2);
    await there.data.putConfig('one', { a: '2' });
    await until(() => bundle.values()['a'] === '2');
    await Promise.all(
      Array.from({ length: 20 }, (_, at) => (at % 2 ? here : there).data.putLink(linkOf('c', 'x', { name: `n${at}` }))),
    );
    for (const { data } of [here, there]) await until(() => data.linksOf('c').length === 20);

    // A host of wasmCloud 1.x says nothing when it has written, so the command has to do that it followed.
    const operator = hub.ctl.addUser('operator', templateRights('operator-ctl', lattice.name));
    await using person = await lattice.connect('ctl', { ctl: { ...lattice.direct().ctl, credsFile: operator.credsFile } });
    // Looks for what has been heard of are still under way.
    await sleep(1_500);
    const silent = JSON.stringify({ url: '', links: [linkOf('d', 'silent')] });
    await there.ctl.request(`$KV.LATTICEDATA_${lattice.name}.COMPONENT_d`, Buffer.from(silent), { timeoutMs: 5_000 });
    await sleep(500);
    expect(here.data.linksOf('d')).toEqual([]);
    person.publish(`wasmbus.ctl.v1.${lattice.name}.link.put`, new Uint8Array(0));
    await until(() => here.data.linksOf('d').length === 1);
    for (const { standing } of [here, there]) expect(standing()).toEqual([]);
  });

  it('lets nobody in from outside this network namespace', async () => {
    const ports = [...lattice.written.files.map(({ port }) => port), lattice.written.monitorPort];
    const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    const outside = [
      '127.0.0.2',
      ...addresses
        .filter(({ internal }) => !internal)
        .map(({ address, scopeid }) => (scopeid ? `${address}%${scopeid}` : address)),
    ];
    for (const port of ports) {
      expect(await dial('127.0.0.1', port)).toBe('open');
      for (const address of outside) expect(await dial(address, port), address).not.toBe('open');
    }
    const run = promisify(execFile);
    const inOwnNamespace = ['-rn', '/bin/sh', '-c', 'ip link set lo up; exec "$@"', 'sh', process.execPath, '-e'];
    const script = `require('net').connect(${ports[0]}, '127.0.0.1').on('connect', () => console.log('open')).on('error', (e) => console.log(e.code))`;
    const said = await run('unshare', [...inOwnNamespace, script]).catch(() => undefined);
    // Where this user may not make namespaces, the addresses above have to do.
    if (said !== undefined) expect(said.stdout.trim()).toBe('ECONNREFUSED');
  });

  it('lets nobody into control without a key', async () => {
    const question = `wasmbus.ctl.v1.${lattice.name}.trust.report`;
    const ask = async (connection: LatticeConnection): Promise<unknown> =>
      connection
        .request(question, new Uint8Array(0), { timeoutMs: 1_000 })
        .catch((error: unknown) => (error as { code: string }).code);
    await using member = await lattice.connect('ctl', lattice.behind());
    expect(typeof (await ask(member))).toBe('object');

    const { inboxPrefix } = lattice.config(lattice.behind()).rpc;
    for (const { port } of lattice.written.files) {
      const anonymous = connectPartition({
        partition: 'rpc',
        lattice: lattice.name,
        servers: [`nats://127.0.0.1:${port}`],
        inboxPrefix,
        name: 'nobody',
        log: silentLogger(),
      });
      const keyless = form === 'operator' || (form === 'pair' && port === lattice.written.files[0]!.port);
      if (keyless) {
        await expect(anonymous).rejects.toMatchObject({ code: 'TRELLIS_NATS_AUTH_REFUSED' });
        continue;
      }
      await using rpc = await anonymous;
      expect(await ask(rpc)).toMatch(/NO_RESPONDERS|TIMEOUT/);
      let leaked = 0;
      rpc.subscribe('wasmbus.>', {}, () => leaked++);
      rpc.subscribe('$KV.>', {}, () => leaked++);
      await rpc.flush();
      await ask(member);
      await sleep(100);
      expect(leaked).toBe(0);
    }
  });
});
