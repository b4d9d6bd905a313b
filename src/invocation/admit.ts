/**
 * Step 1 of the path: a permit per component and per claimed origin, taken before anything is parsed or verified, so that
 * a flood costs its sender a busy answer and the host next to nothing. The origin is whatever the message claims: it only
 * chooses the lane, never a right.
 */
export interface AdmissionLimits {
  /** Invocations in flight on this host, queued ones included. */
  readonly maxInFlight: number;
  /** Invocations in flight for one claimed origin across the components of this host. */
  readonly maxInFlightPerOrigin: number;
}

// Lanes of strangers must not fill memory: what does not look like an id shares one lane.
const MAX_LANES = 4096;
const STRANGERS = '';

/** A counted right to be in flight; give it back exactly once. */
export interface Permit {
  release(): void;
}

/** Counts what is in flight and says who may still enter. */
export class Admission {
  #limits: AdmissionLimits;
  readonly #components = new Map<string, number>();
  readonly #origins = new Map<string, number>();
  #inFlight = 0;
  readonly #idle = new Map<string, (() => void)[]>();

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Invocations in flight on this host. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** New limits for who enters from now on; who is in stays in. */
  limit(limits: AdmissionLimits): void {
    this.#limits = limits;
  }

  /** Returns a permit, or `undefined` if the host, the component or the claimed origin has all it may have. */
  enter(component: string, maxOfComponent: number, claimedOrigin: string | undefined): Permit | undefined {
    const lane = this.#lane(claimedOrigin);
    const ofComponent = this.#components.get(component) ?? 0;
    const ofOrigin = this.#origins.get(lane) ?? 0;
    if (
      this.#inFlight >= this.#limits.maxInFlight ||
      ofComponent >= maxOfComponent ||
      ofOrigin >= this.#limits.maxInFlightPerOrigin
    ) {
      return undefined;
    }
    this.#components.set(component, ofComponent + 1);
    this.#origins.set(lane, ofOrigin + 1);
    this.#inFlight++;
    return new Held(this, component, lane);
  }

  /** Resolves when nothing of `component` is in flight any more. */
  idle(component: string): Promise<void> {
    if (!this.#components.has(component)) return Promise.resolve();
    return new Promise((resolve) => {
      const waiting = this.#idle.get(component) ?? [];
      waiting.push(resolve);
      this.#idle.set(component, waiting);
    });
  }

  #lane(claimed: string | undefined): string {
    if (claimed === undefined || claimed.length > 128) return STRANGERS;
    return this.#origins.has(claimed) || this.#origins.size < MAX_LANES ? claimed : STRANGERS;
  }

  /** @internal Called by the permit. */
  leave(component: string, lane: string): void {
    decrement(this.#components, component);
    decrement(this.#origins, lane);
    this.#inFlight--;
    if (this.#components.has(component)) return;
    const waiting = this.#idle.get(component) ?? [];
    this.#idle.delete(component);
    for (const resolve of waiting) resolve();
  }
}

function decrement(counts: Map<string, number>, key: string): void {
  const left = (counts.get(key) ?? 1) - 1;
  if (left > 0) counts.set(key, left);
  else counts.delete(key);
}

class Held implements Permit {
  readonly #admission: Admission;
  readonly #component: string;
  readonly #lane: string;
  #released = false;

  constructor(admission: Admission, component: string, lane: string) {
    this.#admission = admission;
    this.#component = component;
    this.#lane = lane;
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#admission.leave(this.#component, this.#lane);
  }
}
