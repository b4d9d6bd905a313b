import { TrellisError } from '../../errors.ts';
import { quote } from '../../ids.ts';
import {
  type ControlOperation,
  controlRoot,
  type ControlSubscription,
  controlSubscriptions,
} from '../../lattice/control-subjects.ts';
import { errorChain } from '../../lattice/events.ts';
import type { ControlOutcome } from '../../telemetry/metrics.ts';
import { childTraceparent } from '../../telemetry/trace.ts';
import { within } from '../../within.ts';
import type { BusMessage, BusSubscription, LineHolder } from '../../wrpc/bus.ts';
import { COMMANDS, type Command } from './commands.ts';
import { judge, MAX_REQUEST_BYTES } from './intake.ts';
import { Lane } from './lane.ts';
import type { ControlOptions } from './options.ts';
import { failed, type Outcome, type ReplyTo, sendOutcome } from './outcome.ts';
import { ProviderLinks } from './provider-links.ts';
import { RateLimit } from './rate-limit.ts';

/** Requests a second that are carried out; as many again are told to come back, and the rest is dropped. */
const MAX_READS_PER_SECOND = 2_000;
/** The same for those that change something: counted apart, so that no flood of them makes a host silent to who looks for it. */
const MAX_CHANGES_PER_SECOND = 1_000;
/** An answer costs as much as so many requests as it has of these. */
const BYTES_A_REQUEST = 64 * 1024;
/** Requests that read or write the lattice's data, and thus wait for a server. */
const DATA_LANE = { maxRunning: 64, maxPerSecond: 500, maxWaiting: 1_024, maxWaitingBytes: 32 * 1024 * 1024 } as const;
/** Requests that came before the host was ready. */
const EARLY_LANE = { maxRunning: 64, maxPerSecond: 500, maxWaiting: 1_024, maxWaitingBytes: 8 * 1024 * 1024 } as const;

const FAILED = 'TRELLIS_CONTROL_FAILED';
/** How long the server may take to have an answer, before what comes after it begins. */
const FLUSH_MS = 500;
/** Of an answer, what a log line shows. */
const MAX_SAID_CHARS = 300;

/** All that the control interface does not know, for metrics. */
const UNKNOWN = 'other';
const UNSUPPORTED = failed('unsupported subject');
const BUSY = failed('the host is busy; try again');

/** The control interface of a host, while it answers. */
export interface ServedControl {
  /** Hears no more requests, and resolves when those that came have their answers. Never rejects. */
  close(): Promise<void>;
}

/**
 * Serves version 1 of the control interface of wasmCloud 1.x, from now on: the subscriptions are in force after the next flush.
 * A request that cannot be carried out is answered so, and nothing that comes in ends the host.
 */
export function serveControl(options: ControlOptions): ServedControl {
  const control = new Control(options);
  control.begin();
  return control;
}

class Control implements ServedControl {
  readonly #options: ControlOptions;
  readonly #root: string;
  readonly #providers: ProviderLinks;
  readonly #data: Lane;
  readonly #early: Lane;
  readonly #reads: RateLimit;
  readonly #changes: RateLimit;
  #subscriptions: readonly BusSubscription[] = [];
  #isReady: boolean;

  constructor(options: ControlOptions) {
    this.#options = options;
    this.#root = controlRoot(options.prefix, options.lattice);
    this.#providers = new ProviderLinks(options.rpc, options.lattice, options.log);
    this.#reads = new RateLimit(options.clock, MAX_READS_PER_SECOND);
    this.#changes = new RateLimit(options.clock, MAX_CHANGES_PER_SECOND);
    this.#data = new Lane(DATA_LANE, options.clock);
    this.#early = new Lane(EARLY_LANE, options.clock);
    this.#isReady = options.ready === undefined;
  }

  begin(): void {
    const { ctl, facts, auctions, ready } = this.#options;
    this.#data.open();
    this.#subscriptions = controlSubscriptions(this.#root, facts.id, auctions).map((subscription) =>
      ctl.subscribe(subscription.subject, subscription.queue === undefined ? {} : { queue: subscription.queue }, (message) =>
        this.#take(message, subscription),
      ),
    );
    ready?.then(
      () => {
        this.#isReady = true;
        this.#early.open();
      },
      // The host gives its start up, and closes this.
      () => undefined,
    );
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#subscriptions.map((subscription) => subscription.drain()));
    await this.#early.idle();
    await this.#data.idle();
    this.#providers.close();
  }

  /** Everything that can be judged without reading the body. Never throws: it runs inside the client. */
  #take(message: BusMessage, subscription: ControlSubscription): void {
    const { log, audit, facts, admit, metrics, clock, silentRegistries = false } = this.#options;
    const judgement = judge(message, subscription, { root: this.#root, host: facts.id, silentRegistries });
    if (judgement === 'elsewhere') return;
    if ('ignored' in judgement) {
      const [code, subject] = ['TRELLIS_CONTROL_IGNORED' as const, quote(message.subject)];
      log.warn({ code, subject, reason: judgement.ignored }, 'a message on a control subject is no request');
      audit.record({ kind: 'control', code, operation: subscription.subject, detail: `${judgement.ignored}: ${subject}` });
      return;
    }
    const arrivedMs = clock.monotonicMs();
    const { operation, asked, argument } = judgement.request;
    const to: ReplyTo = {
      line: message.line,
      reply: message.reply,
      traceparent: childTraceparent(message.header('traceparent')),
    };
    const isRead = operation !== undefined && !COMMANDS[operation].changes;
    const rate = (isRead ? this.#reads : this.#changes).take();
    if (rate === 'drop') return metrics.control(operation ?? UNKNOWN, 'dropped');
    if (rate === 'busy') return this.#refuse(to, asked, BUSY, operation, 'busy');
    if (operation === undefined) {
      metrics.control(UNKNOWN, 'failed');
      return this.#answer(to, UNSUPPORTED);
    }
    const command = COMMANDS[operation];
    const bytes = message.payload.length;
    if (bytes > MAX_REQUEST_BYTES) {
      const outcome = failed(`a request of ${bytes} bytes is larger than the ${MAX_REQUEST_BYTES} that this host reads`);
      return this.#refuse(to, asked, outcome, operation, 'refused');
    }
    const shared = subscription.queue !== undefined;
    const admitted = admit?.(message, { operation, changes: command.changes, shared }) ?? 'ok';
    const signer = typeof admitted === 'object' && 'signer' in admitted ? admitted.signer : undefined;
    if (typeof admitted === 'object' && 'refused' in admitted) {
      metrics.control(operation, 'refused');
      return this.#answer(to, failed(admitted.refused));
    }
    const request = { operation, command, argument, signer, arrivedMs, reply: to, payload: message.payload };
    if (this.#isReady && command.waits !== true) return this.#runNow(request);
    // What waits outlives the client's buffer.
    const kept = { ...request, payload: Uint8Array.from(message.payload) };
    const lane = this.#isReady ? this.#data : this.#early;
    // Answers go out on the login that the request came in on: it stays until then, also when the connection moves on meanwhile.
    const holder: LineHolder = { onLineEnding: () => {} };
    to.line.hold(holder);
    const isTaken = lane.add(bytes, () => this.#run(kept).finally(() => to.line.release(holder)));
    if (isTaken) return;
    to.line.release(holder);
    this.#refuse(to, asked, BUSY, operation, 'busy');
  }

  #runNow(request: Request): void {
    let outcome: Outcome | undefined;
    try {
      outcome = request.command.run(this.#options, { ...request, providers: this.#providers }) as Outcome | undefined;
    } catch (error) {
      outcome = this.#surprise(request, error);
    }
    this.#finish(request.reply, request, outcome);
  }

  async #run(request: Request): Promise<void> {
    let outcome: Outcome | undefined;
    try {
      outcome = await request.command.run(this.#options, { ...request, providers: this.#providers });
    } catch (error) {
      outcome = this.#surprise(request, error);
    }
    this.#finish(request.reply, request, outcome);
  }

  /** What a command threw: a bucket out of reach is an answer like any other, everything else is said in the log. */
  #surprise({ operation }: Request, error: unknown): Outcome {
    if (error instanceof TrellisError && error.category !== 'system') return failed(errorChain(error));
    this.#options.log.error({ code: 'TRELLIS_INTERNAL', operation, err: error }, 'a control request could not be carried out');
    return failed(error instanceof TrellisError ? error.message : 'internal error');
  }

  /** Sends the answer, and says in log and audit what was changed. */
  #finish(
    to: ReplyTo,
    request: Pick<Request, 'operation' | 'command' | 'argument' | 'signer' | 'arrivedMs'>,
    outcome: Outcome | undefined,
  ): void {
    const { operation, command, signer, arrivedMs } = request;
    const ended = (how: ControlOutcome): void =>
      this.#options.metrics.control(operation, how, this.#options.clock.monotonicMs() - arrivedMs);
    if (outcome === undefined) return ended('silent');
    const { success, message, about, after } = outcome;
    if (command.changes) {
      const { log, audit } = this.#options;
      const said = message === '' ? '' : `: ${message.slice(0, MAX_SAID_CHARS)}`;
      const fields = { code: success ? 'ok' : FAILED, operation, about, ...(signer === undefined ? {} : { signer }) };
      log[success ? 'info' : 'warn'](fields, `control: ${operation}${said}`.trim());
      const detail = [about, success ? undefined : message].filter((part) => part !== undefined && part !== '').join(': ');
      audit.record({ kind: 'control', code: success ? 'ok' : FAILED, operation, detail: detail.slice(0, 500), signer });
    }
    this.#answer(to, outcome);
    ended(success ? 'ok' : 'failed');
    if (after !== undefined) void within(FLUSH_MS, this.#options.ctl.flush()).then(after);
  }

  /** Turns a request away at little cost. Silence is the refusal of what many hosts are asked at once. */
  #refuse(to: ReplyTo, asked: string, outcome: Outcome, operation: ControlOperation | undefined, how: 'busy' | 'refused'): void {
    this.#options.metrics.control(operation ?? UNKNOWN, how);
    this.#options.log.warn({ code: 'TRELLIS_CONTROL_BUSY', operation: quote(asked) }, outcome.message);
    if (operation === undefined || COMMANDS[operation].isForAll !== true) this.#answer(to, outcome);
  }

  #answer(to: ReplyTo, outcome: Outcome): void {
    try {
      this.#reads.spend(Math.floor(sendOutcome(to, outcome) / BYTES_A_REQUEST));
    } catch (err) {
      this.#options.log.debug({ err }, 'the answer to a control request could not be sent');
    }
  }
}

interface Request {
  readonly operation: ControlOperation;
  readonly command: Command;
  readonly argument: string;
  readonly signer?: string | undefined;
  /** On the monotonic clock, milliseconds. */
  readonly arrivedMs: number;
  readonly reply: ReplyTo;
  readonly payload: Uint8Array;
}
