import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';
import type { BusHeaders } from '../wrpc/bus.ts';

/**
 * The header block of a NATS message as bytes. Own code because it is on the path of every invocation and the client
 * library's form costs a map, an array and a character-wise check per header.
 */

// Names are few and constant: each is checked once.
const checkedNames = new Set<string>();
const MAX_CHECKED_NAMES = 256;

function checkName(name: string): void {
  if (checkedNames.has(name)) return;
  if (!/^[!-9;-~]{1,128}$/.test(name)) {
    throw new TrellisError('TRELLIS_NATS_HEADER_INVALID', { message: `header name ${quote(name)} is not allowed` });
  }
  if (checkedNames.size < MAX_CHECKED_NAMES) checkedNames.add(name);
}

/** True if `value` can stand in a header: nothing in it can end the line. */
export function isHeaderValue(value: string): boolean {
  return !value.includes('\r') && !value.includes('\n') && !value.includes('\0');
}

/**
 * Returns the block for `headers`, or `undefined` when there is nothing to say (the message then goes without one).
 * Its length is what `headerBlockBytes` in `wrpc/bus.ts` foretells.
 *
 * @throws TRELLIS_NATS_HEADER_INVALID for a name or value that could end its line.
 */
export function encodeHeaders(headers: BusHeaders): Uint8Array | undefined {
  const { entries, status, statusText } = headers;
  if (entries.length === 0 && !status) return undefined;
  let text = 'NATS/1.0';
  if (status) {
    if (!Number.isInteger(status) || status < 100 || status > 999 || (statusText !== undefined && !isHeaderValue(statusText))) {
      throw new TrellisError('TRELLIS_NATS_HEADER_INVALID', { message: 'a header status is not allowed' });
    }
    text += statusText ? ` ${status} ${statusText}` : ` ${status}`;
  }
  text += '\r\n';
  for (const [name, value] of entries) {
    checkName(name);
    if (!isHeaderValue(value)) {
      throw new TrellisError('TRELLIS_NATS_HEADER_INVALID', { message: `the value of header ${name} holds a line break` });
    }
    text += `${name}: ${value}\r\n`;
  }
  return Buffer.from(`${text}\r\n`, 'utf8');
}

/** A header block that is bytes already; the client asks its header objects for nothing else when it sends. */
export class OutgoingHeaders {
  block: Uint8Array;

  constructor(block: Uint8Array = new Uint8Array(0)) {
    this.block = block;
  }

  /** Called by the client library. */
  encode(): Uint8Array {
    return this.block;
  }
}
