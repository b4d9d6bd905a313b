import { TrellisError } from '../errors.ts';

/** A request that has been taken and not been carried out. */
export interface PendingRequest {
  /** The reference that it is about; none of a stop. */
  readonly ref: string | undefined;
  /** Ends a pull for it. Whatever needs no registry goes on in its turn. */
  readonly pulling: AbortController;
}

/** The requests that a host has taken and not carried out, by component. What waits for a registry does so only while nobody wants something else. */
export class PendingRequests {
  readonly #byComponent = new Map<string, Set<PendingRequest>>();

  /** True if there are some for this component. */
  has(id: string): boolean {
    return this.#byComponent.has(id);
  }

  /** A request that has come; {@link delete} it. */
  add(id: string, ref: string | undefined): PendingRequest {
    const request = { ref, pulling: new AbortController() };
    const requests = this.#byComponent.get(id) ?? new Set();
    this.#byComponent.set(id, requests.add(request));
    return request;
  }

  /** It has been carried out, or has failed. */
  delete(id: string, request: PendingRequest): void {
    const requests = this.#byComponent.get(id);
    if (requests?.delete(request) === true && requests.size === 0) this.#byComponent.delete(id);
  }

  /** Gives up the pulls for those that have come, but for requests about `ref`: what has come of that is not lost. */
  overtake(id: string, ref: string | undefined): void {
    this.#abort(id, () => new TrellisError('TRELLIS_ARTIFACT_OVERTAKEN'), ref);
  }

  /** The same for a reload, whatever they are about. */
  yieldToReload(id: string): void {
    const message = 'the configuration of the host is read again, which comes first; ask again';
    this.#abort(id, () => new TrellisError('TRELLIS_HOST_BUSY', { message }));
  }

  #abort(id: string, why: () => TrellisError, but?: string): void {
    for (const { ref, pulling } of this.#byComponent.get(id) ?? [])
      if (!pulling.signal.aborted && (but === undefined || ref !== but)) pulling.abort(why());
  }
}
