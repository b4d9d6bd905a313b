import { HEADER } from '../../invocation/headers.ts';
import { type Attack, ECHO, LATTICE, subjectOf } from './attack.ts';
import { callWith, withHeader } from './attacker.ts';

const REFUSED = /^no permission to (?:publish|subscribe)$/;
/** What may stand in no id: wildcards, separators, blanks, nothing, too much. */
const HOSTILE_IDS = ['*', '>', 'a.b', 'a b', '', 'x'.repeat(5_000), '../x', '\u0001'];

/** What the stolen credentials are not for, and names that are none. */
export const CREDENTIAL_ATTACKS: readonly Attack[] = [
  {
    id: 'CRD-09',
    words: 'subjects of control, of JetStream and of the system (also PRV-07)',
    codes: [],
    answers: REFUSED,
    async run(attacker) {
      for (const subject of [`wasmbus.ctl.v1.${LATTICE}.host.stop.X`, `$JS.API.STREAM.CREATE.X`, '$SYS.REQ.SERVER.PING']) {
        attacker.rpc.publish(subject, new Uint8Array(0));
        await attacker.noteErrors(attacker.rpc);
      }
      attacker.rpc.subscribe(`wasmbus.ctl.v1.${LATTICE}.>`, () => attacker.answers.push('a control message'));
      await attacker.noteErrors(attacker.rpc);
    },
  },
  {
    id: 'CRD-10',
    words: 'with the control credentials of the host: calls, and listening to calls',
    codes: [],
    answers: REFUSED,
    async run(attacker) {
      const call = callWith(undefined, `_INBOX_CTL.${LATTICE}.x`);
      attacker.ctl.publish(call.subject, call.payload, call.reply, call.headers);
      await attacker.noteErrors(attacker.ctl);
      attacker.ctl.subscribe(`${LATTICE}.>`, () => attacker.answers.push('a call'));
      await attacker.noteErrors(attacker.ctl);
    },
  },
  {
    id: 'INJ-01',
    words: 'a wildcard, nothing or two words as the lattice, in subjects and signed claims',
    codes: ['TRELLIS_VERIFY_MALFORMED'],
    answers: /^(?:no permission to publish|401 invocation denied)$/,
    gift: (insider) => ['*', '>', 'a.b', ''].map((lat) => insider.token(insider.cluster, { lat })),
    async run(attacker, gifts) {
      const { subject, payload, headers } = callWith(undefined, '');
      for (const lattice of ['*', 'tenant-b', `${LATTICE}2`]) {
        attacker.rpc.publish(subject.replace(LATTICE, lattice), payload, attacker.newReply(), headers);
        await attacker.noteErrors(attacker.rpc);
      }
      for (const token of gifts) await attacker.present(token);
    },
  },
  {
    id: 'INJ-02',
    words: 'wildcards, blanks, nothing or 5,000 characters as the id of the caller',
    codes: ['TRELLIS_PATH_MALFORMED'],
    answers: /^400 parameters not understood$/,
    async run(attacker) {
      for (const id of HOSTILE_IDS)
        await attacker.send(withHeader(callWith(undefined, attacker.newReply()), HEADER.sourceId, id));
    },
  },
  {
    id: 'INJ-03',
    words: 'the same as the name of the link, and functions that nobody serves',
    codes: ['TRELLIS_PATH_MALFORMED'],
    answers: /^(?:400 parameters not understood|503 no responders)$/,
    async run(attacker) {
      for (const id of HOSTILE_IDS)
        await attacker.send(withHeader(callWith(undefined, attacker.newReply()), HEADER.linkName, id));
      for (const func of ['*', '__proto__', 'constructor', 'init'])
        await attacker.send({ ...callWith(undefined, attacker.newReply()), subject: subjectOf({ ...ECHO, func }) });
    },
  },
  {
    id: 'INJ-04',
    words: 'letters beyond ASCII in the ids of caller and link',
    codes: ['TRELLIS_PATH_MALFORMED'],
    answers: /^400 parameters not understood$/,
    async run(attacker) {
      for (const id of ['op\u00e9rator', 'operat\u043er', 'operator\u200b', '\u202eoperator']) {
        await attacker.send(withHeader(callWith(undefined, attacker.newReply()), HEADER.sourceId, id));
        await attacker.send(withHeader(callWith(undefined, attacker.newReply()), HEADER.linkName, id));
      }
    },
  },
  {
    id: 'INJ-05',
    words: 'a line break in a header; reply subjects that are no inbox but a call',
    codes: ['TRELLIS_VERIFY_UNSIGNED', 'TRELLIS_PATH_MALFORMED'],
    answers: /^(?:nothing|40[01] .*)$/,
    async run(attacker) {
      const call = callWith(undefined, attacker.newReply());
      await attacker.send(withHeader(call, 'x', 'y\r\nsource-id: greeter-chain'));
      const quiet = 250;
      for (const reply of [subjectOf(ECHO), `wasmbus.ctl.v1.${LATTICE}.host.stop.X`, `${LATTICE}.echo.>`])
        await attacker.send({ ...call, reply }, quiet);
    },
  },
];
