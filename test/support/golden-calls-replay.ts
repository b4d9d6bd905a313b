import type { Json } from './golden.ts';
import { said, type CallFrame, type GoldenCall, type GoldenCallsStep } from './golden-calls.ts';
import { until, type Frame, type RawPeer, type RawService } from './raw-peer.ts';

/** Makes a call of the test itself and gives its result. */
export type DirectCall = (component: string, operation: string, ...args: readonly Json[]) => Promise<Json>;

/** What differs from the recording, in words; nothing if all is as it was. */
export type Differences = string[];

/** Plays the side of providers in recorded calls, and compares what components say. */
export class ProviderReplay {
  readonly #peer: RawPeer;
  readonly #components: ReadonlySet<string>;
  /** Recorded calls to providers that have not come yet, by subject. */
  readonly #expected = new Map<string, GoldenCall[]>();
  #differences: Differences = [];
  #answered = 0;

  /** @param components ids that run on the host under test: calls to others are answered here */
  constructor(peer: RawPeer, components: readonly string[]) {
    this.#peer = peer;
    this.#components = new Set(components);
  }

  /** Takes part in a step from its beginning to its end. */
  async play(step: GoldenCallsStep, call: DirectCall): Promise<Differences> {
    this.#differences = [];
    this.#answered = 0;
    const toProviders = step.calls.filter(({ subject }) => !this.#isComponent(subject));
    for (const each of toProviders) await this.#expect(each);
    if (step.call !== undefined) {
      const result = await call(...(step.call as [string, string, ...Json[]]));
      this.#compare('result', step.result, result);
    }
    await Promise.all(step.calls.filter(({ subject }) => this.#isComponent(subject)).map((each) => this.#call(each)));
    await until(`${step.name}: calls to providers have ended`, () => this.#answered === toProviders.length);
    return this.#differences;
  }

  #isComponent(subject: string): boolean {
    return this.#components.has(subject.split('.')[1]!);
  }

  #compare(what: string, recorded: unknown, now: unknown): void {
    const [before, after] = [recorded, now].map((value) => JSON.stringify(value));
    if (before !== after) this.#differences.push(`${what}: recorded ${before}, now ${after}`);
  }

  /** As the provider called. */
  async #call({ subject, headers, hex, frames }: GoldenCall): Promise<void> {
    const made = this.#peer.call(subject, hex, Object.entries(headers));
    const rs = await made.acknowledged();
    for (const frame of frames.filter(({ from }) => from === 'caller')) {
      if (frame.hex === '') made.end(rs, pathOf(frame));
      else made.params(rs, frame.hex, pathOf(frame));
    }
    const ends = endsOf(frames, 'server');
    await until(`${subject}: its end`, () => ends.every((tail) => hasEnded(made.frames, tail)));
    this.#compare(subject, said(frames, 'server'), said(asRecorded(made.frames, 'server'), 'server'));
  }

  async #expect(call: GoldenCall): Promise<void> {
    const { subject } = call;
    const waiting = this.#expected.get(subject);
    if (waiting !== undefined) {
      waiting.push(call);
      return;
    }
    this.#expected.set(subject, [call]);
    await this.#peer.serve(subject, (service) => {
      const next = this.#expected.get(subject)!.shift();
      if (next === undefined) this.#differences.push(`${subject}: called once more than recorded`);
      else this.#answer(service, next).catch((error: unknown) => this.#differences.push(`${subject}: ${String(error)}`));
    });
  }

  /** As the provider answered: what it sent after an end of the caller's, after that end. */
  async #answer(service: RawService, { subject, headers, hex, frames }: GoldenCall): Promise<void> {
    this.#compare(`${subject} first message`, hex, service.payload.toString('hex'));
    for (const name of ['source-id', 'link-name']) this.#compare(`${subject} ${name}`, headers[name], service.headers[name]);
    for (const frame of frames) {
      if (frame.from === 'caller') {
        if (frame.hex === '') await until(`${subject}: the end of ${frame.tail}`, () => hasEnded(service.frames, frame.tail));
      } else if (frame.tail === '') service.acknowledge();
      else if (frame.hex === '') service.end(pathOf(frame));
      else service.results([frame.hex], pathOf(frame));
    }
    this.#compare(subject, said(frames, 'caller'), said(asRecorded(service.frames, 'caller'), 'caller'));
    this.#answered += 1;
  }
}

/** `.0.1` of `.params.0.1`. */
const pathOf = ({ tail }: CallFrame): string => tail.replace(/^\.(?:params|results)/, '');

const endsOf = (frames: readonly CallFrame[], side: CallFrame['from']): string[] =>
  frames.filter(({ from, tail, hex }) => from === side && tail !== '' && hex === '').map(({ tail }) => tail);

const hasEnded = (frames: readonly Frame[], wanted: string): boolean =>
  frames.some(({ tail, data }) => tail === wanted && data.length === 0);

const asRecorded = (frames: readonly Frame[], from: CallFrame['from']): CallFrame[] =>
  frames.map(({ tail, data }) => ({ from, tail, hex: data.toString('hex') }));
