import { WitError } from './wit-error.ts';

/**
 * Interfaces that are closed without a network grant: sockets and outgoing HTTP. They exist, so a component that merely
 * imports them runs; using them is refused in the way their own WIT provides for. UDP is closed always.
 */

/** Resource classes of the closed interfaces: generated code asks for them even when no function uses them. */
const CLASSES: Readonly<Record<string, readonly string[]>> = {
  'wasi:sockets/network': ['Network'],
  'wasi:sockets/tcp': ['TcpSocket'],
  'wasi:sockets/udp': ['UdpSocket', 'IncomingDatagramStream', 'OutgoingDatagramStream'],
  'wasi:sockets/ip-name-lookup': ['ResolveAddressStream'],
  'wasi:http/types': [
    'Fields',
    'FutureIncomingResponse',
    'FutureTrailers',
    'IncomingBody',
    'IncomingRequest',
    'IncomingResponse',
    'OutgoingBody',
    'OutgoingRequest',
    'OutgoingResponse',
    'RequestOptions',
    'ResponseOutparam',
  ],
};

const refuse = (payload: unknown) => (): never => {
  throw new WitError(payload);
};

/** Returns a new class for a resource nobody can do anything with. */
export function resourceClass(): new () => object {
  return class {
    readonly closed = true;
  };
}

function makeDenied(): Record<string, object> {
  const closed: Record<string, Record<string, unknown>> = {
    'wasi:sockets/network': {},
    'wasi:sockets/instance-network': {},
    'wasi:sockets/ip-name-lookup': { resolveAddresses: refuse('access-denied') },
    'wasi:sockets/tcp': {},
    'wasi:sockets/tcp-create-socket': { createTcpSocket: refuse('access-denied') },
    'wasi:sockets/udp': {},
    'wasi:sockets/udp-create-socket': { createUdpSocket: refuse('access-denied') },
    'wasi:http/types': {},
    'wasi:http/outgoing-handler': { handle: refuse({ tag: 'HTTP-request-denied' }) },
  };
  for (const [name, classes] of Object.entries(CLASSES)) {
    // Each a class of its own: generated code tells resources apart by class.
    for (const className of classes) closed[name]![className] = resourceClass();
  }
  const network = closed['wasi:sockets/network']!.Network as new () => object;
  closed['wasi:sockets/instance-network']!.instanceNetwork = () => new network();
  return closed;
}

/** The closed interfaces; they hold nothing of one instance. What is not listed by name is filled up by `createWasi` and traps. */
export const denied: Readonly<Record<string, object>> = makeDenied();
