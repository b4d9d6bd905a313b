import { Redacted } from '../trust/redacted.ts';
import type { SigningKey } from '../trust/nkey.ts';

/** What a credentials file holds, in the spelling of NATS' tools: a user's JWT and seed. For a file that only its user can read. */
export function credsText(jwt: string, key: SigningKey): Redacted<string> {
  return new Redacted(`-----BEGIN NATS USER JWT-----
${jwt}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.
NKEYs are sensitive and should be treated as secrets.

-----BEGIN USER NKEY SEED-----
${key.exportSeed().reveal()}
------END USER NKEY SEED------

*************************************************************
`);
}
