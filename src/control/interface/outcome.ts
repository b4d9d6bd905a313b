import type { BusLine } from '../../wrpc/bus.ts';

/** What became of a request. */
export interface Outcome {
  readonly success: boolean;
  /** `''` if there is nothing to say. */
  readonly message: string;
  /** What was asked for; absent if nothing was. */
  readonly response?: unknown;
  /** The whole answer as it travels, where it has been written before. */
  readonly encoded?: Uint8Array;
  /** What it was about, in few words and without secrets, for log and audit. */
  readonly about?: string;
  /** Goes on when the answer has been sent. */
  readonly after?: () => void;
}

/** The outcome of a request that was carried out. */
export function done(message: string, about?: string): Outcome {
  return { success: true, message, ...(about === undefined ? {} : { about }) };
}

/** The outcome of a request that asked for something. */
export function answered(response: unknown): Outcome {
  return { success: true, message: '', response };
}

/** The outcome of a request that was not carried out. */
export function failed(message: string, about?: string): Outcome {
  return { success: false, message, ...(about === undefined ? {} : { about }) };
}

/**
 * The outcome of a request for a list that cannot be had. Clients of 1.x look at the response alone and take none for an empty list; of
 * a text they say that it is no list, and what it says.
 */
export function noList(message: string): Outcome {
  return { success: false, message, response: message };
}

/** Where an answer goes. Held apart from the message, whose bytes belong to the client. */
export interface ReplyTo {
  readonly line: BusLine;
  /** An inbox, or `''` if no answer is wanted. */
  readonly reply: string;
  /** `traceparent` for the answer; absent if the request had none. */
  readonly traceparent: string | undefined;
}

/** The answer as it travels. */
export function encodeOutcome({ success, message, response, encoded }: Outcome): Uint8Array {
  if (encoded !== undefined) return encoded;
  return Buffer.from(JSON.stringify(response === undefined ? { success, message } : { success, message, response }));
}

/** Room for the headers of an answer, and for what stands around a response. */
export const ENVELOPE_BYTES = 512;

/**
 * Sends an answer, and gives back the bytes it took to make. One that the server would not take becomes one that says so. Does nothing
 * where none is wanted. @throws TRELLIS_NATS_*
 */
export function sendOutcome({ line, reply, traceparent }: ReplyTo, outcome: Outcome): number {
  if (reply === '') return 0;
  const headers = traceparent === undefined ? {} : { headers: { entries: [['traceparent', traceparent]] as const } };
  const body = encodeOutcome(outcome);
  const maxBytes = line.maxPayloadBytes - ENVELOPE_BYTES / 2;
  const text = `the answer of ${body.length} bytes is larger than the ${maxBytes} that the NATS server takes (its max_payload)`;
  const isList = outcome.encoded !== undefined || Array.isArray(outcome.response);
  line.publish(reply, body.length <= maxBytes ? body : encodeOutcome(isList ? noList(text) : failed(text)), headers);
  return body.length;
}
