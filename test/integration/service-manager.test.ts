import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startDaemon, startDaemonLattice } from '../support/daemon-lattice.ts';
import { openCall, STREAMS } from '../support/open-call.ts';
import { until } from '../support/trust-lattice.ts';

const has = (program: string, flag: string): boolean => spawnSync(program, [flag]).status === 0;

/** The socket that systemd would listen on, and what came there; Node has no such sockets. */
const LISTENER = `
use IO::Socket::UNIX; use Socket; $| = 1;
my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die;
print "listening\\n";
while (defined $s->recv(my $m, 4096)) { $m =~ s/\\n/ /g; print "$m\\n"; }
`;

describe.runIf(has('systemd-notify', '--version') && has('perl', '-v'))('a daemon of a unit with Type=notify', () => {
  it('says when it serves, reloads, and stops, and gives its children no socket', async () => {
    await using lattice = await startDaemonLattice();
    const first = await lattice.start('a', { components: [STREAMS] });
    await first[Symbol.asyncDispose]();
    const socket = join(lattice.dir, 'notify');
    const listener = spawn('perl', ['-e', LISTENER, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      let told = '';
      listener.stdout.on('data', (chunk: Buffer) => (told += chunk.toString()));
      await until(() => told.includes('listening'));
      await using host = await startDaemon('a', first.configFile, { NOTIFY_SOCKET: socket, PATH: process.env['PATH']! });
      await until(() => told.includes('READY=1'));
      expect(told).toContain('STATUS=serving in lattice default, components: 1');
      host.program.signal('SIGHUP');
      await until(() => told.split('READY=1').length === 3);
      expect(told).toMatch(/RELOADING=1 MONOTONIC_USEC=\d+/);
      await using caller = await lattice.caller();
      const stream = openCall(caller);
      await until(async () => (await host.metric('trellis_in_flight')) === 1);
      host.program.signal('SIGUSR2');
      await until(() => told.includes('lame duck'));
      // Or systemd would count TimeoutStopSec for what may take lameDuckMs.
      expect(told).not.toContain('STOPPING=1');
      host.program.signal('SIGTERM');
      await until(() => told.includes('STOPPING=1'));
      stream.finish();
      expect(await stream.result).toBe(0);
      expect((await host.program.ended).code).toBe(0);
      expect(host.program.stderr).not.toContain('systemd could not be told');
    } finally {
      listener.kill();
      await once(listener, 'exit');
    }
  });
});
