import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Caller } from '../../src/caller.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import type { NatsUser } from './accounts.ts';
import { echoStreamsComponent } from './components.ts';
import { addLeafUsers, type LeafHub, type LeafUsers, startLeaf, templateRights, writeLeaf, type WrittenLeaf } from './leaf.ts';
import type { TestServer } from './nats-server.ts';
import { memberConfig, seedFile, startTrustCaller, startTrustHost, TINY, type TrustHost } from './trust-lattice.ts';

type Form = 'both' | 'pair' | 'operator';
type Components = NonNullable<HostConfigInput['components']>;

/** A lattice with members at the hub and members behind one sidecar. */
export class LeafLattice implements AsyncDisposable {
  readonly name: string;
  readonly users: LeafUsers;
  readonly written: WrittenLeaf;
  readonly sidecar: readonly TestServer[];
  readonly hub: LeafHub;
  readonly dir: string;
  readonly #issuer = SigningKey.generate('cluster');
  readonly #seed: string;
  readonly #stack = new AsyncDisposableStack();
  #members = 0;

  constructor(hub: LeafHub, name: string, dir: string, users: LeafUsers, written: WrittenLeaf, sidecar: readonly TestServer[]) {
    this.hub = hub;
    this.name = name;
    this.users = users;
    this.written = written;
    this.sidecar = sidecar;
    this.dir = dir;
    this.#seed = seedFile(dir, 'cluster', this.#issuer);
    for (const server of sidecar) this.#stack.use(server);
  }

  /** Starts a sidecar of the hub for a lattice of its own, with the rights of the templates unless users are given. */
  static async start(hub: LeafHub, form: Form, name: string, users = addLeafUsers(hub, name)): Promise<LeafLattice> {
    const dir = join(hub.dir, name);
    mkdirSync(dir);
    const written = await writeLeaf(hub, users, { dir, form, lattice: name });
    return new LeafLattice(hub, name, dir, users, written, await startLeaf(written));
  }

  /** Settings of a member directly at the hub. */
  direct(more: HostConfigInput = {}): HostConfigInput {
    const { hub } = this;
    const tls = { caFile: hub.certificates.caFile };
    const at = (user: NatsUser) => ({ servers: [hub.url], credsFile: user.credsFile, tls });
    const ctl = at(hub.ctl.addUser('host', templateRights('host-ctl', this.name)));
    const rpc = at(hub.rpc.addUser('host', templateRights('host-rpc', this.name)));
    return { ctl, rpc, ...more };
  }

  /** Settings of a member behind the leaf, as the command wrote them. */
  behind(more: HostConfigInput = {}): HostConfigInput {
    return { ...(parse(readFileSync(this.written.hostConfig, 'utf8')) as HostConfigInput), ...more };
  }

  config(settings: HostConfigInput, components: Components = []): ReturnType<typeof memberConfig> {
    const { trust, ...more } = settings;
    return memberConfig('nats://127.0.0.1:1', {
      lattice: this.name,
      stateDir: join(this.dir, `member-${++this.#members}`),
      components,
      ...more,
      trust: {
        clusterSeedFile: this.#seed,
        clusterIssuers: [this.#issuer.publicKey],
        unlinkedOrigins: ['caller'],
        refusalGraceMs: 0,
        ...trust,
      },
    });
  }

  async host(settings: HostConfigInput, components: Components): Promise<TrustHost> {
    return this.#stack.use(await startTrustHost(this.config(settings, components)));
  }

  /** One connection of a member, without the rest. */
  connect(partition: 'ctl' | 'rpc', settings: HostConfigInput): Promise<LatticeConnection> {
    const { inboxPrefix, ...more } = this.config(settings)[partition];
    return connectPartition({
      ...more,
      ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
      partition,
      lattice: this.name,
      name: 'test',
      log: silentLogger(),
    });
  }

  async caller(settings: HostConfigInput): Promise<Caller> {
    return this.#stack.use(await startTrustCaller(this.config(settings)));
  }

  /** Puts other credentials in the place of those of the sidecar, and makes it log in with them by a restart. */
  async replaceCreds(partition: 'ctl' | 'rpc', user: NatsUser): Promise<void> {
    copyFileSync(user.credsFile, this.users[partition].credsFile);
    for (const server of this.sidecar) await server.restart();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** The component of one function, under an id. */
export const tiny = (id: string): Components[number] => ({ ...TINY, id });
/** The component of streams, under an id. */
export const streams = (id: string): Components[number] => ({ id, file: echoStreamsComponent().file, maxInstances: 2 });

/** One call of {@link tiny}: three bytes, which come back. */
export const callTiny = (caller: Caller, target: string, timeoutMs = 20_000): Promise<Uint8Array> =>
  caller.call({
    target,
    instance: 'trellis-samples:echo/bytes@0.1.0',
    func: 'echo-bytes',
    params: Uint8Array.of(3, 1, 2, 3),
    timeoutMs,
  });
