import type { AsyncValues } from '../../wit/async-values.ts';
import type { ExportedFunction } from './exports.ts';
import { FLAG } from './frames.ts';
import type { Instance } from './instances.ts';

/** A call that the host sent, until its last answer. */
export class RunningCall {
  readonly id: number;
  readonly fn: ExportedFunction;
  /** All root parameters came with it. */
  readonly complete: boolean;
  /** Values outside of the root are refused, both ways. */
  readonly inline: boolean;
  root: Uint8Array;
  /** Receives async parameters. */
  values: AsyncValues | undefined;
  /** Stops what is still being sent of the result. */
  sending: AbortController | undefined;
  instance: Instance | undefined;
  /** When the guest has returned, where its result came before that. */
  guest: Promise<void> | undefined;
  ended = false;
  /** Bytes below which decoding the root again is of no use. */
  need = 0;
  wantsMore: boolean;
  /** The instance that resources among the parameters belong to. */
  owner: Instance | undefined;
  /** Parameters that were read before the call could begin. */
  decoded: unknown[] | undefined;

  constructor(id: number, fn: ExportedFunction, flags: number, root: Uint8Array) {
    this.id = id;
    this.fn = fn;
    this.complete = (flags & FLAG.eof) !== 0;
    this.inline = (flags & FLAG.inline) !== 0;
    this.wantsMore = !this.complete;
    this.root = root;
  }
}
