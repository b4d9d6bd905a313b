import { denied } from '../denied.ts';
import { errorDetail } from '../io.ts';
import type { Connections } from './connections.ts';
import type { NetworkGrants } from './grants.ts';
import { Reachable, ResolveAddressStream, resolveAddresses } from './name-lookup.ts';
import { TcpSocket } from './tcp-socket.ts';

/** Interfaces of `wasi:sockets` for connecting by TCP. UDP stays closed: its packets go wherever each one says. */
export function createSockets(grants: NetworkGrants, connections: Connections): Record<string, object> {
  const reachable = new Reachable(grants);
  return {
    ...denied,
    'wasi:sockets/network': {
      ...denied['wasi:sockets/network'],
      networkErrorCode: (error: object) => {
        const detail = errorDetail(error);
        return typeof detail === 'string' ? detail : undefined;
      },
    },
    'wasi:sockets/ip-name-lookup': {
      ResolveAddressStream,
      resolveAddresses: (_network: object, name: string) => resolveAddresses(name, grants, reachable, connections),
    },
    'wasi:sockets/tcp': { TcpSocket },
    'wasi:sockets/tcp-create-socket': {
      createTcpSocket: (family: 'ipv4' | 'ipv6') => new TcpSocket(family, connections, reachable),
    },
  };
}
