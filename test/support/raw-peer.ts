import { setTimeout as sleep } from 'node:timers/promises';
import { connect, headers as natsHeaders, type Msg, type MsgHdrs, type NatsConnection, nuid } from 'nats';

const EMPTY = new Uint8Array(0);

/** A message as a plain subscriber sees it. */
export interface Frame {
  /** What follows the inbox in the subject: `''`, `.results`, `.params.0.1`. */
  readonly tail: string;
  readonly reply: string;
  readonly data: Buffer;
  readonly hex: string;
  /** Status line, e.g. `401 invocation denied`, or `''`. */
  readonly status: string;
  header(name: string): string | undefined;
}

function frameOf(message: Msg, inbox: string): Frame {
  const data = Buffer.from(message.data);
  const code = message.headers?.code ?? 0;
  return {
    tail: message.subject.slice(inbox.length),
    reply: message.reply ?? '',
    data,
    hex: data.length <= 64 ? data.toString('hex') : `(${data.length} bytes)`,
    status: code === 0 ? '' : `${code} ${message.headers?.description ?? ''}`.trim(),
    // An absent header is '' in this client.
    header: (name) => (message.headers?.has(name) === true ? message.headers.get(name) : undefined),
  };
}

/** Resolves when `ready` holds. Tests poll: the machine may be busy. */
export async function until(what: string, ready: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await ready())) {
    if (performance.now() > end) throw new Error(`did not happen in ${withinMs} ms: ${what}`);
    await sleep(5);
  }
}

export function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

type HeaderList = readonly (readonly [name: string, value: string])[];

function headerBlock(entries: HeaderList): MsgHdrs {
  const block = natsHeaders();
  for (const [name, value] of entries) block.append(name, value);
  return block;
}

/** The only headers of a wasmCloud 1.x caller. */
export const ONE_X_HEADERS: HeaderList = [
  ['source-id', 'raw-caller'],
  ['link-name', 'default'],
];

/** A 1.x-style peer: a plain NATS client that sends exactly the messages it is told to, and knows nothing of Trellis. */
export class RawPeer implements AsyncDisposable {
  readonly connection: NatsConnection;
  /** What went wrong where nobody waits for it. */
  readonly faults: string[] = [];

  constructor(connection: NatsConnection) {
    this.connection = connection;
  }

  static async connect(url: string): Promise<RawPeer> {
    return new RawPeer(await connect({ servers: url }));
  }

  /** Publishes the first message of an invocation. `headers: []` is a message without header block. */
  call(subject: string, first: Uint8Array | string = EMPTY, headers: HeaderList = ONE_X_HEADERS): RawCall {
    return this.callFrom(`_INBOX.${nuid.next()}.${nuid.next()}`, subject, first, headers);
  }

  /** The same with an inbox of the test's choice. */
  callFrom(inbox: string, subject: string, first: Uint8Array | string, headers: HeaderList): RawCall {
    const call = new RawCall(this.connection, inbox);
    this.connection.publish(subject, typeof first === 'string' ? bytes(first) : first, {
      reply: call.rc,
      ...(headers.length === 0 ? {} : { headers: headerBlock(headers) }),
    });
    return call;
  }

  /** A call as a 1.x client makes it: waits for the acknowledgement, ends the parameters, gives the root result. */
  async invoke(subject: string, params: Uint8Array | string = EMPTY, headers: HeaderList = ONE_X_HEADERS): Promise<Buffer> {
    const call = this.call(subject, params, headers);
    call.end(await call.acknowledged());
    return call.result();
  }

  /** Publishes one message. */
  publish(subject: string, payload: Uint8Array, headers: HeaderList = []): void {
    this.connection.publish(subject, payload, headers.length === 0 ? {} : { headers: headerBlock(headers) });
  }

  /** Sends somebody's inbox a status line. */
  refuse(inbox: string, code: number, text: string): void {
    this.connection.publish(inbox, EMPTY, { headers: natsHeaders(code, text) });
  }

  /** Answers a subject as `serve` says. Flushed: later calls reach it. */
  async serve(subject: string, serve: (call: RawService) => void): Promise<void> {
    this.connection.subscribe(subject, { callback: (_error, message) => serve(new RawService(this.connection, message)) });
    await this.connection.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
  }
}

/** One invocation by a raw caller, with all that came back. */
export class RawCall {
  /** The caller's inbox. */
  readonly rc: string;
  readonly frames: Frame[] = [];
  readonly #connection: NatsConnection;

  constructor(connection: NatsConnection, inbox: string) {
    this.#connection = connection;
    this.rc = inbox;
    const onFrame = (_error: unknown, message: Msg): void => void this.frames.push(frameOf(message, this.rc));
    connection.subscribe(this.rc, { callback: onFrame });
    connection.subscribe(`${this.rc}.>`, { callback: onFrame });
  }

  /** The server's inbox, once it has acknowledged. */
  async acknowledged(): Promise<string> {
    await until('an acknowledgement', () => this.frames.some(({ tail, reply }) => tail === '' && reply !== ''));
    return this.frames.find(({ reply }) => reply !== '')!.reply;
  }

  /** Sends parameters of a path, without end. */
  params(rs: string, hex: string | Uint8Array, path = ''): void {
    this.#connection.publish(`${rs}.params${path}`, typeof hex === 'string' ? bytes(hex) : hex);
  }

  /** Sends the end of a path. */
  end(rs: string, path = ''): void {
    this.#connection.publish(`${rs}.params${path}`, EMPTY);
  }

  /** What has come on a path so far, with `ended`. */
  on(path = ''): { data: Buffer; ended: boolean } {
    const mine = this.frames.filter(({ tail }) => tail === `.results${path}`);
    return { data: Buffer.concat(mine.map(({ data }) => data)), ended: mine.some(({ data }) => data.length === 0) };
  }

  /** The bytes of a result path, when it has ended. */
  async result(path = ''): Promise<Buffer> {
    await until(`the end of .results${path}`, () => this.on(path).ended);
    return this.on(path).data;
  }

  /** The status line of the answer. */
  async refused(): Promise<string> {
    await until('a status', () => this.frames.some(({ status }) => status !== ''));
    return this.frames.find(({ status }) => status !== '')!.status;
  }

  /** All that came, as text: `tail hex`. */
  get seen(): string[] {
    return this.frames.map(({ tail, hex, reply, status }) => `${tail} ${reply === '' ? '' : 'reply '}${status}${hex}`.trim());
  }
}

/** One invocation as a raw server sees it. */
export class RawService {
  readonly payload: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  /** The caller's inbox. */
  readonly rc: string;
  /** This server's inbox; nobody listens there before {@link acknowledge}. */
  readonly rs: string;
  /** What came on it. */
  readonly frames: Frame[] = [];
  /** Told of each. */
  onFrame: (frame: Frame) => void = () => {};
  readonly #connection: NatsConnection;

  constructor(connection: NatsConnection, message: Msg) {
    this.#connection = connection;
    this.payload = Buffer.from(message.data);
    this.headers = Object.fromEntries((message.headers?.keys() ?? []).map((name) => [name, message.headers!.get(name)]));
    this.rc = message.reply ?? '';
    this.rs = `_INBOX.${nuid.next()}.${nuid.next()}`;
    connection.subscribe(`${this.rs}.>`, {
      callback: (_error, received) => {
        const frame = frameOf(received, this.rs);
        this.frames.push(frame);
        this.onFrame(frame);
      },
    });
  }

  acknowledge(): void {
    this.#connection.publish(this.rc, EMPTY, { reply: this.rs });
  }

  /** Sends result bytes of a path, in so many pieces as are given. */
  results(pieces: readonly (string | Uint8Array)[], path = ''): void {
    for (const piece of pieces)
      this.#connection.publish(`${this.rc}.results${path}`, typeof piece === 'string' ? bytes(piece) : piece);
  }

  end(path = ''): void {
    this.#connection.publish(`${this.rc}.results${path}`, EMPTY);
  }

  /** Refuses with a status line. */
  refuse(code: number, text: string, headers: HeaderList = []): void {
    const block = natsHeaders(code, text);
    for (const [name, value] of headers) block.append(name, value);
    this.#connection.publish(this.rc, EMPTY, { headers: block });
  }
}
