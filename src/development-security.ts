import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority, issueCertificate } from './auth/authority.ts';
import { addMember } from './auth/members.ts';
import { serverConfig } from './auth/server-config.ts';
import { AuthStore } from './auth/store.ts';
import { addTenant, listTenants, tenantOf } from './auth/tenant.ts';
import type { Clock } from './clock.ts';
import type { HostConfigInput } from './config/schema.ts';
import type { Partition } from './nats/partition.ts';

/** What makes a development lattice a secure one: for its server a configuration, for host and command line a user for each connection. */
export interface DevelopmentSecurity {
  /** nats-server configuration: operator mode with all accounts in it, TLS. */
  readonly serverConfigText: string;
  /** Settings of the two connections, without the servers. */
  readonly host: Record<Partition, ConnectionInput>;
  readonly commandLine: Record<Partition, ConnectionInput>;
  /** What was made or renewed this time: `authority`, `certificate`, `accounts`, `users`. */
  readonly made: readonly string[];
}

type ConnectionInput = Omit<NonNullable<HostConfigInput['ctl']>, 'servers'>;

const DAY_MS = 86_400_000;
const CERTIFICATE_MS = 90 * DAY_MS;
const USER_MS = 30 * DAY_MS;
/** What ends within this is renewed at a start: longer than people leave a development lattice running. */
const RENEW_BEFORE_MS = 7 * DAY_MS;
const TENANT = 'dev';
/** Who joins: the host, and the command line, which calls and asks hosts. */
const MEMBERS = [
  { kind: 'host', name: 'host' },
  { kind: 'operator', name: 'command-line' },
] as const;

/**
 * Finds or makes below `dir` a certificate authority (`pki`), and an operator with the accounts of one tenant and its users (`auth`, a
 * store for `trellis auth`). What ends soon is renewed.
 *
 * @throws TRELLIS_AUTH_* when what is there cannot be read
 */
export async function ensureDevelopmentSecurity(dir: string, lattice: string, clock: Clock): Promise<DevelopmentSecurity> {
  const made: string[] = [];
  const pki = join(dir, 'pki');
  const certificate = ensureCertificate(pki, clock.wallMs(), made);
  const store = await ensureStore(join(dir, 'auth'), lattice, clock, made);
  const connectionsOf = (member: string): Record<Partition, ConnectionInput> => {
    const of = (partition: Partition): ConnectionInput => ({
      credsFile: store.credsFile(tenantOf(store, TENANT).accounts[partition], `${member}-${partition}`),
      // The address is a number, so that no name service comes in between.
      tls: { caFile: join(pki, 'ca.pem'), serverName: 'localhost' },
    });
    return { ctl: of('ctl'), rpc: of('rpc') };
  };
  return {
    serverConfigText: serverConfig(store, {
      resolver: { kind: 'memory' },
      // Where it really listens is on the server's command line.
      listen: '127.0.0.1:4222',
      tls: { ...certificate, caFile: join(pki, 'ca.pem') },
    }),
    host: connectionsOf('host'),
    commandLine: connectionsOf('command-line'),
    made,
  };
}

/** A certificate for this computer by an authority of its own. */
function ensureCertificate(pki: string, nowMs: number, made: string[]): { certFile: string; keyFile: string } {
  const files = { certFile: join(pki, 'nats.pem'), keyFile: join(pki, 'nats-key.pem') };
  if (endsSoon(join(pki, 'ca.pem'), nowMs)) {
    rmSync(pki, { recursive: true, force: true });
    createAuthority(pki, { name: 'Trellis development', lifetimeMs: 10 * 365 * DAY_MS, nowMs });
    made.push('authority');
  }
  if (endsSoon(files.certFile, nowMs) || !existsSync(files.keyFile)) {
    const names = { dns: ['localhost'], addresses: ['127.0.0.1', '::1'] };
    issueCertificate(pki, { name: 'nats', ...names, lifetimeMs: CERTIFICATE_MS, nowMs, replace: true });
    made.push('certificate');
  }
  return files;
}

/** True if there is no such certificate, or it is not to be used much longer. */
function endsSoon(file: string, nowMs: number): boolean {
  try {
    return new X509Certificate(readFileSync(file)).validToDate.getTime() - nowMs < RENEW_BEFORE_MS;
  } catch {
    return true;
  }
}

async function ensureStore(dir: string, lattice: string, clock: Clock, made: string[]): Promise<AuthStore> {
  const nowMs = clock.wallMs();
  const isThere = existsSync(dir);
  const store = isThere ? AuthStore.open(dir, { clock }) : await AuthStore.create(dir, { operator: 'development', clock });
  await store.change(() => {
    if (!listTenants(store).some(({ name }) => name === TENANT)) {
      addTenant(store, { name: TENANT, lattice, nowMs });
      made.push('accounts');
    }
    for (const { kind, name } of MEMBERS) if (ensureMember(store, kind, name, nowMs)) made.push(`users of ${name}`);
  });
  return store;
}

/** Makes the users of a member, or signs them again; returns whether it had to. */
function ensureMember(store: AuthStore, kind: (typeof MEMBERS)[number]['kind'], name: string, nowMs: number): boolean {
  const expiresMs = nowMs + USER_MS;
  const tenant = tenantOf(store, TENANT);
  const users = (['ctl', 'rpc'] as const).map((partition) => ({
    account: tenant.accounts[partition],
    user: `${name}-${partition}`,
  }));
  const isWhole = users.every(({ account, user }) => store.hasUser(account, user) && existsSync(store.credsFile(account, user)));
  if (!isWhole) {
    for (const { account, user } of users) if (store.hasUser(account, user)) store.removeUser(account, user);
    addMember(store, { tenant: TENANT, kind, name, nowMs, expiresMs });
    return true;
  }
  let renewed = false;
  for (const { account, user } of users) {
    const { iss, jti: _, ...claims } = store.user(account, user);
    const endsMs = claims.exp === undefined ? Infinity : claims.exp * 1_000;
    if (endsMs - nowMs >= RENEW_BEFORE_MS) continue;
    store.writeUser(account, { ...claims, iat: Math.floor(nowMs / 1_000), exp: Math.floor(expiresMs / 1_000) }, iss);
    renewed = true;
  }
  return renewed;
}
