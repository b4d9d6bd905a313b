import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BucketMemory } from '../../../src/control/bucket-memory.ts';
import { type BucketEntry, BucketWatch, type WatchedBucket } from '../../../src/nats/bucket-watch.ts';

const entry = (key: string, text: string | undefined, revision: number, timeMs = revision): BucketEntry => ({
  key,
  text,
  revision,
  timeMs,
});

describe('what is remembered of a bucket', () => {
  it('goes forwards: a later value counts, an earlier one does not', () => {
    const memory = new BucketMemory();
    expect(memory.take(entry('a', 'two', 2))).toBe(true);
    expect(memory.take(entry('a', 'one', 1))).toBe(false);
    expect([memory.text('a'), [...memory.ahead]]).toEqual(['two', []]);
    expect(memory.take(entry('a', undefined, 3))).toBe(true);
    expect([memory.text('a'), [...memory.ahead]]).toEqual([undefined, []]);
  });

  it('keeps what a bucket lost, and what it holds older than known, until something is written', () => {
    const memory = new BucketMemory();
    memory.begin(20, false);
    for (const key of ['lost', 'older', 'same', 'deleted']) memory.take(entry(key, 'now', 10));
    memory.take(entry('deleted', undefined, 11));
    memory.end();
    expect(memory.ahead.size).toBe(0);
    memory.begin(3, true);
    memory.take(entry('older', 'before', 1));
    memory.take(entry('same', 'now', 2));
    memory.take(entry('deleted', 'before', 3));
    memory.end();
    expect(['lost', 'older', 'same', 'deleted'].map((key) => memory.text(key))).toEqual(['now', 'now', 'now', undefined]);
    expect([...memory.ahead].toSorted()).toEqual(['deleted', 'lost', 'older']);
    expect(memory.stored).toBe(3);
    // Numbers of a bucket that began again are small, and its clock may be behind.
    expect(memory.take(entry('lost', 'new', 4, 4))).toBe(true);
    expect(memory.take(entry('older', 'new', 5, 5))).toBe(true);
    expect([...memory.ahead]).toEqual(['deleted']);
  });

  it('lets go of what was deleted and is not even a marker any more', () => {
    const memory = new BucketMemory();
    memory.take(entry('gone', undefined, 5));
    memory.begin(5, false);
    memory.end();
    expect([memory.ahead.size, memory.stored, memory.revision('gone')]).toEqual([0, 0, 0]);
  });

  it('takes an entry that was written while a bucket that was put back is read', () => {
    const memory = new BucketMemory();
    memory.take(entry('a', 'old', 7, 700));
    memory.begin(2, true);
    expect(memory.take(entry('a', 'new', 3, 800))).toBe(true);
    memory.end();
    expect([memory.text('a'), memory.ahead.size]).toEqual(['new', 0]);
  });
});

/** A bucket as the server keeps it: the last entry of each key, and a copy of it from before. */
class ModelBucket implements WatchedBucket {
  created = 1;
  last = 0;
  entries = new Map<string, BucketEntry>();
  clockMs = 0;
  failing = 0;
  #copy: { last: number; entries: Map<string, BucketEntry> } | undefined;

  put(key: string, text: string | undefined): void {
    this.entries.set(key, entry(key, text, ++this.last, ++this.clockMs));
  }
  copy(): void {
    this.#copy = { last: this.last, entries: new Map(this.entries) };
  }
  putBack(): void {
    if (this.#copy === undefined) return;
    this.last = this.#copy.last;
    this.entries = new Map(this.#copy.entries);
  }
  remake(): void {
    this.created++;
    this.last = 0;
    this.entries = new Map();
  }
  lose(key: string): void {
    this.entries.delete(key);
  }

  info(): ReturnType<WatchedBucket['info']> {
    if (this.failing > 0 && this.failing-- > 0) return Promise.reject(new Error('away'));
    const tail = [...this.entries.values()].find(({ revision }) => revision === this.last);
    const state = { last_seq: this.last, last_ts: String(tail?.timeMs), num_subjects: this.entries.size };
    return Promise.resolve({ created: String(this.created), state } as Awaited<ReturnType<WatchedBucket['info']>>);
  }
  newest(key: string): Promise<BucketEntry | undefined> {
    return Promise.resolve(this.entries.get(key));
  }
  read(from: number, last: number, hand: (entry: BucketEntry) => void): Promise<void> {
    if (this.failing > 0 && this.failing-- > 0) return Promise.reject(new Error('away'));
    const found = [...this.entries.values()].filter(({ revision }) => revision >= from && revision <= last);
    for (const each of found.toSorted((a, b) => a.revision - b.revision)) hand(each);
    return Promise.resolve();
  }
}

function watched(bucket: ModelBucket) {
  const memory = new BucketMemory();
  const said: string[] = [];
  const watch = new BucketWatch(bucket, {
    begin: (reason, last) => {
      said.push(`begin ${reason ?? ''}`.trim());
      memory.begin(last, reason !== undefined);
    },
    unmet: () => memory.unmet,
    entry: (each) => void memory.take(each),
    end: () => memory.end(),
    current: () => void said.push('current'),
    failed: () => void said.push('failed'),
    keys: () => memory.stored,
  });
  return { memory, watch, said };
}

const KEYS = ['a', 'b', 'c'] as const;
const write = fc.record({ key: fc.constantFrom(...KEYS), text: fc.option(fc.string({ maxLength: 2 }), { nil: undefined }) });
const writes = fc.array(write, { maxLength: 8 });

describe('a watch of a bucket', () => {
  it('ends with what the bucket holds, whatever was written, and whichever requests failed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ writes, failing: fc.nat(2) }), { maxLength: 6 }), async (rounds) => {
        const bucket = new ModelBucket();
        const { memory, watch } = watched(bucket);
        for (const round of rounds) {
          for (const { key, text } of round.writes) bucket.put(key, text);
          bucket.failing = round.failing;
          await watch.check();
        }
        bucket.failing = 0;
        await watch.check();
        for (const key of KEYS) expect(memory.text(key)).toBe(bucket.entries.get(key)?.text);
        expect([memory.ahead.size, memory.stored]).toEqual([0, bucket.entries.size]);
      }),
    );
  });

  it('NAT-14 notices a bucket that was put back, also one that was written on since, and takes nothing older from it', async () => {
    await fc.assert(
      fc.asyncProperty(writes, writes, writes, fc.boolean(), async (before, between, after, own) => {
        const bucket = new ModelBucket();
        const { memory, watch } = watched(bucket);
        for (const { key, text } of before) bucket.put(key, text);
        bucket.copy();
        if (own) await watch.check();
        for (const { key, text } of between) {
          bucket.put(key, text);
          // Who writes knows it before the bucket is looked at again.
          if (!own) continue;
          memory.learn(bucket.entries.get(key)!);
          watch.has(bucket.last);
        }
        if (!own) await watch.check();
        const known = new Map(KEYS.map((key) => [key, memory.text(key)]));
        bucket.putBack();
        // Nobody puts a bucket back under a server that answers.
        watch.interrupted();
        const written = new Set(after.map(({ key }) => key));
        for (const { key, text } of after) bucket.put(key, text);
        await watch.check();
        for (const key of KEYS) {
          const text = bucket.entries.get(key)?.text;
          expect(memory.text(key)).toBe(written.has(key) ? text : known.get(key));
          expect(memory.isAhead(key)).toBe(!written.has(key) && text !== known.get(key));
        }
      }),
    );
  });

  it('NAT-12 keeps everything of a bucket that was made again, or lost single entries', async () => {
    await fc.assert(
      fc.asyncProperty(writes, writes, fc.boolean(), async (before, after, isRemade) => {
        const bucket = new ModelBucket();
        const { memory, watch, said } = watched(bucket);
        for (const { key, text } of before) bucket.put(key, text);
        await watch.check();
        const known = new Map(KEYS.map((key) => [key, memory.text(key)]));
        if (isRemade) bucket.remake();
        else bucket.lose('a');
        for (const { key, text } of after) bucket.put(key, text);
        await watch.check();
        await watch.check();
        const written = new Set(after.map(({ key }) => key));
        for (const key of KEYS) expect(memory.text(key)).toBe(written.has(key) ? bucket.entries.get(key)!.text : known.get(key));
        if (isRemade) expect(said).toContain('begin it was deleted and made again');
      }),
    );
  });
});
