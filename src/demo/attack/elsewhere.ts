/** An attack of the plan that cannot be carried out over the wire, and where it is tested instead. */
export interface Elsewhere {
  readonly id: string;
  /** Why it is not in the table. */
  readonly why: string;
  readonly test: string;
}

/** The attacks that the table leaves out. */
export const ELSEWHERE: readonly Elsewhere[] = [
  { id: 'ENV-32', why: 'faults inside the verifier', test: 'test/security/envelope.test.ts' },
  { id: 'RPL-06', why: 'a million ids', test: 'test/security/replay.test.ts' },
  { id: 'RSP-07', why: 'no attack: error codes of an honest lattice', test: 'test/security/host-response.test.ts' },
  { id: 'FRM-03', why: 'the msgpack messages of 0.82', test: 'test/unit/wasmbus/messages.test.ts' },
  { id: 'FRM-13', why: 'memory of a host under an endless stream', test: 'test/security/frames.test.ts' },
  { id: 'FRM-14', why: 'memory of a host whose reader stalls', test: 'test/security/frames.test.ts' },
  { id: 'FRM-15', why: 'ten thousand calls given up', test: 'test/security/stream-frames.test.ts' },
];
