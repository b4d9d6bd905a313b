import { describe, expect, it } from 'vitest';
import { LateImport } from '../../../src/workloads/late-import.ts';

/** An import that waits, and what it did. */
function waiting(begin?: () => never) {
  const ready = Promise.withResolvers<void>();
  const done: unknown[] = [];
  const handle = {
    sendPath: (path: string, bytes: Uint8Array, eof: boolean) => void done.push([path, bytes.length, eof]),
    cancel: () => void done.push('cancelled'),
  };
  const late = new LateImport(
    ready.promise,
    () => {
      done.push('begun');
      return begin?.() ?? handle;
    },
    (detail) => done.push(detail),
  );
  return {
    late,
    done,
    async resolve() {
      ready.resolve();
      await ready.promise;
    },
  };
}

describe('an import that is sent a moment later', () => {
  it('sends what came meanwhile, in its order, and copies of it', async () => {
    const { late, done, resolve } = waiting();
    late.sendPath('0', new Uint8Array(2), false);
    late.sendPath('0', new Uint8Array(1), true);
    expect(done).toEqual([]);
    await resolve();
    late.sendPath('1', new Uint8Array(3), true);
    expect(done).toEqual(['begun', ['0', 2, false], ['0', 1, true], ['1', 3, true]]);
    late.cancel();
    expect(done.at(-1)).toBe('cancelled');
  });

  it('is never sent once it was cancelled', async () => {
    const { late, done, resolve } = waiting();
    late.sendPath('0', new Uint8Array(2), false);
    late.cancel();
    late.sendPath('0', new Uint8Array(2), true);
    await resolve();
    expect(done).toEqual([]);
  });

  it('waits no longer where a guest sends much', async () => {
    const { late, done, resolve } = waiting();
    for (let at = 0; at < 3; at++) late.sendPath('0', new Uint8Array(600_000), false);
    expect(done).toEqual(['begun', ...Array.from({ length: 3 }, () => ['0', 600_000, false])]);
    await resolve();
    expect(done).toHaveLength(4);
  });

  it('fails with what its sending throws, and no more', async () => {
    const { late, done, resolve } = waiting(() => {
      throw new Error('no such name');
    });
    await resolve();
    late.sendPath('0', new Uint8Array(1), true);
    late.cancel();
    expect(done).toEqual(['begun', 'no such name']);
  });
});
