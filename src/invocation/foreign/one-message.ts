import type { ErrorCode } from '../../errors.ts';
import type { Failure } from '../failure-codes.ts';
import type { ServedFunction } from '../path-options.ts';

/**
 * Between two NATS accounts passes one message with a reply subject, and one message back: a service import. So parameters, result,
 * token and delegation must fit into one, and there is no acknowledgement.
 */

/**
 * Bytes of a message that its headers may take: the longest token, a delegation with its parent, names and trace context. The limit of
 * what is beside them is then the same for every call.
 */
export const SHARED_HEADER_BYTES = 12 * 1024;

/** Most bytes of parameters, or of a result, that pass between accounts where the server takes messages of `maxPayloadBytes`. */
export function maxSharedBytes(maxPayloadBytes: number): number {
  return Math.max(0, maxPayloadBytes - SHARED_HEADER_BYTES);
}

/** True for the reply subject of a message that a server has carried from one account to another: it has put its own there. */
export function crossesAccounts(reply: string): boolean {
  return reply.startsWith('_R_.');
}

/** Why a call cannot be answered with one message, or `undefined` if it can. `confirm`: it runs only when its caller has confirmed. */
export function oneMessageFault(
  fn: Pick<ServedFunction, 'asyncParams' | 'asyncResult'>,
  unary: boolean,
  confirm: boolean,
): readonly [failure: Failure, code: ErrorCode, detail: string] | undefined {
  if (!unary) return ['bad-params', 'TRELLIS_SHARED_FORM', 'the caller does not understand an answer in one message'];
  if (fn.asyncParams || fn.asyncResult) {
    return ['unsigned-values', 'TRELLIS_SHARED_FORM', 'streams and futures do not pass between accounts'];
  }
  if (confirm) return ['unavailable', 'TRELLIS_SHARED_FORM', 'calls of this component run once in the lattice (replay: cluster)'];
  return undefined;
}
