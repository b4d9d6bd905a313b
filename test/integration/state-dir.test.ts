import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
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

  it('keeps how far ahead the fence reaches, and takes damage for nothing', () => {
    openAheadFile(dir, 'default').raise(1_234_567.5);
    expect(openAheadFile(dir, 'default').aheadMs).toBe(1_234_568);
    expect(openAheadFile(dir, 'other').aheadMs).toBe(0);
    writeFileSync(join(dir, 'ahead-default'), 'x'.repeat(100));
    expect(openAheadFile(dir, 'default').aheadMs).toBe(0);
    openAheadFile(dir, 'default').raise(7);
    expect(readFileSync(join(dir, 'ahead-default'), 'utf8')).toBe('7\n');
  });
});
