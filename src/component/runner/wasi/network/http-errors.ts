/** Failures of Node's HTTP client in the words of `wasi:http` `error-code`. */

import { errorDetail } from '../io.ts';

/** An `error-code`, as generated code takes it. */
export interface HttpErrorCode {
  readonly tag: string;
  readonly val?: unknown;
}

/** Node's, OpenSSL's and the resolver's names of failures, and what stands for them. */
const CODES: Readonly<Record<string, HttpErrorCode>> = {
  TRELLIS_ADDRESS_PROHIBITED: { tag: 'destination-IP-prohibited' },
  EAI_AGAIN: { tag: 'DNS-timeout' },
  EAI_NODATA: { tag: 'DNS-error', val: {} },
  EAI_FAIL: { tag: 'DNS-error', val: {} },
  ENOTFOUND: { tag: 'DNS-error', val: { rcode: 'NXDOMAIN' } },
  ECONNREFUSED: { tag: 'connection-refused' },
  ECONNRESET: { tag: 'connection-terminated' },
  ECONNABORTED: { tag: 'connection-terminated' },
  EPIPE: { tag: 'connection-terminated' },
  ETIMEDOUT: { tag: 'connection-timeout' },
  EHOSTUNREACH: { tag: 'destination-IP-unroutable' },
  ENETUNREACH: { tag: 'destination-IP-unroutable' },
  EADDRNOTAVAIL: { tag: 'destination-IP-unroutable' },
  EPROTO: { tag: 'TLS-protocol-error' },
  HPE_HEADER_OVERFLOW: { tag: 'HTTP-response-header-section-size' },
  HPE_INVALID_TRANSFER_ENCODING: { tag: 'HTTP-response-transfer-coding' },
};

/** Returns the `error-code` for an error of a request. */
export function httpErrorCode(error: unknown): HttpErrorCode {
  const { code = '' } = error as NodeJS.ErrnoException;
  const known = Object.hasOwn(CODES, code) ? CODES[code] : undefined;
  if (known !== undefined) return known;
  if (code.startsWith('HPE_')) return { tag: 'HTTP-protocol-error' };
  if (/CERT|CRL|VERIFY|HOSTNAME_MISMATCH/.test(code)) return { tag: 'TLS-certificate-error' };
  if (code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS')) return { tag: 'TLS-protocol-error' };
  // No text: what Node says of this machine is none of a guest's business.
  return { tag: 'internal-error' };
}

/** `wasi:http/types` `http-error-code`: what an error of a stream says, if it is of HTTP; a stream of another interface has words of its own. */
export function streamErrorCode(error: object): HttpErrorCode | undefined {
  const detail = errorDetail(error);
  return typeof detail === 'object' ? (detail as HttpErrorCode) : undefined;
}
