import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { childTrace, childTraceparent, formatTraceparent, parseTraceparent } from '../../../src/telemetry/trace.ts';

const VALID = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** Every UTF-16 unit, also lone surrogates; the library's own binary strings take seconds to set up. */
const anyText = fc.array(fc.nat({ max: 0xffff }), { maxLength: 60 }).map((units) => String.fromCharCode(...units));

describe('traceparent', () => {
  it('reads and writes version 00', () => {
    const context = parseTraceparent(VALID)!;
    expect(context).toEqual({ traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', sampled: true });
    expect(formatTraceparent(context)).toBe(VALID);
  });

  it('refuses what the specification calls invalid', () => {
    const bad = [
      undefined,
      '',
      VALID.toUpperCase(),
      VALID.replace('00-', 'ff-'),
      `${VALID}-more`,
      VALID.replace(/-4bf\w+/, `-${'0'.repeat(32)}`),
      VALID.replace(/-00f\w+/, `-${'0'.repeat(16)}`),
      `${VALID}\r\nX: y`,
      `01${VALID.slice(2)}-${'x'.repeat(300)}`,
    ];
    for (const header of bad) expect(parseTraceparent(header)).toBeUndefined();
  });

  it('accepts later versions with more fields, as the specification asks', () => {
    expect(parseTraceparent(`01${VALID.slice(2)}-extra`)?.sampled).toBe(true);
  });

  it('keeps the trace and changes the span', () => {
    const child = parseTraceparent(childTraceparent(VALID))!;
    expect(child.traceId).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
    expect(child.spanId).not.toBe('00f067aa0ba902b7');
    expect(childTraceparent('nonsense')).toBeUndefined();
    expect(parseTraceparent(formatTraceparent(childTrace(undefined)))).toBeDefined();
  });

  it('never throws', () => {
    fc.assert(
      fc.property(anyText, (text) => void parseTraceparent(text)),
      { numRuns: 200 },
    );
  });
});
