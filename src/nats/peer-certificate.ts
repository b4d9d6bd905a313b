import { TLSSocket } from 'node:tls';
import type { LatticeConnection } from './connection.ts';

/** What a connection is encrypted with. */
export interface TlsFacts {
  /** `TLSv1.3`. */
  readonly protocol: string;
  /** When the server's certificate ends, milliseconds since the epoch. */
  readonly certificateEndsMs: number;
}

/** The TLS of a connection, or `undefined` where there is none. */
export function readTls(connection: LatticeConnection): Promise<TlsFacts | undefined> {
  // Private in the client; the version is pinned and a test watches what depends on it.
  return connection.withClient((client) => {
    const { protocol } = client as unknown as { protocol?: { transport?: { socket?: unknown } } };
    const socket = protocol?.transport?.socket;
    if (!(socket instanceof TLSSocket)) return Promise.resolve(undefined);
    const { valid_to: end } = socket.getPeerCertificate();
    return Promise.resolve({ protocol: socket.getProtocol() ?? 'unknown', certificateEndsMs: Date.parse(end) });
  });
}
