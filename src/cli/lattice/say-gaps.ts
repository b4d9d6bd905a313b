import type { LatticeConnection } from '../../nats/connection.ts';
import type { Output } from '../output.ts';

/** Says whenever a connection is back after an interruption: what was published meanwhile was not heard. */
export function sayGaps(connection: Pick<LatticeConnection, 'onStatus'>, output: Output): void {
  connection.onStatus(({ type }) => {
    if (type === 'reconnected') output.progress('note: the connection is back; what happened meanwhile is not shown');
  });
}
