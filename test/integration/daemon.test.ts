import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CACHE_DIR } from '../support/cache-dir.ts';
import { echoComponent } from '../support/components.ts';
import { startServer } from '../support/nats-server.ts';
import type { TestServer } from '../support/nats-server.ts';
import { Program, runProgram } from '../support/program.ts';
import { takesAtMost } from '../support/takes-at-most.ts';

let server: TestServer;
let dir: string;
beforeAll(async () => {
  server = await startServer();
  dir = mkdtempSync(join(tmpdir(), 'trellis-daemon-'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const environment = (): Record<string, string> => ({
  TRELLIS_CTL_SERVERS: server.url,
  TRELLIS_RPC_SERVERS: server.url,
  TRELLIS_CACHE_DIR: CACHE_DIR,
  TRELLIS_STATE_DIR: join(dir, 'state'),
  TRELLIS_DEV: 'true',
});

async function startDaemon(...args: string[]): Promise<{ daemon: Program; admin: string } & AsyncDisposable> {
  const daemon = new Program('daemon', args, { env: environment() });
  const line = await daemon.logLine(({ msg }) => msg === 'health and metrics');
  return { daemon, admin: String(line['url']), [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() };
}

const status = async (url: string): Promise<number> => (await fetch(url)).status;

describe('the daemon', () => {
  it('serves a component, says so, answers health and metrics, and drains on TERM with exit code 0', async () => {
    const { daemon, admin } = await startDaemon('--component', `echo=${echoComponent().file}`);
    await using running = daemon;
    await running.logLine(({ msg }) => msg === 'ready');
    expect(await status(`${admin}/livez`)).toBe(200);
    const ready = await fetch(`${admin}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([200, { status: 'ok' }]);
    const metrics = await (await fetch(`${admin}/metrics`)).text();
    expect(metrics).toContain('trellis_in_flight 0');
    expect(metrics).toContain('process_resident_memory_bytes');

    running.signal('SIGTERM');
    const end = await running.ended;
    expect([end.code, end.signal]).toEqual([0, undefined]);
    const messages = running.logLines().map((line) => line['msg']);
    expect(messages).toEqual(expect.arrayContaining(['starting', 'ready', 'draining', 'stopped']));
    expect(end.stdout).toBe('');
  });

  it('drains and ends although nobody takes its log any more', async () => {
    await using started = await startDaemon('--component', `echo=${echoComponent().file}`);
    const { daemon } = started;
    daemon.closeLogAfter('"msg":"ready"');
    await daemon.logLine(({ msg }) => msg === 'ready');
    daemon.signal('SIGTERM');
    const end = await daemon.ended;
    expect([end.code, end.signal]).toEqual([0, undefined]);
    expect(end.stderr).not.toContain('"draining"');
  });

  it('answers only GET and HEAD on known paths, and only names of this computer', async () => {
    await using started = await startDaemon();
    const { admin } = started;
    expect((await fetch(`${admin}/livez`, { method: 'POST' })).status).toBe(405);
    expect((await fetch(`${admin}/livez`, { method: 'HEAD' })).status).toBe(200);
    expect(await status(`${admin}/env`)).toBe(404);
    const { request } = await import('node:http');
    const foreign = await new Promise<number | undefined>((resolve, reject) => {
      request(`${admin}/metrics`, { headers: { host: 'evil.example' } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
    expect(foreign).toBe(403);
  });

  it('ends with 130 or 143 on a second signal, within a second', async () => {
    await takesAtMost(1_000, async () => {
      const { daemon } = await startDaemon();
      await using running = daemon;
      await running.logLine(({ msg }) => msg === 'ready');
      running.signal('SIGINT');
      running.signal('SIGTERM');
      const startedMs = performance.now();
      const end = await running.ended;
      // The drain of an idle host may win the race.
      expect([0, 130, 143]).toContain(end.code);
      return performance.now() - startedMs;
    });
  });

  it('LIF-03 ends within the drain time and a second when NATS is away', async () => {
    await using own = await startServer();
    const env = {
      ...environment(),
      TRELLIS_CTL_SERVERS: own.url,
      TRELLIS_RPC_SERVERS: own.url,
      TRELLIS_DRAIN_TIMEOUT_MS: '1000',
    };
    await using daemon = new Program('daemon', ['--component', `echo=${echoComponent().file}`], { env });
    const line = await daemon.logLine(({ msg }) => msg === 'health and metrics');
    await daemon.logLine(({ msg }) => msg === 'ready');
    await own.kill();
    await expect.poll(() => status(`${String(line['url'])}/readyz`)).toBe(503);
    expect(await status(`${String(line['url'])}/livez`)).toBe(200);
    const startedMs = performance.now();
    daemon.signal('SIGTERM');
    const end = await daemon.ended;
    expect(end.code).toBe(0);
    const tookMs = performance.now() - startedMs;
    await takesAtMost(2_000, () => tookMs);
  });

  it('says what is wrong and ends with 5 when NATS cannot be reached', async () => {
    const end = await runProgram('daemon', [], {
      env: {
        ...environment(),
        TRELLIS_RPC_SERVERS: 'nats://127.0.0.1:1',
        TRELLIS_CTL_SERVERS: 'nats://127.0.0.1:1',
        TRELLIS_CTL_CONNECT_TIMEOUT_MS: '500',
      },
    });
    expect(end.code).toBe(5);
    expect(end.stderr).toContain('TRELLIS_NATS_');
  });

  it('takes one free port for health and says when a fixed one is taken', async () => {
    await using started = await startDaemon();
    const { admin } = started;
    const end = await runProgram('daemon', ['--admin-listen', new URL(admin).host], { env: environment() });
    expect(end.code).toBe(78);
    expect(end.stderr).toContain('TRELLIS_ADMIN_LISTEN');
  });
});
