import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRandom, type Random } from './random.ts';

/** `up` is from the client to the server. */
export type Direction = 'up' | 'down';

/** How bytes travel while no fault holds them. */
export interface Lag {
  /** Added to every piece of data, milliseconds. */
  readonly delayMs?: number;
  /** Up to this much more, anew for each piece; they never overtake each other. */
  readonly jitterMs?: number;
  /**
   * Part of the segments that are lost, 0 to 1. TCP sends a lost segment again after its timeout and hands over nothing that came behind it
   * before; so here it and all behind it come later by that time, and a second loss doubles it.
   */
  readonly lossRate?: number;
}

const FAULTS = ['cut', 'blackhole', 'deaf', 'mute', 'far', 'lossy', 'none'] as const;

/** Least retransmission timeout of Linux, and the segments of Ethernet. */
const RETRANSMIT_MS = 200;
const SEGMENT_BYTES = 1_448;

/**
 * Stands between a client and a NATS server on loopback and does to their connections what networks do. All randomness comes from
 * one seed. It listens on one port for its whole life, also after {@link FaultProxy.cut}.
 */
export class FaultProxy implements AsyncDisposable {
  readonly port: number;
  readonly #targetPort: number;
  readonly #random: Random;
  readonly #pairs = new Set<Pair>();
  #server: Server | undefined;
  #lag: Lag = {};
  readonly #held: Record<Direction, boolean> = { up: false, down: false };

  private constructor(server: Server, targetPort: number, random: Random) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.#targetPort = targetPort;
    this.#random = random;
    server.on('connection', (client) => this.#accept(client));
  }

  static async start(targetPort: number, random: Random = createRandom()): Promise<FaultProxy> {
    return new FaultProxy(await listen(0), targetPort, random);
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Connections that stand. */
  get connections(): number {
    return this.#pairs.size;
  }

  /** Resets every connection and refuses new ones, as a firewall with `REJECT` or a server that is gone. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = server === undefined ? undefined : once(server, 'close');
    server?.close();
    for (const pair of this.#pairs) pair.reset();
    await closed;
  }

  /** Nothing arrives any more in one direction or both, and nobody is told: neither of new connections nor of ends. */
  hold(...directions: Direction[]): void {
    for (const direction of directions) this.#held[direction] = true;
  }

  lag(lag: Lag): void {
    this.#lag = lag;
  }

  /** Ends every fault. What was held arrives now, where both ends still want it. */
  async heal(): Promise<void> {
    this.#lag = {};
    this.#held.up = this.#held.down = false;
    for (const pair of this.#pairs) pair.flow();
    if (this.#server !== undefined) return;
    const server = await listen(this.port);
    server.on('connection', (client) => this.#accept(client));
    this.#server = server;
  }

  /** One fault after the other for `durationMs`, in an order that the seed decides; then all is well again. Returns what it did. */
  async storm(durationMs: number): Promise<readonly string[]> {
    const done: string[] = [];
    const end = performance.now() + durationMs;
    while (performance.now() < end) {
      const fault = FAULTS[this.#random.below(FAULTS.length)]!;
      const lastsMs = 50 + this.#random.below(1_500);
      done.push(`${fault} ${lastsMs} ms`);
      if (fault === 'cut') await this.cut();
      else if (fault === 'blackhole') this.hold('up', 'down');
      else if (fault === 'deaf') this.hold('down');
      else if (fault === 'mute') this.hold('up');
      else if (fault === 'far') this.lag({ delayMs: 100, jitterMs: 200 });
      else if (fault === 'lossy') this.lag({ delayMs: 5, lossRate: 0.2 });
      await sleep(lastsMs);
      await this.heal();
    }
    return done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cut();
  }

  #accept(client: Socket): void {
    const pair = new Pair(client, connect({ port: this.#targetPort, host: '127.0.0.1' }), {
      isHeld: (direction) => this.#held[direction],
      waitMs: () => this.#waitMs(),
      over: () => this.#pairs.delete(pair),
    });
    this.#pairs.add(pair);
  }

  /** How much later than it was sent the next segment arrives. */
  #waitMs(): number {
    const { delayMs = 0, jitterMs = 0, lossRate = 0 } = this.#lag;
    let waitMs = delayMs + (jitterMs > 0 ? this.#random.below(jitterMs) : 0);
    for (let timeoutMs = RETRANSMIT_MS; this.#random.below(1_000_000) < lossRate * 1_000_000; timeoutMs *= 2) waitMs += timeoutMs;
    return waitMs;
  }
}

async function listen(port: number): Promise<Server> {
  const server = createServer({ noDelay: true });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

interface Network {
  isHeld(direction: Direction): boolean;
  waitMs(): number;
  over(): void;
}

/** One connection of the client, and the one to the server behind it. */
class Pair {
  readonly #ends: Readonly<Record<Direction, Lane>>;
  readonly #network: Network;

  constructor(client: Socket, server: Socket, network: Network) {
    this.#network = network;
    server.setNoDelay(true);
    this.#ends = { up: new Lane('up', client, server, network), down: new Lane('down', server, client, network) };
    for (const socket of [client, server]) socket.on('close', () => this.#onClose());
  }

  reset(): void {
    for (const { from } of Object.values(this.#ends)) from.resetAndDestroy();
  }

  flow(): void {
    for (const lane of Object.values(this.#ends)) lane.flow();
  }

  #onClose(): void {
    if (Object.values(this.#ends).every(({ from }) => from.destroyed)) this.#network.over();
  }
}

/** One direction of a connection. */
class Lane {
  readonly from: Socket;
  readonly #to: Socket;
  readonly #direction: Direction;
  readonly #network: Network;
  /** What is on its way; `undefined` is the end. */
  readonly #queue: { readonly data: Buffer | undefined; readonly dueMs: number }[] = [];
  #lastDueMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(direction: Direction, from: Socket, to: Socket, network: Network) {
    this.from = from;
    this.#to = to;
    this.#direction = direction;
    this.#network = network;
    from.on('data', (data: Buffer) => {
      for (let at = 0; at < data.length; at += SEGMENT_BYTES) this.#send(data.subarray(at, at + SEGMENT_BYTES));
    });
    // What a reset says, `close` says as well.
    from.on('error', () => {});
    from.on('close', () => this.#send(undefined));
  }

  #send(data: Buffer | undefined): void {
    const dueMs = Math.max(this.#lastDueMs, performance.now() + this.#network.waitMs());
    this.#lastDueMs = dueMs;
    this.#queue.push({ data, dueMs });
    this.flow();
  }

  /** Hands over what is due. */
  flow(): void {
    clearTimeout(this.#timer);
    for (let next = this.#queue[0]; next !== undefined && !this.#network.isHeld(this.#direction); next = this.#queue[0]) {
      const waitMs = next.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.flow(), waitMs);
        return;
      }
      this.#queue.shift();
      if (next.data === undefined) this.#to.destroy();
      else if (!this.#to.destroyed) this.#to.write(next.data);
    }
  }
}
