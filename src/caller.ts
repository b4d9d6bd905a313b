import type { Clock } from './clock.ts';
import type { HostConfig } from './config/schema.ts';
import { describeSubject, parseDescription, type ComponentDescription } from './control/describe.ts';
import { askExplanations, explainCommand, type Explanation } from './control/explain.ts';
import { CATALOGUE, TrellisError, type ErrorCode } from './errors.ts';
import { componentId, functionName, instanceName, linkName } from './ids.ts';
import type { Invocation, InvocationEvents, InvocationHandle } from './invocation/outbound.ts';
import { LinkTable, type SharedTarget } from './invocation/link-table.ts';
import { createObserver } from './invocation/observer.ts';
import { memberKey } from './identity/member-key.ts';
import { joinLattice, type Member } from './member.ts';
import type { Logger } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';

/** What a caller needs. It serves nothing: no components, no subscriptions but its own inbox. */
export interface CallerOptions {
  readonly config: HostConfig;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Id the caller signs as; the target needs a link for it, or names it in `trust.unlinkedOrigins`. */
  readonly origin: string;
  readonly clock?: Clock;
}

/** One call by name. */
export interface CallRequest {
  readonly target: string;
  /** `ns:pkg/iface@1.0.0`, or `''` for a function of the world itself. */
  readonly instance: string;
  /** Function as on the wire, e.g. `greet` or `counter.up`. */
  readonly func: string;
  /** Encoded root parameters. */
  readonly params: Uint8Array;
  readonly timeoutMs: number;
  readonly link?: string;
  readonly traceparent?: string;
  /** Set when the result type holds streams or futures; their frames then go to `onPath`. */
  readonly onPath?: (path: string, bytes: Uint8Array, eof: boolean) => void;
  /** Told when those frames break off: what came of them is not the whole. */
  readonly onCut?: (error: TrellisError) => void;
  /** True if streams or futures of the parameters follow through the handle. */
  readonly pendingParams?: boolean;
  /** Gets the handle, for those who send async parameters or give the call up. */
  readonly onHandle?: (handle: InvocationHandle) => void;
}

/** Joins a lattice in order to call. @throws TRELLIS_NATS_*, TRELLIS_KEY_INVALID */
export async function connectCaller(options: CallerOptions): Promise<Caller> {
  const observer = createObserver(options.log, options.metrics);
  const member = await joinLattice({
    config: options.config,
    log: options.log,
    key: await memberKey(options.config),
    scope: { origins: [options.origin], targets: [] },
    links: new LinkTable([]),
    observer,
    name: `trellis caller ${options.origin}`,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  });
  const shared = options.config.links.flatMap(({ target, shared: to }) => (to === undefined ? [] : [[target, to] as const]));
  return new Caller(member, options.origin, new Map(shared));
}

/** A member of the lattice that only calls. */
export class Caller implements AsyncDisposable {
  readonly member: Member;
  readonly #origin: ReturnType<typeof componentId>;
  /** Components of other lattices, by the ids of their imports. */
  readonly #shared: ReadonlyMap<string, SharedTarget>;

  constructor(member: Member, origin: string, shared: ReadonlyMap<string, SharedTarget>) {
    this.member = member;
    this.#origin = componentId(origin);
    this.#shared = shared;
  }

  /** Resolves to the result's bytes. @throws TRELLIS_INVOKE_*, TRELLIS_PATH_*, TRELLIS_ID_INVALID */
  call(request: CallRequest): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const { onPath, onCut } = request;
      const error = (code: ErrorCode, detail: string, correlation?: string): TrellisError =>
        new TrellisError(code, {
          message: `${CATALOGUE[code].meaning.replace(/\.$/, '')}: ${detail}`,
          ...(correlation === undefined ? {} : { remedy: `Ask the host which check refused it: ${explainCommand(correlation)}` }),
          details: { target: request.target, instance: request.instance, func: request.func, detail, correlation },
        });
      const invocation: Invocation = {
        origin: this.#origin,
        link: linkName(request.link ?? 'default'),
        target: componentId(request.target),
        instance: instanceName(request.instance),
        func: functionName(request.func),
        params: request.params,
        timeoutMs: request.timeoutMs,
        depth: 0,
        asyncResult: onPath !== undefined,
        pendingParams: request.pendingParams === true,
        ...(request.traceparent === undefined ? {} : { traceparent: request.traceparent }),
      };
      const events: InvocationEvents = {
        done: resolve,
        fail: (code, detail, correlation) => reject(error(code, detail, correlation)),
        ...(onCut === undefined ? {} : { cut: (code: ErrorCode, detail: string) => onCut(error(code, detail)) }),
        ...(onPath === undefined ? {} : { path: onPath }),
      };
      const shared = this.#shared.get(request.target);
      const handle =
        shared === undefined
          ? this.member.invoker.invoke(invocation, events)
          : this.member.shared.invoke(shared, invocation, events);
      request.onHandle?.(handle);
    });
  }

  /** Asks the lattice for a component's types. @throws TRELLIS_INVOKE_NO_RESPONDERS, TRELLIS_INVOKE_TIMEOUT */
  async describe(target: string, timeoutMs: number): Promise<ComponentDescription> {
    const id = componentId(target);
    const answer = await this.member.ctl
      .request(describeSubject(this.member.lattice, id), new Uint8Array(0), { timeoutMs })
      .catch((error: unknown) => {
        if (!(error instanceof TrellisError) || error.code !== 'TRELLIS_NATS_NO_RESPONDERS') throw error;
        throw new TrellisError('TRELLIS_INVOKE_NO_RESPONDERS', {
          message: `no host of lattice ${this.member.lattice} serves ${id}`,
        });
      });
    return parseDescription(answer.payload);
  }

  /** Asks the hosts of the lattice why they refused something; empty if none of them knows the id. */
  explain(correlation: string, waitMs: number): Promise<Explanation[]> {
    return askExplanations(this.member.ctl, this.member.lattice, correlation, waitMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.member.close();
  }
}
