import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildTree, MAX_BATCH, pathLength, rootFromPath } from '../../../src/trust/merkle.ts';

function nodeOf(left: string, right: string): string {
  const length = Buffer.from([0, 0, 0, 0, 0, 0, 0, 32]);
  const parts = ['wzt2\0node\0', length, Buffer.from(left, 'latin1'), length, Buffer.from(right, 'latin1')];
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('latin1');
}

/** The recursive definition of RFC 6962 §2.1: root and the path of one leaf. */
function rootOf(leaves: readonly string[]): string {
  if (leaves.length === 1) return leaves[0]!;
  let left = 1;
  while (left * 2 < leaves.length) left *= 2;
  return nodeOf(rootOf(leaves.slice(0, left)), rootOf(leaves.slice(left)));
}

function pathOf(index: number, leaves: readonly string[]): string[] {
  if (leaves.length === 1) return [];
  let left = 1;
  while (left * 2 < leaves.length) left *= 2;
  const [head, tail] = [leaves.slice(0, left), leaves.slice(left)];
  return index < left ? [...pathOf(index, head), rootOf(tail)] : [...pathOf(index - left, tail), rootOf(head)];
}

const leavesOf = (count: number, seed = 'leaf'): string[] =>
  Array.from({ length: count }, (_, n) => createHash('sha256').update(`${seed} ${n}`).digest('latin1'));

describe('Merkle trees', () => {
  it('have the shape of RFC 6962 for every count to 66, and at the limit', () => {
    for (const count of [...Array.from({ length: 66 }, (_, n) => n + 1), 1023, MAX_BATCH]) {
      const leaves = leavesOf(count);
      const { root, paths } = buildTree(leaves);
      expect(root).toBe(rootOf(leaves));
      const indexes = count > 66 ? [0, 1, 511, 512, count - 2, count - 1] : leaves.keys();
      for (const index of indexes) {
        expect(paths[index]).toEqual(pathOf(index, leaves));
        expect(pathLength(index, count)).toBe(paths[index]!.length);
        expect(rootFromPath(leaves[index]!, index, count, paths[index]!.join(''))).toBe(root);
      }
    }
  });

  it('never take a foreign leaf, index, count or path for one of theirs', () => {
    const places = fc.integer({ min: 2, max: 200 }).chain((count) =>
      fc.record({
        count: fc.constant(count),
        index: fc.nat(count - 1),
        other: fc.nat(count - 1),
        otherCount: fc.integer({ min: 2, max: 200 }),
      }),
    );
    fc.assert(
      fc.property(places, fc.nat(), fc.integer({ min: 1, max: 255 }), ({ count, index, other, otherCount }, at, flip) => {
        const leaves = leavesOf(count);
        const { root, paths } = buildTree(leaves);
        const path = paths[index]!.join('');
        // The count itself is under the signature, so here only the place within one count is at stake.
        const fits = (leaf: string, place: number, total: number, siblings: string): boolean =>
          place < total &&
          siblings.length === 32 * pathLength(place, total) &&
          rootFromPath(leaf, place, total, siblings) === root;
        expect(fits(leaves[index]!, index, count, path)).toBe(true);
        expect(fits(createHash('sha256').update('foreign').digest('latin1'), index, count, path)).toBe(false);
        if (other !== index) {
          expect(fits(leaves[index]!, other, count, path)).toBe(false);
          expect(fits(leaves[other]!, index, count, path)).toBe(false);
          expect(fits(leaves[index]!, other, count, paths[other]!.join(''))).toBe(false);
        }
        const bytes = Buffer.from(path, 'latin1');
        bytes[at % bytes.length]! ^= flip;
        expect(fits(leaves[index]!, index, count, bytes.toString('latin1'))).toBe(false);
        expect(fits(leaves[index]!, index, count, path.slice(32))).toBe(false);
        expect(fits(leaves[index]!, index, count, path + path.slice(0, 32))).toBe(false);
        // A node cannot be presented as a leaf of a smaller tree: the caller's leaves are hashed under another label,
        // and a shorter path never ends at the same root.
        if (otherCount !== count) {
          const small = buildTree(leavesOf(otherCount));
          expect(small.root).not.toBe(root);
        }
      }),
      { numRuns: 300 },
    );
  });
});
