import { once } from 'node:events';
import { join, relative } from 'node:path';
import type { Command } from 'commander';
import { startAdmin } from '../../daemon/admin.ts';
import { startDevelopmentLattice, type DevelopmentLattice } from '../../development.ts';
import { createLogger } from '../../telemetry/log.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { packageDir, typedCommand } from '../package-dir.ts';

interface UpOptions {
  readonly port: string;
  readonly stateDir?: string;
  readonly secure?: true;
  readonly verify: 'enforce' | 'observe' | 'off';
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/** `trellis up`: a development lattice on loopback, until Ctrl-C. */
export function register(program: Command): void {
  program
    .command('up')
    .description('start a development lattice on loopback: NATS server, host, sample components')
    .option('--port <number>', 'port of the NATS server; a free one if it is taken', '4222')
    .option(
      '--secure',
      'as in production: TLS with an authority of its own, operator mode, a user with the least rights for each connection; made once and kept',
    )
    .option('--state-dir <dir>', 'where JetStream, keys, credentials and the cache live; .trellis/dev, or .trellis/dev-secure')
    .option('--verify <mode>', 'enforce, observe or off', 'enforce')
    .option('--log-level <level>', 'least level that is logged', 'warn')
    .addHelpText('after', examples('trellis up', 'trellis up --port 4333 --log-level info', 'trellis up --secure'))
    .action(async (options: UpOptions, command: Command) => {
      const output = outputOf(command);
      const secure = options.secure === true;
      const log = createLogger({ level: options.logLevel });
      const metrics = createMetrics();
      // Before the first child starts: Ctrl-C from here on drains instead of killing.
      const stop = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
      const lattice = await startDevelopmentLattice({
        stateDir: options.stateDir ?? join(packageDir, '.trellis', secure ? 'dev-secure' : 'dev'),
        secure,
        port: portOf(options.port),
        log,
        metrics,
        overrides: { trust: { verify: options.verify } },
        onStep: (step) => output.progress(`  starting ${step}`),
      });
      const admin = await startAdmin({ listen: '127.0.0.1:0', metrics, status: () => lattice.host.status() });
      output.result(facts(lattice, admin.url), (print) => {
        for (const line of banner(lattice, admin.url)) print(line);
      });
      const ended = await Promise.race([stop.then(() => undefined), lattice.host.closed, lattice.server.exited]);
      output.progress('');
      output.progress(
        ended === undefined ? 'Draining; again to stop at once.' : 'The lattice ended by itself; stopping the rest.',
      );
      process.once('SIGINT', () => void lattice.host.stop());
      await admin.close();
      await lattice.stop();
      metrics.close();
      output.progress('Stopped.');
      if (ended !== undefined) process.exitCode = 69;
    });
}

function portOf(text: string): number {
  const port = Number(text);
  return Number.isInteger(port) && port >= 0 && port <= 65_535 ? port : 0;
}

function facts(lattice: DevelopmentLattice, adminUrl: string): object {
  const { host, server, url, callerConfigFile } = lattice;
  return {
    lattice: host.status().lattice,
    natsServer: { url, version: server.program.version, pid: server.pid },
    host: { id: host.id, adminUrl, pid: process.pid },
    components: host.status().components,
    callerConfigFile,
  };
}

function banner({ host, server, url, made }: DevelopmentLattice, adminUrl: string): string[] {
  const how = url.startsWith('tls:') ? 'TLS, operator mode' : 'with JetStream';
  const rows = [
    ['nats-server', url, `version ${server.program.version}, ${how}`],
    ['host', adminUrl, '/livez  /readyz  /metrics'],
    ...host.status().components.map(({ id, digest, pids }) => [id, `runner ${pids.join(', ')}`, digest.slice(0, 19)]),
  ];
  return [
    '',
    `The lattice "${host.status().lattice}" is ready.`,
    '',
    ...(made.length > 0 ? [`Made or renewed: ${made.join(', ')}.`, ''] : []),
    ...tableLines(['what', 'where', 'more'], rows),
    '',
    'Try, in a second terminal:',
    `  ${typedCommand} call hello greeting.greet --json '["Ada"]'`,
    `  ${typedCommand} call greeter-chain greeter.greet-all --json '[["Ada", "Grace"]]'`,
    `  ${typedCommand} get inventory`,
    `  ${typedCommand} inspect ${relative(process.cwd(), join(packageDir, 'components/echo/echo.wasm'))}`,
    '',
    'Ctrl-C drains and stops what this command started, and nothing else.',
  ];
}
