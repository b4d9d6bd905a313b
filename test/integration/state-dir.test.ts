import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openAheadFile } from '../../src/state-dir.ts';

const folder = (): string => mkdtempSync(join(tmpdir(), 'trellis-state-'));

describe('the file of the restart fence', () => {
  it('RPL-04 keeps the latest number of two hosts that share a folder', () => {
    const dir = folder();
    const [one, other] = [openAheadFile(dir, 'default'), openAheadFile(dir, 'default')];
    one.raise(5_000);
    other.raise(4_000);
    expect(openAheadFile(dir, 'default').aheadMs).toBe(5_000);
    other.raise(6_000.4);
    expect(openAheadFile(dir, 'default').aheadMs).toBe(6_001);
    expect(openAheadFile(dir, 'elsewhere').aheadMs).toBe(0);
  });

  it('counts a damaged file as none', () => {
    const dir = folder();
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
