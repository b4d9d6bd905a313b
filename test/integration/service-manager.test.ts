import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startDaemon, startDaemonLattice } from '../support/daemon-lattice.ts';
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
  it('says when it serves and when it stops, and gives its children no socket', async () => {
    await using lattice = await startDaemonLattice();
    const first = await lattice.start('a');
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
      host.program.signal('SIGTERM');
      expect((await host.program.ended).code).toBe(0);
      await until(() => told.includes('STOPPING=1'));
      expect(told.indexOf('READY=1')).toBeLessThan(told.indexOf('STOPPING=1'));
      expect(host.program.stderr).not.toContain('systemd could not be told');
    } finally {
      listener.kill();
      await once(listener, 'exit');
    }
  });
});
