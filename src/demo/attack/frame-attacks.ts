import { randomBytes } from 'node:crypto';
import { HEADER } from '../../invocation/headers.ts';
import { type Attack, ECHO, subjectOf } from './attack.ts';
import { callWith, withHeader } from './attacker.ts';

const EMPTY = new Uint8Array(0);

/** The form of messages, below what tokens say. */
export const FRAME_ATTACKS: readonly Attack[] = [
  {
    id: 'FRM-01',
    words: 'a message larger than the server takes',
    codes: [],
    answers: /^(?:Maximum Payload Violation|the server hung up)$/,
    async run(attacker) {
      const connection = await attacker.anotherConnection();
      connection.publish(subjectOf(ECHO), Buffer.alloc(400_000), attacker.newReply());
      await connection.closed;
      // Hanging up before it has read all of the message, the server may take its own last words with it.
      attacker.answers.push(connection.takeErrors()[0] ?? 'the server hung up');
    },
  },
  {
    id: 'FRM-02',
    words: 'ten thousand headers, and one header of 64 KB',
    codes: ['TRELLIS_PATH_MALFORMED', 'TRELLIS_VERIFY_UNSIGNED', 'TRELLIS_VERIFY_MALFORMED'],
    answers: /^(?:400 parameters not understood|401 invocation denied)$/,
    async run(attacker) {
      const call = callWith(undefined, attacker.newReply());
      const many = Array.from({ length: 10_000 }, (_, n): [string, string] => [`h${n}`, 'x']);
      await attacker.send({ ...call, headers: [...call.headers, ...many] });
      await attacker.send(withHeader({ ...call, reply: attacker.newReply() }, HEADER.invocation, 'A'.repeat(65_536)));
    },
  },
  {
    id: 'FRM-05',
    words: 'ids that are no UTF-8, sizes that are no number or beyond 2^64',
    codes: ['TRELLIS_PATH_MALFORMED'],
    answers: /^400 parameters not understood$/,
    async run(attacker) {
      const call = callWith(undefined, attacker.newReply());
      const values: [string, string][] = [
        [HEADER.sourceId, '\ufffd\u0080'],
        [HEADER.length, '18446744073709551616'],
        [HEADER.length, '-1'],
        [HEADER.length, '1e3'],
      ];
      for (const [name, value] of values) await attacker.send(withHeader({ ...call, reply: attacker.newReply() }, name, value));
    },
  },
  {
    id: 'FRM-06',
    words: '200 messages of random bytes, with random words as tokens',
    codes: ['TRELLIS_VERIFY_FORM', 'TRELLIS_VERIFY_UNSIGNED'],
    answers: /^401 invocation (?:denied|not signed)$/,
    async run(attacker) {
      for (let n = 0; n < 200; n++) {
        const token = n % 2 === 0 ? undefined : randomBytes(1 + (n % 60)).toString('base64url');
        await attacker.send(callWith(token, attacker.newReply(), randomBytes(n * 7)));
      }
    },
  },
  {
    id: 'FRM-16',
    words: 'a call without a reply subject',
    codes: [],
    answers: /^nothing$/,
    async run(attacker) {
      attacker.rpc.publish(subjectOf(ECHO), EMPTY, '', callWith(undefined, '').headers);
      await attacker.rpc.flush();
      attacker.answers.push('nothing');
    },
  },
];
