/** `wasi:random`. The insecure functions are as good as the others: nothing is gained by making them worse. */

/** Gives back `length` random bytes. */
export type RandomBytes = (length: number) => Uint8Array;

/** A guest that wants more at once is after the memory, not the randomness. */
const MAX_RANDOM_BYTES = 1_048_576;
/** The platform's limit for one call. */
const PLATFORM_STEP_BYTES = 65_536;

/** Random bytes of the platform's secure generator. */
export const secureRandom: RandomBytes = (length) => {
  const out = new Uint8Array(length);
  for (let at = 0; at < length; at += PLATFORM_STEP_BYTES) {
    crypto.getRandomValues(out.subarray(at, Math.min(length, at + PLATFORM_STEP_BYTES)));
  }
  return out;
};

/** Returns the `wasi:random` interfaces. */
export function createRandom(random: RandomBytes): Record<string, object> {
  const bytes = (length: bigint): Uint8Array => {
    if (length > MAX_RANDOM_BYTES) throw new Error(`more than ${MAX_RANDOM_BYTES} random bytes were asked for at once`);
    return random(Number(length));
  };
  const u64 = (): bigint => {
    const eight = random(8);
    return new DataView(eight.buffer, eight.byteOffset, 8).getBigUint64(0, true);
  };
  return {
    'wasi:random/random': { getRandomBytes: bytes, getRandomU64: u64 },
    'wasi:random/insecure': { getInsecureRandomBytes: bytes, getInsecureRandomU64: u64 },
    'wasi:random/insecure-seed': { insecureSeed: () => [u64(), u64()], getInsecureSeed: () => [u64(), u64()] },
  };
}
