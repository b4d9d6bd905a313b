import { createHmac, randomBytes } from 'node:crypto';
import { CATALOGUE, type ErrorCode } from '../../errors.ts';
import { SigningKey } from '../../trust/nkey.ts';
import { HEADERS, sealSingle, signedTextOf, singleMessage } from '../../trust/token.ts';
import { type Attack, ECHO } from './attack.ts';
import { type Attacker, type Forged, tokenOf, withToken } from './attacker.ts';
import { claimsIn, edited, joined, malleated, partsOf } from './token-surgery.ts';

/** Which check meets a flipped bit depends on the bit. */
const ANY_DENIAL = (Object.keys(CATALOGUE) as ErrorCode[]).filter((code) => code.startsWith('TRELLIS_VERIFY_'));

const words = (header: object): string => Buffer.from(JSON.stringify(header)).toString('base64url');
const base64url = (text: string): string => Buffer.from(text, 'latin1').toString('base64url');

/** Takes a genuine message whose token no host has seen, and sends what `change` makes of its token. */
async function withTokens(attacker: Attacker, change: (token: string) => readonly (string | undefined)[]): Promise<void> {
  const genuine = await attacker.intercept('echo', ECHO);
  await attacker.sendAll(change(tokenOf(genuine)).map((token) => withToken(genuine, token)));
}

/** The claims of a genuine token, under a signature of the attacker's own; any delegation they name stays in them. */
function resigned(token: string, key: SigningKey, iss: string = key.publicKey): string {
  const claims = partsOf(token).claims.replace(/"iss":"[^"]*"/, `"iss":"${iss}"`);
  const signedText = signedTextOf(HEADERS.request.single, claims);
  return sealSingle(signedText, key.sign(Buffer.from(singleMessage(signedText), 'latin1')));
}

/** A token whose claims name no delegation, as a cluster key's own do. */
const withoutDelegation = (token: string): string => edited(token, /"kid":"[^"]*",/, '');

/** What a token is: its presence, header, spelling, signer and signature. */
export const ENVELOPE_ATTACKS: readonly Attack[] = [
  {
    id: 'ENV-01',
    words: 'a genuine call without its token, and with an empty one',
    codes: ['TRELLIS_VERIFY_UNSIGNED'],
    answers: /^401 invocation not signed$/,
    run: (attacker) => withTokens(attacker, () => [undefined, '']),
  },
  {
    id: 'ENV-02',
    words: 'genuine claims under a header that names no algorithm',
    codes: ['TRELLIS_VERIFY_FORM'],
    run: (attacker) =>
      withTokens(attacker, (token) =>
        ['none', 'None', '', undefined].map((alg) => `${words({ alg, typ: 'JWT' })}.${base64url(partsOf(token).claims)}.`),
      ),
  },
  {
    id: 'ENV-03',
    words: 'genuine claims under an HMAC by the public key, or with a key of their own',
    codes: ['TRELLIS_VERIFY_FORM', 'TRELLIS_VERIFY_MALFORMED'],
    run: (attacker) =>
      withTokens(attacker, (token) => {
        const { claims } = partsOf(token);
        const mac = (header: string): string => {
          const signed = `${header}.${base64url(claims)}`;
          return `${signed}.${createHmac('sha256', claimsIn(token)?.['iss'] ?? '')
            .update(signed)
            .digest('base64url')}`;
        };
        const jwk = { kty: 'OKP', crv: 'Ed25519', x: randomBytes(32).toString('base64url') };
        return [
          mac(words({ alg: 'HS256' })),
          mac(HEADERS.request.single),
          mac(words({ alg: 'EdDSA', jwk, jku: 'http://x', kid: 'x' })),
        ];
      }),
  },
  {
    id: 'ENV-04',
    words: 'genuine claims under 50 random signatures',
    codes: ['TRELLIS_VERIFY_SIGNATURE'],
    run: (attacker) =>
      withTokens(attacker, (token) =>
        Array.from({ length: 50 }, () => joined({ ...partsOf(token), header: HEADERS.request.single, proof: randomBytes(64) })),
      ),
  },
  {
    id: 'ENV-05',
    words: 'genuine claims, signed by a cluster key that the attacker made',
    codes: ['TRELLIS_VERIFY_ISSUER', 'TRELLIS_VERIFY_DELEGATION'],
    run: (attacker) =>
      withTokens(attacker, (token) => {
        const own = SigningKey.generate('cluster');
        return [resigned(token, own), resigned(withoutDelegation(token), own)];
      }),
  },
  {
    id: 'ENV-06',
    words: 'genuine claims under the name of the trusted key, signed by another',
    codes: ['TRELLIS_VERIFY_SIGNATURE'],
    run: (attacker) =>
      withTokens(attacker, (token) => [resigned(token, SigningKey.generate('cluster'), claimsIn(token)?.['iss'])]),
  },
  {
    id: 'ENV-07',
    words: 'genuine claims, signed by keys of other kinds, or under a name cut short',
    codes: ['TRELLIS_VERIFY_ISSUER', 'TRELLIS_VERIFY_DELEGATION'],
    run: (attacker) =>
      withTokens(attacker, (token) => {
        const own = SigningKey.generate('cluster');
        const kinds = (['account', 'server', 'user', 'module', 'operator'] as const).map((kind) => SigningKey.generate(kind));
        const names = [own.publicKey.slice(0, -1), own.publicKey.slice(0, 8), '', own.publicKey.toLowerCase()];
        const bare = withoutDelegation(token);
        return [
          ...kinds.map((key) => resigned(bare, key)),
          ...names.map((iss) => resigned(bare, own, iss)),
          resigned(token, kinds[1]!),
        ];
      }),
  },
  {
    id: 'ENV-08',
    words: 'the genuine signature in its second spelling (S+L)',
    codes: ['TRELLIS_VERIFY_SIGNATURE'],
    run: (attacker) => withTokens(attacker, (token) => [joined({ ...partsOf(token), proof: malleated(partsOf(token).proof) })]),
  },
  {
    id: 'ENV-09',
    words: 'the genuine token in nine other spellings of the same bytes',
    codes: ['TRELLIS_VERIFY_MALFORMED', 'TRELLIS_VERIFY_FORM'],
    run: (attacker) => withTokens(attacker, otherSpellings),
  },
  {
    id: 'ENV-10',
    words: 'the genuine token with one to three bits flipped, 300 times',
    codes: ANY_DENIAL,
    async run(attacker) {
      const genuine = await attacker.intercept('echo', ECHO);
      const token = tokenOf(genuine);
      const flips: Forged[] = [];
      while (flips.length < 300) {
        const bytes = Buffer.from(token, 'latin1');
        for (let flip = 1 + (flips.length % 3); flip > 0; flip--) {
          const at = randomBytes(4).readUInt32BE() % (bytes.length * 7);
          bytes[Math.floor(at / 7)]! ^= 1 << (at % 7);
        }
        const text = bytes.toString('latin1');
        // A line break would end the header, not alter the token; INJ-05 is about that.
        if (text !== token && !/[\r\n\0]/.test(text)) flips.push(withToken(genuine, text));
      }
      await attacker.sendAll(flips);
    },
  },
  {
    id: 'ENV-24',
    words: 'tokens of a trusted key over repeated or unknown names, blanks, a mark; 100 KB',
    codes: ['TRELLIS_VERIFY_MALFORMED'],
    gift(insider) {
      const claims = (): string => partsOf(insider.token(insider.cluster)).claims;
      return [
        insider.seal(insider.cluster, claims().replace('"org":', '"org":"admin","org":')),
        insider.seal(insider.cluster, claims().replace('"lat":', '"adm":true,"lat":')),
        insider.seal(insider.cluster, claims().replace(',"iat"', ', "iat"')),
        insider.seal(insider.cluster, `\u00ef\u00bb\u00bf${claims()}`),
        insider.seal(insider.cluster, `${claims()}${'['.repeat(1_000)}`),
      ];
    },
    async run(attacker, gifts) {
      for (const token of gifts) await attacker.present(token, { reply: attacker.newReply() });
      await attacker.present(`${gifts[0]}.AAAA`, { reply: attacker.newReply() });
      await attacker.present(`${HEADERS.request.single}.${'A'.repeat(100_000)}.AAAA`, { reply: attacker.newReply() });
    },
  },
  {
    id: 'ENV-30',
    words: 'a NATS user token, and the claims of a component, as token',
    codes: ['TRELLIS_VERIFY_FORM'],
    async run(attacker) {
      const account = SigningKey.generate('account');
      const signed = (header: object, claims: object): string => {
        const text = `${words(header)}.${words(claims)}`;
        return `${text}.${account.sign(Buffer.from(text)).toString('base64url')}`;
      };
      const user = { iss: account.publicKey, sub: SigningKey.generate('user').publicKey, nats: { type: 'user', version: 2 } };
      const module = { iss: account.publicKey, sub: SigningKey.generate('module').publicKey, wascap: { name: 'x', hash: '00' } };
      await withTokens(attacker, () => [
        signed({ typ: 'JWT', alg: 'ed25519-nkey' }, user),
        signed({ typ: 'jwt', alg: 'Ed25519' }, module),
      ]);
    },
  },
  {
    id: 'CRD-12',
    words: 'a token of a former cluster key, which is trusted no more',
    codes: ['TRELLIS_VERIFY_ISSUER'],
    gift: (insider) => [insider.token(insider.retired)],
    run: (attacker, [token = '']) => attacker.present(token).then(() => {}),
  },
];

/** Texts that lenient readers of base64url take for the same token. */
function otherSpellings(token: string): string[] {
  const [header = '', claims = '', proof = ''] = token.split('.');
  const last = proof.at(-1)!;
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  // 64 bytes end in a character of which four bits are free.
  const sameBytes = alphabet[alphabet.indexOf(last) ^ 1]!;
  return [
    `${header}.${claims}.${proof}=`,
    `${header}.${claims}.${proof}==`,
    `${header}.${claims}=.${proof}`,
    `${header}.${claims}.${proof.slice(0, -1)}${sameBytes}`,
    `${header}.${claims}.${proof.slice(0, 40)}%20${proof.slice(40)}`,
    `${header}.${claims}.${proof.slice(0, 40)}*${proof.slice(40)}`,
    `${header}.${claims.slice(0, 8)}\t${claims.slice(8)}.${proof}`,
    `${header}.${claims}.${proof}\u00e9`,
    `${header.toUpperCase()}.${claims}.${proof}`,
  ];
}

/** The same claims with one thing edited, under the old signature. */
export function editedCalls(genuine: Forged, edits: readonly (readonly [from: string | RegExp, to: string])[]): Forged[] {
  return edits.map(([from, to]) => withToken(genuine, edited(tokenOf(genuine), from, to)));
}
