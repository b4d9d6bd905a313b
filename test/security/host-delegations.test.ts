import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectCaller, type Caller } from '../../src/caller.ts';
import { parseConfig, type HostConfigInput } from '../../src/config/schema.ts';
import { COMMAND_LINE_ORIGIN, sampleFile } from '../../src/development.ts';
import { startHost, type Host } from '../../src/host.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { mintDelegation, openDelegation } from '../../src/trust/delegation.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { signRevocation } from '../../src/trust/revocation.ts';
import { EVERYBODY } from '../../src/trust/scope.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { until } from '../support/raw-peer.ts';

const ECHO = { target: 'echo', instance: 'trellis-samples:echo/values@0.1.0', func: 'echo-string' };
const PARAMS = Buffer.from('\u0005hello', 'latin1');

let test: TestLattice;
let dir: string;
let issuer: SigningKey;

beforeAll(async () => {
  test = await startTestLattice({ components: [{ id: 'echo', file: sampleFile('echo/echo.wasm') }] });
  dir = mkdtempSync(join(tmpdir(), 'trellis-delegations-'));
  issuer = SigningKey.fromSeed(readFileSync(test.lattice.config.trust.clusterSeedFile!, 'utf8').trim(), 'cluster');
});
afterAll(async () => {
  await test[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

interface Minted {
  readonly key: SigningKey;
  readonly trust: NonNullable<HostConfigInput['trust']>;
  readonly hostSeedFile: string;
  readonly file: string;
}

/** A key of its own with a delegation in a file, as an operator hands them out. */
function minted(name: string, origins: readonly string[] | typeof EVERYBODY, targets: readonly string[] = []): Minted {
  const key = SigningKey.generate('server');
  const hostSeedFile = join(dir, `${name}.seed`);
  const file = join(dir, `${name}.delegation`);
  writeFileSync(hostSeedFile, `${key.exportSeed().reveal()}\n`, { mode: 0o600 });
  writeFileSync(file, `${mint(key, origins, targets)}\n`);
  return { key, hostSeedFile, file, trust: { delegationFile: file, clusterIssuers: [issuer.publicKey] } };
}

function mint(key: SigningKey, origins: readonly string[] | typeof EVERYBODY, targets: readonly string[]): string {
  const common = { lattice: 'default', epoch: 0, nowMs: Date.now(), lifetimeMs: 3_600_000 };
  return mintDelegation(issuer, { ...common, subject: key.publicKey, origins, targets });
}

/** A caller with that key and delegation. */
function joinWith(m: Minted, origin = COMMAND_LINE_ORIGIN): Promise<Caller> {
  const { ctl, rpc } = test.lattice.config;
  const config = parseConfig({
    dev: true,
    ctl: { servers: ctl.servers },
    rpc: { servers: rpc.servers },
    hostSeedFile: m.hostSeedFile,
    trust: { ...m.trust, refusalGraceMs: 50 },
  });
  return connectCaller({ config, log: silentLogger(), metrics: createMetrics({ eventLoop: false }), origin });
}

const call = (caller: Caller, timeoutMs = 5_000): Promise<Uint8Array> => caller.call({ ...ECHO, params: PARAMS, timeoutMs });
const member = () => test.lattice.host.member!;
const denials = (code: string): number => test.logged.filter((line) => line['code'] === code).length;

describe('a lattice of hosts with keys of their own', () => {
  it('host and caller sign with two keys, neither of them the issuer, each within its scope', async () => {
    await expect(call(test.caller)).resolves.toEqual(PARAMS);
    const [host, caller] = [member().delegation.held.claims, test.caller.member.delegation.held.claims];
    expect(host).toMatchObject({ iss: issuer.publicKey, sub: test.lattice.host.id, org: 'echo', tgt: 'echo' });
    expect(caller).toMatchObject({ iss: issuer.publicKey, org: COMMAND_LINE_ORIGIN, tgt: '' });
    expect(caller.sub).not.toBe(host.sub);
  });

  it('SCP-01 a member whose delegation does not name the caller does not send, and is refused when it does', async () => {
    await using caller = await joinWith(minted('narrow', ['somebody-else']));
    await expect(call(caller)).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_SCOPE' });
    // The thief of its key writes what it likes.
    const { member: own } = caller;
    const { subject, reply } = { subject: `default.echo.wrpc.0.0.1.${ECHO.instance}.${ECHO.func}`, reply: '_INBOX_THIEF.x.y' };
    const before = denials('TRELLIS_VERIFY_SCOPE');
    const runs = test.runs('echo');
    own.signer.request(
      { origin: COMMAND_LINE_ORIGIN, link: 'default', ...ECHO, subject, reply, params: PARAMS, epk: undefined },
      (token) =>
        own.rpc.publish(subject, PARAMS, {
          reply,
          headers: {
            entries: [
              ['Lattice-Invocation', token],
              ['Lattice-Delegation', own.delegation.held.text],
            ],
          },
        }),
    );
    await until('the refusal', () => denials('TRELLIS_VERIFY_SCOPE') === before + 1);
    expect(test.runs('echo')).toBe(runs);
  });

  it('SCP-02 a host whose delegation does not name a component cannot answer for it', async () => {
    const { ctl, rpc, cacheDir } = test.lattice.config;
    const rogue = minted('rogue', ['other'], ['other']);
    const metrics = createMetrics({ eventLoop: false });
    const config = parseConfig({
      dev: true,
      ctl: { servers: ctl.servers },
      rpc: { servers: rpc.servers },
      hostSeedFile: rogue.hostSeedFile,
      trust: { ...rogue.trust, unlinkedOrigins: [COMMAND_LINE_ORIGIN] },
      components: [{ id: 'victim', file: sampleFile('echo/echo.wasm') }],
      cacheDir,
      stateDir: join(dir, 'rogue-state'),
      admin: { listen: false },
    });
    await using host: Host = await startHost({ config, log: silentLogger(), metrics });
    const answer = test.caller.call({ ...ECHO, target: 'victim', params: PARAMS, timeoutMs: 1_500 });
    await expect(answer).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_UNAUTHENTICATED' });
    expect(host.status().components[0]!.calls).toBe(1);
  });
});

describe('introductions', () => {
  /** Sends `count` calls through `caller` and gives the headers that each carried. */
  async function seen(
    caller: Caller,
    count: number,
  ): Promise<{ token: string; delegation: string | undefined; need?: string }[]> {
    const messages: { token: string; delegation: string | undefined }[] = [];
    const subject = `default.echo.wrpc.0.0.1.${ECHO.instance}.${ECHO.func}`;
    const tap = test.caller.member.rpc.subscribe(subject, {}, (m) =>
      messages.push({ token: m.header('Lattice-Invocation') ?? '', delegation: m.header('Lattice-Delegation') }),
    );
    await test.caller.member.rpc.flush();
    for (let n = 0; n < count; n++) await expect(call(caller)).resolves.toEqual(PARAMS);
    await test.caller.member.rpc.flush();
    tap.unsubscribe();
    return messages;
  }

  it('a new delegation is shown unasked, and each call goes out once', async () => {
    await using caller = await joinWith(minted('new', [COMMAND_LINE_ORIGIN]));
    const messages = await seen(caller, 3);
    expect(messages.map(({ delegation }) => delegation)).toEqual(Array(3).fill(caller.member.delegation.held.text));
  });

  it('a host that does not know a signer asks once, runs nothing before, and gets the same token again', async () => {
    await using caller = await joinWith(minted('silent', [COMMAND_LINE_ORIGIN]));
    const { introductions } = caller.member;
    const ofCall = introductions.ofCall.bind(introductions);
    introductions.ofCall = () => ({ ...ofCall(), unasked: false });
    const runs = test.runs('echo');
    const messages = await seen(caller, 2);
    expect(messages.map(({ delegation }) => delegation !== undefined)).toEqual([false, true, false]);
    expect(messages[0]!.token).toBe(messages[1]!.token);
    expect(test.runs('echo')).toBe(runs + 2);
  });

  it('whoever asks again and again gets one more message and no more', async () => {
    await using caller = await joinWith(minted('asked', [COMMAND_LINE_ORIGIN]));
    const { rpc } = caller.member;
    let messages = 0;
    const asker = rpc.subscribe('default.nobody.wrpc.0.0.1.a:b/c.d', {}, ({ reply }) => {
      messages++;
      for (let n = 0; n < 5; n++) {
        rpc.publish(reply, new Uint8Array(0), {
          headers: { status: 401, statusText: 'denied', entries: [['Lattice-Need', 'delegation']] },
        });
      }
    });
    await rpc.flush();
    const answer = caller.call({ target: 'nobody', instance: 'a:b/c', func: 'd', params: PARAMS, timeoutMs: 2_000 });
    await expect(answer).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_DENIED' });
    asker.unsubscribe();
    expect(messages).toBe(2);
  });
});

describe('revocation', () => {
  it('a host that is revoked is refused from its next call on, and believed again with a new delegation', async () => {
    const m = minted('revoked', [COMMAND_LINE_ORIGIN]);
    await using caller = await joinWith(m);
    await call(caller);
    const iat = Date.now();
    const text = signRevocation(issuer, { v: 2, iat, lat: 'default', iss: issuer.publicKey, sub: m.key.publicKey, frm: iat });
    expect(member().trust.takeRevocation(text)).toBe('taken');
    await expect(call(caller)).rejects.toMatchObject({ code: 'TRELLIS_INVOKE_DENIED' });
    await until('time to pass', () => Date.now() > iat);
    writeFileSync(m.file, mint(m.key, [COMMAND_LINE_ORIGIN], []));
    await caller.member.delegation.renew();
    await expect(call(caller)).resolves.toEqual(PARAMS);
  });

  it('a member that learns of its own revocation renews by itself', async () => {
    const { member: own } = test.caller;
    const { kid, claims } = own.delegation.held;
    const text = signRevocation(issuer, {
      v: 2,
      iat: claims.iat,
      lat: 'default',
      iss: issuer.publicKey,
      sub: kid,
      frm: claims.iat,
    });
    for (const { trust } of [own, member()]) expect(trust.takeRevocation(text)).toBe('taken');
    await until('the renewal', () => own.delegation.held.kid !== kid);
    await expect(call(test.caller)).resolves.toEqual(PARAMS);
  });
});

describe('renewal', () => {
  it('under calls loses none, on either side', async () => {
    const kids = new Set<string>();
    let failures = 0;
    let calls = 0;
    for (let round = 0; round < 20; round++) {
      const batch = Array.from({ length: 10 }, () => call(test.caller, 10_000).catch(() => void failures++));
      calls += batch.length;
      await Promise.all([...batch, test.caller.member.delegation.renew(), member().delegation.renew()]);
      kids.add(test.caller.member.delegation.held.kid).add(member().delegation.held.kid);
    }
    expect({ calls, failures, kids: kids.size }).toEqual({ calls: 200, failures: 0, kids: 40 });
  });

  it('a file that cannot be used changes nothing, and its repair is noticed', async () => {
    const m = minted('file', [COMMAND_LINE_ORIGIN]);
    await using caller = await joinWith(m);
    const { delegation } = caller.member;
    const { kid } = delegation.held;
    for (const text of ['', 'nonsense', mint(SigningKey.generate('server'), EVERYBODY, [])]) {
      writeFileSync(m.file, text);
      await delegation.renew();
      expect(delegation.held.kid).toBe(kid);
    }
    writeFileSync(m.file, mint(m.key, [COMMAND_LINE_ORIGIN], []));
    await until('the new file to be noticed', () => delegation.held.kid !== kid);
    await call(caller);
  });

  it('without a delegation that counts nobody joins', async () => {
    const m = minted('wrong', [COMMAND_LINE_ORIGIN]);
    writeFileSync(m.file, mint(SigningKey.generate('server'), EVERYBODY, []));
    await expect(joinWith(m)).rejects.toMatchObject({ code: 'TRELLIS_DELEGATION_INVALID' });
  });
});

describe('the cluster seed', () => {
  /** Every string that can be reached from `root`, private fields excepted, which `inspect` shows none of. */
  function strings(root: unknown): string {
    return inspect(root, { depth: 12, maxStringLength: Infinity, maxArrayLength: Infinity, showHidden: true });
  }

  it('LEK-02 of the environment or of a file is not in what a running member holds', async () => {
    const { ctl, rpc } = test.lattice.config;
    const seed = SigningKey.generate('cluster').exportSeed().reveal();
    const seedFile = join(dir, 'cluster.seed');
    writeFileSync(seedFile, seed, { mode: 0o600 });
    for (const trust of [{ clusterSeed: seed }, { clusterSeedFile: seedFile }]) {
      const config = parseConfig({ dev: true, ctl: { servers: ctl.servers }, rpc: { servers: rpc.servers }, trust });
      const metrics: Metrics = createMetrics({ eventLoop: false });
      await using caller = await connectCaller({ config, log: silentLogger(), metrics, origin: COMMAND_LINE_ORIGIN });
      expect(openDelegation(caller.member.delegation.held.text)).toBeDefined();
      expect(strings([config, caller, caller.member, caller.member.delegation])).not.toContain(seed.slice(4, 50));
      const { kid } = caller.member.delegation.held;
      await caller.member.delegation.renew();
      expect(caller.member.delegation.held.kid).not.toBe(kid);
    }
  });
});
