import { deny } from '../../trust/denial.ts';
import type { WasmbusVerifier } from '../../trust/verify-wasmbus.ts';
import type { Gate } from '../gate.ts';
import { WasmbusMessage } from './message.ts';
import type { WasmbusFunction } from './operations.ts';

/**
 * The gate for calls of 0.82. It has one mode: every sender of that form signs, so there is nobody for whom it would have to be
 * less than strict, whatever `trust.verify` says.
 */
export function createWasmbusGate(verifier: WasmbusVerifier): Gate {
  return {
    mode: 'enforce',
    check(_opened, message, to) {
      if (!(message instanceof WasmbusMessage)) return deny('TRELLIS_VERIFY_FAILED', 'not a message of wasmCloud 0.82');
      const { encodedClaims, id, origin, target, operation, msg, contentLength } = message.invocation;
      const { subject, reply } = message;
      return verifier.verify(
        { token: encodedClaims, id, origin, target, operation, contentLength, payload: msg, subject, reply },
        // Made by `operationsOf`, as every function that such a message is for.
        to as WasmbusFunction,
      );
    },
    confirm: () => deny('TRELLIS_VERIFY_UNCONFIRMED', 'senders of 0.82 confirm nothing'),
    admit(pending, root) {
      const verdict = verifier.admit(pending, root);
      return verdict.ok ? { ok: true, runnable: verdict.invocation } : verdict;
    },
  };
}
