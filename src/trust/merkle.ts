import { pairDigest } from './canonical.ts';

/**
 * Merkle trees in the shape of RFC 6962: over n leaves, the left side holds the largest power of two below n. Hashes are 32
 * bytes as a text of one character a byte, which is the cheapest form node:crypto gives a digest in.
 */

/** Most tokens that one signature may cover. */
export const MAX_BATCH = 1024;
const HASH_BYTES = 32;

// Leaves carry the label `leaf` (src/trust/token.ts), so a node can never be passed off as a leaf or the other way round.
const nodeHash = pairDigest('node', HASH_BYTES, HASH_BYTES);

// Tokens of one batch share most of their path, so most pairs have been hashed a moment ago. Two halves: when one is full,
// the older is dropped. Whoever sends nonsense can only push out what saves work.
const REMEMBERED_PAIRS = 2048;
let pairs = new Map<string, string>();
let olderPairs = new Map<string, string>();

/** {@link nodeHash}, remembered by all the bytes it is taken over. */
function rememberedNodeHash(left: string, right: string): string {
  const key = left + right;
  let hash = pairs.get(key);
  if (hash !== undefined) return hash;
  hash = olderPairs.get(key) ?? nodeHash(left, right);
  if (pairs.size >= REMEMBERED_PAIRS) {
    olderPairs = pairs;
    pairs = new Map();
  }
  pairs.set(key, hash);
  return hash;
}

/** The number of siblings between leaf `index` and the root of a tree of `count` leaves. */
export function pathLength(index: number, count: number): number {
  let length = 0;
  for (let at = index, last = count - 1; last > 0; at >>= 1, last >>= 1) {
    // The last node of a level without a sibling moves up unhashed.
    if (at < last || (at & 1) === 1) length++;
  }
  return length;
}

/** The root of `leaves` (at least one), and for each leaf its siblings from the bottom up. */
export function buildTree(leaves: readonly string[]): { readonly root: string; readonly paths: readonly string[][] } {
  const paths: string[][] = leaves.map(() => []);
  let level = leaves;
  for (let height = 0; level.length > 1; height++) {
    for (let leaf = 0; leaf < leaves.length; leaf++) {
      const sibling = level[(leaf >> height) ^ 1];
      if (sibling !== undefined) paths[leaf]!.push(sibling);
    }
    const above: string[] = [];
    for (let at = 0; at < level.length; at += 2) {
      const right = level[at + 1];
      above.push(right === undefined ? level[at]! : nodeHash(level[at]!, right));
    }
    level = above;
  }
  return { root: level[0]!, paths };
}

/**
 * The root that `leaf` at `index` of `count` has with the siblings in `path` (`pathLength(index, count)` hashes of 32
 * characters, one after the other, bottom up). The caller has checked index, count and length.
 */
export function rootFromPath(leaf: string, index: number, count: number, path: string): string {
  let hash = leaf;
  let offset = 0;
  for (let at = index, last = count - 1; last > 0; at >>= 1, last >>= 1) {
    if ((at & 1) === 1) hash = rememberedNodeHash(path.slice(offset, offset + HASH_BYTES), hash);
    else if (at < last) hash = rememberedNodeHash(hash, path.slice(offset, offset + HASH_BYTES));
    else continue;
    offset += HASH_BYTES;
  }
  return hash;
}
