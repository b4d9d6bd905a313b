import type { WitInterface, WitType } from '../types.ts';
import {
  BYTES,
  func,
  future,
  list,
  option,
  record,
  result,
  stream,
  STRING,
  tuple,
  U16,
  U32,
  U64,
  U8,
  variant,
} from './type-builders.ts';

/** `wrpc:http@0.1.0`: requests and responses of `wasi:http` as records, their bodies as streams. */

const METHOD = variant({
  get: null,
  head: null,
  post: null,
  put: null,
  delete: null,
  connect: null,
  options: null,
  trace: null,
  patch: null,
  other: STRING,
});
const SCHEME = variant({ HTTP: null, HTTPS: null, other: STRING });
const FIELD_SIZE = record({ 'field-name': option(STRING), 'field-size': option(U32) });

/** `wasi:http/types` `error-code`. */
const ERROR_CODE = variant({
  'DNS-timeout': null,
  'DNS-error': record({ rcode: option(STRING), 'info-code': option(U16) }),
  'destination-not-found': null,
  'destination-unavailable': null,
  'destination-IP-prohibited': null,
  'destination-IP-unroutable': null,
  'connection-refused': null,
  'connection-terminated': null,
  'connection-timeout': null,
  'connection-read-timeout': null,
  'connection-write-timeout': null,
  'connection-limit-reached': null,
  'TLS-protocol-error': null,
  'TLS-certificate-error': null,
  'TLS-alert-received': record({ 'alert-id': option(U8), 'alert-message': option(STRING) }),
  'HTTP-request-denied': null,
  'HTTP-request-length-required': null,
  'HTTP-request-body-size': option(U64),
  'HTTP-request-method-invalid': null,
  'HTTP-request-URI-invalid': null,
  'HTTP-request-URI-too-long': null,
  'HTTP-request-header-section-size': option(U32),
  'HTTP-request-header-size': option(FIELD_SIZE),
  'HTTP-request-trailer-section-size': option(U32),
  'HTTP-request-trailer-size': FIELD_SIZE,
  'HTTP-response-incomplete': null,
  'HTTP-response-header-section-size': option(U32),
  'HTTP-response-header-size': FIELD_SIZE,
  'HTTP-response-body-size': option(U64),
  'HTTP-response-trailer-section-size': option(U32),
  'HTTP-response-trailer-size': FIELD_SIZE,
  'HTTP-response-transfer-coding': option(STRING),
  'HTTP-response-content-coding': option(STRING),
  'HTTP-response-timeout': null,
  'HTTP-upgrade-failed': null,
  'HTTP-protocol-error': null,
  'loop-detected': null,
  'configuration-error': null,
  'internal-error': option(STRING),
});

const FIELDS = list(tuple(STRING, list(BYTES)));
const BODY: Readonly<Record<string, WitType>> = { body: stream(U8), trailers: future(option(FIELDS)) };
const REQUEST = record({
  ...BODY,
  method: METHOD,
  'path-with-query': option(STRING),
  scheme: option(SCHEME),
  authority: option(STRING),
  headers: FIELDS,
});
const RESPONSE = record({ ...BODY, status: U16, headers: FIELDS });
const OPTIONS = record({
  'connect-timeout': option(U64),
  'first-byte-timeout': option(U64),
  'between-bytes-timeout': option(U64),
});

/** What serves requests. */
export const HTTP_INCOMING: WitInterface = {
  name: 'wrpc:http/incoming-handler@0.1.0',
  functions: [func('handle', { request: REQUEST }, result(RESPONSE, ERROR_CODE))],
};

/** What sends them. */
export const HTTP_OUTGOING: WitInterface = {
  name: 'wrpc:http/outgoing-handler@0.1.0',
  functions: [func('handle', { request: REQUEST, options: option(OPTIONS) }, result(RESPONSE, ERROR_CODE))],
};
