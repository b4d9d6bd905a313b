import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type ConnectionOptions, type NatsConnection } from 'nats';
import { bodyOf, momentary, type GoldenExchange, type GoldenStep, type Json, type Placeholders } from './golden.ts';

interface Seen {
  readonly subject: string;
  readonly reply: string | undefined;
  readonly data: Uint8Array;
  /** The operation of a key-value message: `DEL`, `PURGE`. */
  readonly operation: string | undefined;
}

/**
 * Hears everything that is said on a server without accounts, and makes golden steps of it. Requests, events, messages to
 * providers and key-value puts are kept; JetStream's own traffic, heartbeats and wRPC frames are not.
 */
export class LatticeRecorder implements AsyncDisposable {
  readonly placeholders: Placeholders;
  readonly #nc: NatsConnection;
  readonly #seen: Seen[] = [];

  private constructor(nc: NatsConnection, placeholders: Placeholders) {
    this.#nc = nc;
    this.placeholders = placeholders;
    nc.subscribe('>', {
      callback: (_error, { subject, reply, data, headers }) => {
        const operation = headers?.has('KV-Operation') === true ? headers.get('KV-Operation') : undefined;
        this.#seen.push({ subject, reply, data: data.slice(), operation });
      },
    });
  }

  static async start(url: string, placeholders: Placeholders, options: ConnectionOptions = {}): Promise<LatticeRecorder> {
    const nc = await connect({ servers: url, name: 'recorder', ...options });
    const recorder = new LatticeRecorder(nc, placeholders);
    await nc.flush();
    return recorder;
  }

  /** Resolves when nothing worth keeping has come for `quietMs`. */
  async quiet(quietMs = 700): Promise<void> {
    for (let before = -1, now = this.#kept(); before !== now; now = this.#kept()) {
      before = now;
      await sleep(quietMs);
    }
  }

  /** What came since the last step, as a step. */
  async take(name: string, more: Partial<GoldenStep> = {}): Promise<GoldenStep> {
    await this.quiet();
    return stepOf(name, this.#seen.splice(0), this.placeholders, more);
  }

  /** Waits until what came since the last step is `complete`, or for `withinMs`, and leaves it there. */
  async seenWhen(complete: (step: GoldenStep) => boolean, withinMs: number): Promise<void> {
    // What the server has taken from others by now is here after this.
    await this.#nc.flush();
    const endMs = performance.now() + withinMs;
    for (let before = -1; performance.now() < endMs; await sleep(20)) {
      if (before !== this.#seen.length && complete(stepOf('', this.#seen, this.placeholders, {}))) return;
      before = this.#seen.length;
    }
  }

  /** What came since the last step, as soon as `complete` says so, and at the latest after `withinMs`. */
  async takeWhen(name: string, complete: (step: GoldenStep) => boolean, withinMs: number): Promise<GoldenStep> {
    await this.seenWhen(complete, withinMs);
    return stepOf(name, this.#seen.splice(0), this.placeholders, {});
  }

  #kept(): number {
    return this.#seen.filter(isKept).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nc.close();
  }
}

const REQUEST = /^(?:wasmbus\.ctl\.v1\.|wadm\.api\.)/;
const EVENT = /^wasmbus\.evt\./;
const PROVIDER = /^wasmbus\.rpc\./;
const KEY_VALUE = /^\$KV\.((?:LATTICEDATA|CONFIGDATA)_[^.]+)\.(.+)$/;
const KEPT = new RegExp([REQUEST, EVENT, PROVIDER, KEY_VALUE].map(({ source }) => source).join('|'));
/** Heartbeats, which come when they come; and what hosts of Trellis say to each other: trust, who they are, whether they may send. */
const LEFT_OUT =
  /\.probe[0-9a-f]{24}|^wasmbus\.evt\.[^.]+\.(?:host_heartbeat|audit_)|^wasmbus\.ctl\.v1\.[^.]+\.(?:trust|component\.describe|host\.instance|data)\./;

const isKept = ({ subject }: Seen): boolean => KEPT.test(subject) && !LEFT_OUT.test(subject);

function stepOf(name: string, seen: readonly Seen[], placeholders: Placeholders, more: Partial<GoldenStep>): GoldenStep {
  const shown = (value: Json): Json => momentary(placeholders.hide(value));
  const text = (subject: string): string => placeholders.hideText(subject);
  const exchanges: GoldenExchange[] = [];
  const events: { subject: string; data: Json }[] = [];
  const published: { subject: string; body: Json }[] = [];
  const kv: Record<string, Json> = {};
  for (const { subject, reply, data, operation } of seen.filter(isKept)) {
    const body = bodyOf(data);
    if (REQUEST.test(subject)) {
      const replies = seen.filter((each) => each.subject === reply).map((each) => bodyOf(each.data));
      exchanges.push({ subject: text(subject), request: shown(body), replies: replies.map(shown) });
    } else if (EVENT.test(subject)) {
      events.push({ subject: text(subject), data: shown(eventData(subject, body)) });
    } else if (PROVIDER.test(subject)) {
      published.push({ subject: text(subject), body: shown(body) });
    }
    const [, bucket, key] = KEY_VALUE.exec(subject) ?? [];
    if (bucket !== undefined) kv[text(`${bucket}/${key}`)] = operation === undefined ? shown(body) : null;
  }
  return { name, ...more, exchanges, events, published, kv };
}

/** What every field of a CloudEvent but `source` and `data` must be. */
const envelopeOf = (name: string): readonly (readonly [field: string, kind: RegExp])[] => [
  ['id', /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/],
  ['time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)$/],
  ['specversion', /^1\.0$/],
  ['datacontenttype', /^application\/json$/],
  ['type', new RegExp(`^com\\.wasmcloud\\.lattice\\.${name}$`)],
];

/** The data of a CloudEvent, whose envelope must be as it has to be. `source` is kept beside it, as it says which host spoke. */
function eventData(subject: string, event: Json): Json {
  const { source, data, ...envelope } = event as Record<string, Json>;
  const rules = new Map(envelopeOf(subject.split('.').at(-1)!));
  const faults = [
    ...[...rules].filter(([field, kind]) => typeof envelope[field] !== 'string' || !kind.test(envelope[field])),
    ...Object.entries(envelope).filter(([field]) => !rules.has(field)),
  ];
  if (faults.length > 0) throw new Error(`${subject} is no event of a lattice: ${JSON.stringify(event)}`);
  return { source: source!, ...(data as Record<string, Json>) };
}
