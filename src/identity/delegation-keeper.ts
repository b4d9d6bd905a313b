import type { Clock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import { type DelegationClaims, openDelegation } from '../trust/delegation.ts';
import type { SigningKey } from '../trust/nkey.ts';
import { scopeTest } from '../trust/scope.ts';
import type { TrustState } from '../trust/trust-state.ts';
import type { DelegationSource } from './delegation-source.ts';

/** A delegation in use. */
export interface HeldDelegation {
  readonly text: string;
  /** Its thumbprint: what tokens name. */
  readonly kid: string;
  readonly claims: DelegationClaims;
  /** True if it names this caller. */
  speaksFor(origin: string): boolean;
  /** Since when it is in use, monotonic milliseconds. */
  readonly sinceMs: number;
}

/** What {@link DelegationKeeper} is made of. */
export interface KeeperOptions {
  /** The key that the delegation is for. */
  readonly key: SigningKey;
  readonly source: DelegationSource;
  readonly state: TrustState;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Longest and shortest pause after a renewal that failed, milliseconds. */
const RETRY_MS = { most: 30_000, least: 1_000 } as const;
/** Renewal is spread over this part of the life on both sides of its half. */
const JITTER = 0.1;
/** The hosts of a lattice follow a new active issuer within this time, not all at once, milliseconds. */
const FOLLOW_WITHIN_MS = 1_000;

/**
 * Keeps a member's own delegation good: renews it at half its life, when the file it comes from changes, at once when
 * issuers, epochs or revocations end it, and soon when another issuer should sign. The one in use stays in use until its
 * successor has been verified, so no call falls between the two.
 */
export class DelegationKeeper {
  readonly #options: KeeperOptions;
  #held: HeldDelegation | undefined;
  #renewAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | undefined;
  #failures = 0;
  #failure: unknown;
  #closed = false;
  readonly #stop: (() => void)[] = [];
  readonly #listeners = new Set<(held: HeldDelegation) => void>();

  private constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Gets the first delegation. @throws TRELLIS_KEY_INVALID, TRELLIS_DELEGATION_INVALID, and what the source throws */
  static async start(options: KeeperOptions): Promise<DelegationKeeper> {
    const keeper = new DelegationKeeper(options);
    await keeper.#obtain();
    keeper.#stop.push(options.state.onChange(() => keeper.#judge()));
    const stopWatching = options.source.watch?.(() => void keeper.renew());
    if (stopWatching !== undefined) keeper.#stop.push(stopWatching);
    return keeper;
  }

  /** The delegation in use. */
  get held(): HeldDelegation {
    // A machine that slept wakes with its timers late.
    if (this.#options.clock.wallMs() >= this.#renewAtMs) void this.renew();
    return this.#held!;
  }

  /** Why the last renewal failed; `undefined` if it did not. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Fetches a new one now. Never fails: the one in use stays, and it is tried again. */
  renew(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  /** Tells `listener` of each delegation that takes the place of another. */
  onRenewed(listener: (held: HeldDelegation) => void): void {
    this.#listeners.add(listener);
  }

  /** Ends renewal. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const stop of this.#stop.splice(0)) stop();
  }

  async #renew(): Promise<void> {
    const { log } = this.#options;
    // Whatever happens, not again before this attempt has its answer.
    this.#renewAtMs = Number.POSITIVE_INFINITY;
    try {
      await this.#obtain();
      this.#failures = 0;
      this.#failure = undefined;
    } catch (err) {
      this.#failure = err;
      const { exp, sub } = this.#held!.claims;
      const leftMs = exp - this.#options.clock.wallMs();
      const retryMs = Math.min(RETRY_MS.most, Math.max(RETRY_MS.least, leftMs / 4), RETRY_MS.least * 2 ** this.#failures++);
      this.#schedule(retryMs);
      log.warn(
        { err, host: sub, leftMs: Math.round(leftMs), retryMs: Math.round(retryMs) },
        'the delegation could not be renewed',
      );
    }
  }

  async #obtain(): Promise<void> {
    const { key, source, state, clock, log } = this.#options;
    const text = await source.obtain(key.publicKey, state.epoch);
    const claims = openDelegation(text);
    if (claims?.sub !== key.publicKey) {
      throw new TrellisError('TRELLIS_DELEGATION_INVALID', {
        message:
          claims === undefined ? 'what should be a delegation is none' : `the delegation is for ${claims.sub}, not for this key`,
        details: { host: key.publicKey },
      });
    }
    const taken = state.takeOwnDelegation(text);
    if ('ok' in taken) {
      throw new TrellisError('TRELLIS_DELEGATION_INVALID', {
        message: `the delegation for ${key.publicKey} does not count here: ${taken.detail}`,
        details: { host: key.publicKey, reason: taken.code },
      });
    }
    if (this.#closed) return;
    const { kid } = taken;
    const lifeMs = claims.exp - claims.nbf;
    const leftMs = claims.exp - clock.wallMs();
    if (kid !== this.#held?.kid) {
      this.#held = { text, kid, claims, speaksFor: scopeTest(claims.org), sinceMs: clock.monotonicMs() };
      this.#schedule(Math.max(RETRY_MS.least, leftMs - lifeMs / 2 + lifeMs * JITTER * (2 * Math.random() - 1)));
      log.debug(
        { kid, host: claims.sub, issuer: claims.iss, epoch: claims.epc, expiresInMs: Math.round(leftMs) },
        'delegation in use',
      );
      for (const listener of this.#listeners) listener(this.#held);
    } else {
      // A file that nobody has refreshed yet.
      this.#schedule(Math.max(RETRY_MS.least, leftMs / 2));
    }
  }

  #schedule(inMs: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#renewAtMs = this.#options.clock.wallMs() + inMs;
    this.#timer = setTimeout(() => void this.renew(), inMs).unref();
  }

  /** Issuers, epochs or revocations have changed. */
  #judge(): void {
    const { state, key } = this.#options;
    const { kid, claims } = this.#held!;
    if ('ok' in state.find(key.publicKey, kid)) void this.renew();
    else if (claims.iss !== state.active) this.#schedule(FOLLOW_WITHIN_MS * Math.random());
  }
}
