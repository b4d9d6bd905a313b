import type { ComponentId } from '../ids.ts';
import type { TokenSigner } from '../trust/signer.ts';
import type { ResultStatus } from '../trust/result-token.ts';
import { MAX_TOKEN_CHARS, requestDigest } from '../trust/token.ts';
import type { BusHeaders } from '../wrpc/bus.ts';
import type { IncomingInvocation } from '../wrpc/server.ts';
import { HEADER } from './headers.ts';
import type { Introductions } from './introductions.ts';

/**
 * The last two steps of the path: sign and reply. Every exit answers exactly once. To the caller all denials read alike;
 * which check refused is for the host's own log, where the correlation id of the answer finds it.
 */
const STATUS_LINE: Readonly<Record<Exclude<ResultStatus, 'ok'>, readonly [code: number, text: string]>> = {
  denied: [401, 'invocation denied'],
  busy: [429, 'busy'],
  trap: [500, 'component failed'],
  timeout: [504, 'deadline exceeded'],
  'too-large': [413, 'too large'],
  'bad-params': [400, 'parameters not understood'],
  'unsigned-values': [422, 'a stream or future outside the signed bytes'],
  frames: [400, 'a frame of a stream is missing'],
  unavailable: [503, 'component unavailable'],
  error: [500, 'invocation failed'],
};

const EMPTY = new Uint8Array(0);

/** What is told of a refusal beside its status. */
export interface RefusalNote {
  /** Under this id the host explains it. */
  readonly correlation: string;
  /** In place of the status' own text. */
  readonly text?: string;
  /** What the caller should show when it sends the same again. */
  readonly need?: string | undefined;
}

/** What a reply needs to know of the invocation it answers. */
export interface ReplyContext {
  readonly signer: TokenSigner;
  readonly introductions: Pick<Introductions, 'proofEntries'>;
  readonly server: ComponentId;
  /** The request's token; replies are signed exactly when there is one (a peer without tokens cannot check one). */
  readonly token: string | undefined;
  /** The inbox of the signed accept, once one is under way. */
  readonly inbox: string | undefined;
}

function signed(context: ReplyContext, status: ResultStatus, result: Uint8Array, done: (value: string) => void): void {
  if (context.token === undefined || context.token.length > MAX_TOKEN_CHARS) {
    done(`unsigned ${status}`);
    return;
  }
  const { token, server, inbox } = context;
  context.signer.result({ request: requestDigest(token), server, status, result, inbox }, done);
}

/**
 * Answers with a result. In the one-message form if the caller understands it and the result fits; otherwise in the
 * 1.x form: acknowledgement, result bytes, end marker, the proof on the end marker.
 */
export function replyResult(
  message: IncomingInvocation,
  context: ReplyContext,
  result: Uint8Array,
  hasPending: boolean,
  done: () => void,
): void {
  signed(context, 'ok', result, (proof) => {
    const headers: BusHeaders = { entries: context.introductions.proofEntries(HEADER.result, proof, message.reply) };
    if (!message.unary || hasPending || !message.replyUnary(result, headers)) {
      message.accept();
      message.sendRoot(result, headers);
    }
    done();
  });
}

/**
 * Answers without a result. Before an acknowledgement the status line carries the reason, which an unmodified 1.x client
 * shows; after it the only failure those clients know is an end marker without data.
 */
export function replyFailure(
  message: IncomingInvocation,
  context: ReplyContext,
  status: Exclude<ResultStatus, 'ok'>,
  note: RefusalNote | undefined,
  done: () => void,
): void {
  signed(context, status, EMPTY, (proof) => {
    const [code, text] = STATUS_LINE[status];
    const entries = context.introductions.proofEntries(HEADER.result, proof, message.reply);
    if (note !== undefined) entries.push([HEADER.correlation, note.correlation]);
    if (note?.need !== undefined) entries.push([HEADER.need, note.need]);
    if (message.accepted && !message.unary) message.sendRoot(EMPTY, { entries });
    else message.refuse(code, note?.text ?? text, { entries });
    done();
  });
}
