import { ProblemList, readServer } from './check-context.ts';
import type { CheckContext } from './check-context.ts';
import { isLoopback } from './loopback.ts';
import type { Problem } from './problems.ts';
import { readCreds, readSecretFile } from './secret-files.ts';

/** START-01 to START-04 and the addresses themselves: how the two connections would be made. */
export function checkConnections(context: CheckContext): Problem[] {
  const problems = new ProblemList(context.sourceOf);
  for (const partition of ['ctl', 'rpc'] as const) checkPartition(context, partition, problems);
  checkSameCredentials(context, problems);
  return problems.found;
}

function checkPartition(context: CheckContext, name: 'ctl' | 'rpc', problems: ProblemList): void {
  const partition = context.config[name];
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
    const logins = [partition.credsFile, partition.seedFile, partition.seed, partition.tls?.certFile];
    const anonymous = logins.every((login) => login === undefined);
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
  checkInlineLogin(context, name, problems);
  if ((partition.tls?.certFile === undefined) !== (partition.tls?.keyFile === undefined)) {
    conflict('tls', `${name}.tls.certFile and ${name}.tls.keyFile belong together.`, 'Set both or neither.');
  }
}

/** START-11, and START-14 for half of a login: a seed that stands in the environment. */
function checkInlineLogin({ config }: CheckContext, name: 'ctl' | 'rpc', problems: ProblemList): void {
  const { credsFile, jwtFile, seedFile, jwt, seed } = config[name];
  if (jwt === undefined && seed === undefined) return;
  if (credsFile !== undefined || jwtFile !== undefined || seedFile !== undefined) {
    problems.add('START-14', `${name}.${seed === undefined ? 'jwt' : 'seed'}`, {
      summary: `The ${name} connection has a login in the environment and another in a file.`,
      why: 'Two logins, or half of one, cannot be used.',
      fix: 'Unset the environment variables and keep the file.',
    });
  } else if (seed === undefined) {
    problems.add('START-14', `${name}.jwt`, {
      summary: `${name}.jwt needs ${name}.seed.`,
      why: 'Two logins, or half of one, cannot be used.',
      fix: `Set ${name}.credsFile to a file that holds both.`,
    });
  }
  if (seed !== undefined && !config.dev) {
    problems.add('START-11', `${name}.seed`, {
      summary: `The seed of the ${name} user stands in the environment.`,
      why: 'It stays readable in /proc and in crash reports for as long as the host runs.',
      fix: `Write JWT and seed to a creds file (mode 0600) and set ${name}.credsFile (WASMCLOUD_${name.toUpperCase()}_CREDS).`,
    });
  }
}

/** START-04: one user for both, by path, link, copy, or a second JWT for the same key. */
function checkSameCredentials(context: CheckContext, problems: ProblemList): void {
  const { config } = context;
  if (config.dev) return;
  const [ctl, rpc] = [userOf(context, 'ctl'), userOf(context, 'rpc')];
  if (ctl === undefined || rpc === undefined || ctl.key !== rpc.key) return;
  problems.add('START-04', rpc.setting, {
    summary: 'The ctl and the rpc connection use the same credentials.',
    ...(rpc.file === undefined ? {} : { value: rpc.file }),
    why: 'Then whoever may invoke may also control hosts, and the two partitions are one.',
    fix: `Make a second user with rpc permissions only and set rpc.credsFile to its file (or dev: true on a development machine).`,
  });
}

interface ConfiguredUser {
  readonly setting: string;
  readonly file: string | undefined;
  /** Public key of the user. */
  readonly key: string;
}

/** Who a connection would log in as, as far as that can be read; what is malformed is reported elsewhere. */
function userOf({ config, keys }: CheckContext, name: 'ctl' | 'rpc'): ConfiguredUser | undefined {
  const { credsFile, seedFile, seed: inline } = config[name];
  const path = credsFile ?? seedFile;
  const file = path === undefined ? undefined : readSecretFile(path);
  const text = file?.ok === true ? file.text : '';
  const seed = path === undefined ? inline : credsFile === undefined ? text.trim() : readCreds(text).seed;
  const key = seed === undefined ? undefined : keys.ofSeed(seed);
  if (key === undefined) return undefined;
  const setting = credsFile !== undefined ? 'credsFile' : seedFile !== undefined ? 'seedFile' : 'seed';
  return { setting: `${name}.${setting}`, file: path, key: key.publicKey };
}
