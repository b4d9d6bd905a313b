import type { Clock } from '../clock.ts';
import type { LatticeName } from '../ids.ts';
import type { PassKeys } from '../trust/pass-keys.ts';
import type { Bus, BusLine, BusMessage, BusSubscription } from '../wrpc/bus.ts';
import { isInboxSubject } from '../wrpc/subjects.ts';

/** How old the newest pass key gets before a host makes another. */
const ROTATE_AFTER_MS = 3_600_000;
/** Hosts add up to so much, each its own, so that one of them is first and the others hear of it. */
const ROTATE_SPREAD_MS = 600_000;
const LOOK_EVERY_MS = 30_000;
const ASK_TIMEOUT_MS = 1_000;
/** Least time between two answers to members that are behind. */
const TELL_EVERY_MS = 1_000;
const EMPTY = new Uint8Array(0);

/** The control connection as far as this needs it. */
export interface ControlBus extends Bus {
  request(subject: string, payload: Uint8Array, options: { timeoutMs: number }): Promise<BusMessage>;
  onStatus(listener: (event: { readonly type: string }) => void): () => void;
}

/** What {@link joinPassExchange} takes. */
export interface PassExchangeOptions {
  readonly ctl: ControlBus;
  readonly lattice: LatticeName;
  readonly keys: PassKeys;
  /** True for hosts: they make keys, and tell them to who asks. Others only ask. */
  readonly holds: boolean;
  readonly clock: Clock;
}

/** Subject on which members ask for the pass keys, and below which a new one is told. Control users alone reach it. */
export function passSubject(lattice: LatticeName): string {
  return `wasmbus.ctl.v1.${lattice}.trust.pass`;
}

/**
 * Keeps `keys` the same among the members of a lattice: asks at the start and after an interruption, listens to new ones, and, on a host,
 * makes the first and a new one every hour. Whoever is on the control connection can take part; what they could spoil is which
 * requests are checked first, and nothing else. Resolves, and never rejects, when somebody has answered or nobody did in a second; the
 * returned function ends it.
 */
export async function joinPassExchange(options: PassExchangeOptions): Promise<() => void> {
  const { ctl, lattice, keys, holds, clock } = options;
  const subject = passSubject(lattice);
  const newsSubject = `${subject}.key`;
  const rotateAfterMs = ROTATE_AFTER_MS + Math.random() * ROTATE_SPREAD_MS;
  const subscriptions: BusSubscription[] = [];
  let toldMs = Number.NEGATIVE_INFINITY;
  let over = false;

  const bytes = (): Uint8Array => Buffer.from(keys.text() ?? '', 'latin1');
  function tell(to: string, on: Pick<BusLine, 'publish'> = ctl): void {
    try {
      on.publish(to, bytes());
    } catch {
      // Disconnected: after the interruption everybody asks again.
    }
  }
  function hear(message: BusMessage): void {
    if (keys.merge(Buffer.from(message.payload).toString('latin1')) !== 'behind' || !holds) return;
    const nowMs = clock.monotonicMs();
    if (nowMs - toldMs < TELL_EVERY_MS) return;
    toldMs = nowMs;
    tell(newsSubject);
  }
  function makeOne(): void {
    keys.make();
    tell(newsSubject);
  }
  function answer(): void {
    if (subscriptions.length > 1) return;
    subscriptions.push(
      ctl.subscribe(subject, { queue: `${lattice}.trust.pass` }, ({ reply, line }) => {
        // Only to an inbox: otherwise whoever may ask could have this host publish anywhere it may.
        if (isInboxSubject(reply)) tell(reply, line);
      }),
    );
  }
  async function ask(): Promise<void> {
    // Nobody may answer, and the connection may be down: then it stays as it is until the next look.
    await ctl.request(subject, EMPTY, { timeoutMs: ASK_TIMEOUT_MS }).then(hear, () => undefined);
    if (over || !holds) return;
    // Two hosts that start together both make one; they hear of each other's, and the newer is used.
    if (keys.ageMs === undefined) makeOne();
    try {
      answer();
    } catch {
      // The connection has ended for good, and this host with it.
    }
  }
  function look(): void {
    const { ageMs } = keys;
    if (ageMs === undefined) void ask();
    else if (holds && ageMs > rotateAfterMs) makeOne();
  }

  subscriptions.push(ctl.subscribe(newsSubject, {}, hear));
  const timer = setInterval(look, LOOK_EVERY_MS).unref();
  const deaf = ctl.onStatus(({ type }) => {
    if (type === 'reconnected' || type === 'moved') void ask();
  });
  await ask();
  return () => {
    over = true;
    clearInterval(timer);
    deaf();
    for (const subscription of subscriptions) subscription.unsubscribe();
  };
}
