import { join } from 'node:path';
import { connect } from 'nats';
import type { Caller } from '../../src/caller.ts';
import { callTyped, type TypedResult } from '../../src/cli/call-typed.ts';
import { findOperation } from '../../src/cli/find-operation.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { RawControlClient } from './control-host.ts';
import { startServer, type TestServer } from './nats-server.ts';
import { memberConfig, seedFile, startTrustCaller, startTrustHost, until, type TrustHost } from './trust-lattice.ts';

/** An event of the lattice. */
export interface HeardEvent {
  readonly name: string;
  readonly source: string;
  readonly data: Record<string, unknown>;
}

/** What a request for a component may say; the rest is as `wash` leaves it out. */
export interface AskedScale {
  readonly count: number;
  readonly component_ref?: string;
  readonly annotations?: Record<string, string>;
  readonly component_limits?: Record<string, string>;
  readonly config?: readonly string[];
  readonly allow_update?: boolean;
}

/** A host that is told what to run. */
export interface WorkloadHost extends TrustHost {
  readonly id: string;
  /** Its inventory, as it answers. */
  inventory(): Promise<readonly Record<string, unknown>[]>;
  /** The answer to `component.scale`. */
  scale(id: string, asked: AskedScale): Promise<{ success: boolean; message: string }>;
  /** The same, and the event of it. */
  scaled(id: string, asked: AskedScale): Promise<HeardEvent>;
  update(id: string, ref: string, annotations?: Record<string, string>): Promise<{ success: boolean; message: string }>;
}

/** A lattice of hosts in this process on one server with JetStream, a client without any of our code, and a caller. */
export interface WorkloadLattice extends AsyncDisposable {
  readonly server: TestServer;
  /** The cluster key of all members. */
  readonly issuer: SigningKey;
  readonly client: RawControlClient;
  readonly caller: Caller;
  /** Events since the start, in their order. */
  readonly events: HeardEvent[];
  /** Events of one component. */
  of(component: string): HeardEvent[];
  host(settings?: HostConfigInput): Promise<WorkloadHost>;
  /** Calls by name, arguments and result as JSON. */
  call(component: string, operation: string, ...args: readonly unknown[]): Promise<TypedResult>;
}

const noInput = (async function* () {})();

/** Starts the server; hosts come later. Everything ends with `await using`. */
export async function startWorkloadLattice({ jetstream = true, configText = '' } = {}): Promise<WorkloadLattice> {
  const server = await startServer({ jetstream, configText });
  const issuer = SigningKey.generate('cluster');
  const clusterSeedFile = seedFile(server.dir, 'cluster', issuer);
  const trust = { clusterSeedFile, unlinkedOrigins: ['caller'] };
  const client = RawControlClient.over(
    await connect({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 }),
    'wasmbus.ctl.v1.default',
  );
  const events: HeardEvent[] = await client.events('default');
  const caller = await startTrustCaller(memberConfig(server.url, { trust }));
  const hosts: TrustHost[] = [];
  const of = (component: string): HeardEvent[] => events.filter(({ data }) => data['component_id'] === component);
  return {
    server,
    issuer,
    client,
    caller,
    events,
    of,
    async host(settings = {}) {
      const started = await startTrustHost(
        memberConfig(server.url, {
          stateDir: join(server.dir, `state-${hosts.length}`),
          artifacts: { allowFiles: true },
          ...settings,
          // Whoever names a source of its delegation holds no seed.
          trust: { ...(settings.trust === undefined ? trust : { unlinkedOrigins: trust.unlinkedOrigins }), ...settings.trust },
        }),
      );
      hosts.push(started);
      const { id } = started.host;
      const scale: WorkloadHost['scale'] = (component_id, asked) =>
        client.ask(`component.scale.${id}`, { component_id, host_id: id, ...asked });
      return {
        ...started,
        id,
        scale,
        async inventory() {
          const { response } = await client.ask(`host.get.${id}`);
          return (response as { components: Record<string, unknown>[] }).components;
        },
        async scaled(component, asked) {
          const heard = of(component).filter(({ source }) => source === id).length;
          const answer = await scale(component, asked);
          if (!answer.success) throw new Error(answer.message);
          const later = (): HeardEvent[] => of(component).filter(({ source }) => source === id);
          await until(() => later().length > heard);
          return later()[heard]!;
        },
        update: (component_id, new_component_ref, annotations) =>
          client.ask(`component.update.${id}`, {
            host_id: id,
            component_id,
            new_component_ref,
            ...(annotations === undefined ? {} : { annotations }),
          }),
      };
    },
    async call(component, operation, ...args) {
      const { types } = await caller.describe(component, 20_000);
      const found = findOperation(types, operation);
      return callTyped({ caller, target: component, operation: found, args, link: 'default', timeoutMs: 20_000, stdin: noInput });
    },
    async [Symbol.asyncDispose]() {
      await caller[Symbol.asyncDispose]();
      await Promise.all(hosts.map((each) => each.stop()));
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}
