import { type Attack, ECHO_LATER, HELLO } from './attack.ts';
import { tokenOf, withToken } from './attacker.ts';
import { edited, partsOf } from './token-surgery.ts';

const COPIES = 1_000;

/** Calls that have run, again. */
export const REPLAY_ATTACKS: readonly Attack[] = [
  {
    id: 'RPL-01',
    words: 'genuine calls that have run, of the caller and of a component, again',
    codes: ['TRELLIS_VERIFY_REPLAYED'],
    async run(attacker) {
      const genuine = await attacker.record('hello', HELLO);
      const ofComponent = await attacker.record('chain', HELLO);
      await attacker.sendAll([genuine, ofComponent, genuine, ofComponent]);
    },
  },
  {
    id: 'RPL-02',
    words: `a genuine call, and ${COPIES} copies of it at once`,
    codes: ['TRELLIS_VERIFY_REPLAYED', 'TRELLIS_PATH_BUSY'],
    answers: /^(?:401 invocation denied|429 busy)$/,
    async run(attacker) {
      const genuine = await attacker.intercept('hello', HELLO);
      let refusals = 0;
      let all: () => void = () => {};
      const answered = new Promise<void>((resolve) => (all = resolve));
      const stop = attacker.listen(({ subject, status }) => {
        if (subject !== genuine.reply || status === '') return;
        if (refusals === 0) attacker.answers.push(status);
        if (++refusals === COPIES) all();
      });
      attacker.passOn();
      for (let copy = 0; copy < COPIES; copy++)
        attacker.rpc.publish(genuine.subject, genuine.payload, genuine.reply, genuine.headers);
      await Promise.race([answered, new Promise((resolve) => setTimeout(resolve, 10_000))]);
      stop();
      if (refusals !== COPIES) attacker.answers.push(`${refusals} of ${COPIES} refused`);
    },
  },
  {
    id: 'RPL-03',
    words: 'a genuine call that has run, six times to two hosts of one queue group (replay: cluster)',
    // The host that ran it knows the id; the other one asks the caller, who confirms a call once.
    codes: ['TRELLIS_VERIFY_REPLAYED', 'TRELLIS_VERIFY_UNCONFIRMED'],
    answers: /^(?:acknowledgement|401 invocation denied)$/,
    async run(attacker) {
      const genuine = await attacker.record('later', ECHO_LATER);
      for (let copy = 0; copy < 6; copy++) await attacker.send(genuine);
    },
  },
  {
    id: 'RPL-04',
    words: 'a genuine call that has run, after the host was stopped and started',
    codes: ['TRELLIS_VERIFY_FENCED'],
    async run(attacker) {
      const genuine = await attacker.record('hello', HELLO);
      await attacker.happening('restart');
      await attacker.send(genuine);
    },
  },
  {
    id: 'RPL-05',
    words: 'a genuine call that has run, after all clocks were set back an hour',
    codes: ['TRELLIS_VERIFY_REPLAYED'],
    async run(attacker) {
      const genuine = await attacker.record('hello', HELLO);
      await attacker.happening('clock back an hour');
      await attacker.send(genuine);
      await attacker.happening('clock forward again');
    },
  },
  {
    id: 'RPL-07',
    words: 'a genuine call that has run, with a reply subject of the attacker',
    codes: ['TRELLIS_VERIFY_BINDING'],
    async run(attacker) {
      const genuine = await attacker.record('hello', HELLO);
      await attacker.send({ ...genuine, reply: attacker.newReply() });
    },
  },
  {
    id: 'RPL-08',
    words: 'a genuine call that has run, with its id in other letters',
    codes: ['TRELLIS_VERIFY_SIGNATURE', 'TRELLIS_VERIFY_MALFORMED', 'TRELLIS_VERIFY_REPLAYED'],
    async run(attacker) {
      const genuine = await attacker.record('hello', HELLO);
      const token = tokenOf(genuine);
      const id = /"jti":"([^"]*)"/.exec(partsOf(token).claims)![1]!;
      const swapped = id.replaceAll(/[A-Za-z]/g, (c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase()));
      for (const other of [swapped.slice(0, -1) + id.at(-1)!, `${id}A`, id.slice(0, -1), `${id}=`])
        await attacker.send(withToken(genuine, edited(token, id, other)));
    },
  },
  {
    id: 'RPL-09',
    words: 'a genuine call that has run, 36 s later, when its id may be forgotten',
    codes: ['TRELLIS_VERIFY_EXPIRED'],
    async run(attacker) {
      const genuine = await attacker.record('hello', HELLO);
      await attacker.happening('time passes');
      await attacker.send(genuine);
    },
  },
];
