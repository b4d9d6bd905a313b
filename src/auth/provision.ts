import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TrellisError } from '../errors.ts';
import { connectPartition } from '../nats/connection.ts';
import type { TlsSettings } from '../nats/endpoint.ts';
import { KvBucket } from '../nats/kv-bucket.ts';
import { latticeBucket } from '../nats/lattice-buckets.ts';
import { trustBucket } from '../nats/trust-bucket.ts';
import type { Logger } from '../telemetry/log.ts';
import { SigningKey } from '../trust/nkey.ts';
import { userClaims } from './claims.ts';
import { credsText } from './creds-text.ts';
import { signNatsJwt } from './nats-jwt.ts';
import { scopedKeyOf } from './roles.ts';
import type { AuthStore } from './store.ts';
import { tenantOf } from './tenant.ts';

/** What {@link provision} takes. */
export interface ProvisionOptions {
  readonly tenant: string;
  readonly servers: readonly string[];
  readonly tls?: TlsSettings | undefined;
  readonly nowMs: number;
  readonly log: Logger;
}

const ROLE = 'provisioning';
const LIFETIME_MS = 5 * 60_000;

/**
 * Makes the buckets of a tenant's lattice on a running server, so that no host needs the right to make streams. It logs in
 * with a user that ends after five minutes and is kept nowhere. Nothing happens where a bucket is there already.
 *
 * @returns the names of the buckets
 * @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_AUTH_KEY_MISSING, TRELLIS_NATS_*, TRELLIS_TRUST_STORE, TRELLIS_LATTICE_DATA
 */
export async function provision(store: AuthStore, options: ProvisionOptions): Promise<readonly string[]> {
  const { servers, tls, nowMs, log } = options;
  const { accounts, lattice, values } = tenantOf(store, options.tenant);
  const account = store.account(accounts.ctl);
  const scope = scopedKeyOf(account, ROLE);
  if (scope === undefined) {
    throw new TrellisError('TRELLIS_AUTH_UNKNOWN', { message: `Account ${accounts.ctl} has no role ${ROLE}` });
  }
  const key = SigningKey.generate('user');
  const claims = userClaims({
    user: key.publicKey,
    name: ROLE,
    issuerAccount: account.sub,
    expiresMs: nowMs + LIFETIME_MS,
    nowMs,
  });
  // The connection reads its credentials from a file.
  const dir = mkdtempSync(join(tmpdir(), 'trellis-provision-'));
  try {
    const credsFile = join(dir, 'user.creds');
    writeFileSync(credsFile, credsText(signNatsJwt(claims, store.keys.read(scope.key)), key).reveal(), {
      mode: 0o600,
      flag: 'wx',
    });
    const connection = await connectPartition({
      partition: 'ctl',
      lattice,
      servers,
      credsFile,
      name: 'trellis auth provision',
      log,
      ...(tls === undefined ? {} : { tls }),
    });
    try {
      const kinds = [trustBucket(lattice), latticeBucket('LATTICEDATA', lattice), latticeBucket('CONFIGDATA', lattice)];
      for (const kind of kinds) {
        const bucket = new KvBucket(connection, kind, { domain: values['domain'] });
        await bucket.openOrMake().catch((cause: unknown) => {
          throw new TrellisError(kind.code, {
            message: `JetStream does not let account ${accounts.ctl} make the bucket ${kind.name}`,
            remedy: 'Give the server JetStream (trellis auth export writes it), and push the account: trellis auth push',
            cause,
          });
        });
      }
      return kinds.map(({ name }) => name);
    } finally {
      await connection.close();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
