import { join } from 'node:path';
import { serverConfig } from '../../src/auth/server-config.ts';
import { type AuthStore, SYSTEM_ACCOUNT, SYSTEM_USER } from '../../src/auth/store.ts';
import { readCredsFile } from '../../src/auth/creds-file.ts';
import type { ServerAddress, UserLogin } from '../../src/nats/system-connection.ts';
import { type AuthLattice, makeAuthLattice } from './auth-lattice.ts';
import { startServer, type TestServer } from './nats-server.ts';

/** A store and a server with the full resolver, which has the accounts of its first configuration and what is pushed. */
export interface ResolverLattice extends AsyncDisposable {
  readonly lattice: AuthLattice;
  readonly server: TestServer;
  readonly where: ServerAddress;
  readonly login: UserLogin;
  /** Flags by which a command finds both. */
  readonly flags: readonly string[];
}

/** The user of the system account that a store has from the start. */
export function systemLoginOf(store: AuthStore): UserLogin {
  const { jwt, key } = readCredsFile(store.credsFile(SYSTEM_ACCOUNT, SYSTEM_USER));
  return { jwt, key };
}

/** Makes a store with a tenant `acme` of lattice `lab`, and starts a server that goes by it. */
export async function startResolverLattice(moreConfig = ''): Promise<ResolverLattice> {
  const lattice = await makeAuthLattice();
  await lattice.addTenant('acme', { lattice: 'lab' });
  const text = serverConfig(lattice.store, {
    resolver: { kind: 'full', dir: join(lattice.dir, 'jwt') },
    listen: '127.0.0.1:-1',
  });
  const server = await startServer({ jetstream: true, configText: `${text.replace(/^listen:.*$/m, '')}\n${moreConfig}` });
  return {
    lattice,
    server,
    where: { servers: [server.url] },
    login: systemLoginOf(lattice.store),
    flags: ['--store', lattice.store.dir, '--server', server.url],
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await lattice[Symbol.asyncDispose]();
    },
  };
}
