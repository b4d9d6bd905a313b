import { connect, type Socket } from 'node:net';
import { once } from 'node:events';

/** A message as it lay on the wire. */
export interface WireMessage {
  readonly subject: string;
  readonly reply: string;
  /** The header block with its empty last line, or nothing. */
  readonly headers: Buffer;
  readonly payload: Buffer;
}

/** A message as the protocol of NATS sends it. */
export function wireBytes({ subject, reply, headers, payload }: WireMessage): Buffer {
  const sizes = headers.length === 0 ? `${payload.length}` : `${headers.length} ${headers.length + payload.length}`;
  const verb = headers.length === 0 ? 'PUB' : 'HPUB';
  return Buffer.concat([
    Buffer.from(`${verb} ${subject} ${reply} ${sizes}\r\n`, 'latin1'),
    headers,
    payload,
    Buffer.from('\r\n'),
  ]);
}

/**
 * A NATS connection of the fewest possible parts, so that an attacker's own CPU time does not count among what a flood costs:
 * it sends bytes that were made before, and reads what one subscription brings.
 */
export class WireConnection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #onMessage: ((message: WireMessage) => void) | undefined;
  #subscriptions = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes) => this.#read(bytes as Buffer));
  }

  /** Connects to a server on this computer. */
  static async open(port: number): Promise<WireConnection> {
    const socket = connect({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    socket.setNoDelay(true);
    const connection = new WireConnection(socket);
    socket.write('CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":false,"protocol":1}\r\nPING\r\n');
    return connection;
  }

  /** Reads what is sent to `subject` until `enough` messages have come or the time is over. */
  async listen(subject: string, enough: number, timeoutMs: number): Promise<WireMessage[]> {
    const messages: WireMessage[] = [];
    const id = ++this.#subscriptions;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    this.#onMessage = (message) => {
      if (messages.length < enough) messages.push(message);
      else resolve();
    };
    this.#socket.write(`SUB ${subject} ${id}\r\n`);
    await promise;
    clearTimeout(timer);
    this.#socket.write(`UNSUB ${id}\r\n`);
    this.#onMessage = undefined;
    return messages;
  }

  /** Bytes that the server has not taken yet. */
  get backlogBytes(): number {
    return this.#socket.writableLength;
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    for (;;) {
      const end = this.#received.indexOf('\r\n');
      if (end < 0) return;
      const words = this.#received.toString('latin1', 0, end).split(' ');
      const isMessage = words[0] === 'HMSG' || words[0] === 'MSG';
      const size = isMessage ? Number(words.at(-1)) + 2 : 0;
      if (this.#received.length < end + 2 + size) return;
      if (words[0] === 'PING') this.#socket.write('PONG\r\n');
      if (isMessage) this.#deliver(words, this.#received.subarray(end + 2, end + size));
      this.#received = this.#received.subarray(end + 2 + size);
    }
  }

  /** `MSG subject id [reply] size`, `HMSG subject id [reply] header-size size`. */
  #deliver(words: readonly string[], data: Buffer): void {
    const sizes = words[0] === 'HMSG' ? 2 : 1;
    const headerBytes = sizes === 2 ? Number(words.at(-2)) : 0;
    const reply = words.length === 3 + sizes + 1 ? words[3]! : '';
    // A copy: the buffer it lies in is as large as everything that came with it.
    const own = Buffer.from(data);
    this.#onMessage?.({ subject: words[1]!, reply, headers: own.subarray(0, headerBytes), payload: own.subarray(headerBytes) });
  }
}
