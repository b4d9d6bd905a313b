import type { Lifetime } from '../poll.ts';
import { Connections } from './connections.ts';
import { NetworkGrants } from './grants.ts';
import type { Resolver } from './grants.ts';
import { createHttp } from './http.ts';
import { createSockets } from './sockets.ts';

/** The network as one instance sees it. */
export interface InstanceNetwork {
  /** The `wasi:http` interfaces. */
  http(): Record<string, object>;
  /** The `wasi:sockets` interfaces. */
  sockets(): Record<string, object>;
  /** Ends whatever the current call has open. */
  endCall(): void;
}

/** Makes the network of each instance of a component. */
export type NetworkFactory = (lifetime: Lifetime) => InstanceNetwork;

/**
 * Returns the network for a component with these `host:port` grants. Loaded only where there is a grant: Node's HTTP and TLS
 * cost every runner some megabytes. Throws an `Error` that names an entry that is no `host:port`.
 */
export function createNetwork(list: readonly string[], resolver?: Resolver): NetworkFactory {
  const grants = new NetworkGrants(list, resolver);
  return (lifetime) => {
    const connections = new Connections(lifetime);
    return {
      http: () => createHttp(grants, connections),
      sockets: () => createSockets(grants, connections),
      endCall: () => connections.endAll(new Error('the call has ended')),
    };
  };
}
