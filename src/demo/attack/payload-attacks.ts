import { paramsDigest } from '../../trust/token.ts';
import { type Attack, ECHO, GIFT_PARAMS, textParams } from './attack.ts';
import { type Attacker, callWith } from './attacker.ts';
import type { RawMessage } from './raw-connection.ts';
import { claimsIn } from './token-surgery.ts';

/** 64 bytes that {@link ECHO} understands: a text of 63 characters. */
const LONG = textParams('a'.repeat(63));

/** Sends the first bytes of a signed body; gives the inbox for the rest, if the host wants it. */
async function begin(attacker: Attacker, token: string, first: Uint8Array): Promise<string> {
  const answer = await attacker.send(callWith(token, claimsIn(token)?.['rpl'] ?? '', first));
  return answer?.reply ?? '';
}

/** Notes the first refusal that comes on the reply subject of a message while `during` runs. */
async function noteRefusal(attacker: Attacker, reply: string, during: () => Promise<void>): Promise<void> {
  let told: (text: string) => void = () => {};
  const refusal = new Promise<string>((resolve) => (told = resolve));
  const stop = attacker.listen((message: RawMessage) => {
    if (message.subject === reply && message.status !== '') told(message.status);
  });
  const timer = setTimeout(() => told('nothing'), 12_000);
  await during();
  attacker.answers.push(await refusal);
  clearTimeout(timer);
  stop();
}

/** The parameter bytes. */
export const PAYLOAD_ATTACKS: readonly Attack[] = [
  {
    id: 'ENV-15',
    words: 'a genuine call with one bit of its parameters changed, each bit in turn',
    codes: ['TRELLIS_VERIFY_PAYLOAD'],
    async run(attacker) {
      const genuine = await attacker.intercept('echo', ECHO);
      for (let bit = 0; bit < genuine.payload.length * 8; bit++) {
        const payload = Buffer.from(genuine.payload);
        payload[bit >> 3]! ^= 1 << (bit & 7);
        await attacker.send({ ...genuine, payload });
      }
    },
  },
  {
    id: 'ENV-16',
    words: 'a genuine call with its parameters emptied',
    codes: ['TRELLIS_VERIFY_PAYLOAD', 'TRELLIS_PATH_PARAMS_TIMEOUT'],
    answers: /^(?:acknowledgement|401 invocation denied|504 deadline exceeded)$/,
    async run(attacker) {
      const genuine = await attacker.intercept('echo', ECHO);
      await noteRefusal(attacker, genuine.reply, async () => {
        const inbox = (await attacker.send({ ...genuine, payload: new Uint8Array(0) }))?.reply;
        if (inbox) attacker.rpc.publish(`${inbox}.params`, new Uint8Array(0));
      });
    },
  },
  {
    id: 'ENV-17',
    words: 'a genuine call with bytes behind its parameters',
    codes: ['TRELLIS_VERIFY_PAYLOAD'],
    async run(attacker) {
      const genuine = await attacker.intercept('echo', ECHO);
      await attacker.send({ ...genuine, payload: Buffer.concat([genuine.payload, Buffer.from([0])]) });
      await attacker.send({ ...genuine, payload: Buffer.concat([genuine.payload, genuine.payload]) });
    },
  },
  {
    id: 'ENV-31',
    words: 'a token of a trusted key for 64 bytes: 32 of them, then 32 others',
    codes: ['TRELLIS_VERIFY_PAYLOAD'],
    answers: /^(?:acknowledgement|401 invocation denied)$/,
    gift: (insider) => [insider.token(insider.cluster, { len: LONG.length, dig: paramsDigest(LONG) })],
    async run(attacker, [token = '']) {
      await noteRefusal(attacker, claimsIn(token)?.['rpl'] ?? '', async () => {
        const inbox = await begin(attacker, token, LONG.subarray(0, 32));
        attacker.rpc.publish(`${inbox}.params`, Buffer.alloc(32, 0x62));
      });
    },
  },
  {
    id: 'FRM-12',
    words: 'a token of a trusted key for 64 bytes, which then come one by one',
    codes: ['TRELLIS_PATH_PARAMS_TIMEOUT'],
    answers: /^(?:acknowledgement|504 deadline exceeded)$/,
    gift: (insider) => [insider.token(insider.cluster, { len: LONG.length, dig: paramsDigest(LONG) })],
    async run(attacker, [token = '']) {
      await noteRefusal(attacker, claimsIn(token)?.['rpl'] ?? '', async () => {
        const inbox = await begin(attacker, token, LONG.subarray(0, 32));
        for (let byte = 32; byte < 52; byte++) {
          attacker.rpc.publish(`${inbox}.params`, LONG.subarray(byte, byte + 1));
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      });
    },
  },
  {
    id: 'FRM-04',
    words: 'lengths that lie and nested lists without end, without a token',
    codes: ['TRELLIS_VERIFY_UNSIGNED'],
    answers: /^401 invocation not signed$/,
    async run(attacker) {
      const bodies = [Buffer.alloc(100_000, 0x91), Buffer.from('ddffffffff', 'hex'), Buffer.from('ffffffffffffffff7f', 'hex')];
      for (const body of [...bodies, GIFT_PARAMS]) await attacker.send(callWith(undefined, attacker.newReply(), body));
    },
  },
];
