import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LongCalls } from '../../../src/invocation/long-calls.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

it('tells of a call after one round and within two, once, and of none that has ended', () => {
  const calls = new LongCalls();
  const told: string[] = [];
  const begin = (name: string) => {
    const call = { tellRunning: () => void told.push(name) };
    calls.add(call);
    return call;
  };
  begin('first');
  vi.advanceTimersByTime(200);
  begin('second');
  const short = begin('short');
  vi.advanceTimersByTime(60);
  const ended = begin('ended');
  calls.delete(short);
  expect(told).toEqual([]);
  vi.advanceTimersByTime(240);
  expect(told).toEqual(['first', 'second']);
  calls.delete(ended);
  vi.advanceTimersByTime(5_000);
  expect(told).toEqual(['first', 'second']);
});

it('has a timer only while there are calls', () => {
  const calls = new LongCalls();
  expect(vi.getTimerCount()).toBe(0);
  const call = { tellRunning: () => {} };
  calls.add(call);
  calls.delete(call);
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(500);
  expect(vi.getTimerCount()).toBe(0);
  calls.add(call);
  expect(vi.getTimerCount()).toBe(1);
});
