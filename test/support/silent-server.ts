import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A server that accepts connections and never says anything: what is left of a registry whose process hangs. */
export class SilentServer {
  /** Connections that are open. */
  readonly open = new Set<Socket>();
  readonly #server: Server;

  constructor() {
    this.#server = createServer((socket) => {
      this.open.add(socket);
      // Read on, or the end of the connection is never seen.
      socket.resume();
      socket.on('error', () => socket.destroy());
      socket.on('close', () => this.open.delete(socket));
    });
  }

  /** `localhost:<port>`, as references name it. */
  get authority(): string {
    return `localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  /** @param port - A free one if left out. */
  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.open) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
