import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { InputStream, OutputStream, STREAM_CLOSED, StreamFailure } from '../io.ts';
import { Pollable } from '../poll.ts';
import { WitError } from '../wit-error.ts';
import { ByteQueue } from './byte-queue.ts';
import type { Connections } from './connections.ts';
import { HELD_BYTES } from './http-bodies.ts';
import { toSocketAddress, toText } from './ip-address.ts';
import type { IpSocketAddress } from './ip-address.ts';
import type { Reachable } from './name-lookup.ts';

/** How long the last bytes of a socket that its guest has closed may take beyond the call. */
const LINGER_MS = 1_000;

/** Names of failures, and the `error-code` of `wasi:sockets` for them. */
const CODES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection-refused',
  ECONNRESET: 'connection-reset',
  ECONNABORTED: 'connection-aborted',
  EPIPE: 'connection-reset',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'remote-unreachable',
  ENETUNREACH: 'remote-unreachable',
  EADDRNOTAVAIL: 'remote-unreachable',
  EMFILE: 'new-socket-limit',
};

const refuse = (code: string): never => {
  throw new WitError(code);
};

type ShutdownType = 'receive' | 'send' | 'both';

/** `wasi:sockets/tcp` `tcp-socket`: a client. It binds to no address of its choice and listens to nobody. */
export class TcpSocket {
  readonly #family: 'ipv4' | 'ipv6';
  readonly #connections: Connections;
  readonly #reachable: Reachable;
  readonly #received = new ByteQueue();
  readonly #numbers = new Map<string, bigint | number | boolean>();
  #state: 'new' | 'connecting' | 'connected' | 'open' | 'closed' = 'new';
  #socket: Socket | undefined;
  #remote: IpSocketAddress | undefined;
  #failure: string | undefined;
  #receiving = true;
  #sending = true;
  #dropped = false;
  #unsent = 0;

  constructor(family: 'ipv4' | 'ipv6', connections: Connections, reachable: Reachable) {
    this.#family = family;
    this.#connections = connections;
    this.#reachable = reachable;
  }

  startConnect(_network: object, remote: IpSocketAddress): void {
    if (this.#state === 'connecting') refuse('concurrency-conflict');
    if (this.#state !== 'new') refuse('invalid-state');
    const { tag, val } = remote;
    if (tag !== this.#family || val.port === 0 || (tag === 'ipv6' && val.scopeId !== 0)) refuse('invalid-argument');
    const host = toText({ tag, val: val.address } as Parameters<typeof toText>[0]) ?? refuse('invalid-argument');
    if (!this.#reachable.allows(host, val.port)) refuse('access-denied');
    const forget = this.#connections.add(() => this.#endWithCall()) ?? refuse('new-socket-limit');
    this.#state = 'connecting';
    this.#remote = remote;
    const socket = connect({ host, port: val.port, allowHalfOpen: true });
    this.#socket = socket;
    socket.on('connect', () => this.#become('connected'));
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('end', () => {
      this.#receiving = false;
      this.#changed();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#failure ??= CODES[error.code ?? ''] ?? 'unknown';
      this.#changed();
    });
    socket.on('close', () => {
      forget();
      this.#receiving = false;
      this.#sending = false;
      this.#changed();
    });
  }

  finishConnect(): [InputStream, OutputStream] {
    if (this.#state === 'new' || this.#state === 'open') refuse('not-in-progress');
    if (this.#failure !== undefined || this.#state === 'closed') {
      this.#state = 'closed';
      refuse(this.#failure ?? 'connection-aborted');
    }
    if (this.#state === 'connecting') refuse('would-block');
    this.#state = 'open';
    return [this.#input(), this.#output()];
  }

  subscribe(): Pollable {
    return new Pollable({
      lifetime: this.#connections.lifetime,
      ready: () => this.#state !== 'connecting' || this.#failure !== undefined,
    });
  }

  shutdown(type: ShutdownType): void {
    if (this.#state !== 'open') refuse('invalid-state');
    if (type !== 'send') this.#stopReceiving();
    if (type !== 'receive') this.#stopSending();
  }

  localAddress(): IpSocketAddress {
    const { localAddress, localPort } = this.#socket ?? {};
    if (localAddress === undefined || localPort === undefined) return refuse('invalid-state');
    return toSocketAddress(localAddress, localPort);
  }

  remoteAddress(): IpSocketAddress {
    return this.#state === 'open' ? this.#remote! : refuse('invalid-state');
  }

  addressFamily(): string {
    return this.#family;
  }

  isListening(): boolean {
    return false;
  }

  // A client needs none of this, and a server would be somebody the operator has not heard of.
  startBind(): never {
    return refuse('access-denied');
  }

  finishBind(): never {
    return refuse('not-in-progress');
  }

  startListen(): never {
    return refuse('access-denied');
  }

  finishListen(): never {
    return refuse('not-in-progress');
  }

  accept(): never {
    return refuse('invalid-state');
  }

  setListenBacklogSize(): never {
    return refuse('not-supported');
  }

  // Options are remembered, so that a guest that sets them goes on; only the first has an effect.

  keepAliveEnabled(): boolean {
    return this.#option('keepAlive', false);
  }

  setKeepAliveEnabled(value: boolean): void {
    this.#numbers.set('keepAlive', value);
    this.#socket?.setKeepAlive(value);
  }

  keepAliveIdleTime(): bigint {
    return this.#option('idle', 7_200_000_000_000n);
  }

  setKeepAliveIdleTime(value: bigint): void {
    this.#setPositive('idle', value);
  }

  keepAliveInterval(): bigint {
    return this.#option('interval', 75_000_000_000n);
  }

  setKeepAliveInterval(value: bigint): void {
    this.#setPositive('interval', value);
  }

  keepAliveCount(): number {
    return this.#option('count', 9);
  }

  setKeepAliveCount(value: number): void {
    this.#setPositive('count', value);
  }

  hopLimit(): number {
    return this.#option('hops', 64);
  }

  setHopLimit(value: number): void {
    this.#setPositive('hops', value);
  }

  receiveBufferSize(): bigint {
    return this.#option('receive', BigInt(HELD_BYTES));
  }

  setReceiveBufferSize(value: bigint): void {
    this.#setPositive('receive', value);
  }

  sendBufferSize(): bigint {
    return this.#option('send', BigInt(HELD_BYTES));
  }

  setSendBufferSize(value: bigint): void {
    this.#setPositive('send', value);
  }

  [Symbol.dispose](): void {
    this.#dropped = true;
    this.#stopReceiving();
    // What was written is sent first; nothing is waited for that comes.
    this.#socket?.destroySoon();
  }

  #option<T extends bigint | number | boolean>(name: string, usual: T): T {
    return (this.#numbers.get(name) as T | undefined) ?? usual;
  }

  #setPositive(name: string, value: bigint | number): void {
    if (value <= 0) refuse('invalid-argument');
    this.#numbers.set(name, value);
  }

  #input(): InputStream {
    return new InputStream(
      (maxBytes) => {
        const bytes = this.#received.take(maxBytes);
        if (bytes !== undefined) {
          if (this.#received.bytes < HELD_BYTES) this.#socket!.resume();
          return bytes;
        }
        if (this.#failure !== undefined) throw new StreamFailure(this.#failure, this.#failure);
        return this.#receiving ? new Uint8Array() : undefined;
      },
      {
        lifetime: this.#connections.lifetime,
        ready: () => this.#received.bytes > 0 || !this.#receiving || this.#failure !== undefined,
        close: () => this.#stopReceiving(),
      },
    );
  }

  #output(): OutputStream {
    const room = (): number => {
      if (this.#failure !== undefined) throw new StreamFailure(this.#failure, this.#failure);
      if (!this.#sending) throw STREAM_CLOSED;
      return Math.max(0, HELD_BYTES - this.#unsent);
    };
    const send = (bytes: Uint8Array): void => {
      this.#unsent += bytes.length;
      this.#socket!.write(new Uint8Array(bytes), () => {
        this.#unsent -= bytes.length;
        this.#changed();
      });
    };
    const { lifetime } = this.#connections;
    return new OutputStream(send, { lifetime, room, flushed: () => this.#unsent === 0, close: () => this.#stopSending() });
  }

  #take(chunk: Buffer): void {
    if (!this.#receiving) return;
    this.#received.push(chunk);
    if (this.#received.bytes >= HELD_BYTES) this.#socket!.pause();
    this.#changed();
  }

  #stopReceiving(): void {
    this.#receiving = false;
    this.#received.clear();
    this.#socket?.resume();
  }

  #stopSending(): void {
    if (!this.#sending) return;
    this.#sending = false;
    this.#socket?.end();
  }

  #endWithCall(): void {
    const socket = this.#socket!;
    this.#failure ??= 'connection-aborted';
    if (this.#dropped && this.#unsent > 0) setTimeout(() => socket.destroy(), LINGER_MS).unref();
    else socket.destroy();
    this.#become('closed');
  }

  #become(state: 'connected' | 'closed'): void {
    if (this.#state !== 'closed') this.#state = state;
    this.#changed();
  }

  #changed(): void {
    this.#connections.lifetime.changed();
  }
}
