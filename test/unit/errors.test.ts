import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { CATALOGUE } from '../../src/errors.ts';

const SUBJECTS = new URL('../../src/errors/', import.meta.url);

describe('the catalogue of errors', () => {
  it('has every code of every subject, each in one of them only', async () => {
    const files = readdirSync(fileURLToPath(SUBJECTS)).filter((file) => file !== 'entry.ts');
    const subjects = await Promise.all(files.map((file) => import(new URL(file, SUBJECTS).href) as Promise<object>));
    const codes = subjects.flatMap((subject) => Object.values(subject).flatMap((entries: object) => Object.keys(entries)));
    expect(codes.sort()).toEqual(Object.keys(CATALOGUE).sort());
  });
});
