import { randomBytes } from 'node:crypto';
import { HEADER } from '../../invocation/headers.ts';
import { type Attack, ECHO_STREAM, subjectOf, textParams } from './attack.ts';
import { type Attacker, headerOf } from './attacker.ts';
import type { RawHeaders, RawMessage } from './raw-connection.ts';

const EMPTY = new Uint8Array(0);
const FORGED = textParams('forged');
/** The stream of both directions, as the wire names it. */
const PATH = '0';

/** What is to be known of a genuine call with streams, while it runs. */
interface StreamCall {
  /** Where frames of the answer go. */
  readonly results: string;
  /** Where frames of the parameters go: heard in the host's accept. */
  readonly params: string;
}

interface Reactions {
  /** The host has accepted: frames flow from here on. */
  accepted?(call: StreamCall): void;
  /** A frame of the answer has passed. */
  frame?(frame: RawMessage, call: StreamCall): void;
}

/** Has a genuine call with a stream in each direction made, and meddles with it while it runs. */
async function meddle(attacker: Attacker, reactions: Reactions): Promise<void> {
  let reply: string | undefined;
  let call: StreamCall | undefined;
  await attacker.overhear('stream', (message) => {
    if (message.subject === subjectOf(ECHO_STREAM)) reply = message.reply;
    else if (message.subject === reply && message.reply !== '' && call === undefined) {
      call = { results: `${reply}.results.${PATH}`, params: `${message.reply}.params.${PATH}` };
      reactions.accepted?.(call);
    } else if (call !== undefined && message.subject === call.results) reactions.frame?.(message, call);
  });
  attacker.answers.push(call === undefined ? 'no accept was heard' : 'nothing');
}

const tagged = (tag: string): RawHeaders => [[HEADER.frame, tag]];
const sequenceOf = (frame: RawMessage): number => Number(headerOf(frame, HEADER.frame)?.split('.')[0]);
const tagOf = (frame: RawMessage): string => headerOf(frame, HEADER.frame)?.split('.')[1] ?? '';

const IN_BOTH = { codes: ['TRELLIS_VERIFY_FRAME'], callerCodes: ['TRELLIS_VERIFY_FRAME'], answers: /^nothing$/ } as const;
const IN_CALLER = { ...IN_BOTH, codes: [] } as const;

/** Streams of a genuine call, which must still arrive whole: a stranger can add frames, and none of them counts. */
export const STREAM_ATTACKS: readonly Attack[] = [
  {
    id: 'FRM-07',
    words: 'an early end put into both streams of a genuine call',
    ...IN_BOTH,
    run: (attacker) =>
      meddle(attacker, {
        accepted({ params, results }) {
          attacker.rpc.publish(params, EMPTY);
          attacker.rpc.publish(results, EMPTY);
        },
      }),
  },
  {
    id: 'FRM-08',
    words: 'every frame of a genuine stream, twice more',
    ...IN_CALLER,
    run: (attacker) =>
      meddle(attacker, {
        frame(frame) {
          for (let copy = 0; copy < 2; copy++) attacker.rpc.publish(frame.subject, frame.payload, '', frame.headers);
        },
      }),
  },
  {
    id: 'FRM-09',
    words: 'the frames of one genuine stream in both streams of the next, in order and backwards',
    ...IN_BOTH,
    async run(attacker) {
      const heard: RawMessage[] = [];
      await meddle(attacker, { frame: (frame) => void heard.push(frame) });
      await meddle(attacker, {
        accepted({ params, results }) {
          for (const frame of [...heard, ...heard.toReversed()])
            for (const subject of [params, results]) attacker.rpc.publish(subject, frame.payload, '', frame.headers);
        },
      });
    },
  },
  {
    id: 'FRM-10',
    words: 'chunks put into the parameters of a genuine stream: without a tag, and with made-up ones',
    codes: ['TRELLIS_VERIFY_FRAME'],
    answers: /^nothing$/,
    run: (attacker) =>
      meddle(attacker, {
        accepted({ params }) {
          attacker.rpc.publish(params, FORGED);
          for (let sequence = 0; sequence < 30; sequence++)
            attacker.rpc.publish(params, FORGED, '', tagged(`${sequence}.${randomBytes(16).toString('base64url')}`));
        },
      }),
  },
  {
    id: 'FRM-11',
    words: 'frames of a genuine stream with other bytes, under their own tag and as the next ones',
    ...IN_CALLER,
    run: (attacker) =>
      meddle(attacker, {
        frame(frame) {
          const payload = Buffer.concat([frame.payload.subarray(0, -1), Buffer.from([(frame.payload.at(-1) ?? 0) ^ 1])]);
          for (const ahead of [0, 1, 2])
            attacker.rpc.publish(frame.subject, payload, '', tagged(`${sequenceOf(frame) + ahead}.${tagOf(frame)}`));
        },
      }),
  },
];
