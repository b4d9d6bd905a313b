import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/schema.ts';
import { startHost } from '../../src/host.ts';
import { createLogger, silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { helloComponent } from '../support/components.ts';
import { startTestLattice } from '../support/lattice.ts';
import { startServer } from '../support/nats-server.ts';
import { takesAtMost } from '../support/takes-at-most.ts';
import { memberConfig, seedFile } from '../support/trust-lattice.ts';
import { SigningKey } from '../../src/trust/nkey.ts';

/** Processes of this one that run a component. */
function runners(): string[] {
  const own: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0]);
      if (parent === process.pid && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('runner/main')) own.push(pid);
    } catch {
      // It has just ended.
    }
  }
  return own;
}

describe('a host that ends', () => {
  it.runIf(process.platform === 'linux')('leaves no runner behind when one component fails its start', async () => {
    const bad = join(mkdtempSync(join(tmpdir(), 'trellis-bad-')), 'bad.wasm');
    writeFileSync(bad, 'no component');
    const before = runners();
    // Two are started at a time: the good one is still under way when the bad one ends the start.
    const components = [
      { id: 'good', file: helloComponent().file },
      { id: 'bad', file: bad },
    ];
    await expect(startTestLattice({ components })).rejects.toMatchObject({ code: 'TRELLIS_COMPONENT_INVALID' });
    for (let looks = 0; looks < 15; looks++) {
      expect(runners().filter((pid) => !before.includes(pid))).toEqual([]);
      await delay(100);
    }
  });

  it('asks for nothing any more when its start fails after it has joined', async () => {
    await using server = await startServer({ jetstream: true });
    const logged: Record<string, unknown>[] = [];
    const log = createLogger({
      level: 'debug',
      format: 'json',
      destination: { write: (line) => void logged.push(JSON.parse(line) as Record<string, unknown>) },
    });
    const wrong = seedFile(server.dir, 'wrong', SigningKey.generate('server'));
    const clusterSeedFile = seedFile(server.dir, 'cluster', SigningKey.generate('cluster'));
    const config = memberConfig(server.url, {
      stateDir: join(server.dir, 'state'),
      trust: { clusterSeedFile, wasmbus: { seedFile: wrong } },
    });
    await expect(startHost({ config, log, metrics: createMetrics({ eventLoop: false }) })).rejects.toMatchObject({
      code: 'TRELLIS_KEY_INVALID',
    });
    const before = logged.length;
    // The trust bucket is looked at every five seconds.
    await delay(6_000);
    expect(logged.slice(before)).toEqual([]);
  });

  it('LIF-03 drains within its time although the server has stopped answering', async () => {
    await using test = await startTestLattice({
      drainTimeoutMs: 1_000,
      components: [{ id: 'hello', file: helloComponent().file }],
    });
    const { host, server } = test.lattice;
    server.signal('SIGSTOP');
    try {
      const startedMs = performance.now();
      await host.drain();
      const tookMs = performance.now() - startedMs;
      await takesAtMost(2_000, () => tookMs);
    } finally {
      server.signal('SIGCONT');
    }
  });
});

describe.runIf(process.platform === 'linux')('a host that is told to stop while it takes over a configuration', () => {
  it.each([0, 100, 400, 1_000])('stops, %i ms after it was told, and leaves no runner', async (delayMs) => {
    const before = runners();
    const hello = { id: 'hello', file: helloComponent().file };
    await using test = await startTestLattice({ components: [hello] });
    const { host, config } = test.lattice;
    const next = parseConfig({
      ...config,
      components: [
        { ...hello, maxInstances: 2 },
        { ...hello, id: 'more' },
      ],
    });
    const reloading = host.reload(next);
    await delay(delayMs);
    await host.drain();
    const outcome = await reloading;
    // Either it was done, or it was given up; nothing in between.
    if ('errors' in outcome) expect(outcome.errors).toMatchObject([{ code: 'TRELLIS_HOST_BUSY' }]);
    else expect(outcome).toMatchObject({ added: ['more'], changed: ['hello'] });
    expect(host.status().state).toBe('stopped');
    await expect.poll(() => runners().filter((pid) => !before.includes(pid))).toEqual([]);
    expect(await host.reload(next)).toMatchObject({ errors: [{ code: 'TRELLIS_HOST_BUSY' }] });
  });
});

describe('a host beyond this computer', () => {
  it.each([
    ['with an ad hoc key', {}, 'ad hoc key'],
    ['without verification', { verify: 'off', clusterSeedFile: '/none' }, 'verification is switched off'],
  ] as const)('START-10 does not start %s, as a library neither', async (_what, trust, message) => {
    // Nobody answers there (RFC 5737); it must not even be dialled.
    const connection = { servers: ['tls://192.0.2.1:4222'], tls: { serverName: 'nats.example' }, connectTimeoutMs: 100 };
    const stateDir = mkdtempSync(join(tmpdir(), 'trellis-remote-'));
    const config = parseConfig({ ctl: connection, rpc: connection, trust, stateDir });
    const started = startHost({ config, log: silentLogger(), metrics: createMetrics({ eventLoop: false }) });
    await expect(started).rejects.toMatchObject({
      code: 'TRELLIS_CONFIG_INVALID',
      message: expect.stringContaining(message),
    });
  });
});
