import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blocksIn, DocumentRun, textOf } from '../../support/document.ts';

const text = textOf('docs/auth.md');

describe('docs/auth.md', () => {
  let run: DocumentRun;
  beforeAll(() => {
    run = new DocumentRun();
  });
  afterAll(() => run.close());

  it.each(blocksIn(text))('$commands', async (block) => {
    await run.play(block);
  });

  it('names permission files that exist', () => {
    const named = [...text.matchAll(/config\/permissions\/[a-z-]+\.yaml/g)].map(([file]) => file);
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((file) => !existsSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url))))).toEqual([]);
  });
});
