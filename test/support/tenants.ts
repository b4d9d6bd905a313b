import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, credsAuthenticator, type NatsConnection } from 'nats';
import type { Caller } from '../../src/caller.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { type NatsUser, type TestAccount, TestOperator } from './accounts.ts';
import { templateRights } from './leaf.ts';
import { startServer, type TestServer } from './nats-server.ts';
import { memberConfig, seedFile, startTrustCaller, startTrustHost, type TrustHost } from './trust-lattice.ts';

/** A tenant: a lattice in two accounts of its own, with an issuer of its own. */
export class Tenant {
  readonly lattice: string;
  readonly ctl: TestAccount;
  readonly rpc: TestAccount;
  readonly issuer = SigningKey.generate('cluster');
  readonly #dir: string;
  readonly #seedFile: string;
  readonly #url: () => string;
  #members = 0;

  constructor(name: string, lattice: string, operator: TestOperator, dir: string, url: () => string) {
    this.lattice = lattice;
    this.ctl = operator.addAccount(`${name}-ctl`, { jetstream: true });
    this.rpc = operator.addAccount(`${name}-rpc`);
    this.#dir = dir;
    this.#seedFile = seedFile(dir, `${name}-cluster`, this.issuer);
    this.#url = url;
  }

  /** The configuration of a member of this tenant's lattice, with users of its own, over `more`. */
  config(more: HostConfigInput = {}): ReturnType<typeof memberConfig> {
    const name = `member-${++this.#members}`;
    const url = this.#url();
    const creds = (account: TestAccount, template: string): string =>
      account.addUser(name, templateRights(template, this.lattice)).credsFile;
    return memberConfig(url, {
      lattice: this.lattice,
      ctl: { servers: [url], credsFile: creds(this.ctl, 'host-ctl') },
      rpc: { servers: [url], credsFile: creds(this.rpc, 'host-rpc') },
      stateDir: join(this.#dir, `${this.ctl.name}-${name}`),
      ...more,
      // Nobody loses an answer on this machine; tests of refusals need not wait for one.
      trust: { clusterSeedFile: this.#seedFile, unlinkedOrigins: ['caller'], refusalGraceMs: 50, ...more.trust },
    });
  }

  host(more: HostConfigInput = {}): Promise<TrustHost> {
    return startTrustHost(this.config(more));
  }

  caller(origin = 'caller'): Promise<Caller> {
    return startTrustCaller(this.config(), origin);
  }
}

/** A server with the accounts of several tenants. */
export interface TenantServer extends AsyncDisposable {
  readonly server: TestServer;
  readonly url: string;
  readonly operator: TestOperator;
  /** Logs in as a user, with a plain NATS client. */
  login(user: NatsUser): Promise<NatsConnection>;
  /** Lets the server read the accounts again: it ends every connection, and clients come back. */
  reload(): Promise<void>;
}

/**
 * Starts a server in operator mode. `accounts` makes what it shall know: what is added later needs a reload.
 * @param accounts gets the operator and makes tenants by name and lattice; names may repeat no other
 * @param moreConfig more configuration of the server, such as a port for leaf nodes
 */
export async function startTenantServer<T>(
  accounts: (operator: TestOperator, tenant: (name: string, lattice: string) => Tenant) => T,
  moreConfig = '',
): Promise<TenantServer & { readonly made: T }> {
  const dir = mkdtempSync(join(tmpdir(), 'trellis-tenants-'));
  const operator = new TestOperator(dir);
  let url = '';
  const made = accounts(operator, (name, lattice) => new Tenant(name, lattice, operator, dir, () => url));
  const server: TestServer = await startServer({ jetstream: true, configText: operator.configText() + moreConfig });
  url = server.url;
  const connections: NatsConnection[] = [];
  return {
    server,
    url,
    operator,
    made,
    async login(user) {
      const creds =
        `-----BEGIN NATS USER JWT-----\n${user.jwt}\n------END NATS USER JWT------\n` +
        `-----BEGIN USER NKEY SEED-----\n${user.seed}\n------END USER NKEY SEED------\n`;
      const connection = await connect({
        servers: url,
        authenticator: credsAuthenticator(new TextEncoder().encode(creds)),
        reconnect: false,
      });
      connections.push(connection);
      return connection;
    },
    reload: () => server.reload(operator.configText() + moreConfig),
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(connections.map((connection) => connection.close()));
      await server[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
