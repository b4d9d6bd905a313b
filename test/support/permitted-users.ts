import { setTimeout as sleep } from 'node:timers/promises';
import { connect, PermissionViolationError, type NatsConnection } from 'nats';
import type { Permissions } from '../../src/auth/permission-templates.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import type { NatsUser, UserPermissions } from './accounts.ts';

/** Permissions of a template in the form that test accounts take. */
export function asUserPermissions({ publish, subscribe, responses }: Permissions): UserPermissions {
  return {
    publish: publish.allow,
    publishDeny: publish.deny ?? [],
    subscribe: subscribe.allow,
    subscribeDeny: subscribe.deny ?? [],
    ...(responses === undefined ? {} : { responses }),
  };
}

/** What somebody tries. */
export interface Attempts {
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
}

/** A plain client of the official library, which asks nothing before it sends, and what the server refuses it. */
export class PermittedUser implements AsyncDisposable {
  readonly nc: NatsConnection;
  readonly refused: string[] = [];

  private constructor(nc: NatsConnection) {
    this.nc = nc;
    void this.#listen();
  }

  /** @param inbox root of its inboxes, to which the user's key is added */
  static async connect(url: string, user: NatsUser, inbox: string): Promise<PermittedUser> {
    const key = SigningKey.fromSeed(user.seed, 'user');
    // A hundred logins with the library's own signatures would take seconds.
    const authenticator = (nonce = '') => ({
      jwt: user.jwt,
      nkey: user.publicKey,
      sig: key.sign(Buffer.from(nonce)).toString('base64url'),
    });
    const inboxPrefix = `${inbox}.${user.publicKey}.x`;
    return new PermittedUser(await connect({ servers: url, authenticator, inboxPrefix, reconnect: false }));
  }

  /** Tries all of it; returns what the server refused, as `publish S` and `subscribe S`, in the order of the attempts. */
  async tries({ publish = [], subscribe = [] }: Attempts): Promise<string[]> {
    this.refused.length = 0;
    const subscriptions = subscribe.map((subject) => this.nc.subscribe(subject, { callback: () => undefined }));
    for (const subject of publish) this.nc.publish(subject);
    await this.nc.flush();
    // The errors came before the answer to the flush; the client hands them over one turn later.
    await sleep(1);
    for (const subscription of subscriptions) subscription.unsubscribe();
    const seen = new Set(this.refused);
    return [...publish.map((s) => `publish ${s}`), ...subscribe.map((s) => `subscribe ${s}`)].filter((each) => seen.has(each));
  }

  async #listen(): Promise<void> {
    for await (const status of this.nc.status()) {
      if (status.type !== 'error' || !(status.error instanceof PermissionViolationError)) continue;
      const { operation, subject } = status.error;
      this.refused.push(`${operation === 'publish' ? 'publish' : 'subscribe'} ${subject}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.nc.close();
  }
}

/** All attempts as {@link PermittedUser.tries} names them. */
export const attemptNames = ({ publish = [], subscribe = [] }: Attempts): string[] => [
  ...publish.map((s) => `publish ${s}`),
  ...subscribe.map((s) => `subscribe ${s}`),
];
