import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, credsAuthenticator, type NatsConnection } from 'nats';
import { readFileSync } from 'node:fs';
import { addMember, type AddedMember, type MemberKind, type NewMember } from '../../src/auth/members.ts';
import { serverConfig } from '../../src/auth/server-config.ts';
import { AuthStore } from '../../src/auth/store.ts';
import { addTenant, type NewTenant, type Tenant } from '../../src/auth/tenant.ts';
import { startServer, type TestServer } from './nats-server.ts';

/** A store in a folder of its own, and a server that goes by it. */
export interface AuthLattice extends AsyncDisposable {
  readonly dir: string;
  readonly store: AuthStore;
  addTenant(name: string, more?: Partial<NewTenant>): Promise<Tenant>;
  addMember(kind: MemberKind, name: string, more?: Partial<NewMember>): Promise<AddedMember>;
  /** The server, started at the first call with what the store holds then. */
  server(): Promise<TestServer>;
  /** Makes the running server read the store again. */
  reload(): Promise<void>;
}

/** Makes a store with an operator and nothing else. */
export async function makeAuthLattice({ jetstream = true } = {}): Promise<AuthLattice> {
  const dir = mkdtempSync(join(tmpdir(), 'trellis-test-'));
  const store = await AuthStore.create(join(dir, 'store'), { operator: 'example' });
  let server: TestServer | undefined;
  // The address and JetStream's folder are the test server's own.
  const configText = (): string =>
    serverConfig(store, { resolver: { kind: 'memory' }, listen: '127.0.0.1:-1' }).replace(/^listen:.*$/m, '');
  return {
    dir,
    store,
    addTenant: (name, more = {}) => store.change(() => addTenant(store, { name, lattice: name, nowMs: Date.now(), ...more })),
    addMember: (kind, name, more = {}) =>
      store.change(() => addMember(store, { tenant: 'acme', kind, name, nowMs: Date.now(), ...more })),
    server: async () => (server ??= await startServer({ jetstream, configText: configText() })),
    reload: async () => await server?.reload(configText()),
    async [Symbol.asyncDispose]() {
      await server?.[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** The creds file of one of a member's connections. */
export function credsOf({ users }: AddedMember, partition: 'ctl' | 'rpc'): string {
  return users.find((user) => user.partition === partition)!.credsFile;
}

/** Logs in as a bare NATS client. Listens for answers below its own key, as Trellis does. */
export async function login(
  url: string,
  member: AddedMember,
  partition: 'ctl' | 'rpc',
  more: ConnectionOptions = {},
): Promise<NatsConnection> {
  const { publicKey } = member.users.find((user) => user.partition === partition)!;
  const inboxPrefix = `_INBOX_${partition.toUpperCase()}.${member.tenant.lattice}.${publicKey}.test`;
  const authenticator = credsAuthenticator(readFileSync(credsOf(member, partition)));
  return await connect({ servers: url, authenticator, inboxPrefix, reconnect: false, ...more });
}

/** Whether the server lets this user publish, or subscribe, a subject. */
export async function may(nc: NatsConnection, action: 'publish' | 'subscribe', subject: string): Promise<boolean> {
  let refused = false;
  const watch = (async () => {
    for await (const status of nc.status()) {
      if (status.type === 'error' && String(status.error).includes(`"${subject}"`)) refused = true;
    }
  })();
  void watch;
  if (action === 'publish') nc.publish(subject);
  else nc.subscribe(subject, { callback: () => {} });
  await nc.flush();
  // The refusal comes before the answer to the flush, but is told of a turn later.
  await new Promise((resolve) => setTimeout(resolve, 5));
  return !refused;
}
