import { randomBytes } from 'node:crypto';

/** A parsed W3C `traceparent` header. */
export interface TraceContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** The caller's span: 16 lower-case hex digits, not all zero. */
  readonly spanId: string;
  readonly sampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const ZERO_TRACE = '0'.repeat(32);
const ZERO_SPAN = '0'.repeat(16);
// Version 00 has 55 characters; later versions may append fields. Longer ones are a peer's attempt to fill our headers.
const MAX_CHARS = 256;

/** Returns the context in a `traceparent` header, or `undefined` if it is absent or malformed (W3C Trace Context, level 1). */
export function parseTraceparent(header: string | undefined): TraceContext | undefined {
  if (header === undefined || header.length > MAX_CHARS) return undefined;
  const match = TRACEPARENT.exec(header);
  if (match === null) return undefined;
  const [, version, traceId, spanId, flags, rest] = match;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (traceId === ZERO_TRACE || spanId === ZERO_SPAN) return undefined;
  return { traceId: traceId!, spanId: spanId!, sampled: (Number.parseInt(flags!, 16) & 1) === 1 };
}

/** Returns the header text of a context, version 00. */
export function formatTraceparent(context: TraceContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? '01' : '00'}`;
}

/** Returns the context of a new span below `parent`, or of a new trace if there is none. */
export function childTrace(parent: TraceContext | undefined): TraceContext {
  const spanId = randomBytes(8).toString('hex');
  if (parent !== undefined) return { ...parent, spanId };
  return { traceId: randomBytes(16).toString('hex'), spanId, sampled: false };
}

/**
 * Returns the header for a call made on behalf of one that carried `header`: same trace, new span. `undefined` if there was
 * none or it was malformed: Trellis carries traces on, it does not begin them.
 */
export function childTraceparent(header: string | undefined): string | undefined {
  const parent = parseTraceparent(header);
  return parent === undefined ? undefined : formatTraceparent(childTrace(parent));
}
