import type { ErrorCode } from '../errors.ts';
import { quote } from '../ids.ts';

/** The codes a verifier can refuse with. */
export type DenialCode = Extract<ErrorCode, `TRELLIS_VERIFY_${string}`>;

/**
 * A refusal. `code` and `detail` are for log and metric; the caller on the other side is told neither, so that the answers of a
 * host teach nobody how to get further.
 */
export interface Denial {
  readonly ok: false;
  readonly code: DenialCode;
  /** One printable line of bounded length; never payload, never a token. */
  readonly detail: string;
  /** What the sender should show when it sends the same again. */
  readonly need?: 'delegation';
  /** What the refused token says of itself, if its claims could be read; true or not. */
  readonly said?: TokenFacts;
}

/** What names a request token and its maker: public, and no more than log and audit need. */
export interface TokenFacts {
  /** The token's id. */
  readonly jti: string;
  /** Public key of the signer it names. */
  readonly iss: string;
  /** The calling component it names. */
  readonly org: string;
}

/** A refusal as a value. */
export function deny(code: DenialCode, detail: string): Denial {
  return { ok: false, code, detail };
}

/** The refusal for a fault inside a verifier. Only the start of the message goes into the log, escaped. */
export function verifierFailed(error: unknown): Denial {
  return deny('TRELLIS_VERIFY_FAILED', `the verifier failed: ${quote(error instanceof Error ? error.message : error)}`);
}
