import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CallQueue } from '../../../src/component/call-queue.ts';
import type { CallEvents, ComponentCall } from '../../../src/component/component.ts';
import { PendingCall } from '../../../src/component/pending-call.ts';

const EVENTS: CallEvents = { result: () => {}, path: () => {}, done: () => {}, fail: () => {} };

/** A queue, whose calls leave it when they are cancelled, as those of a component do. */
function queueOf(deadlinesMs: readonly number[]): { queue: CallQueue; calls: PendingCall[] } {
  const queue = new CallQueue();
  const owner = { laterParams: () => {}, cancelled: (call: PendingCall) => queue.leave(call) };
  const calls = deadlinesMs.map((deadlineMs) => new PendingCall(owner, { complete: true } as ComponentCall, deadlineMs, EVENTS));
  for (const call of calls) queue.add(call, 10);
  return { queue, calls };
}

/** Takes out so many. */
function take(queue: CallQueue, most = Number.POSITIVE_INFINITY): PendingCall[] {
  const taken: PendingCall[] = [];
  queue.pump(
    () => taken.length < most,
    (call) => taken.push(call),
  );
  return taken;
}

describe('calls that wait for a runner', () => {
  it('are taken in their order, without those that have ended, and hold their bytes until then', () => {
    const { queue, calls } = queueOf([1, 1, 1, 1]);
    queue.hold(calls[2]!, 5);
    expect([queue.count, queue.bytes]).toEqual([4, 45]);
    calls[1]!.cancel();
    expect([queue.count, queue.bytes]).toEqual([3, 35]);
    expect(take(queue, 2)).toEqual([calls[0], calls[2]]);
    expect([queue.count, queue.bytes, queue.isEmpty]).toEqual([1, 10, false]);
    expect(take(queue)).toEqual([calls[3]]);
    expect([queue.count, queue.bytes, queue.isEmpty]).toEqual([0, 0, true]);
  });

  it('are before all others when they come back', () => {
    const { queue, calls } = queueOf([1, 1, 1]);
    const back = take(queue, 2);
    for (const call of back) call.root = new Uint8Array(7);
    queue.putBack(back);
    expect([queue.count, queue.bytes]).toEqual([3, 24]);
    expect(take(queue)).toEqual(calls);
  });

  it('are overdue from their deadline on, unless they have ended', () => {
    const { queue, calls } = queueOf([10, 20, 30]);
    expect(queue.overdue(9)).toEqual([]);
    calls[0]!.cancel();
    expect(queue.overdue(20)).toEqual([calls[1]]);
  });

  it('count and weigh nothing once all have left, whatever happened to them', () => {
    const step = fc.record({ what: fc.constantFrom('take', 'cancel', 'back', 'empty'), at: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const { queue, calls } = queueOf(Array(10).fill(1));
        for (const { what, at } of steps) {
          if (what === 'take') for (const call of take(queue, at)) call.id = 1;
          else if (what === 'cancel' && calls[at]!.id === 0) calls[at]!.cancel();
          else if (what === 'back') {
            const back = calls.filter(({ id, over }) => id === 1 && !over);
            for (const call of back) call.id = 0;
            queue.putBack(back);
          } else if (what === 'empty') for (const call of queue.empty()) call.cancel();
        }
        const waiting = calls.filter(({ id, over }) => id === 0 && !over);
        expect(queue.count).toBe(waiting.length);
        for (const call of queue.empty()) call.cancel();
        expect([queue.count, queue.bytes, queue.isEmpty]).toEqual([0, 0, true]);
      }),
    );
  });
});
