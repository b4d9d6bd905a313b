import { isToken } from '../ids.ts';
import { ClaimsReader } from './canonical.ts';
import { epkText, isDigest, isEpk, isKid, isPlainSubject, kidText, readEpk, readKid } from './claim-values.ts';

const STATUSES = [
  'ok',
  'denied',
  'busy',
  'trap',
  'timeout',
  'too-large',
  'bad-params',
  'unsigned-values',
  'frames',
  'unavailable',
  'error',
] as const;

/** How a call ended. `ok` says that the component answered, also when its answer is a WIT `err`. */
export type ResultStatus = (typeof STATUSES)[number];

/** What a server signs about an answer. */
export interface ResultClaims {
  readonly v: 2;
  /** Digest of the request token that is answered. */
  readonly req: string;
  /** Issued at, milliseconds since the Unix epoch. */
  readonly iat: number;
  /** Lattice. */
  readonly lat: string;
  /** Public key of the signer. */
  readonly iss: string;
  /** Thumbprint of the delegation that lets it sign; absent when a cluster issuer signs itself. */
  readonly kid?: string;
  /** The component that answers. */
  readonly srv: string;
  readonly st: ResultStatus;
  /** Number of result bytes. */
  readonly len: number;
  /** D("result", result bytes). */
  readonly dig: string;
  /** The inbox of the accept that came before it, if one did: the answer then belongs to that accept and no other. */
  readonly rs?: string;
}

/** What a server signs when it takes a call before it can answer it. */
export interface AcceptClaims {
  readonly v: 2;
  readonly req: string;
  readonly iat: number;
  readonly lat: string;
  readonly iss: string;
  /** Thumbprint of the delegation that lets it sign; absent when a cluster issuer signs itself. */
  readonly kid?: string;
  readonly srv: string;
  /** The inbox for the rest of the parameters, and what tells this accept from any other. */
  readonly rs: string;
  /** The server's X25519 key for this call, if it opens a session. */
  readonly epk?: string;
  /** 1 if the server runs the call only when the caller has confirmed this accept. */
  readonly cnf?: 1;
  /** 1 if the invocation has been admitted and runs; absent while its parameters are awaited. */
  readonly run?: 1;
}

function isStatus(value: string): value is ResultStatus {
  return (STATUSES as readonly string[]).includes(value);
}

/** The one spelling of result claims. */
export function writeResultClaims(c: ResultClaims): string {
  return (
    `{"v":2,"req":"${c.req}","iat":${c.iat},"lat":"${c.lat}","iss":"${c.iss}"${kidText(c.kid)},"srv":"${c.srv}","st":"${c.st}",` +
    `"len":${c.len},"dig":"${c.dig}"${c.rs === undefined ? '' : `,"rs":"${c.rs}"`}}`
  );
}

/** The one spelling of accept claims. */
export function writeAcceptClaims(c: AcceptClaims): string {
  return (
    `{"v":2,"req":"${c.req}","iat":${c.iat},"lat":"${c.lat}","iss":"${c.iss}"${kidText(c.kid)},"srv":"${c.srv}","rs":"${c.rs}"` +
    `${epkText(c.epk)}${c.cnf === undefined ? '' : ',"cnf":1'}${c.run === undefined ? '' : ',"run":1'}}`
  );
}

type Opening = Pick<ResultClaims, 'v' | 'req' | 'iat' | 'lat' | 'iss' | 'kid' | 'srv'>;

function readOpening(reader: ClaimsReader): Opening {
  reader.literal('{"v":2,"req":"');
  const req = reader.value();
  reader.literal('","iat":');
  const iat = reader.integer();
  reader.literal(',"lat":"');
  const lat = reader.value();
  reader.literal('","iss":"');
  const iss = reader.value();
  const kid = readKid(reader);
  reader.literal('","srv":"');
  const srv = reader.value();
  return { v: 2, req, iat, lat, iss, ...(kid === undefined ? {} : { kid }), srv };
}

function isOpening({ req, lat, kid, srv }: Opening): boolean {
  return isDigest(req) && isToken(lat, 64) && isKid(kid) && isToken(srv);
}

/** Result claims from their text, or `undefined` unless it is exactly what {@link writeResultClaims} writes. */
export function readResultClaims(text: string): ResultClaims | undefined {
  const reader = new ClaimsReader(text);
  const opening = readOpening(reader);
  reader.literal('","st":"');
  const st = reader.value();
  reader.literal('","len":');
  const len = reader.integer();
  reader.literal(',"dig":"');
  const dig = reader.value();
  const rs = reader.optional('","rs":"') ? reader.value() : undefined;
  reader.literal('"}');
  if (!reader.end()) return undefined;
  if (!isOpening(opening) || !isDigest(dig) || !isStatus(st) || (rs !== undefined && !isPlainSubject(rs))) return undefined;
  return { ...opening, st, len, dig, ...(rs === undefined ? {} : { rs }) };
}

/** Accept claims from their text, or `undefined` unless it is exactly what {@link writeAcceptClaims} writes. */
export function readAcceptClaims(text: string): AcceptClaims | undefined {
  const reader = new ClaimsReader(text);
  const opening = readOpening(reader);
  reader.literal('","rs":"');
  const rs = reader.value();
  const epk = readEpk(reader);
  reader.literal('"');
  const cnf = reader.optional(',"cnf":1');
  const run = !cnf && reader.optional(',"run":1');
  reader.literal('}');
  if (!reader.end() || !isOpening(opening) || !isPlainSubject(rs) || !isEpk(epk)) return undefined;
  return { ...opening, rs, ...(epk === undefined ? {} : { epk }), ...(cnf ? { cnf: 1 } : {}), ...(run ? { run: 1 } : {}) };
}
