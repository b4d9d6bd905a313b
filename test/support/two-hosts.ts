import type { Caller } from '../../src/caller.ts';
import type { HostConfig, HostConfigInput } from '../../src/config/schema.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import type { Json } from '../../src/wit/json.ts';
import { callByJson } from './call-by-json.ts';
import { startServer } from './nats-server.ts';
import { memberConfig, seedFile, startTrustCaller, startTrustHost } from './trust-lattice.ts';

/** What two hosts run. */
export interface TwoHostsOptions {
  readonly front: NonNullable<HostConfigInput['components']>;
  readonly back: NonNullable<HostConfigInput['components']>;
  readonly links: NonNullable<HostConfigInput['links']>;
  /** `enforce` if left out. */
  readonly verify?: 'enforce' | 'observe' | 'off';
  /** Pairs that both hosts let stay unsigned. */
  readonly unsigned?: NonNullable<NonNullable<HostConfigInput['trust']>['unsigned']>;
}

/** Two hosts of one lattice, each with a delegation of its own, and a caller. */
export interface TwoHosts extends AsyncDisposable {
  readonly url: string;
  /** What further members of the lattice go by. */
  readonly config: HostConfig;
  readonly caller: Caller;
  /** Log lines of the front host. */
  readonly logged: Record<string, unknown>[];
  /** Calls `interface.function` of a component with arguments as JSON, as `trellis call` does. */
  call(component: string, operation: string, ...args: readonly unknown[]): Promise<Json>;
}

/** Links that let the caller call these, each called after its target. */
const callerLinks = (names: readonly string[]): TwoHostsOptions['links'] =>
  names.map((name) => {
    const [, target, namespace, wit, face] = /^(\S+) ([^:]+):([^/]+)\/(.+)$/.exec(name)!;
    return { source: 'caller', name: target!, target: target!, namespace: namespace!, package: wit!, interfaces: [face!] };
  });

/** Starts them. `callable` says what the caller may call: `component namespace:package/interface`. */
export async function startTwoHosts(options: TwoHostsOptions, callable: readonly string[]): Promise<TwoHosts> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer());
  const trust = {
    verify: options.verify ?? 'enforce',
    unsigned: options.unsigned ?? [],
    clusterSeedFile: seedFile(server.dir, 'cluster', SigningKey.generate('cluster')),
  };
  const links = [...options.links, ...callerLinks(callable)];
  const config = (components: TwoHostsOptions['front']): ReturnType<typeof memberConfig> =>
    memberConfig(server.url, { trust, links, components });
  stack.use(await startTrustHost(config(options.back)));
  const { logged } = stack.use(await startTrustHost(config(options.front)));
  const caller = stack.use(await startTrustCaller(config([])));
  const ends = stack.move();
  return {
    url: server.url,
    config: config([]),
    caller,
    logged,
    call: (component, operation, ...args) => callByJson(caller, component, operation, args, component),
    [Symbol.asyncDispose]: () => ends.disposeAsync(),
  };
}
