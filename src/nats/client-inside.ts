import type { Socket } from 'node:net';
import type { NatsConnection } from 'nats';

/** What is used here of the inside of the client, whose version is pinned; tests watch what depends on it. */
interface Inside {
  readonly protocol?: {
    readonly transport?: { readonly socket?: Socket };
    /** Ends the dial under way with this error; absent while there is none. */
    readonly connectError?: (error: Error) => void;
  };
}

const inside = (client: NatsConnection): Inside['protocol'] => (client as unknown as Inside).protocol;

/** The socket in use, `undefined` while there is none. */
export const socketOf = (client: NatsConnection): Socket | undefined => inside(client)?.transport?.socket;

/**
 * Ends a dial whose server has ended the connection after its greeting, as one does that is about to stop: the client would wait for its
 * answer until the dial times out, and not try again before.
 */
export function giveUpDial(client: NatsConnection): void {
  inside(client)?.connectError?.(new Error('the server ended the connection before the login'));
}

/**
 * To be called before the client is closed, which then stops listening to its socket. Where the server has just ended the connection
 * and a write came too late, the socket's error is still under way, and with nobody to hear it would end this process.
 */
export function hearErrors(client: NatsConnection): void {
  const socket = socketOf(client);
  if (socket === undefined) return;
  const forget = socket.removeAllListeners.bind(socket);
  // With one argument, even `undefined`, only listeners to that are removed.
  socket.removeAllListeners = (...event: [] | [string | symbol]) => forget(...event).on('error', () => {});
}
