import { connect as openSocket, type Socket } from 'node:net';
import { SigningKey } from '../../trust/nkey.ts';

/** A header block as it stands on the wire: names and values in order, none of them checked. */
export type RawHeaders = readonly (readonly [name: string, value: string])[];

/** A message as the server hands it over. */
export interface RawMessage {
  readonly subject: string;
  /** Reply subject, or `''`. */
  readonly reply: string;
  /** Status line without its protocol word: `401 invocation denied`, or `''`. */
  readonly status: string;
  readonly headers: RawHeaders;
  readonly payload: Buffer;
}

const CRLF = '\r\n';
const FLUSH_TIMEOUT_MS = 5_000;

/**
 * A NATS connection of an attacker's own making: it logs in with a user seed and then sends whatever bytes it is told to.
 * Nothing is checked here, because whoever attacks does not check: subjects, headers and lengths go out as they are.
 */
export class RawConnection {
  #errors: string[] = [];
  /** Resolves when the server has hung up. */
  readonly closed: Promise<void>;
  #closed = false;
  #buffer: Buffer = Buffer.alloc(0);
  #pongs: (() => void)[] = [];
  /** Public key of the user. */
  readonly userKey: string;
  readonly #socket: Socket;
  readonly #handlers = new Map<string, (message: RawMessage) => void>();
  #sid = 0;

  private constructor(socket: Socket, userKey: string) {
    this.#socket = socket;
    this.userKey = userKey;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', () => {});
    this.closed = new Promise((resolve) =>
      socket.on('close', () => {
        this.#closed = true;
        for (const pong of this.#pongs.splice(0)) pong();
        resolve();
      }),
    );
  }

  /** Logs in at `127.0.0.1:port` with a user seed. Resolves when the server has answered. */
  static async open(port: number, seed: string): Promise<RawConnection> {
    const key = SigningKey.fromSeed(seed, 'user');
    const socket = openSocket({ port, host: '127.0.0.1', noDelay: true });
    const info = await new Promise<string>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1')));
    });
    const { nonce } = JSON.parse(info.slice(5, info.indexOf(CRLF))) as { nonce?: string };
    const connection = new RawConnection(socket, key.publicKey);
    const login = {
      verbose: false,
      pedantic: false,
      echo: false,
      headers: true,
      no_responders: true,
      protocol: 1,
      lang: 'none',
      version: '0',
      nkey: key.publicKey,
      sig: key.sign(Buffer.from(nonce ?? '')).toString('base64url'),
    };
    socket.write(`CONNECT ${JSON.stringify(login)}${CRLF}`);
    await connection.flush();
    return connection;
  }

  /** What the server complained about since the last time this was asked: `Permissions Violation for Publish to "…"`. */
  takeErrors(): string[] {
    return this.#errors.splice(0);
  }

  /** Subscribes, in a queue group if one is named. Returns the id to {@link unsubscribe} with. */
  subscribe(subject: string, onMessage: (message: RawMessage) => void, queue?: string): string {
    const sid = String(++this.#sid);
    this.#handlers.set(sid, onMessage);
    this.#socket.write(`SUB ${subject} ${queue === undefined ? '' : `${queue} `}${sid}${CRLF}`);
    return sid;
  }

  unsubscribe(sid: string): void {
    this.#handlers.delete(sid);
    this.#socket.write(`UNSUB ${sid}${CRLF}`);
  }

  /** Publishes; without headers and status as a plain message. */
  publish(subject: string, payload: Uint8Array, reply = '', headers: RawHeaders = [], status = ''): void {
    // One piece of the stream, however many lines it is.
    this.#socket.cork();
    const to = reply === '' ? subject : `${subject} ${reply}`;
    if (headers.length === 0 && status === '') {
      this.#socket.write(`PUB ${to} ${payload.length}${CRLF}`);
    } else {
      const lines = headers.map(([name, value]) => `${name}: ${value}${CRLF}`).join('');
      const block = Buffer.from(`NATS/1.0${status === '' ? '' : ` ${status}`}${CRLF}${lines}${CRLF}`, 'utf8');
      this.#socket.write(`HPUB ${to} ${block.length} ${block.length + payload.length}${CRLF}`);
      this.#socket.write(block);
    }
    this.#socket.write(payload);
    this.#socket.write(CRLF);
    this.#socket.uncork();
  }

  /** Resolves after a round trip to the server, or when it has hung up. */
  async flush(): Promise<void> {
    if (this.#closed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, FLUSH_TIMEOUT_MS);
      this.#pongs.push(() => {
        clearTimeout(timer);
        resolve();
      });
      this.#socket.write(`PING${CRLF}`);
    });
  }

  #read(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    for (;;) {
      const end = this.#buffer.indexOf(CRLF);
      if (end < 0) return;
      const line = this.#buffer.toString('latin1', 0, end);
      const used = this.#take(line, end + 2);
      if (used === undefined) return;
      this.#buffer = this.#buffer.subarray(used);
    }
  }

  /** Handles one protocol line whose payload begins at `at`; gives the bytes used, or `undefined` if more must come. */
  #take(line: string, at: number): number | undefined {
    const [word, ...words] = line.split(' ');
    if (word === 'MSG' || word === 'HMSG') {
      const total = Number(words.at(-1));
      if (this.#buffer.length < at + total + 2) return undefined;
      const headerBytes = word === 'HMSG' ? Number(words.at(-2)) : 0;
      const [subject = '', sid = ''] = words;
      const reply = words.length === (word === 'HMSG' ? 5 : 4) ? words[2]! : '';
      const block = this.#buffer.toString('utf8', at, at + headerBytes);
      const payload = Buffer.from(this.#buffer.subarray(at + headerBytes, at + total));
      this.#handlers.get(sid)?.({ subject, reply, payload, ...headersIn(block) });
      return at + total + 2;
    }
    if (word === 'PING') this.#socket.write(`PONG${CRLF}`);
    else if (word === 'PONG') this.#pongs.shift()?.();
    else if (word === '-ERR') this.#errors.push(words.join(' ').replace(/^'|'$/g, ''));
    return at;
  }
}

function headersIn(block: string): { status: string; headers: RawHeaders } {
  const [first = '', ...lines] = block.split(CRLF);
  const headers = lines
    .filter((line) => line !== '')
    .map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
  return { status: first.replace(/^NATS\/1\.0 ?/, ''), headers };
}
