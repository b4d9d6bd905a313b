import { MAX_FRAME_TAG_CHARS, type FrameSession } from '../trust/session.ts';
import { type BusHeaders, headerBlockBytes } from '../wrpc/bus.ts';
import type { FrameSealer } from '../wrpc/chunks.ts';
import type { HeaderLookup } from '../wrpc/client.ts';
import { HEADER } from './headers.ts';
import type { PathObserver } from './observer.ts';

const headersOf = (tag: string): BusHeaders => ({ entries: [[HEADER.frame, tag]] });
const MAX_HEADER_BYTES = headerBlockBytes(headersOf('x'.repeat(MAX_FRAME_TAG_CHARS)));

/** Puts a session's tags on the frames that leave. */
export function sealerOf(session: FrameSession): FrameSealer {
  return { maxHeaderBytes: MAX_HEADER_BYTES, seal: (path, bytes) => headersOf(session.seal(path, bytes)) };
}

/** A frame as it came in. */
export interface ReceivedFrame {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly header: HeaderLookup;
}

/**
 * What to do with a frame of a call that has a session: use it, drop it, or end the call because one before it is lost.
 *
 * What does not verify is dropped and counted, and ends nothing: it holds nothing of the peer's, and anybody who knows the inbox
 * could have sent it. If it took the place of a genuine frame, the next genuine one shows the gap, and the call ends.
 */
export function judgeFrame(
  session: FrameSession | undefined,
  frame: ReceivedFrame,
  observer: PathObserver,
): 'use' | 'drop' | 'end' {
  const verdict = session?.open(frame.header(HEADER.frame), frame.path, frame.bytes) ?? 'foreign';
  if (verdict === 'next') return 'use';
  if (verdict === 'gap') return 'end';
  observer.dropped(
    verdict === 'foreign' ? 'a frame that the peer did not send' : 'a frame that has been used',
    'TRELLIS_VERIFY_FRAME',
  );
  return 'drop';
}
