import { Socket } from 'node:net';
import type { NatsConnection } from 'nats';
import { describe, expect, it } from 'vitest';
import { hearErrors } from '../../../src/nats/client-inside.ts';

describe('a client that is about to be closed', () => {
  const socketWithListeners = (): Socket => {
    const socket = new Socket();
    hearErrors({ protocol: { transport: { socket } } } as unknown as NatsConnection);
    for (const event of ['data', 'error', 'close']) socket.on(event, () => expect.unreachable());
    return socket;
  };
  const counts = (socket: Socket): number[] => ['data', 'error', 'close'].map((event) => socket.listenerCount(event));

  it('stops listening to its socket when it means to, and its errors are still heard', () => {
    const socket = socketWithListeners();
    socket.removeAllListeners();
    expect(counts(socket)).toEqual([0, 1, 0]);
    socket.emit('error', new Error('a write came too late'));
    socket.emit('close', false);
  });

  it('stops listening to one event alone when it means that', () => {
    const socket = socketWithListeners();
    socket.removeAllListeners('data');
    expect(counts(socket)[0]).toBe(0);
    expect(counts(socket)[2]).toBe(1);
  });
});
