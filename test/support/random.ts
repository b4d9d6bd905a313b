/** A reproducible stream of random numbers. */
export interface Random {
  /** The seed, to print when a test fails. */
  readonly seed: number;
  /** An integer from 0 to `limit - 1`. */
  below(limit: number): number;
  /** Fills `bytes`. */
  fill(bytes: Uint8Array): void;
}

/** Random numbers from a fixed seed, or from the environment's TRELLIS_TEST_SEED. Not for secrets. */
export function createRandom(seed = Number(process.env['TRELLIS_TEST_SEED'] ?? 20_260_101)): Random {
  let state = seed >>> 0;
  const next = (): number => {
    // A 32-bit counter through a mixing function with full avalanche.
    state = (state + 0x9e37_79b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
  return {
    seed,
    below: (limit) => Math.floor((next() / 0x1_0000_0000) * limit),
    fill(bytes) {
      for (let at = 0; at < bytes.length; at++) bytes[at] = next() & 0xff;
    },
  };
}
