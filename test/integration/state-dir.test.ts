import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { claimStateDir, openAheadFile } from '../../src/state-dir.ts';

describe('the state folder', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'trellis-state-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('belongs to one process at a time, and to the next when its owner is gone', () => {
    const own = join(dir, 'new');
    const release = claimStateDir(own);
    expect(statSync(own).mode & 0o777).toBe(0o700);
    // Process 1 is always alive.
    writeFileSync(join(own, 'owner.pid'), '1\n');
    expect(() => claimStateDir(own)).toThrow(expect.objectContaining({ code: 'TRELLIS_STATE_DIR_BUSY' }));
    writeFileSync(join(own, 'owner.pid'), '999999999\n');
    claimStateDir(own)();
    writeFileSync(join(own, 'owner.pid'), 'nonsense');
    claimStateDir(own)();
    release();
  });

  it('that cannot be made is said by name', () => {
    const file = join(dir, 'file');
    writeFileSync(file, '');
    expect(() => openAheadFile(join(file, 'below'), 'default')).toThrow(expect.objectContaining({ code: 'TRELLIS_STATE_DIR' }));
  });

  it('RPL-04 keeps the latest number of two hosts that share it', () => {
    const [one, other] = [openAheadFile(dir, 'default'), openAheadFile(dir, 'default')];
    one.raise(5_000);
    other.raise(4_000);
    expect(openAheadFile(dir, 'default').aheadMs).toBe(5_000);
    other.raise(6_000.4);
    expect(openAheadFile(dir, 'default').aheadMs).toBe(6_001);
    expect(openAheadFile(dir, 'elsewhere').aheadMs).toBe(0);
  });

  it('counts a damaged number of the fence as none', () => {
    writeFileSync(join(dir, 'ahead-default'), '12e9\n');
    const store = openAheadFile(dir, 'default');
    expect(store.aheadMs).toBe(0);
    store.raise(7);
    expect(openAheadFile(dir, 'default').aheadMs).toBe(7);
    writeFileSync(join(dir, 'ahead-default'), '999999999999999\n');
    store.raise(8);
    expect(openAheadFile(dir, 'default').aheadMs).toBe(8);
  });
});
