import { isLoopback, ProblemList, readServer } from './check-context.ts';
import type { CheckContext } from './check-context.ts';
import type { Problem } from './problems.ts';
import { sameCredentials } from './secret-files.ts';

/** START-01 to START-04 and the addresses themselves: how the two connections would be made. */
export function checkConnections(context: CheckContext): Problem[] {
  const problems = new ProblemList(context.sourceOf);
  for (const partition of ['ctl', 'rpc'] as const) checkPartition(context, partition, problems);
  checkSameCredentials(context, problems);
  return problems.found;
}

function checkPartition({ config }: CheckContext, name: 'ctl' | 'rpc', problems: ProblemList): void {
  const partition = config[name];
  for (const [i, server] of partition.servers.entries()) {
    const setting = `${name}.servers[${i}]`;
    const address = readServer(server);
    if (address === undefined || (address.scheme !== 'nats' && address.scheme !== 'tls')) {
      problems.add('START-14', setting, {
        summary: 'This is no NATS server address.',
        value: server,
        why: 'The host speaks the NATS protocol over TCP or TLS only.',
        fix: 'Write nats://host:port or tls://host:port.',
      });
      continue;
    }
    if (address.userInfo) {
      problems.add('START-01', setting, {
        summary: 'A NATS address holds a user, password or token.',
        value: server,
        why: 'Addresses are logged and shown, and such a login can be repeated by whoever reads it once.',
        fix: `Remove the part before @ and set ${name}.credsFile.`,
      });
    }
    if (isLoopback(address.host)) continue;
    const anonymous =
      partition.credsFile === undefined && partition.seedFile === undefined && partition.tls?.certFile === undefined;
    if (anonymous) {
      problems.add('START-02', setting, {
        summary: `The ${name} connection would log in to another computer as nobody.`,
        value: server,
        why: 'A server that lets anybody in lets anybody read and answer invocations.',
        fix: `Set ${name}.credsFile to this host's credentials.`,
      });
    }
    if (address.scheme !== 'tls' && partition.tls === undefined) {
      problems.add('START-03', setting, {
        summary: `The ${name} connection would leave this computer without TLS.`,
        value: server,
        why: 'Anyone on the path could read and change traffic, and see the login.',
        fix: `Use tls:// and set ${name}.tls.caFile. For a local sidecar use 127.0.0.1.`,
      });
    }
  }
  const conflict = (other: string, summary: string, fix: string): void =>
    problems.add('START-14', `${name}.${other}`, { summary, why: 'Two logins, or half of one, cannot be used.', fix });
  if (partition.credsFile !== undefined && (partition.jwtFile !== undefined || partition.seedFile !== undefined)) {
    conflict(
      'credsFile',
      `${name}.credsFile and ${name}.${partition.jwtFile === undefined ? 'seedFile' : 'jwtFile'} exclude each other.`,
      'Keep one of them.',
    );
  }
  if (partition.jwtFile !== undefined && partition.seedFile === undefined) {
    conflict('jwtFile', `${name}.jwtFile needs ${name}.seedFile.`, `Set ${name}.seedFile, or ${name}.credsFile alone.`);
  }
  if ((partition.tls?.certFile === undefined) !== (partition.tls?.keyFile === undefined)) {
    conflict('tls', `${name}.tls.certFile and ${name}.tls.keyFile belong together.`, 'Set both or neither.');
  }
}

function checkSameCredentials({ config }: CheckContext, problems: ProblemList): void {
  if (config.dev) return;
  for (const kind of ['credsFile', 'seedFile'] as const) {
    const [ctl, rpc] = [config.ctl[kind], config.rpc[kind]];
    if (ctl === undefined || rpc === undefined || !sameCredentials(ctl, rpc)) continue;
    problems.add('START-04', `rpc.${kind}`, {
      summary: 'The ctl and the rpc connection use the same credentials.',
      value: rpc,
      why: 'Then whoever may invoke may also control hosts, and the two partitions are one.',
      fix: `Make a second user with rpc permissions only and set rpc.${kind} to its file (or dev: true on a development machine).`,
    });
  }
}
