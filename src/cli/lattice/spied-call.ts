import { HEADER, headerInteger } from '../../invocation/headers.ts';
import type { RequestClaims } from '../../trust/request-token.ts';
import type { BusMessage } from '../../wrpc/bus.ts';

/** What a listener learns of a call without looking into it. */
export interface SpiedCall {
  /** ISO 8601, by this machine's clock. */
  readonly time: string;
  readonly subject: string;
  /** Component that is called, as the subject names it. */
  readonly target: string;
  /** Interface and function, as the subject names them. */
  readonly operation: string;
  /** Caller: proven if the call is verified, else by its own word. */
  readonly source?: string;
  readonly link: string;
  /** Bytes of the first message. */
  readonly bytes: number;
  /** Bytes of all parameters, by the caller's word; absent where it says nothing. */
  readonly paramsBytes?: number;
  /** Id of the call; absent from calls that are not signed. */
  readonly id?: string;
  /** Public key of the host that signed. */
  readonly signer?: string;
  /** How many components deep the chain of calls is. */
  readonly depth?: number;
  readonly verdict: SpyVerdict;
}

/** Whether a host of this lattice would believe the caller. */
export type SpyVerdict =
  | { readonly state: 'verified' }
  | { readonly state: 'unsigned' }
  /** A host would refuse it. */
  | { readonly state: 'refused'; readonly code: string; readonly detail: string }
  /** It cannot be said, and why. */
  | { readonly state: 'undecided'; readonly detail: string };

/** What a call's headers and claims say, beside a verdict. */
export function spiedCall(message: BusMessage, claims: RequestClaims | undefined, verdict: SpyVerdict, nowMs: number): SpiedCall {
  const [, target = '', , , , , ...operation] = message.subject.split('.');
  const source = claims?.org ?? message.header(HEADER.sourceId);
  const paramsBytes = claims?.len ?? headerInteger(message.header(HEADER.length), Number.MAX_SAFE_INTEGER);
  const depth = headerInteger(message.header(HEADER.depth), 256);
  return {
    time: new Date(nowMs).toISOString(),
    subject: message.subject,
    target,
    operation: operation.join('.'),
    ...(source === undefined ? {} : { source }),
    link: claims?.lnk ?? message.header(HEADER.linkName) ?? 'default',
    bytes: message.payload.length,
    ...(paramsBytes === undefined ? {} : { paramsBytes }),
    ...(claims === undefined ? {} : { id: claims.jti, signer: claims.iss }),
    ...(depth === undefined ? {} : { depth }),
    verdict,
  };
}

/** True for a call of one of these components, or by one of them; for any if there are none. */
export function concernsAny({ target, source }: SpiedCall, components: readonly string[]): boolean {
  return components.length === 0 || components.includes(target) || (source !== undefined && components.includes(source));
}

/** Bytes as people read them: offset, hexadecimal, printable characters; `max` bytes at most. */
export function payloadLines(payload: Uint8Array, max = 512): string[] {
  const lines: string[] = [];
  const shown = Buffer.from(payload.subarray(0, max));
  for (let at = 0; at < shown.length; at += 16) {
    const row = shown.subarray(at, at + 16);
    const hex = [...row].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = row.toString('latin1').replace(/[^\x20-\x7e]/g, '.');
    lines.push(`  ${at.toString(16).padStart(4, '0')}  ${hex.padEnd(47)}  ${text}`);
  }
  if (payload.length > max) lines.push(`  … ${payload.length - max} bytes more`);
  return lines;
}
