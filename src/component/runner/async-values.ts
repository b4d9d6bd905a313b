import type { PendingValue } from '../../wit/encode-async.ts';
import type { WitType } from '../../wit/types.ts';
import type { FrameWriter } from './frames.ts';

export async function sendPending(
  _pending: readonly PendingValue[],
  _writer: FrameWriter,
  _type: number,
  _id: number,
  _budget: { bytes: number },
): Promise<void> {
  throw new Error('not yet');
}
export async function settleInline(_type: WitType, value: unknown, _budget: { bytes: number }): Promise<unknown> {
  return value;
}
