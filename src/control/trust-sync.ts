import { setTimeout as sleep } from 'node:timers/promises';
import { TrellisError } from '../errors.ts';
import type { LatticeName } from '../ids.ts';
import type { LatticeConnection } from '../nats/connection.ts';
import type { BucketFollower, BucketPlace } from '../nats/kv-bucket.ts';
import { TrustBucket } from '../nats/trust-bucket.ts';
import type { Logger } from '../telemetry/log.ts';
import { openDelegation } from '../trust/delegation.ts';
import { openIssuerSet } from '../trust/issuer-set.ts';
import { openRevocation } from '../trust/revocation.ts';
import type { TrustState } from '../trust/trust-state.ts';
import type { TrustFile } from './trust-file.ts';

/** What following the trust bucket takes. */
export interface TrustSyncOptions {
  readonly ctl: LatticeConnection;
  readonly lattice: LatticeName;
  /** Is told everything the bucket and the file hold; it verifies each text itself. */
  readonly state: TrustState;
  /** A state that has been told nothing, to judge a text that the first one is past. */
  readonly freshState: () => TrustState;
  /** `auto`: where JetStream answers; `required`: nothing is believed without it; `off`: only the file is read. */
  readonly mode: 'auto' | 'required' | 'off';
  /** How old the last complete reading may be before nothing is believed any more, milliseconds. */
  readonly maxStaleMs: number;
  readonly log: Logger;
  /** What survives a restart; members that serve nothing need none. */
  readonly file?: TrustFile;
  /** Where the bucket is, if not at the server of `ctl`. */
  readonly place?: BucketPlace;
  /** How often the bucket is compared with what was seen, milliseconds; 5,000 by default. */
  readonly checkEveryMs?: number;
}

const CHECK_EVERY_MS = 5_000;
const RETRY_MS = 1_000;
const SAY_AGAIN_MS = 30_000;
/** A delegation that ended this long ago is of no use to anybody who asks who is there. */
const KEEP_EXPIRED_MS = 24 * 3_600_000;

/**
 * Brings a trust state up to date from the file and the bucket, and keeps it so until {@link TrustSync.close}.
 * Where the bucket is required (by `mode`, or because this lattice had one before), resolves only when it has been read.
 *
 * @throws TRELLIS_TRUST_FILE when the file says of epochs that cannot be followed from the configured issuers, or is damaged and
 *   the bucket does not make up for it; TRELLIS_NATS_CLOSED when the connection ends while waiting
 */
export async function startTrustSync(options: TrustSyncOptions): Promise<TrustSync> {
  const sync = new TrustSync(options);
  try {
    await sync.start();
  } catch (error) {
    sync.close();
    throw error;
  }
  return sync;
}

/** The tie between a trust state, the bucket of its lattice and the file of its host. */
export class TrustSync {
  readonly #options: TrustSyncOptions;
  readonly #log: Logger;
  #bucket: TrustBucket | undefined;
  #follower: BucketFollower | undefined;
  #unlisten: (() => void) | undefined;
  /** Keys whose entry in the bucket is missing or not what this member knows it to be. */
  readonly #toRestore = new Set<string>();
  #own: { readonly key: string; readonly text: string } | undefined;
  #ready: (() => void) | undefined;
  #restoring = false;
  #closed = false;

  /** @internal Use {@link startTrustSync}. */
  constructor(options: TrustSyncOptions) {
    this.#options = options;
    this.#log = options.log;
  }

  /** The bucket, or `undefined` when this member does without. */
  get bucket(): TrustBucket | undefined {
    return this.#bucket;
  }

  /** @internal */
  async start(): Promise<void> {
    const { state, file, mode } = this.#options;
    const kept = file?.load();
    const isDamaged = kept === 'damaged';
    if (isDamaged) {
      const message = 'the file of this lattice is damaged; the trust bucket has to make up for it';
      this.#log.error({ code: 'TRELLIS_TRUST_FILE', file: file?.path }, message);
    } else if (kept !== undefined) this.#takeKept(kept.issuerSets, kept.revocations);
    const isRequired = mode === 'required' || isDamaged || (kept !== undefined && kept.hadBucket);
    if (mode !== 'off') await this.#open(isRequired);
    if (isDamaged && state.epoch === 0) throw this.#fileError('is damaged, and the trust bucket holds no issuer set');
    this.#unlisten = state.onChange(() => this.#save());
    if (this.#bucket !== undefined) this.#save();
  }

  /** Writes this host's delegation into the bucket, by which others see who is there. Does nothing without a bucket. */
  async announce(host: string, delegation: string): Promise<void> {
    this.#own = { key: `delegation.${host}`, text: delegation };
    await this.#bucket?.put(this.#own.key, delegation);
  }

  /** Takes this host's delegation out of the bucket: it stops in order. Never throws. */
  async withdraw(): Promise<void> {
    const own = this.#own;
    this.#own = undefined;
    if (own !== undefined) await this.#bucket?.delete(own.key).catch(() => undefined);
  }

  /** Removes delegations that ended more than a day ago. Never throws. */
  async removeExpired(nowMs: number): Promise<void> {
    const entries = (await this.#bucket?.list('delegation').catch(() => undefined)) ?? [];
    for (const { key, text } of entries) {
      const claims = openDelegation(text ?? '');
      if (claims !== undefined && claims.exp > nowMs - KEEP_EXPIRED_MS) continue;
      await this.#bucket?.delete(key).catch(() => undefined);
    }
  }

  /** A round trip to the bucket now. Never throws. */
  async check(): Promise<void> {
    await this.#follower?.check();
  }

  close(): void {
    this.#closed = true;
    this.#follower?.end();
    this.#unlisten?.();
  }

  async #open(isRequired: boolean): Promise<void> {
    const { ctl, lattice, state, maxStaleMs, place, checkEveryMs = CHECK_EVERY_MS } = this.#options;
    if (isRequired) state.requireFresh(maxStaleMs);
    this.#bucket = await TrustBucket.open(ctl, lattice, place);
    if (this.#bucket === undefined && !isRequired) {
      this.#log.warn(
        { code: 'TRELLIS_TRUST_STORE' },
        'JetStream does not answer on the ctl connection: revocations and rotated issuers reach this host only by its configuration',
      );
      return;
    }
    for (let saidMs = Number.NEGATIVE_INFINITY; this.#bucket === undefined;) {
      if (this.#closed || ctl.state === 'closed') throw new TrellisError('TRELLIS_NATS_CLOSED');
      if (performance.now() - saidMs >= SAY_AGAIN_MS) {
        saidMs = performance.now();
        this.#log.error({ code: 'TRELLIS_TRUST_STORE' }, 'waiting for the trust bucket: JetStream does not answer');
      }
      await sleep(RETRY_MS);
      this.#bucket = await TrustBucket.open(ctl, lattice, place);
    }
    state.requireFresh(maxStaleMs);
    const current = new Promise<void>((resolve) => (this.#ready = resolve));
    this.#follower = await this.#bucket.follow(
      {
        entry: (key, text) => this.#entry(key, text),
        current: () => this.#current(),
        rolledBack: (reason) => this.#rolledBack(reason),
        failed: (error) => {
          this.#log.warn({ code: error.code, err: error }, 'the trust bucket could not be read; trying again');
          if (this.#ready !== undefined) setTimeout(() => void this.#follower?.check(), RETRY_MS).unref();
        },
      },
      checkEveryMs,
    );
    await current;
  }

  #takeKept(issuerSets: readonly string[], revocations: readonly string[]): void {
    const { state } = this.#options;
    for (const text of issuerSets) state.takeIssuerSet(text);
    for (const text of revocations) state.takeRevocation(text);
    const keptEpoch = Math.max(0, ...issuerSets.map((text) => openIssuerSet(text)?.epc ?? 0));
    if (state.epoch < keptEpoch) {
      throw this.#fileError(`knows epoch ${keptEpoch}, which does not follow from trust.clusterIssuers`);
    }
  }

  #entry(key: string, text: string | undefined): 'early' | 'moved' | undefined {
    if (this.#closed) return undefined;
    if (text === undefined) {
      this.#toRestore.add(key);
      return undefined;
    }
    const { state } = this.#options;
    const isSet = key.startsWith('issuers.');
    const before = state.epoch;
    const verdict = isSet ? state.takeIssuerSet(text) : state.takeRevocation(text);
    if (typeof verdict === 'string') {
      this.#toRestore.delete(key);
      if (verdict === 'taken' && isSet) {
        const { epoch, active, issuers } = state;
        this.#log.info({ epoch, before, active, issuers }, 'the issuers of this lattice have changed');
      } else if (verdict === 'taken') this.#log.warn({ subject: key.slice('revoked.'.length) }, 'a key has been revoked');
      return verdict === 'taken' && isSet ? 'moved' : undefined;
    }
    if (verdict.code === 'TRELLIS_VERIFY_DELEGATION_BUSY') {
      this.#log.error({ code: verdict.code, key, detail: verdict.detail }, 'a revocation does NOT count on this host');
    }
    const known = this.#knownText(key);
    // What this member never could verify, such as the sets from before its configured issuers, is no alarm.
    if (known === undefined) {
      this.#log.debug({ key, code: verdict.code, detail: verdict.detail }, 'an entry of the trust bucket does not count');
      // Its issuer may be in a set that is still to come.
      return verdict.code === 'TRELLIS_VERIFY_ISSUER' ? 'early' : undefined;
    }
    this.#log.error(
      { code: 'TRELLIS_TRUST_ROLLBACK', key, detail: verdict.detail, epoch: before },
      'the trust bucket holds another text than this host knows; it is not followed',
    );
    if (!isSet || !this.#isFork(text)) this.#toRestore.add(key);
    return undefined;
  }

  /**
   * True if another set of this epoch was signed by somebody who could sign one then, and who still counts: no host is right by
   * itself in that. A key that has been retired meanwhile is not heard.
   */
  #isFork(text: string): boolean {
    const claims = openIssuerSet(text);
    if (claims === undefined || !this.#options.state.issuers.includes(claims.iss)) return false;
    const state = this.#options.freshState();
    for (const known of this.#options.state.snapshot().issuerSets) {
      if ((openIssuerSet(known)?.epc ?? 0) < claims.epc) state.takeIssuerSet(known);
    }
    return state.takeIssuerSet(text) === 'taken';
  }

  #current(): void {
    this.#options.state.markFresh();
    this.#ready?.();
    this.#ready = undefined;
    if (this.#toRestore.size > 0) void this.#restore();
  }

  #rolledBack(reason: string): void {
    const { state } = this.#options;
    this.#log.error(
      { code: 'TRELLIS_TRUST_ROLLBACK', epoch: state.epoch },
      `the trust bucket went back: ${reason}. This host keeps what it knows and writes it there again`,
    );
    const { issuerSets, revocations } = state.snapshot();
    for (const text of issuerSets) this.#toRestore.add(`issuers.${openIssuerSet(text)!.epc}`);
    for (const text of revocations) this.#toRestore.add(`revoked.${openRevocation(text)!.sub}`);
    if (this.#own !== undefined) this.#toRestore.add(this.#own.key);
  }

  /** The text that this member knows to belong under `key`. */
  #knownText(key: string): string | undefined {
    if (key === this.#own?.key) return this.#own.text;
    const { issuerSets, revocations } = this.#options.state.snapshot();
    return (
      issuerSets.find((text) => `issuers.${openIssuerSet(text)?.epc}` === key) ??
      revocations.find((text) => `revoked.${openRevocation(text)?.sub}` === key)
    );
  }

  async #restore(): Promise<void> {
    if (this.#restoring) return;
    this.#restoring = true;
    for (const key of this.#toRestore) {
      this.#toRestore.delete(key);
      const text = this.#knownText(key);
      if (text === undefined || this.#closed) continue;
      // What fails is found missing again at the next look at a bucket that went back; others write the same.
      await this.#bucket?.put(key, text).catch(() => undefined);
    }
    this.#restoring = false;
  }

  #save(): void {
    const { file, state, log } = this.#options;
    try {
      file?.save({ hadBucket: this.#bucket !== undefined, ...state.snapshot() });
    } catch (err) {
      log.error({ code: 'TRELLIS_TRUST_FILE', err }, 'what this host knows of issuers and revocations could not be kept');
    }
  }

  #fileError(what: string): TrellisError {
    return new TrellisError('TRELLIS_TRUST_FILE', { message: `the trust file ${this.#options.file?.path ?? ''} ${what}` });
  }
}
