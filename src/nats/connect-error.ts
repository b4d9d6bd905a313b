import { errors } from 'nats';
import { TrellisError } from '../errors.ts';

/** What a connection failure means, in the words of the operator who has to do something about it. */
export interface ConnectionDiagnosis {
  readonly partition: string;
  readonly servers: readonly string[];
  readonly tls: boolean;
}

// What Node says about a certificate, and what that means.
const TLS_REASONS: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the server certificate is signed by an authority that is not trusted here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the server certificate is signed by an authority that is not trusted here',
  UNABLE_TO_GET_ISSUER_CERT: 'the server certificate is signed by an authority that is not trusted here',
  SELF_SIGNED_CERT_IN_CHAIN: 'the server certificate is signed by an authority that is not trusted here',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the server certificate is self-signed and not trusted here',
  CERT_HAS_EXPIRED: 'the server certificate has expired',
  CERT_NOT_YET_VALID: 'the server certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the server certificate is for another name',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'the server speaks no TLS newer than 1.1, which protects nothing',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'the server speaks no TLS newer than 1.1, which protects nothing',
  ERR_SSL_WRONG_VERSION_NUMBER:
    'the server does not start with TLS (handshakeFirst needs handshake_first there, nats-server 2.10)',
};

/**
 * Returns the error for a login or dial that failed. Nothing of the server's own words gets into it but Node's error code:
 * whoever answers on that port is a stranger until the handshake is over.
 */
export function connectFailure(cause: unknown, where: ConnectionDiagnosis): TrellisError {
  const details = { partition: where.partition, servers: where.servers };
  const at = `${where.partition} connection to ${where.servers.join(', ')}`;
  if (cause instanceof errors.AuthorizationError || cause instanceof errors.UserAuthenticationExpiredError) {
    return new TrellisError('TRELLIS_NATS_AUTH_REFUSED', { message: `${at}: the server refused the login`, details, cause });
  }
  const code = errorCode(cause);
  const message = cause instanceof Error ? cause.message : '';
  if (message.includes("does not support 'tls'")) {
    return new TrellisError('TRELLIS_NATS_TLS_FAILED', {
      message: `${at}: the server, or somebody in between, offers no TLS; nothing was sent to it`,
      details,
      cause,
    });
  }
  const reason =
    code === undefined ? undefined : (TLS_REASONS[code] ?? (/^ERR_(?:SSL|TLS)_/.test(code) ? `TLS failed (${code})` : undefined));
  if (reason !== undefined) return new TrellisError('TRELLIS_NATS_TLS_FAILED', { message: `${at}: ${reason}`, details, cause });
  return new TrellisError('TRELLIS_NATS_UNREACHABLE', { message: `${at}: ${reach(code, cause, where.tls)}`, details, cause });
}

/** Returns the code and a bounded text for an error that the client reports while it runs. */
export function runtimeError(error: Error): TrellisError {
  if (error instanceof errors.PermissionViolationError) {
    return new TrellisError('TRELLIS_NATS_PERMISSION', {
      message: `the server refused ${error.operation === 'publish' ? 'publishing to' : 'subscribing to'} ${printable(error.subject)}`,
      details: { operation: error.operation, subject: printable(error.subject) },
    });
  }
  if (error instanceof errors.UserAuthenticationExpiredError) {
    return new TrellisError('TRELLIS_NATS_AUTH_REFUSED', { message: 'the credentials have expired' });
  }
  if (error instanceof errors.AuthorizationError || /revoked/i.test(error.message)) {
    return new TrellisError('TRELLIS_NATS_AUTH_REFUSED', { message: 'the server refused the login' });
  }
  return new TrellisError('TRELLIS_NATS_PROTOCOL', { message: `the server reported: ${printable(error.message)}` });
}

/** Returns the error for a request that failed; `closedCode` when that is because its line was closed. */
export function requestFailure(
  cause: unknown,
  subject: string,
  timeoutMs: number,
  closedCode: 'TRELLIS_NATS_CLOSED' | 'TRELLIS_NATS_DISCONNECTED' = 'TRELLIS_NATS_CLOSED',
): TrellisError {
  if (cause instanceof TrellisError) return cause;
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const options = { details: { subject, timeoutMs }, cause };
  if (inner instanceof errors.NoRespondersError) {
    return new TrellisError('TRELLIS_NATS_NO_RESPONDERS', { ...options, message: `nobody listens on ${subject}` });
  }
  if (inner instanceof errors.TimeoutError) {
    return new TrellisError('TRELLIS_NATS_TIMEOUT', { ...options, message: `no answer on ${subject} within ${timeoutMs} ms` });
  }
  if (inner instanceof errors.PermissionViolationError) return runtimeError(inner);
  if (inner instanceof errors.ClosedConnectionError || inner instanceof errors.DrainingConnectionError) {
    return new TrellisError(closedCode, options);
  }
  return new TrellisError('TRELLIS_NATS_DISCONNECTED', options);
}

function errorCode(error: unknown): string | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    const { code } = at as { code?: unknown };
    if (typeof code === 'string') return code;
  }
  return undefined;
}

function reach(code: string | undefined, cause: unknown, tls: boolean): string {
  if (code === 'ECONNREFUSED') return 'connection refused';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'the host name is not known';
  // With TLS 1.3 the server judges the client after the client's handshake is done, and then says nothing.
  const perhaps = tls ? '; the server may want a client certificate' : '';
  if (cause instanceof errors.TimeoutError) return `no answer in time${perhaps}`;
  if (code === 'ECONNRESET' || code === 'EPIPE') return `the server closed the connection${perhaps}`;
  return code ?? 'no answer';
}

/** A server's words as they may appear in a message: printable, bounded. */
export function printable(text: string): string {
  return text.slice(0, 200).replace(/[^\x20-\x7e]/g, '?');
}
