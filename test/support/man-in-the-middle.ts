import { createObserver, type PathObserver } from '../../src/invocation/observer.ts';
import { type UnsignedPair, UnsignedPairs } from '../../src/invocation/unsigned-pairs.ts';
import { AnswerJudge } from '../../src/invocation/answer-judge.ts';
import { Invoker } from '../../src/invocation/invoke.ts';
import { componentId, functionName, instanceName, linkName } from '../../src/ids.ts';
import { COMMAND_LINE_ORIGIN } from '../../src/development.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { TrustedTime } from '../../src/trust/trusted-time.ts';
import { createResultVerifier } from '../../src/trust/verify-result.ts';
import type { Bus, BusHeaders, BusLine, BusMessage, BusSubscription, LineUser } from '../../src/wrpc/bus.ts';
import { createInbox } from '../../src/wrpc/inbox.ts';
import type { TestLattice } from './lattice.ts';

/** A message on its way, either way. */
export interface Passing {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly reply: string;
  readonly headers: readonly (readonly [string, string])[];
}

/** Decides what becomes of a message: calls `pass` as often as it likes, with what it likes. */
export type Middle = (message: Passing, pass: (message: Passing) => void) => void;

const NAMES = ['Lattice-Delegation', 'Lattice-Need', 'Lattice-Accept', 'Lattice-Result', 'Lattice-Frame'];

/** Somebody who holds the wire between a caller and NATS, and neither end's key. */
export class ManInTheMiddle implements Bus, BusLine {
  static #made = 0;
  readonly #bus: Bus;
  /** One inbox each, for a test may have several. */
  readonly #name = `mitm-${++ManInTheMiddle.#made}`;
  /** What the caller sends. */
  outgoing: Middle = (message, pass) => pass(message);
  /** What comes to the caller's inbox. */
  incoming: Middle = (message, pass) => pass(message);

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  get inboxPrefix(): string {
    return `${this.#bus.inboxPrefix}.${this.#name}`;
  }

  get maxPayloadBytes(): number {
    return this.#bus.maxPayloadBytes;
  }

  get line(): BusLine {
    return this;
  }

  eachLine(user: LineUser): () => void {
    user.prepare(this);
    return () => {};
  }

  hold(): void {}

  release(): void {}

  flush(): Promise<void> {
    return this.#bus.flush();
  }

  publish(subject: string, payload: Uint8Array, options: { reply?: string; headers?: BusHeaders } = {}): void {
    const { reply = '', headers } = options;
    this.outgoing({ subject, payload: Uint8Array.from(payload), reply, headers: headers?.entries ?? [] }, (message) =>
      this.#bus.publish(message.subject, message.payload, {
        ...(message.reply === '' ? {} : { reply: message.reply }),
        ...(message.headers.length === 0 ? {} : { headers: { entries: message.headers } }),
      }),
    );
  }

  subscribe(subject: string, options: { queue?: string }, onMessage: (message: BusMessage) => void): BusSubscription {
    return this.#bus.subscribe(subject, options, (message) => {
      const headers = NAMES.flatMap((name) => {
        const value = message.header(name);
        return value === undefined ? [] : [[name, value] as const];
      });
      const passing: Passing = {
        subject: message.subject,
        payload: Uint8Array.from(message.payload),
        reply: message.reply,
        headers,
      };
      this.incoming(passing, (changed) =>
        onMessage({
          line: this,
          ...changed,
          header: (name) => changed.headers.find(([key]) => key === name)?.[1],
          headerCount: changed.headers.length,
          status: message.status,
          statusText: message.statusText,
        }),
      );
    });
  }
}

/** How a call through the middle ended, and what came of it. */
export interface Outcome {
  /** The code it failed or broke off with. */
  readonly code?: string;
  readonly root?: Buffer;
  /** What came on each path, and whether its end did. */
  readonly paths: Map<string, { content: Buffer; ended: boolean }>;
}

/** A caller whose messages pass the man in the middle. It enforces. */
export class CallerInTheMiddle {
  readonly middle: ManInTheMiddle;
  readonly metrics: Metrics = createMetrics({ eventLoop: false });
  readonly invoker: Invoker;

  /** @param unsigned Pairs that it lets stay unsigned. */
  constructor(test: TestLattice, refusalGraceMs = 1_000, unsigned: readonly UnsignedPair[] = []) {
    const { member } = test.caller;
    const observer: PathObserver = createObserver(silentLogger(), this.metrics);
    this.middle = new ManInTheMiddle(member.rpc);
    this.invoker = new Invoker({
      bus: this.middle,
      inbox: createInbox(this.middle),
      lattice: member.lattice,
      mode: 'enforce',
      signer: member.signer,
      passes: { passFor: () => undefined },
      answers: new AnswerJudge(
        createResultVerifier({ lattice: member.lattice, signers: member.trust, time: new TrustedTime(member.clock) }),
        member.introductions,
      ),
      introductions: member.introductions,
      speaksFor: () => true,
      observer,
      unsigned: new UnsignedPairs(unsigned, () => {}),
      maxResultBytes: 16 * 1024 * 1024,
      refusalGraceMs,
    });
  }

  /** Frames that this caller dropped. */
  async dropped(): Promise<number> {
    const line = (await this.metrics.text()).split('\n').find((each) => each.includes('code="TRELLIS_VERIFY_FRAME"'));
    return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ') + 1));
  }

  /**
   * Calls `echo-streams` and sends `frames` on path `0`, the last with the end unless the stream stays `unended`. Resolves when the
   * call has failed or broken off, or its result and the stream on `awaited` have ended; or is given up after `giveUpAfter` bytes.
   */
  call(
    o: {
      func: string;
      params: Uint8Array;
      frames?: readonly Uint8Array[];
      awaited?: string;
      target?: string;
      timeoutMs?: number;
      unended?: true;
      giveUpAfter?: number;
    },
    instance = 'trellis-samples:echo/streams@0.1.0',
  ): Promise<Outcome> {
    return this.begin(o, instance).outcome;
  }

  /** The same, with a way to give the call up; `outcome` then stays open. */
  begin(
    o: {
      func: string;
      params: Uint8Array;
      frames?: readonly Uint8Array[];
      awaited?: string;
      target?: string;
      timeoutMs?: number;
      unended?: true;
      giveUpAfter?: number;
    },
    instance = 'trellis-samples:echo/streams@0.1.0',
  ): { readonly outcome: Promise<Outcome>; cancel(): void } {
    const paths: Outcome['paths'] = new Map();
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    let root: Buffer | undefined;
    const settle = (code?: string): void => {
      handle.cancel();
      resolve({ ...(code === undefined ? {} : { code }), ...(root === undefined ? {} : { root }), paths });
    };
    const handle = this.invoker.invoke(
      {
        origin: componentId(COMMAND_LINE_ORIGIN),
        link: linkName('default'),
        target: componentId(o.target ?? 'echo-streams'),
        instance: instanceName(instance),
        func: functionName(o.func),
        params: o.params,
        timeoutMs: o.timeoutMs ?? 5_000,
        depth: 0,
        asyncResult: o.awaited !== undefined,
        pendingParams: o.frames !== undefined,
      },
      {
        done: (result) => {
          root = Buffer.from(result);
          if (o.awaited === undefined) settle();
        },
        fail: (code) => settle(code),
        cut: (code) => settle(code),
        path: (path, bytes, eof) => {
          const before = paths.get(path)?.content ?? Buffer.alloc(0);
          paths.set(path, { content: Buffer.concat([before, bytes]), ended: eof });
          if ((eof && path === o.awaited) || paths.get(path)!.content.length >= (o.giveUpAfter ?? Infinity)) settle();
        },
      },
    );
    for (const [at, frame] of (o.frames ?? []).entries())
      handle.sendPath('0', frame, o.unended !== true && at === o.frames!.length - 1);
    return { outcome: promise, cancel: () => handle.cancel() };
  }
}
