import { randomBytes } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import { SigningKey } from '../../trust/nkey.ts';
import { type RequestClaims, writeRequestClaims } from '../../trust/request-token.ts';
import { newTokenId } from '../../trust/signer.ts';
import { HEADERS, paramsDigest, sealSingle, signedTextOf, singleMessage } from '../../trust/token.ts';
import { CALLER_ORIGIN, ECHO, GIFT_PARAMS, type Insider, LATTICE, subjectOf } from './attack.ts';

/** What {@link createInsider} takes. */
export interface InsiderOptions {
  readonly clock: Clock;
  readonly cluster: SigningKey;
  /** The stolen user, below whose inboxes answers to gifts go. */
  readonly user: string;
}

/** Makes the one who signs what the attacker is handed. */
export function createInsider({ clock, cluster, user }: InsiderOptions): Insider {
  const seal = (key: SigningKey, claimsText: string): string => {
    const signedText = signedTextOf(HEADERS.request.single, claimsText);
    return sealSingle(signedText, key.sign(Buffer.from(singleMessage(signedText), 'latin1')));
  };
  const claims = (key: SigningKey, changes: Partial<RequestClaims> = {}): RequestClaims => {
    const iat = Math.floor(clock.wallMs());
    return {
      v: 2,
      jti: newTokenId(),
      iat,
      exp: iat + 30_000,
      lat: LATTICE,
      iss: key.publicKey,
      org: CALLER_ORIGIN,
      lnk: 'default',
      tgt: ECHO.target,
      ins: ECHO.instance,
      fun: ECHO.func,
      sub: subjectOf(ECHO),
      rpl: `_INBOX_RPC.${LATTICE}.${user}.gift.${randomBytes(9).toString('base64url')}`,
      len: GIFT_PARAMS.length,
      dig: paramsDigest(GIFT_PARAMS),
      ...changes,
    };
  };
  return {
    cluster,
    retired: SigningKey.generate('cluster'),
    provider: SigningKey.generate('service'),
    nowMs: () => Math.floor(clock.wallMs()),
    claims,
    token: (key, changes) => seal(key, writeRequestClaims(claims(key, changes))),
    seal,
  };
}
