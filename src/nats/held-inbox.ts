import type { BusMessage, BusSubscription } from '../wrpc/bus.ts';
import type { Line } from './line.ts';

/** An inbox for a while: what answers come to it come on the line that the question went out on. */
export function heldInbox(line: Line, subject: string, onMessage: (message: BusMessage) => void): BusSubscription {
  const subscription = line.subscribe(subject, {}, onMessage);
  const holder = { onLineEnding: (): void => end() };
  const end = (): void => {
    line.release(holder);
    subscription.unsubscribe();
  };
  line.hold(holder);
  const drain = async (): Promise<void> => {
    await subscription.drain();
    line.release(holder);
  };
  return { drain, unsubscribe: end };
}
