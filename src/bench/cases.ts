import type { LoadCase } from './messages.ts';

/** A component as the benchmark calls it. */
export interface BenchCase {
  readonly name: string;
  /** Which host: the one that verifies and signs, or the one that does neither. */
  readonly lattice: 'verified' | 'plain';
  readonly target: string;
  readonly instance: string;
  readonly func: string;
  readonly param: LoadCase['param'];
}

/** Name of the yardstick's rows. */
export const BARE = 'bare handler';

const TINY = { instance: 'trellis-samples:echo/bytes@0.1.0', func: 'echo-bytes', param: 'bytes' } as const;
const ECHO = { instance: 'trellis-samples:echo/values@0.1.0', func: 'echo-bytes', param: 'bytes' } as const;
const HELLO = { instance: 'trellis-samples:hello/greeting@0.1.0', func: 'greet', param: 'string' } as const;

/**
 * What is measured beside the bare handler. `tiny` is a component of one function in C, 1.3 KB; `echo` has 48 functions and a
 * resource, 28 KB, which a fresh instance pays for; QuickJS is the sample `hello`, 1.6 MB.
 */
export const CASES = [
  { name: 'tiny reuse, verify off', lattice: 'plain', target: 'tiny-reuse', ...TINY },
  { name: 'tiny fresh, verify off', lattice: 'plain', target: 'tiny-fresh', ...TINY },
  { name: 'echo fresh, verify off', lattice: 'plain', target: 'echo-fresh', ...ECHO },
  { name: 'tiny reuse, verified', lattice: 'verified', target: 'tiny-reuse', ...TINY },
  { name: 'tiny reuse, once in the lattice', lattice: 'verified', target: 'tiny-once', ...TINY },
  { name: 'tiny fresh, verified', lattice: 'verified', target: 'tiny-fresh', ...TINY },
  { name: 'QuickJS reuse, verified', lattice: 'verified', target: 'hello-reuse', ...HELLO },
  { name: 'QuickJS fresh, verified', lattice: 'verified', target: 'hello-fresh', ...HELLO },
] as const satisfies readonly BenchCase[];

/** Names of {@link CASES}. */
export type CaseName = (typeof CASES)[number]['name'];

/** Payload sizes and calls in flight; `quickjs` says whether the QuickJS cases are measured with it. */
export const LOADS: readonly { readonly payloadBytes: number; readonly inFlight: number; readonly quickjs: boolean }[] = [
  { payloadBytes: 256, inFlight: 1, quickjs: true },
  { payloadBytes: 256, inFlight: 64, quickjs: true },
  { payloadBytes: 256, inFlight: 256, quickjs: false },
  { payloadBytes: 4096, inFlight: 64, quickjs: false },
  { payloadBytes: 524_288, inFlight: 4, quickjs: false },
];
