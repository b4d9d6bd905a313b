import { appendFileSync, chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { sampleFile } from '../../src/development.ts';
import { callEcho, startDaemon, latticeOfFile, startLoad, writeConfig, type RunningDaemon } from '../support/daemon-lattice.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { TestOperator } from '../support/accounts.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { openCall, STREAMS } from '../support/open-call.ts';
import { TINY, until } from '../support/trust-lattice.ts';

const CALLS = 10_000;
const APPLIED = 'configuration applied';
/** A custom section without content, named `x`: other bytes, the same component. */
const CUSTOM_SECTION = Uint8Array.of(0, 2, 1, 0x78);
const REFUSED = 'the new configuration is NOT applied; the one before stays';

const own = latticeOfFile();

/** Sends HUP, and gives back what came of it and the lines that were logged meanwhile. */
async function reload({ program }: RunningDaemon): Promise<{ end: Record<string, unknown>; said: Record<string, unknown>[] }> {
  const before = program.logLines().length;
  const said = (): Record<string, unknown>[] => program.logLines().slice(before);
  program.signal('SIGHUP');
  const isEnd = ({ msg }: Record<string, unknown>): boolean => msg === APPLIED || msg === REFUSED;
  await until(() => said().some(isEnd));
  return { end: said().find(isEnd)!, said: said() };
}

describe('HUP', { timeout: 240_000 }, () => {
  it('LIF-14 lists every error at once and keeps the configuration before, without a lost call', async () => {
    const mine = own.lattice.config('careful', { components: [{ ...TINY, id: 'careful' }] });
    await using host = await own.lattice.start('careful', mine);
    await using load = startLoad(own.caller, 200, { target: 'careful' });
    await until(() => load.ok > 50);
    const pids = await host.metric('trellis_runner_restarts_total');

    // What reading it already shows.
    writeFileSync(
      host.configFile,
      JSON.stringify({ ...mine, drainTimeoutMs: -1, lamDuckMs: 5, limits: { maxInFlight: 'many' }, links: [{ source: 'a b' }] }),
    );
    let { end, said } = await reload(host);
    expect(end['msg']).toBe(REFUSED);
    const settings = said
      .filter(({ level, setting }) => level === 'error' && setting !== undefined)
      .map(({ setting }) => setting);
    expect(settings).toEqual(expect.arrayContaining(['drainTimeoutMs', 'lamDuckMs', 'limits.maxInFlight', 'links[0].source']));

    // A file that is no YAML, and one that is gone.
    writeFileSync(host.configFile, 'components: [');
    expect((await reload(host)).end['msg']).toBe(REFUSED);

    // What only trying shows: each component that cannot run, not the first alone; and the good one is not kept either.
    const bad = join(own.lattice.dir, 'bad.wasm');
    writeFileSync(bad, 'no component');
    const worse = join(own.lattice.dir, 'worse.wasm');
    copyFileSync(sampleFile('hostile/hostile-refused-names.wasm'), worse);
    writeConfig(host.configFile, {
      ...mine,
      components: [
        { ...TINY, id: 'careful' },
        { ...TINY, id: 'good' },
        { id: 'bad', file: bad },
        { id: 'worse', file: worse },
      ],
    });
    ({ end, said } = await reload(host));
    expect(end['msg']).toBe(REFUSED);
    const errors = said.filter(({ level }) => level === 'error').map(({ msg }) => String(msg));
    expect(errors).toEqual(
      expect.arrayContaining([expect.stringContaining('component bad'), expect.stringContaining('component worse')]),
    );
    await expect(callEcho(own.caller, 'good')).rejects.toThrow('Nobody');

    const before = load.ok;
    await until(() => load.ok > before + 50);
    await load.stop();
    expect([...load.failures]).toEqual([]);
    expect(await host.metric('trellis_config_reloads_total{result="refused"}')).toBe(3);
    expect(await host.metric('trellis_runner_restarts_total')).toBe(pids);
    expect((await host.readyz()).status).toBe(200);
  });

  it(`LIF-15 takes over components, links, limits, trust and log level under load: 0 lost of ${CALLS}`, async () => {
    const file = join(own.lattice.dir, 'mine.wasm');
    copyFileSync(sampleFile('echo/tiny.wasm'), file);
    const main = { ...TINY, id: 'main', file };
    const auditFile = join(own.lattice.dir, 'audit.jsonl');
    const mine = own.lattice.config('ready', { components: [main, STREAMS], audit: { file: auditFile } });
    await using host = await own.lattice.start('ready', mine);
    await using load = startLoad(own.caller, 500, { target: 'main' });
    await until(() => load.ok > 100);
    const apply = async (next: HostConfigInput): Promise<Record<string, unknown>> => {
      const from = load.ok;
      writeConfig(host.configFile, next);
      const { end, said } = await reload(host);
      expect(end['msg'], JSON.stringify(said.filter(({ level }) => level === 'error'))).toBe(APPLIED);
      await until(() => load.ok > from + 20);
      return end;
    };

    // The same once more changes nothing.
    expect(await apply(mine)).toMatchObject({ applied: [], needsRestart: [], added: [], changed: [], removed: [] });

    // Another revision, beside which a call of the old one ends in peace.
    const stream = openCall(own.caller);
    await until(async () => (await host.metric('trellis_in_flight')) >= 1);
    const changing = apply({
      ...mine,
      components: [
        { ...main, maxInstances: 3 },
        { ...STREAMS, env: { A: 'b' } },
      ],
    });
    await host.program.logLine(({ msg, component }) => msg === 'component served' && component === 'echo-streams');
    stream.feed();
    stream.finish();
    expect(await stream.result).toBe(3);
    expect(await changing).toMatchObject({ applied: ['components'], changed: ['main', 'echo-streams'] });

    // More components, a link, limits, another level; and what waits for a restart is named.
    const more: HostConfigInput = {
      ...mine,
      components: [
        { ...main, maxInstances: 3 },
        { ...TINY, id: 'second' },
      ],
      links: [{ source: 'main', target: 'second', namespace: 'trellis-samples', package: 'echo', interfaces: ['bytes'] }],
      limits: { maxInFlight: 1_000 },
      log: { level: 'debug' },
      audit: { file: auditFile, maxPerSecond: 7 },
      admin: { listen: false },
    };
    const end = await apply(more);
    expect(end).toMatchObject({
      applied: ['components', 'limits.maxInFlight', 'links', 'log.level'],
      needsRestart: ['admin.listen', 'audit.maxPerSecond'],
      added: ['second'],
      removed: ['echo-streams'],
    });
    await host.program.logLine(({ msg }) => msg === 'needs a restart: admin.listen, audit.maxPerSecond');
    await callEcho(own.caller, 'second');
    expect((await host.readyz()).status).toBe(200);

    // Another file under the same name is another revision.
    appendFileSync(file, CUSTOM_SECTION);
    expect(await apply({ ...more, links: [] })).toMatchObject({ applied: ['links'], changed: ['main'] });

    // Over and over.
    for (let i = 0; load.ok < CALLS; i++) {
      await apply({ ...more, components: [{ ...main, maxQueue: 1_000 + (i % 2) }] });
    }
    await load.stop();
    console.log(`${load.ok} of ${load.sent} calls answered, the slowest in ${Math.round(load.worstMs)} ms`);
    expect([...load.failures]).toEqual([]);

    // Trust, last: the caller is nobody's any more, at once.
    writeConfig(host.configFile, { ...more, trust: { ...mine.trust, unlinkedOrigins: ['somebody-else'] } });
    expect((await reload(host)).end).toMatchObject({ applied: expect.arrayContaining(['trust.unlinkedOrigins']) });
    await expect(callEcho(own.caller, 'main')).rejects.toMatchObject({
      code: expect.stringMatching(/DENIED|NO_RESPONDERS/),
    });
    expect(host.program.stderr).not.toContain('TRELLIS_INTERNAL');
    host.program.signal('SIGTERM');
    expect((await host.program.ended).code).toBe(0);
    const records = readFileSync(auditFile, 'utf8').split('\n');
    expect(records.some((line) => line.includes('config.reload') && line.includes('trust.unlinkedOrigins'))).toBe(true);
  });

  it('LIF-15 moves to other credentials and servers under load, and stays where it is when it cannot', async () => {
    const mine = own.lattice.config('mover', { components: [{ ...TINY, id: 'mover' }] });
    await using host = await own.lattice.start('mover', mine);
    await using elsewhere = await FaultProxy.start(own.lattice.jwt.server.port);
    await using load = startLoad(own.caller, 200, { target: 'mover' });
    await until(() => load.ok > 50);
    const stranger = new TestOperator(own.lattice.dir).addAccount('rpc').addUser('stranger');
    const refusals: [HostConfigInput, RegExp][] = [
      [{ ...mine, rpc: { ...mine.rpc, credsFile: stranger.credsFile } }, /TRELLIS_NATS_AUTH_REFUSED/],
      [
        { ...mine, ctl: { ...mine.ctl, servers: [elsewhere.url] }, rpc: { ...mine.rpc, servers: ['nats://127.0.0.1:1'] } },
        /UNREACHABLE/,
      ],
    ];
    for (const [next, code] of refusals) {
      writeConfig(host.configFile, next);
      const { end, said } = await reload(host);
      expect(end['msg']).toBe(REFUSED);
      expect(JSON.stringify(said)).toMatch(code);
    }
    expect((await host.readyz()).status).toBe(200);

    const { credsFile } = own.lattice.jwt.rpc.addUser('mover-again');
    const next = {
      ...mine,
      ctl: { ...mine.ctl, servers: [elsewhere.url] },
      rpc: { ...mine.rpc, servers: [elsewhere.url], credsFile },
    };
    writeConfig(host.configFile, next);
    const { end } = await reload(host);
    expect(end).toMatchObject({ msg: APPLIED, applied: ['ctl.servers', 'rpc.credsFile', 'rpc.servers'], needsRestart: [] });
    const before = load.ok;
    await until(() => load.ok > before + 200);
    await load.stop();
    console.log(`${load.ok} of ${load.sent} calls answered while both connections moved`);
    expect([...load.failures]).toEqual([]);
    // All of it now goes the other way.
    expect(elsewhere.connections).toBeGreaterThanOrEqual(2);
    await elsewhere.cut();
    await until(async () => (await host.readyz()).body['state'] === 'degraded');
    await elsewhere.heal();
    await until(async () => (await host.readyz()).status === 200);
    await callEcho(own.caller, 'mover');
  });

  it('START-05 accepts no danger that was not accepted at the start', async () => {
    const mine = own.lattice.config('strict', { components: [] });
    await using host = await own.lattice.start('strict', mine);
    const { credsFile } = own.lattice.jwt.rpc.addUser('strict-again');
    chmodSync(credsFile, 0o644);
    const rpc = { ...mine.rpc, credsFile };
    writeConfig(host.configFile, { ...mine, rpc, allow: ['exposed-files'] });
    const { end, said } = await reload(host);
    expect(end['msg']).toBe(REFUSED);
    expect(said.map(({ msg }) => msg)).toContain('allow: exposed-files counts from the next start, and this needs it now');
    // It is free to be accepted before it is needed.
    writeConfig(host.configFile, { ...mine, allow: ['exposed-files'] });
    expect((await reload(host)).end).toMatchObject({ msg: APPLIED, needsRestart: ['allow'] });
  });

  it('is refused while seeds come by the environment, which is read once', async () => {
    const mine = own.lattice.config('sealed', { components: [] });
    await using first = await own.lattice.start('sealed', mine);
    first.program.signal('SIGTERM');
    await first.program.ended;
    const { clusterSeedFile: _, ...trust } = mine.trust!;
    writeConfig(first.configFile, { ...mine, trust });
    const seed = SigningKey.generate('cluster').exportSeed().reveal();
    await using host = await startDaemon('sealed', first.configFile, { TRELLIS_TRUST_CLUSTER_SEED: seed });
    host.program.signal('SIGHUP');
    await host.program.logLine(({ msg }) => msg === 'the configuration is not read again');
    expect((await host.readyz()).status).toBe(200);
    expect(host.program.stderr).not.toContain(seed);
  });
});
