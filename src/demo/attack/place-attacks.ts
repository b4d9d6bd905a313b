import { HEADER } from '../../invocation/headers.ts';
import { type Attack, CALLER_ORIGIN, ECHO, ECHO_BYTES, HELLO, subjectOf } from './attack.ts';
import { headersWith, tokenOf, withHeader, withToken } from './attacker.ts';
import { editedCalls } from './envelope-attacks.ts';
import { edited, partsOf } from './token-surgery.ts';

/** Who calls whom, where and by which link: everything a token is bound to but its bytes. */
export const PLACE_ATTACKS: readonly Attack[] = [
  {
    id: 'ENV-18',
    words: 'a genuine call with another caller in its header, and in its claims',
    codes: ['TRELLIS_VERIFY_HEADERS', 'TRELLIS_VERIFY_SCOPE', 'TRELLIS_VERIFY_SIGNATURE'],
    async run(attacker) {
      const genuine = await attacker.intercept('hello', HELLO);
      await attacker.send(withHeader(genuine, HEADER.sourceId, 'greeter-chain'));
      const asChain = withToken(genuine, edited(tokenOf(genuine), `"org":"${CALLER_ORIGIN}"`, '"org":"greeter-chain"'));
      await attacker.send(withHeader(asChain, HEADER.sourceId, 'greeter-chain'));
    },
  },
  {
    id: 'ENV-19',
    words: 'a genuine call with another component in its claims, sent there',
    codes: ['TRELLIS_VERIFY_SIGNATURE'],
    async run(attacker) {
      const genuine = await attacker.intercept('echo', ECHO);
      const subject = subjectOf(HELLO);
      const token = edited(
        edited(
          edited(tokenOf(genuine), /"tgt":"[^"]*"/, `"tgt":"${HELLO.target}"`),
          /"ins":"[^"]*"/,
          `"ins":"${HELLO.instance}"`,
        ),
        /"fun":"[^"]*","sub":"[^"]*"/,
        `"fun":"${HELLO.func}","sub":"${subject}"`,
      );
      await attacker.send({ ...withToken(genuine, token), subject });
    },
  },
  {
    id: 'ENV-20',
    words: 'a genuine call to another function, with its claims as they are, and edited',
    codes: ['TRELLIS_VERIFY_TARGET', 'TRELLIS_VERIFY_SIGNATURE'],
    async run(attacker) {
      const genuine = await attacker.intercept('echo', ECHO);
      const subject = subjectOf(ECHO_BYTES);
      const token = edited(tokenOf(genuine), /"fun":"[^"]*","sub":"[^"]*"/, `"fun":"${ECHO_BYTES.func}","sub":"${subject}"`);
      await attacker.sendAll([
        { ...genuine, subject },
        { ...withToken(genuine, token), subject },
      ]);
    },
  },
  {
    id: 'ENV-21',
    words: 'a genuine call under another id; a token of a trusted key with two ids',
    codes: ['TRELLIS_VERIFY_SIGNATURE', 'TRELLIS_VERIFY_MALFORMED'],
    gift: (insider) => [
      insider.seal(
        insider.cluster,
        partsOf(insider.token(insider.cluster)).claims.replace('"iat":', '"id":"AAAAAAAAAAAAAAAAAAAAAA","iat":'),
      ),
    ],
    async run(attacker, [twoIds = '']) {
      const genuine = await attacker.intercept('echo', ECHO);
      await attacker.sendAll(editedCalls(genuine, [[/"jti":"[^"]*"/, '"jti":"AAAAAAAAAAAAAAAAAAAAAA"']]));
      await attacker.present(twoIds);
    },
  },
  {
    id: 'ENV-22',
    words: 'a genuine call with another lattice, reply subject, length or expiry',
    codes: ['TRELLIS_VERIFY_LATTICE', 'TRELLIS_VERIFY_BINDING', 'TRELLIS_VERIFY_PAYLOAD', 'TRELLIS_VERIFY_SIGNATURE'],
    async run(attacker) {
      const genuine = await attacker.intercept('echo', ECHO);
      await attacker.sendAll(
        editedCalls(genuine, [
          [/"lat":"[^"]*"/, '"lat":"tenant-b"'],
          [/"rpl":"[^"]*"/, `"rpl":"${attacker.newReply()}"`],
          [/"len":\d+/, '"len":1'],
          [/"exp":(\d+)/, `"exp":${Date.now() + 20_000}`],
        ]),
      );
      await attacker.send({ ...genuine, reply: attacker.newReply() });
    },
  },
  {
    id: 'ENV-23',
    words: 'a token of a trusted key: the border of interface and function shifted',
    codes: ['TRELLIS_VERIFY_TARGET'],
    gift: (insider) => [
      insider.token(insider.cluster, { ins: `${ECHO.instance}.echo`, fun: 'string' }),
      insider.token(insider.cluster, { ins: ECHO.instance.slice(0, -1), fun: `0.${ECHO.func}` }),
    ],
    async run(attacker, gifts) {
      for (const token of gifts) await attacker.present(token);
    },
  },
  {
    id: 'ENV-25',
    words: 'tokens of a trusted key for names in other case, look-alike, zero width',
    codes: ['TRELLIS_VERIFY_TARGET', 'TRELLIS_VERIFY_LINK', 'TRELLIS_VERIFY_MALFORMED'],
    gift: (insider) => [
      insider.token(insider.cluster, { org: 'Operator' }),
      insider.token(insider.cluster, { tgt: 'Echo' }),
      insider.token(insider.cluster, { org: 'operat\u043er' }),
      insider.token(insider.cluster, { tgt: 'ec\u200bho' }),
      insider.token(insider.cluster, { org: 'ope\u0301rator' }),
    ],
    async run(attacker, gifts) {
      // Without the plain header, which would contradict the claims first.
      for (const token of gifts) await attacker.present(token, { headers: headersWith(token).slice(2), reply: replyIn(token) });
    },
  },
  {
    id: 'ENV-26',
    words: 'a genuine call of one component on the subject of another',
    codes: ['TRELLIS_VERIFY_TARGET'],
    async run(attacker) {
      const genuine = await attacker.intercept('echo', ECHO);
      await attacker.send({ ...genuine, subject: subjectOf(HELLO) });
    },
  },
  {
    id: 'ENV-27',
    words: 'a token of the same cluster key for another lattice',
    codes: ['TRELLIS_VERIFY_LATTICE'],
    gift: (insider) => [insider.token(insider.cluster, { lat: 'tenant-b' })],
    run: (attacker, [token = '']) => attacker.present(token).then(() => {}),
  },
  {
    id: 'ENV-28',
    words: 'tokens of a trusted key for a caller without a link, or with one elsewhere',
    codes: ['TRELLIS_VERIFY_LINK'],
    gift: (insider) => [
      insider.token(insider.cluster, { org: 'stranger' }),
      insider.token(insider.cluster, { org: 'greeter-chain' }),
    ],
    async run(attacker, [stranger = '', linkedElsewhere = '']) {
      await attacker.present(stranger, { headers: headersWith(stranger, 'stranger') });
      await attacker.present(linkedElsewhere, { headers: headersWith(linkedElsewhere, 'greeter-chain') });
    },
  },
];

function replyIn(token: string): string {
  return /"rpl":"([^"]*)"/.exec(partsOf(token).claims)?.[1] ?? '';
}
