import { connect, createInbox, type Msg, type NatsConnection } from 'nats';
import { systemClock } from '../../src/clock.ts';
import { type ServedControl, serveControl } from '../../src/control/interface/serve.ts';
import type { ControlOptions } from '../../src/control/interface/options.ts';
import { HostFacts } from '../../src/control/host-facts.ts';
import { openLatticeEvents } from '../../src/control/lattice-events.ts';
import { type LatticeData, openLatticeData } from '../../src/control/lattice-data.ts';
import { latticeName } from '../../src/ids.ts';
import type { RunningWorkload, ScaleRequest, UpdateRequest, WorkloadReply, Workloads } from '../../src/lattice/workloads.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { Audit } from '../../src/telemetry/audit.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { recordedLog } from './recorded-log.ts';
import { until } from './until.ts';

/** The control interface on real connections, with the lattice's real data and events; what it is told to run is written down. */
export interface ControlHost extends AsyncDisposable {
  readonly id: string;
  readonly facts: HostFacts;
  readonly data: LatticeData;
  readonly control: ServedControl;
  readonly ctl: LatticeConnection;
  readonly logged: Record<string, unknown>[];
  /** Audit records so far, parsed. */
  readonly audited: Record<string, unknown>[];
  readonly metrics: Metrics;
  /** What was asked of the workloads, in order. */
  readonly asked: (ScaleRequest | UpdateRequest)[];
  readonly stops: (number | undefined)[];
  readonly credentials: object[];
  /** Components that run here, as far as the control interface is told. */
  readonly running: Map<string, RunningWorkload>;
}

/** What of {@link ControlOptions} a test may set, and the servers. */
export interface ControlHostOptions extends Partial<
  Pick<ControlOptions, 'prefix' | 'auctions' | 'accepts' | 'admit' | 'ready' | 'clock' | 'silentRegistries' | 'fileLinks'>
> {
  readonly lattice?: string;
  /** Credentials of the two connections; nobody logs in without. */
  readonly creds?: Readonly<Record<'ctl' | 'rpc', string>>;
}

/** A running component as a test needs one. */
export function runs(id: string, imageRef = `file:///${id}.wasm`): RunningWorkload {
  return { id, imageRef, annotations: {}, revision: 0, maxInstances: 1, limits: null };
}

/** Serves the control interface of a new host. */
export async function startControlHost(url: string, { creds, ...options }: ControlHostOptions = {}): Promise<ControlHost> {
  const lattice = latticeName(options.lattice ?? 'lab');
  const { log, logged } = recordedLog();
  const id = SigningKey.generate('server').publicKey;
  const [ctl, rpc] = await Promise.all(
    (['ctl', 'rpc'] as const).map((partition) =>
      connectPartition({
        partition,
        lattice,
        servers: [url],
        name: 'test',
        log,
        ...(creds === undefined ? {} : { credsFile: creds[partition] }),
      }),
    ),
  );
  const audited: Record<string, unknown>[] = [];
  const audit = new Audit({ clock: systemClock, host: id, lattice, maxPerSecond: 10_000, scrubber: log.scrubber });
  audit.addSink({ write: (_kind, _time, json) => void audited.push(JSON.parse(json)), close: async () => {} });
  const facts = new HostFacts({ id, lattice, version: '0.0.0', labels: { zone: 'a' }, clock: systemClock, ctlServer: url });
  const data = await openLatticeData({
    ctl: ctl!,
    lattice,
    log,
    ...(options.prefix === undefined ? {} : { ctlPrefix: options.prefix }),
  });
  const events = openLatticeEvents({ ctl: ctl!, lattice, host: id, clock: systemClock, log });
  const running = new Map<string, RunningWorkload>();
  const asked: (ScaleRequest | UpdateRequest)[] = [];
  const write = (request: ScaleRequest | UpdateRequest): WorkloadReply => {
    asked.push(request);
    return { success: true, message: 'written down' };
  };
  const workloads: Workloads = {
    list: () => [...running.values()],
    has: (component) => running.has(component),
    scale: write,
    update: write,
  };
  const metrics = createMetrics({ eventLoop: false });
  const stops: (number | undefined)[] = [];
  const credentials: object[] = [];
  const control = serveControl({
    ctl: ctl!,
    rpc: rpc!,
    prefix: 'wasmbus.ctl',
    facts,
    data,
    fileLinks: () => new Map(),
    workloads,
    events,
    registries: {
      put(entries) {
        credentials.push(entries);
        return [];
      },
    },
    auctions: { component: true, provider: true },
    stopHost: (timeoutMs) => void stops.push(timeoutMs),
    log,
    audit,
    metrics,
    clock: systemClock,
    ...options,
    lattice,
  });
  await ctl!.flush();
  return {
    id,
    facts,
    data,
    control,
    ctl: ctl!,
    logged,
    audited,
    metrics,
    asked,
    stops,
    credentials,
    running,
    async [Symbol.asyncDispose]() {
      await control.close();
      await data.close();
      events.close();
      await Promise.all([ctl!.close(), rpc!.close()]);
    },
  };
}

/** A bare client of a lattice, as `wash` and `wadm` are. */
export class RawControlClient implements AsyncDisposable {
  readonly nc: NatsConnection;
  readonly #root: string;

  private constructor(nc: NatsConnection, root: string) {
    this.nc = nc;
    this.#root = root;
  }

  /** @param root - First tokens of its subjects, lattice included. */
  static async connect(url: string, root = 'wasmbus.ctl.v1.lab'): Promise<RawControlClient> {
    return new RawControlClient(await connect({ servers: url, reconnect: false }), root);
  }

  /** The same over a connection that somebody has logged in; it is closed with this. */
  static over(nc: NatsConnection, root = 'wasmbus.ctl.v1.lab'): RawControlClient {
    return new RawControlClient(nc, root);
  }

  /** The answer to one request. @param body - Text as it is, everything else as JSON. */
  async message(tail: string, body: unknown = '', timeoutMs = 30_000): Promise<Msg> {
    const payload = typeof body === 'string' ? body : JSON.stringify(body);
    return this.nc.request(`${this.#root}.${tail}`, payload, { timeout: timeoutMs });
  }

  /** The text of the answer. */
  async text(tail: string, body?: unknown): Promise<string> {
    return (await this.message(tail, body)).string();
  }

  /** The answer, parsed. */
  async ask(tail: string, body?: unknown): Promise<{ success: boolean; message: string; response?: unknown }> {
    return (await this.message(tail, body)).json();
  }

  /** All answers to one request: the first `least`, whenever they come, and what else comes in this time after them. */
  async answers(tail: string, body: unknown, forMs: number, least = 1): Promise<string[]> {
    return this.#gather(tail, body, forMs, least);
  }

  /** All answers to one request that come in this time: for what nobody should answer. */
  async gather(tail: string, body: unknown, forMs: number): Promise<string[]> {
    return this.#gather(tail, body, forMs, 0);
  }

  async #gather(tail: string, body: unknown, forMs: number, least: number): Promise<string[]> {
    // Users may listen below their own key only.
    const { inboxPrefix } = (this.nc as unknown as { readonly options: { readonly inboxPrefix?: string } }).options;
    const inbox = createInbox(inboxPrefix);
    const answers: string[] = [];
    const subscription = this.nc.subscribe(inbox, { callback: (_, message) => void answers.push(message.string()) });
    this.nc.publish(`${this.#root}.${tail}`, typeof body === 'string' ? body : JSON.stringify(body), { reply: inbox });
    await this.nc.flush();
    await until(() => answers.length >= least);
    await new Promise((resolve) => setTimeout(resolve, forMs));
    subscription.unsubscribe();
    return answers;
  }

  /** Names and data of the events of the lattice from now on. */
  async events(lattice = 'lab'): Promise<{ name: string; source: string; data: Record<string, unknown> }[]> {
    const heard: { name: string; source: string; data: Record<string, unknown> }[] = [];
    this.nc.subscribe(`wasmbus.evt.${lattice}.>`, {
      callback: (_, message) => {
        const name = message.subject.split('.').at(-1)!;
        // A host that starts tries what its users may do, with messages that are no events.
        if (!/^[a-z_]+$/.test(name) || !message.string().startsWith('{')) return;
        const { source, data } = message.json<{ source: string; data: Record<string, unknown> }>();
        heard.push({ name, source, data });
      },
    });
    await this.nc.flush();
    return heard;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.nc.close();
  }
}
