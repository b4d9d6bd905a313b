import { join } from 'node:path';
import type { AddedMember } from '../../src/auth/members.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { type AuthLattice, credsOf, makeAuthLattice } from './auth-lattice.ts';
import { CACHE_DIR } from './cache-dir.ts';
import { type RunningDaemon, startDaemon, writeConfig } from './daemon-lattice.ts';
import { Program, type ProgramEnd, runProgram } from './program.ts';
import { seedFile, TINY } from './trust-lattice.ts';

/** A lattice `lab` as `trellis auth` makes it, each host and person with the least rights; commands are run as its operator. */
export interface OperatorLattice extends AsyncDisposable {
  readonly auth: AuthLattice;
  readonly url: string;
  readonly dir: string;
  /** Starts a daemon as its host of that name, which was given beforehand. */
  startHost(name: string, settings?: HostConfigInput): Promise<RunningDaemon>;
  /** Environment of a command that is run as a member. */
  envOf(member: AddedMember): Record<string, string>;
  /** Runs a command to its end, as the operator. */
  cli(...args: string[]): Promise<ProgramEnd>;
  /** Starts one that goes on. */
  start(...args: string[]): Program;
  readonly operator: AddedMember;
  readonly caller: AddedMember;
}

/** Makes the lattice with a server; hosts are started by their names. */
export async function startOperatorLattice(...hostNames: readonly string[]): Promise<OperatorLattice> {
  const auth = await makeAuthLattice();
  try {
    await auth.addTenant('acme', { lattice: 'lab', extensions: ['make-buckets'] });
    const hosts = new Map<string, AddedMember>();
    for (const name of hostNames) hosts.set(name, await auth.addMember('host', name));
    const operator = await auth.addMember('operator', 'ada', { spies: true });
    const caller = await auth.addMember('caller', 'bob');
    const { url } = await auth.server();
    const clusterSeedFile = seedFile(auth.dir, 'cluster', SigningKey.generate('cluster'));
    const connectTimeoutMs = 30_000;
    const envOf = (member: AddedMember): Record<string, string> => ({
      TRELLIS_LATTICE: 'lab',
      TRELLIS_CTL_SERVERS: url,
      TRELLIS_RPC_SERVERS: url,
      TRELLIS_CTL_CREDS_FILE: credsOf(member, 'ctl'),
      TRELLIS_RPC_CREDS_FILE: credsOf(member, 'rpc'),
      TRELLIS_CTL_CONNECT_TIMEOUT_MS: String(connectTimeoutMs),
      TRELLIS_TRUST_CLUSTER_SEED_FILE: clusterSeedFile,
      XDG_CONFIG_HOME: auth.dir,
    });
    const options = { env: envOf(operator) };
    return {
      auth,
      url,
      dir: auth.dir,
      operator,
      caller,
      envOf,
      startHost(name, settings = {}) {
        const member = hosts.get(name)!;
        const configFile = join(auth.dir, `${name}.yaml`);
        writeConfig(configFile, {
          dev: true,
          lattice: 'lab',
          ctl: { servers: [url], credsFile: credsOf(member, 'ctl'), connectTimeoutMs },
          rpc: { servers: [url], credsFile: credsOf(member, 'rpc'), connectTimeoutMs },
          components: [TINY],
          cacheDir: CACHE_DIR,
          stateDir: join(auth.dir, `state-${name}`),
          ...settings,
          trust: { clusterSeedFile, unlinkedOrigins: ['trellis-cli'], ...settings.trust },
        });
        return startDaemon(name, configFile);
      },
      cli: (...args) => runProgram('cli', args, options),
      start: (...args) => new Program('cli', args, options),
      [Symbol.asyncDispose]: () => auth[Symbol.asyncDispose](),
    };
  } catch (error) {
    await auth[Symbol.asyncDispose]();
    throw error;
  }
}
