import type { Caller } from '../../src/caller.ts';
import { sampleFile } from '../../src/development.ts';
import type { InvocationHandle } from '../../src/invocation/outbound.ts';
import type { HostConfigInput } from '../../src/config/schema.ts';

/** The component of {@link openCall}. */
export const STREAMS: NonNullable<HostConfigInput['components']>[number] = {
  id: 'echo-streams',
  file: sampleFile('echo/echo-streams.wasm'),
};

/** A verified call that is in flight for as long as its caller likes: it counts the bytes of a stream. */
export interface OpenCall {
  /** Sends three more bytes. */
  feed(): void;
  /** Ends the stream. */
  finish(): void;
  /** The number of bytes counted, or the code of what came instead. */
  readonly result: Promise<number | string>;
}

/** Begins a call of {@link STREAMS}. */
export function openCall(caller: Caller, timeoutMs = 60_000): OpenCall {
  let handle: InvocationHandle | undefined;
  const result = caller
    .call({
      target: 'echo-streams',
      instance: 'trellis-samples:echo/streams@0.1.0',
      func: 'count-bytes',
      params: Uint8Array.of(0),
      timeoutMs,
      pendingParams: true,
      onHandle: (opened) => (handle = opened),
    })
    .then(
      (count) => count[0]!,
      (error: { code: string }) => error.code,
    );
  return {
    feed: () => handle!.sendPath('0', Uint8Array.of(3, 1, 2, 3), false),
    finish: () => handle!.sendPath('0', Uint8Array.of(0), true),
    result,
  };
}
