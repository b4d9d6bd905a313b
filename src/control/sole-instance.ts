import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import type { LatticeName } from '../ids.ts';
import type { LatticeConnection } from '../nats/connection.ts';
import type { Logger } from '../telemetry/log.ts';
import { openInstanceAnswer, signInstanceAnswer, type InstanceAnswer, type InstanceState } from '../trust/instance-answer.ts';
import type { SigningKey } from '../trust/nkey.ts';
import { newTokenId } from '../trust/signer.ts';
import type { BusSubscription } from '../wrpc/bus.ts';
import { isInboxSubject } from '../wrpc/subjects.ts';

/** What {@link claimIdentity} takes. */
export interface ClaimOptions {
  readonly ctl: LatticeConnection;
  readonly lattice: LatticeName;
  /** The host's own key, by which others know it. */
  readonly key: SigningKey;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long to wait for another process that drains, milliseconds. */
  readonly waitMs: number;
  /** Told once when another process has the better claim while this one serves. */
  readonly onLost: (error: TrellisError) => void;
  /** How long answers are awaited, milliseconds; 400 by default. */
  readonly listenMs?: number;
}

const LISTEN_MS = 400;
/** Rounds of questions before one's own start, however many others ask meanwhile. */
const MAX_ROUNDS = 10;
/** Answers cost a signature each, and whoever may use the ctl connection may ask. */
const MAX_ANSWERS_PER_SECOND = 50;
/** A question makes one that serves ask in turn, not more often than this. */
const LOOK_EVERY_MS = 2_000;

/**
 * Makes sure that no other process runs under this host's identity in the lattice, and keeps others from starting: a second one would
 * answer for it, and each would refuse as replayed what the other has run. Of two that start at once the one with the larger random id
 * gives way; one that drains is waited for; of two that both serve, after the lattice was split, the later.
 *
 * Answers are signed with the shared key, so that nobody else can keep a host from starting.
 *
 * @throws TRELLIS_HOST_DUPLICATE; TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED
 */
export async function claimIdentity(options: ClaimOptions): Promise<IdentityClaim> {
  const claim = new IdentityClaim(options);
  try {
    await claim.make();
  } catch (error) {
    claim.end();
    throw error;
  }
  return claim;
}

/** A claim that stands. */
export class IdentityClaim {
  readonly #options: ClaimOptions;
  readonly #subject: string;
  readonly #instance = newTokenId();
  readonly #cleanup: (() => void)[] = [];
  #state: InstanceState = 'starting';
  #sinceMs = 0;
  /** Somebody else has asked since the last round. */
  #asked = false;
  #answers = 0;
  #answersFromMs = 0;
  #lookedMs = Number.NEGATIVE_INFINITY;

  /** @internal Use {@link claimIdentity}. */
  constructor(options: ClaimOptions) {
    this.#options = options;
    this.#subject = `wasmbus.ctl.v1.${options.lattice}.host.instance.${options.key.publicKey}`;
  }

  /** @internal */
  async make(): Promise<void> {
    const { ctl, clock, log, waitMs } = this.#options;
    // First heard, then asking: of two that start at once, at least one hears the other.
    const heard = ctl.subscribe(this.#subject, {}, ({ payload, reply }) => this.#onQuestion(payload, reply));
    this.#cleanup.push(() => heard.unsubscribe());
    await ctl.flush();
    const endMs = clock.monotonicMs() + waitMs;
    let isSaid = false;
    for (let rounds = 0; rounds < MAX_ROUNDS;) {
      this.#asked = false;
      const others = await this.#ask();
      const rival = others.find(
        ({ state, instance }) => state === 'serving' || (state === 'starting' && instance < this.#instance),
      );
      if (rival !== undefined) throw duplicate(this.#options, rival);
      const draining = others.find(({ state }) => state === 'draining');
      if (draining === undefined) {
        // Who has asked meanwhile was told that this one is starting, and goes by it: it must be asked in turn.
        if (!this.#asked) break;
        rounds++;
      } else {
        if (clock.monotonicMs() > endMs) throw duplicate(this.#options, draining);
        if (!isSaid) log.info({ waitMs }, 'another process of this identity is stopping; waiting for it');
        isSaid = true;
      }
    }
    this.#state = 'serving';
    this.#sinceMs = clock.wallMs();
    const unlisten = ctl.onStatus(({ type }) => {
      if (type === 'reconnected' || type === 'moved') void this.#lookAgain();
    });
    this.#cleanup.push(unlisten);
  }

  /** From now on others are told that this process is stopping. */
  draining(): void {
    this.#state = 'draining';
  }

  /** Answers nobody any more. */
  end(): void {
    for (const each of this.#cleanup.splice(0)) each();
  }

  #onQuestion(payload: Uint8Array, reply: string): void {
    const asker = readQuestion(payload);
    if (asker === undefined || asker.instance === this.#instance || !isInboxSubject(reply)) return;
    if (this.#state === 'starting') this.#asked = true;
    const { ctl, key, lattice, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    // Who asks may serve already: then one of the two has to give way.
    if (this.#state === 'serving' && nowMs - this.#lookedMs >= LOOK_EVERY_MS) void this.#lookAgain();
    if (nowMs - this.#answersFromMs >= 1_000) {
      this.#answersFromMs = nowMs;
      this.#answers = 0;
    }
    if (this.#answers++ >= MAX_ANSWERS_PER_SECOND) return;
    const answer = { instance: this.#instance, state: this.#state, sinceMs: this.#sinceMs, nonce: asker.nonce };
    try {
      ctl.publish(reply, Buffer.from(signInstanceAnswer(key, lattice, answer)));
    } catch {
      // Disconnected: who asks gets no answer, and this one looks for itself when it is back.
    }
  }

  /** Asks the others of this identity, and waits for what they say. */
  async #ask(): Promise<readonly InstanceAnswer[]> {
    const { ctl, key, lattice, listenMs = LISTEN_MS } = this.#options;
    const nonce = newTokenId();
    const inbox = `${ctl.inboxPrefix}.${newTokenId()}`;
    const others = new Map<string, InstanceAnswer>();
    const expected = { host: key.publicKey, lattice, nonce };
    const answers: BusSubscription = ctl.subscribe(inbox, {}, ({ payload }) => {
      const answer = openInstanceAnswer(Buffer.from(payload).toString('latin1'), expected);
      if (answer !== undefined && answer.instance !== this.#instance) others.set(answer.instance, answer);
    });
    try {
      ctl.publish(this.#subject, Buffer.from(JSON.stringify({ instance: this.#instance, nonce })), { reply: inbox });
      await ctl.flush();
      await sleep(listenMs);
      return [...others.values()];
    } finally {
      answers.unsubscribe();
    }
  }

  /** After a time apart another may have come to serve. */
  async #lookAgain(): Promise<void> {
    this.#lookedMs = this.#options.clock.monotonicMs();
    try {
      const others = await this.#ask();
      if (this.#state !== 'serving') return;
      const older = others.find(
        ({ state, sinceMs, instance }) =>
          state === 'serving' && (sinceMs < this.#sinceMs || (sinceMs === this.#sinceMs && instance < this.#instance)),
      );
      if (older === undefined) return;
      this.draining();
      this.#options.onLost(duplicate(this.#options, older));
    } catch (err) {
      this.#options.log.debug({ err }, 'others of this identity could not be asked; they are at the next reconnect');
    }
  }
}

function duplicate({ key }: ClaimOptions, rival: InstanceAnswer): TrellisError {
  const since = rival.sinceMs === 0 ? '' : ` since ${new Date(rival.sinceMs).toISOString()}`;
  return new TrellisError('TRELLIS_HOST_DUPLICATE', {
    message: `another process of host ${key.publicKey} is ${rival.state}${since}`,
    details: { host: key.publicKey, state: rival.state },
  });
}

/** A question, or `undefined`. Never throws. */
export function readQuestion(payload: Uint8Array): { readonly instance: string; readonly nonce: string } | undefined {
  if (payload.length > 256) return undefined;
  try {
    const { instance, nonce } = JSON.parse(Buffer.from(payload).toString('utf8')) as Record<string, unknown>;
    const isId = (value: unknown): value is string => typeof value === 'string' && /^[A-Za-z0-9_-]{22}$/.test(value);
    return isId(instance) && isId(nonce) ? { instance, nonce } : undefined;
  } catch {
    return undefined;
  }
}
