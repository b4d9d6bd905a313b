import { HEADER } from '../../invocation/headers.ts';
import { componentId, latticeName } from '../../ids.ts';
import { SigningKey } from '../../trust/nkey.ts';
import { createTokenSigner } from '../../trust/signer.ts';
import { requestDigest } from '../../trust/token.ts';
import { systemClock } from '../../clock.ts';
import { type Attack, ECHO, LATTICE, subjectOf, textParams } from './attack.ts';
import { type Attacker, headerOf, tokenOf } from './attacker.ts';
import type { RawHeaders, RawMessage } from './raw-connection.ts';

const FORGED = textParams('FORGED');
const NOTHING = /^nothing$/;

/** Takes a genuine call away, has `answer` forge answers to it, and only then lets a host have it: the forged ones come first. */
async function answerFirst(attacker: Attacker, answer: (genuine: RawMessage) => void): Promise<void> {
  const genuine = await attacker.intercept('echo', ECHO);
  answer(genuine);
  await attacker.rpc.flush();
  attacker.answers.push('nothing');
}

/** A result token by a key of the attacker's own, over a genuine request. */
function strangersProof(genuine: RawMessage, status: 'ok' | 'error'): string {
  const signer = createTokenSigner({ key: SigningKey.generate('cluster'), lattice: latticeName(LATTICE), clock: systemClock });
  let proof = '';
  const result = status === 'ok' ? FORGED : new Uint8Array(0);
  signer.result(
    { request: requestDigest(tokenOf(genuine)), server: componentId(ECHO.target), status, result },
    (token) => (proof = token),
  );
  signer.flush();
  return proof;
}

/** Answers to genuine calls. Each of those calls must still end with the genuine answer. */
export const REPLY_ATTACKS: readonly Attack[] = [
  {
    id: 'RSP-01',
    words: 'answers that come first: unsigned, and signed by a key of the attacker',
    codes: [],
    callerCodes: ['TRELLIS_INVOKE_UNAUTHENTICATED'],
    answers: NOTHING,
    run: (attacker) =>
      answerFirst(attacker, (genuine) => {
        const proofs = ['unsigned ok', '', strangersProof(genuine, 'ok')];
        for (const proof of proofs) attacker.rpc.publish(genuine.reply, FORGED, '', proof === '' ? [] : [[HEADER.result, proof]]);
      }),
  },
  {
    id: 'RSP-02',
    words: 'the genuine, signed answer of one call as the answer of the next',
    codes: [],
    callerCodes: ['TRELLIS_INVOKE_UNAUTHENTICATED'],
    answers: NOTHING,
    async run(attacker) {
      const heard = await attacker.overhear('echo');
      const call = heard.find(({ subject }) => subject === subjectOf(ECHO));
      const answer = heard.find(
        ({ subject, headers }) => subject === call?.reply && headerOf({ headers }, HEADER.result) !== undefined,
      );
      if (answer === undefined) throw new Error('no signed answer was heard');
      await answerFirst(attacker, (genuine) => attacker.rpc.publish(genuine.reply, answer.payload, '', answer.headers));
    },
  },
  {
    id: 'RSP-03',
    words: 'the genuine answer of a call again, ten times',
    codes: [],
    answers: NOTHING,
    async run(attacker) {
      const heard = await attacker.overhear('echo');
      const call = heard.find(({ subject }) => subject === subjectOf(ECHO));
      const answer = heard.find(({ subject }) => subject === call?.reply);
      for (let n = 0; n < 10; n++) attacker.rpc.publish(call?.reply ?? '', answer?.payload ?? FORGED, '', answer?.headers ?? []);
      await attacker.rpc.flush();
      attacker.answers.push('nothing');
    },
  },
  {
    id: 'RSP-04',
    words: 'refusals and errors that come first, with and without a forged proof',
    codes: [],
    callerCodes: ['TRELLIS_INVOKE_UNAUTHENTICATED'],
    answers: NOTHING,
    run: (attacker) =>
      answerFirst(attacker, (genuine) => {
        const proofs: RawHeaders[] = [
          [],
          [[HEADER.result, 'unsigned error']],
          [[HEADER.result, strangersProof(genuine, 'error')]],
        ];
        for (const status of ['401 invocation denied', '429 busy', '500 component failed', '503', '504 deadline exceeded'])
          for (const headers of proofs) attacker.rpc.publish(genuine.reply, new Uint8Array(0), '', headers, status);
      }),
  },
  {
    id: 'RSP-05',
    words: 'listening to the inboxes of the other hosts, and of everybody',
    codes: [],
    answers: /^no permission to subscribe$/,
    async run(attacker) {
      const subjects = ['_INBOX.>', '_INBOX_RPC.>', `_INBOX_RPC.${LATTICE}.>`, `_INBOX_CTL.${LATTICE}.>`, '>'];
      for (const subject of subjects) {
        attacker.rpc.subscribe(subject, () => attacker.answers.push('a message of somebody else'));
        await attacker.noteErrors(attacker.rpc);
      }
    },
  },
  {
    id: 'RSP-06',
    words: 'a result of 1.6 MB in the long form that comes first',
    codes: [],
    callerCodes: ['TRELLIS_INVOKE_UNAUTHENTICATED'],
    answers: NOTHING,
    run: (attacker) =>
      answerFirst(attacker, (genuine) => {
        for (let piece = 0; piece < 8; piece++) attacker.rpc.publish(`${genuine.reply}.results`, Buffer.alloc(200_000, 0x41));
        attacker.rpc.publish(`${genuine.reply}.results`, new Uint8Array(0));
      }),
  },
];
