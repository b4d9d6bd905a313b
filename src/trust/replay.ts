import { hash, randomFillSync } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { isTokenId } from './claim-values.ts';
import { longestRealMs } from './trusted-time.ts';

// An entry is five words: 128 bits of id (masked by a secret of its issuer) and the tick at which it may go; tick 0 is free.
const WORDS = 5;
const TICK_MS = 100;
const SHARDS = 256;
const FIRST_SLOTS = 16;
// A shard that is fuller than the first is rebuilt, at a size at which it is at most as full as the second.
const MAX_LOAD = 0.75;
const REBUILT_LOAD = 0.6;
// A sweep costs in proportion to its shard, so each shard is swept for room only this often: in passing, and when full.
const SWEEP_EVERY_TICKS = 50;
const SWEEP_WHEN_FULL_EVERY_TICKS = 5;

const idBytes = Buffer.alloc(16);
const idWords = new Uint32Array(idBytes.buffer, idBytes.byteOffset, 4);

/** One part of the window: an open-addressed table that grows and sweeps by itself, small enough to do so in a blink. */
class Shard {
  #table = new Uint32Array(FIRST_SLOTS * WORDS);
  #mask = FIRST_SLOTS - 1;
  /** Entries in the table, whether or not they have expired. */
  count = 0;
  /** No entry expires before this tick. */
  earliestTick = 0xffff_ffff;
  /** When it was last swept. */
  sweptTick = 0;

  /** Offset of the key, or of the free slot where it would go. */
  #find(key: Uint32Array, start: number): number {
    const table = this.#table;
    for (let slot = start & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const at = slot * WORDS;
      if (table[at + 4] === 0) return at;
      if (table[at] === key[0] && table[at + 1] === key[1] && table[at + 2] === key[2] && table[at + 3] === key[3]) return at;
    }
  }

  has(key: Uint32Array, start: number, nowTick: number): boolean {
    return this.#table[this.#find(key, start) + 4]! > nowTick;
  }

  /** Takes the key in, which is not there or has expired. */
  add(key: Uint32Array, start: number, tick: number, nowTick: number): void {
    let at = this.#find(key, start);
    if (this.#table[at + 4] === 0) {
      if (this.count + 1 > (this.#mask + 1) * MAX_LOAD) {
        this.sweep(nowTick);
        at = this.#find(key, start);
      }
      this.count++;
    }
    this.#table.set(key, at);
    this.#table[at + 4] = tick;
    if (tick < this.earliestTick) this.earliestTick = tick;
  }

  /** Drops what has expired and fits the size to what is left. */
  sweep(nowTick: number): void {
    const old = this.#table;
    let live = 0;
    for (let at = 4; at < old.length; at += WORDS) if (old[at]! > nowTick) live++;
    let slots = FIRST_SLOTS;
    while (live + 1 > slots * REBUILT_LOAD) slots *= 2;
    this.#table = new Uint32Array(slots * WORDS);
    this.#mask = slots - 1;
    this.count = live;
    this.sweptTick = nowTick;
    this.earliestTick = 0xffff_ffff;
    for (let at = 0; at < old.length; at += WORDS) {
      const tick = old[at + 4]!;
      if (tick <= nowTick) continue;
      const key = old.subarray(at, at + 4);
      const to = this.#find(key, startOf(key));
      this.#table.set(old.subarray(at, at + WORDS), to);
      if (tick < this.earliestTick) this.earliestTick = tick;
    }
  }
}

const mixSecret = new Uint32Array(2);
randomFillSync(mixSecret);

// Ids come from trusted issuers, but even they shall not be able to choose ids that all fall on one slot.
function startOf(key: Uint32Array): number {
  let mixed = Math.imul(key[0]! ^ mixSecret[0]!, 0x9e37_79b1) ^ key[1]!;
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85eb_ca77) ^ mixSecret[1]!;
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae3d) ^ key[2]!;
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/**
 * Remembers which tokens have run, by issuer and id, for as long as they could be accepted again. An entry that has not expired is
 * never dropped: when the window is full, new tokens are refused. Expiry is counted on the monotonic clock, so setting the wall
 * clock does not shorten it. One million entries take 30–55 MB.
 */
export class ReplayWindow {
  readonly #clock: Clock;
  readonly #maxEntries: number;
  readonly #skewMs: number;
  readonly #originMs: number;
  readonly #shards: Shard[] = Array.from({ length: SHARDS }, () => new Shard());
  readonly #masks = new Map<string, Uint32Array>();
  readonly #key = new Uint32Array(4);
  #count = 0;
  #sweepAt = 0;

  /** @param o.skewMs leeway after a token's expiry, the same as the verifier's */
  constructor(o: { readonly clock: Clock; readonly maxEntries: number; readonly skewMs: number }) {
    this.#clock = o.clock;
    this.#maxEntries = o.maxEntries;
    this.#skewMs = o.skewMs;
    this.#originMs = o.clock.monotonicMs();
  }

  /** Entries held, including expired ones that no sweep has met yet. */
  get size(): number {
    return this.#count;
  }

  /** True if the token has run and could still be accepted. */
  has(iss: string, jti: string): boolean {
    const start = this.#load(iss, jti);
    return this.#shards[start >>> 24]!.has(this.#key, start, this.#nowTick());
  }

  /**
   * Takes a token in, once. `expMs` is its expiry and `nowMs` the time it was judged by (the wall clock if absent), both
   * milliseconds since the Unix epoch. Gives `seen` if it has run before, and `full` if it cannot be remembered.
   */
  insert(iss: string, jti: string, expMs: number, nowMs: number = this.#clock.wallMs()): 'new' | 'seen' | 'full' {
    const start = this.#load(iss, jti);
    const shard = this.#shards[start >>> 24]!;
    const nowTick = this.#nowTick();
    if (shard.has(this.#key, start, nowTick)) return 'seen';
    this.#makeRoom(nowTick);
    if (this.#count >= this.#maxEntries) return 'full';
    // Trusted time may run slightly slower than the monotonic clock, hence `longestRealMs`; one tick more for rounding.
    const aliveMs = longestRealMs(Math.max(0, expMs + this.#skewMs - nowMs));
    const tick = nowTick + Math.ceil(aliveMs / TICK_MS) + 1;
    const before = shard.count;
    shard.add(this.#key, start, tick, nowTick);
    this.#count += shard.count - before;
    return 'new';
  }

  /** Every insert looks at the next shard in turn; a full window looks for one that has something to give back. */
  #makeRoom(nowTick: number): void {
    const full = this.#count >= this.#maxEntries;
    const every = full ? SWEEP_WHEN_FULL_EVERY_TICKS : SWEEP_EVERY_TICKS;
    for (let tries = full ? SHARDS : 1; tries > 0; tries--) {
      const shard = this.#shards[this.#sweepAt]!;
      this.#sweepAt = (this.#sweepAt + 1) % SHARDS;
      if (shard.earliestTick > nowTick || nowTick - shard.sweptTick < every) continue;
      const before = shard.count;
      shard.sweep(nowTick);
      this.#count += shard.count - before;
      if (this.#count < this.#maxEntries) return;
    }
  }

  /** Puts the key of (`iss`, `jti`) into `#key` and gives where to start looking. */
  #load(iss: string, jti: string): number {
    if (isTokenId(jti)) idBytes.write(jti, 'base64url');
    // Ids of another form (older envelopes have UUIDs) are hashed to the same width.
    else hash('sha256', jti, 'buffer').copy(idBytes, 0, 0, 16);
    let mask = this.#masks.get(iss);
    if (mask === undefined) {
      // A secret mask instead of the issuer itself: two issuers' ids cannot be made to meet without knowing it.
      mask = new Uint32Array(4);
      randomFillSync(mask);
      this.#masks.set(iss, mask);
    }
    for (let word = 0; word < 4; word++) this.#key[word] = idWords[word]! ^ mask[word]!;
    return startOf(this.#key);
  }

  #nowTick(): number {
    return Math.floor((this.#clock.monotonicMs() - this.#originMs) / TICK_MS) + 1;
  }
}
