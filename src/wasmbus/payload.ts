/**
 * Between the payload of a 0.82 message and the component-model bytes of `list<u8>`. Actors of 0.82 always encoded their own
 * values, so the payload passes untouched; all that a host adds or strips is the length of the list and the tag of a `result`.
 */

/**
 * What a function must give to be reachable: `bytes` is `list<u8>`, `bytes-or-error` is `result<list<u8>, string>`,
 * `nothing-or-error` is `result<_, string>`, `nothing` is no result.
 */
export type ResultShape = 'bytes' | 'bytes-or-error' | 'nothing-or-error' | 'nothing';

/** What a function answered: a payload, or the error it declared. */
export type Answer =
  | { readonly msg: Uint8Array; readonly error?: undefined }
  | { readonly msg?: undefined; readonly error: string };

const EMPTY = new Uint8Array(0);
const OK = 0;
const ERR = 1;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The encoding of `bytes` as a list or string, behind `tag` if there is one. */
function sized(bytes: Uint8Array, tag?: number): Uint8Array {
  const head = tag === undefined ? [] : [tag];
  let rest = bytes.length;
  while (rest > 0x7f) {
    head.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  head.push(rest);
  const out = new Uint8Array(head.length + bytes.length);
  out.set(head);
  out.set(bytes, head.length);
  return out;
}

/** The content of the list or string that begins at `at` and ends with `bytes`; a view, or `undefined`. */
function content(bytes: Uint8Array, at: number): Uint8Array | undefined {
  let length = 0;
  for (let digit = 0; digit < 5; digit++) {
    const byte = bytes[at++];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 2 ** (7 * digit);
    if (byte < 0x80) return bytes.length - at === length ? bytes.subarray(at) : undefined;
  }
  return undefined;
}

/** The parameters of a `func(list<u8>)` for a payload. */
export function paramsOfPayload(payload: Uint8Array): Uint8Array {
  return sized(payload);
}

/** The payload in the parameters of a `func(list<u8>)`; a view, or `undefined` if they are something else. */
export function payloadOfParams(params: Uint8Array): Uint8Array | undefined {
  return content(params, 0);
}

/** What the result of a function of this shape says, or `undefined` if it is not of the shape. */
export function answerOfResult(result: Uint8Array, shape: ResultShape): Answer | undefined {
  if (shape === 'nothing') return result.length === 0 ? { msg: EMPTY } : undefined;
  if (shape === 'bytes') {
    const msg = content(result, 0);
    return msg === undefined ? undefined : { msg };
  }
  if (result[0] === ERR) {
    const error = content(result, 1);
    try {
      return error === undefined ? undefined : { error: utf8.decode(error) };
    } catch {
      return undefined;
    }
  }
  if (result[0] !== OK) return undefined;
  if (shape === 'nothing-or-error') return result.length === 1 ? { msg: EMPTY } : undefined;
  const msg = content(result, 1);
  return msg === undefined ? undefined : { msg };
}

/** The result of a function of this shape that says `answer`; `undefined` for an error where the shape has no place for one. */
export function resultOfAnswer(answer: Answer, shape: ResultShape): Uint8Array | undefined {
  if (answer.error !== undefined) {
    const declares = shape === 'bytes-or-error' || shape === 'nothing-or-error';
    return declares ? sized(Buffer.from(answer.error), ERR) : undefined;
  }
  switch (shape) {
    case 'bytes':
      return sized(answer.msg);
    case 'bytes-or-error':
      return sized(answer.msg, OK);
    case 'nothing-or-error':
      return Uint8Array.of(OK);
    case 'nothing':
      return EMPTY;
  }
}
