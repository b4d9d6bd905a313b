import type { PassKeys } from '../trust/pass-keys.ts';

/**
 * The headers of an invocation and of its answers. Trellis' own begin with `Lattice-`; the lower-case ones are those of
 * wasmCloud 1.x, which unmodified peers read and write.
 */
export const HEADER = {
  /** Id of the calling component, as 1.x sends it. Compared with the signed origin when both are there. */
  sourceId: 'source-id',
  /** Link the caller used; `default` when absent. */
  linkName: 'link-name',
  /** W3C trace context. */
  traceparent: 'traceparent',
  /** The signed request token. */
  invocation: 'Lattice-Invocation',
  /** Admission pass of the token beside it: whether a signature check is worth its time. Proves nothing and lets nobody in. */
  pass: 'Lattice-Pass',
  /** The signed acknowledgement: parameters or frames may follow, or the call runs and takes its time. */
  accept: 'Lattice-Accept',
  /** On the end of the root parameters: the signed word that this server shall run the call. */
  confirm: 'Lattice-Confirm',
  /** Number and tag of a frame of a stream or future. */
  frame: 'Lattice-Frame',
  /** The signed result, on the one-message reply or on the end of `.results`. */
  result: 'Lattice-Result',
  /** The delegation of the signer, while it is new to the other side; a provider's, a blank, and its host's. */
  delegation: 'Lattice-Delegation',
  /** On a refusal: `delegation` if the same message should come again with it. */
  need: 'Lattice-Need',
  /** Bytes of all root parameters, decimal; lets a server start an unsigned call without waiting for the end marker. */
  length: 'Lattice-Length',
  /** On a refusal: the id under which the refusing host explains it. Unsigned, and no part of any decision. */
  correlation: 'Lattice-Correlation',
  /** How many components deep the call chain is, decimal. */
  depth: 'Lattice-Depth',
} as const;

/** Makes the admission pass of a token, by its digest. */
export type PassMaker = Pick<PassKeys, 'passFor'>;

/** A header's value as a non-negative integer, or `undefined` if it is absent or anything else. */
export function headerInteger(value: string | undefined, max: number): number | undefined {
  if (value === undefined || !/^(?:0|[1-9][0-9]{0,9})$/.test(value)) return undefined;
  const number = Number(value);
  return number <= max ? number : undefined;
}
