import type { UserCredentials } from './credentials.ts';

/** What the client library sends in its CONNECT. */
export interface LoginFields {
  jwt?: string;
  nkey: string;
  sig: string;
}

/**
 * The login of one line, at every (re)connect of it. It is always that of one user: the line's inboxes are below that user's key.
 * Each answer uses one snapshot, since JWT and seed of two moments would not fit; and nothing here throws, since in the client
 * library an authenticator that throws ends the connection for good.
 */
export class Login {
  /** The last that a server let in; the one the line was made with until then. */
  #proven: UserCredentials;
  /** Renewed for the same user since then. */
  #renewed: UserCredentials | undefined;
  #offered: UserCredentials;
  /** A login is under way. */
  #pending = false;

  constructor(credentials: UserCredentials) {
    this.#proven = credentials;
    this.#offered = credentials;
  }

  /** What the server knows this line by. */
  get credentials(): UserCredentials {
    return this.#proven;
  }

  /** Newer credentials: used from the next reconnect on if they are the same user's, and left alone otherwise. */
  renew(credentials: UserCredentials): void {
    if (credentials.userKey !== this.#proven.userKey || credentials.digest === this.#proven.digest) return;
    this.#renewed = credentials;
    this.#offered = credentials;
  }

  /** Answers the server's nonce. */
  answer(nonce: string | undefined): LoginFields {
    this.#pending = true;
    const { jwt, keys, userKey } = this.#offered;
    const sig = nonce === undefined ? '' : Buffer.from(keys.sign(Buffer.from(nonce, 'utf8'))).toString('base64url');
    return jwt === undefined ? { nkey: userKey, sig } : { jwt, nkey: userKey, sig };
  }

  /** The server let the line in. */
  accepted(): void {
    this.#pending = false;
    this.#proven = this.#offered;
    if (this.#proven === this.#renewed) this.#renewed = undefined;
  }

  /** The server did not: with two to choose from, the other one is next. */
  refused(): void {
    // What the server says of a line that was open is no answer to a login.
    if (this.#pending && this.#renewed !== undefined)
      this.#offered = this.#offered === this.#renewed ? this.#proven : this.#renewed;
  }

  /** Signs `data` with the user's key, to prove to others than the server who is logged in. Costs milliseconds. */
  sign(data: Uint8Array): Buffer {
    return Buffer.from(this.#proven.keys.sign(data));
  }
}
