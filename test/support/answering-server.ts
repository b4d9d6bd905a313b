import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { CertificateFiles } from './certificates.ts';

/** A request as it arrived. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

/** How a server answers; what it returns is what it was asked for. */
export type Answerer = (asked: Asked, response: ServerResponse, request: IncomingMessage) => void;

/** A real web server that answers as a test says, and remembers what it was asked: a registry, a token service, an eavesdropper. */
export class AnsweringServer {
  readonly asked: Asked[] = [];
  readonly #server: Server;
  readonly #protocol: string;
  answer: Answerer;

  constructor(answer: Answerer, certificates?: Pick<CertificateFiles, 'serverCertFile' | 'serverKeyFile'>) {
    this.answer = answer;
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method = '', url: path = '', headers } = request;
        const asked = { method, path, authorization: headers.authorization, body: Buffer.concat(chunks).toString('utf8') };
        this.asked.push(asked);
        this.answer(asked, response, request);
      });
    };
    this.#protocol = certificates === undefined ? 'http' : 'https';
    this.#server =
      certificates === undefined
        ? createHttpServer(listener)
        : createHttpsServer(
            { cert: readFileSync(certificates.serverCertFile), key: readFileSync(certificates.serverKeyFile) },
            listener,
          );
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
  get authority(): string {
    return `localhost:${this.port}`;
  }
  get url(): string {
    return `${this.#protocol}://${this.authority}`;
  }

  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
