import type { NatsConnection } from 'nats';
import {
  canonical,
  isList,
  isObject,
  ordered,
  type GoldenExchange,
  type GoldenFile,
  type GoldenStep,
  type Json,
} from './golden.ts';
import type { LatticeRecorder } from './lattice-recorder.ts';

/** A place in which Trellis answers otherwise than the recorded host, on purpose. */
export interface KnownDifference {
  readonly step: RegExp;
  /** Of the paths that {@link differences} gives. */
  readonly path: RegExp;
  /** The event that there is instead, or beside: the step has not ended before it came. */
  readonly event?: string;
  readonly why: string;
}

/** One place in which what was seen is not what was recorded. */
export interface Difference {
  readonly step: string;
  readonly path: string;
  readonly golden: Json | undefined;
  readonly seen: Json | undefined;
}

/** What {@link replay} takes. */
export interface ReplayOptions {
  readonly nc: NatsConnection;
  readonly recorder: LatticeRecorder;
  readonly known: readonly KnownDifference[];
  /** How long a step may take to become what was recorded. */
  readonly withinMs?: number;
  /** Waits after each request until what came since the step began is `settled`, as its sender did. */
  readonly settled?: (exchange: GoldenExchange, step: GoldenStep) => boolean;
}

/** Sends every recorded request again, and compares everything that happens with what was recorded. */
export async function replay(
  file: GoldenFile,
  { nc, recorder, known, withinMs = 5_000, settled = () => true }: ReplayOptions,
): Promise<ReplayEnd> {
  const unknown: Difference[] = [];
  const used = new Set<KnownDifference>();
  // What the buckets hold: a value that is there already need not be written again.
  const held: Record<string, Json> = {};
  // An event that came twice may come the second time when the next step has begun.
  let before: GoldenStep['events'] = [];
  const isLate = (golden: GoldenStep, event: GoldenStep['events'][number]): boolean =>
    holds(before, event) && !holds(golden.events, event);
  const compared = (golden: GoldenStep, seen: GoldenStep): Difference[] =>
    differences(golden, { ...seen, kv: { ...stillHeld(golden, held), ...seen.kv } }).filter(({ path }) => {
      const explained = known.find((each) => each.step.test(golden.name) && each.path.test(path));
      if (explained !== undefined) used.add(explained);
      return explained === undefined;
    });
  const unexplained = (golden: GoldenStep, seen: GoldenStep): Difference[] => {
    const found = compared(golden, seen);
    const onTime = seen.events.filter((event) => !isLate(golden, event));
    return found.length === 0 || onTime.length === seen.events.length ? found : compared(golden, { ...seen, events: onTime });
  };
  for (const golden of file.steps) {
    for (const exchange of golden.exchanges) {
      const { subject, request, replies } = exchange;
      const payload = toPayload(recorder.placeholders.fill(request));
      await ask(nc, recorder.placeholders.fillText(subject), payload, replies.length, Math.min(withinMs, 5_000));
      await recorder.seenWhen((step) => settled(exchange, step), withinMs);
    }
    // Once something is wrong, the rest is played to say what else is, and nobody wants to wait for it.
    const patienceMs = unknown.length === 0 ? withinMs : Math.min(withinMs, 500);
    const awaited = known.flatMap(({ step, event }) => (event !== undefined && step.test(golden.name) ? [event] : []));
    const isOver = (step: GoldenStep): boolean =>
      unexplained(golden, step).length === 0 &&
      awaited.every((event) => step.events.some(({ subject }) => subject.endsWith(`.${event}`)));
    const seen = await recorder.takeWhen(golden.name, isOver, patienceMs);
    unknown.push(...unexplained(golden, seen));
    Object.assign(held, seen.kv);
    before = seen.events;
  }
  return { unknown, unused: known.filter((each) => !used.has(each)) };
}

/** What a replay found. */
export interface ReplayEnd {
  readonly unknown: readonly Difference[];
  /** Known differences that are none any more. */
  readonly unused: readonly KnownDifference[];
}

const holds = (events: GoldenStep['events'], event: GoldenStep['events'][number]): boolean =>
  events.some(({ subject, data }) => subject === event.subject && canonical(data) === canonical(event.data));

const stillHeld = ({ kv }: GoldenStep, held: Readonly<Record<string, Json>>): Record<string, Json> =>
  Object.fromEntries(Object.entries(held).filter(([key, value]) => key in kv && canonical(kv[key]) === canonical(value)));

function toPayload(request: Json): string {
  if (request === null) return '';
  return typeof request === 'string' ? request : JSON.stringify(request);
}

/** Sends and waits for as many replies as were recorded. */
async function ask(nc: NatsConnection, subject: string, payload: string, replies: number, withinMs: number): Promise<void> {
  const inbox = `_INBOX.golden.${Math.random().toString(36).slice(2)}`;
  const answers = nc.subscribe(inbox, replies === 0 ? {} : { max: replies });
  nc.publish(subject, payload, { reply: inbox });
  await nc.flush();
  if (replies === 0) return;
  const late = setTimeout(() => answers.unsubscribe(), withinMs);
  for await (const answer of answers) void answer;
  clearTimeout(late);
}

/** Every place in which `seen` is not `golden`. An event counts once, however often it came. */
export function differences(golden: GoldenStep, seen: GoldenStep): Difference[] {
  const found: Difference[] = [];
  const compare = (path: string, a: Json | undefined, b: Json | undefined): void => {
    if (canonical(a) === canonical(b)) return;
    if (isObject(a) && isObject(b)) {
      for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) compare(`${path}.${name}`, a[name], b[name]);
    } else if (isList(a) && isList(b)) {
      // Requests came in this order; what a reply lists is in none.
      if (path !== 'exchanges') [a, b] = [ordered(a), ordered(b)];
      for (let index = 0; index < Math.max(a.length, b.length); index += 1) compare(`${path}[${index}]`, a[index], b[index]);
    } else found.push({ step: golden.name, path, golden: a, seen: b });
  };
  compare('exchanges', golden.exchanges as unknown as Json, seen.exchanges as unknown as Json);
  compare('events', bySubject(golden.events), bySubject(seen.events));
  compare('published', bySubject(golden.published), bySubject(seen.published));
  compare('kv', golden.kv, seen.kv);
  return found;
}

/** Name of the message → its different bodies, in an order that is always the same. */
function bySubject(messages: readonly { readonly subject: string; readonly data?: Json; readonly body?: Json }[]): Json {
  const found: Record<string, Json[]> = {};
  for (const { subject, data, body } of messages) {
    const name = subject.replace(/^wasmbus\.evt\.[^.]+\./, '');
    const list = (found[name] ??= []);
    const value = data ?? body ?? null;
    if (!list.some((each) => canonical(each) === canonical(value))) list.push(value);
  }
  for (const list of Object.values(found)) list.sort((a, b) => (canonical(a) < canonical(b) ? -1 : 1));
  return found;
}
