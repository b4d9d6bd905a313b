import { isToken } from '../ids.ts';
import type { IncomingInvocation } from '../wrpc/server.ts';
import { HEADER, headerInteger } from './headers.ts';

/** What the first message of an invocation says, sized and shaped but not believed. */
export interface OpenedInvocation {
  readonly token: string | undefined;
  readonly pass: string | undefined;
  readonly sourceId: string | undefined;
  readonly linkName: string | undefined;
  readonly traceparent: string | undefined;
  /** Bytes of all root parameters by the caller's word, or `undefined`. */
  readonly declaredBytes: number | undefined;
  readonly depth: number;
}

/** Why a message was not even looked at. */
export interface Malformed {
  readonly malformed: string;
}

const MAX_HEADERS = 64;
const MAX_TRACEPARENT = 128;

/**
 * Step 2 of the path: sizes and shape only. Says nothing about trust, and costs the same for a forger as for a friend.
 */
export function openInvocation(message: IncomingInvocation, limits: { maxParamsBytes: number }): OpenedInvocation | Malformed {
  if (message.headerCount > MAX_HEADERS) return { malformed: `more than ${MAX_HEADERS} headers` };
  if (message.payload.length > limits.maxParamsBytes) return { malformed: 'parameters larger than limits.maxParamsBytes' };
  const sourceId = message.header(HEADER.sourceId);
  const linkName = message.header(HEADER.linkName);
  if (sourceId !== undefined && !isToken(sourceId)) return { malformed: 'source-id is not an id' };
  if (linkName !== undefined && !isToken(linkName, 64)) return { malformed: 'link-name is not a name' };
  const declared = message.header(HEADER.length);
  const declaredBytes = headerInteger(declared, limits.maxParamsBytes);
  if (declared !== undefined && declaredBytes === undefined)
    return { malformed: 'Lattice-Length is not a size this host accepts' };
  if (declaredBytes !== undefined && declaredBytes < message.payload.length)
    return { malformed: 'more bytes than Lattice-Length says' };
  const traceparent = message.header(HEADER.traceparent);
  return {
    token: message.header(HEADER.invocation),
    pass: message.header(HEADER.pass),
    sourceId,
    linkName,
    traceparent: traceparent !== undefined && traceparent.length <= MAX_TRACEPARENT ? traceparent : undefined,
    declaredBytes,
    depth: headerInteger(message.header(HEADER.depth), 1_000_000) ?? 0,
  };
}
