import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { builtFile } from '../support/built-program.ts';
import { startServer } from '../support/nats-server.ts';
import { until } from '../support/raw-peer.ts';
import { WASH } from './peer-programs.ts';
import { Wash } from './wash.ts';
import { describeWithPeers } from './with-peers.ts';
import { WORDS } from './words.ts';

describeWithPeers('the real `wash up`', [WASH], () => {
  it('starts a Trellis host in place of its own, by its environment alone, and `wash down` ends it', async () => {
    await using server = await startServer({ jetstream: true });
    using wash = new Wash(server.port, 'default', {
      WASMCLOUD_NATS_HOST: '127.0.0.1',
      WASMCLOUD_NATS_PORT: String(server.port),
      // What wash does not know of is inherited.
      TRELLIS_DEV: 'true',
    });
    const launcher = join(wash.home, 'trellis-host');
    writeFileSync(launcher, `#!/bin/sh\nexec "${process.execPath}" "${builtFile('daemon/main.ts')}" "$@"\n`);
    chmodSync(launcher, 0o755);
    const log = join(wash.home, 'host.log');

    const args = ['--detached', '--nats-connect-only', '--disable-wadm', '--wasmcloud-version', 'v1.9.1', '--label', 'zone=here'];
    const up = await wash.run('up', ...args, '--host-path', launcher, '--host-log-path', log);
    expect(up.code, up.stderr).toBe(0);
    try {
      const hosts = async () =>
        (await wash.json('get', 'hosts'))['hosts'] as unknown as { id: string; labels: Record<string, string> }[];
      await until('the host is on the lattice', async () => (await hosts()).length === 1, 60_000);
      const [host] = await hosts();
      expect(host!.labels).toMatchObject({ zone: 'here' });
      // wash allows files unless told otherwise, and says so in the environment.
      await wash.json('start', 'component', `${WORDS}/speaker-one.wasm`, 'speaker');
      const down = await wash.run('down');
      expect(down.code, down.stderr).toBe(0);
      expect(down.json).toMatchObject({ hosts_stopped: [host!.id] });
      await until('the host has said that it stopped', () => readFileSync(log, 'utf8').includes('"msg":"stopped"'));
    } finally {
      const pid = pidOf(wash.home);
      if (pid !== undefined && isRunning(pid)) process.kill(pid, 'SIGKILL');
    }
  });
});

/** What wash has written down of the host that it started; it removes that with `wash down`. */
function pidOf(home: string): number | undefined {
  try {
    const text = readFileSync(join(home, 'downloads/wasmcloud.pid'), 'utf8');
    return (JSON.parse(text) as { pid: number }).pid;
  } catch {
    return undefined;
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
