import { connect, type Msg, type NatsConnection } from 'nats';
import type { Json } from './golden.ts';

/** One message of a call, after the first. */
export interface CallFrame {
  readonly from: 'caller' | 'server';
  /** What follows the inbox in the subject: `''` for the acknowledgement, `.params`, `.results.0.1`. */
  readonly tail: string;
  /** No bytes: the end of what the tail names, or the acknowledgement. */
  readonly hex: string;
}

/** One call as it went over the wire, message by message. Inboxes, and headers that only Trellis sends, are left out. */
export interface GoldenCall {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly hex: string;
  readonly frames: readonly CallFrame[];
}

/** What was done, what came of it, and the calls that it took. */
export interface GoldenCallsStep {
  readonly name: string;
  /** A call that the test itself made: `component`, `interface.function`, arguments as JSON. Else the first of the calls began it. */
  readonly call?: readonly Json[];
  readonly result?: Json;
  readonly calls: readonly GoldenCall[];
}

/** Calls between providers and components. */
export interface GoldenCallsFile {
  readonly driver: string;
  readonly answeredBy: string;
  readonly recordedWith: string;
  readonly server: string;
  readonly steps: readonly GoldenCallsStep[];
}

const INVOCATION = /^default\.[^.]+\.wrpc\.0\.0\.1\.(?!trellis)/;
const OURS = /^lattice-/i;

interface OpenCall {
  readonly rc: string;
  rs: string | undefined;
  readonly call: GoldenCall & { readonly frames: CallFrame[] };
}

/** Sees every message of a server without accounts, and keeps those of calls between the given ids. */
export class CallRecorder implements AsyncDisposable {
  readonly #nc: NatsConnection;
  #calls: OpenCall[] = [];

  private constructor(nc: NatsConnection, pairs: ReadonlySet<string>) {
    this.#nc = nc;
    nc.subscribe('>', { callback: (_error, message) => this.#see(message, pairs) });
  }

  /** @param pairs `source target` */
  static async start(url: string, pairs: readonly string[]): Promise<CallRecorder> {
    const nc = await connect({ servers: url, name: 'call recorder' });
    const recorder = new CallRecorder(nc, new Set(pairs));
    await nc.flush();
    return recorder;
  }

  /** The calls since the last time, in the order they began in. */
  async take(): Promise<readonly GoldenCall[]> {
    // What the server has taken from others by now is here after this.
    await this.#nc.flush();
    const calls = this.#calls.map(({ call }) => call);
    this.#calls = [];
    return calls;
  }

  #see(message: Msg, pairs: ReadonlySet<string>): void {
    const { subject, reply } = message;
    const hex = Buffer.from(message.data).toString('hex');
    if (INVOCATION.test(subject) && reply !== undefined) {
      const headers = headersOf(message);
      if (!pairs.has(`${headers['source-id']} ${subject.split('.')[1]}`)) return;
      this.#calls.push({ rc: reply, rs: undefined, call: { subject, headers, hex, frames: [] } });
      return;
    }
    for (const open of this.#calls) {
      const from = subject.startsWith(open.rc) ? 'server' : 'caller';
      const inbox = from === 'server' ? open.rc : open.rs;
      if (inbox === undefined || !subject.startsWith(inbox)) continue;
      if (subject === open.rc && reply !== undefined && reply !== '') open.rs = reply;
      open.call.frames.push({ from, tail: subject.slice(inbox.length), hex });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nc.close();
  }
}

function headersOf({ headers }: Msg): Record<string, string> {
  const names = (headers?.keys() ?? []).filter((name) => !OURS.test(name));
  return Object.fromEntries(names.map((name) => [name, headers!.get(name)]));
}

/** What was said on each tail by one side, joined; streams of bytes without the borders of their pieces, which depend on time. */
export function said(frames: readonly CallFrame[], from: CallFrame['from']): Record<string, string> {
  const joined: Record<string, string> = {};
  for (const { tail, hex } of frames.filter((frame) => frame.from === from)) joined[tail] = (joined[tail] ?? '') + hex;
  // The root says exactly what it says; what is after it may be a stream.
  return Object.fromEntries(
    Object.entries(joined).map(([tail, hex]) => [tail, tail.split('.').length > 2 ? withoutBorders(hex) : hex]),
  );
}

/** The bytes of a `stream<u8>`: pieces, each after its length, and a length of 0 at the end. The same text if it is none. */
function withoutBorders(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) return hex;
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    if (length === 0) return at === bytes.length ? `stream ${Buffer.concat(pieces).toString('hex')}` : hex;
    pieces.push(bytes.subarray(at, (at += length)));
  }
  return hex;
}
