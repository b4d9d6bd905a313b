import type { BusLine, BusMessage } from '../wrpc/bus.ts';

/** What a message of the client library holds before anybody asks. Private there; the version is pinned and a test watches it. */
interface RawMessage {
  readonly _msg: { readonly subject: Uint8Array; readonly reply?: Uint8Array; readonly hdr: number };
  readonly _rdata: Uint8Array;
}

const HEADER_LINE_START = 'NATS/1.0';
// What to look for, by header name: names are few and constant, and a joined string would be flattened at every search.
const marks = new Map<string, string>();
const MAX_MARKS = 256;

function markOf(name: string): string {
  const known = marks.get(name);
  if (known !== undefined) return known;
  const mark = `\r\n${name}:`;
  if (marks.size < MAX_MARKS) marks.set(name, mark);
  return mark;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * A message as the wire brought it: subject, headers and status are decoded when asked for, each at most once. The
 * client's own form builds a map of arrays per message, which costs more than the whole rest of receiving it.
 */
export class NatsMessage implements BusMessage {
  readonly line: BusLine;
  readonly #args: RawMessage['_msg'];
  /** Header block and payload, as one piece. */
  readonly #data: Uint8Array;
  #subject: string | undefined;
  #block: string | undefined;

  /** @param raw A message as the client library's subscription callback gets it. */
  constructor(raw: unknown, line: BusLine) {
    this.line = line;
    const { _msg: args, _rdata: data } = raw as RawMessage;
    this.#args = args;
    this.#data = data;
  }

  get subject(): string {
    // Latin-1 is exact for the ASCII subjects Trellis subscribes to; anything else cannot equal one of them.
    return (this.#subject ??= asBuffer(this.#args.subject).toString('latin1'));
  }

  get reply(): string {
    const reply = this.#args.reply;
    return reply === undefined || reply.length === 0 ? '' : asBuffer(reply).toString('latin1');
  }

  get payload(): Uint8Array {
    const { hdr } = this.#args;
    return hdr > 0 ? this.#data.subarray(hdr) : this.#data;
  }

  header(name: string): string | undefined {
    const block = this.#headerBlock();
    if (block === '') return undefined;
    const mark = markOf(name);
    const at = block.indexOf(mark);
    if (at < 0) return undefined;
    const from = at + mark.length;
    const end = block.indexOf('\r\n', from);
    return block.slice(from, end < 0 ? block.length : end).trim();
  }

  get headerCount(): number {
    const block = this.#headerBlock();
    let count = 0;
    for (let at = block.indexOf('\r\n'); at >= 0; at = block.indexOf('\r\n', at + 2)) count++;
    // The status line and the empty last line end in CR LF too.
    return Math.max(0, count - 2);
  }

  get status(): number {
    const code = Number(this.#statusLine().slice(0, 3));
    return Number.isInteger(code) && code >= 100 ? code : 0;
  }

  get statusText(): string {
    return this.#statusLine().slice(3).trim();
  }

  #statusLine(): string {
    const { hdr } = this.#args;
    // `NATS/1.0`, CR, LF and nothing between is what every message but a refusal carries.
    if (hdr <= HEADER_LINE_START.length || this.#data[HEADER_LINE_START.length] === 13) return '';
    const block = this.#headerBlock();
    return block.slice(HEADER_LINE_START.length, block.indexOf('\r\n')).trim();
  }

  #headerBlock(): string {
    if (this.#block !== undefined) return this.#block;
    const { hdr } = this.#args;
    this.#block = hdr > 0 ? asBuffer(this.#data).toString('utf8', 0, hdr) : '';
    return this.#block;
  }
}
