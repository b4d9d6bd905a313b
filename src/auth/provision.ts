import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TrellisError } from '../errors.ts';
import { connectPartition } from '../nats/connection.ts';
import type { TlsSettings } from '../nats/endpoint.ts';
import { TrustBucket } from '../nats/trust-bucket.ts';
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
 * Makes the trust bucket of a tenant's lattice on a running server, so that no host needs the right to make streams. It logs in
 * with a user that ends after five minutes and is kept nowhere. Nothing happens where the bucket is there already.
 *
 * @returns the name of the bucket
 * @throws TRELLIS_AUTH_UNKNOWN, TRELLIS_AUTH_KEY_MISSING, TRELLIS_NATS_*, TRELLIS_TRUST_STORE
 */
export async function provision(store: AuthStore, options: ProvisionOptions): Promise<string> {
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
      if ((await TrustBucket.open(connection, lattice, { domain: values['domain'] })) !== undefined)
        return `LATTICETRUST_${lattice}`;
    } finally {
      await connection.close();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  throw new TrellisError('TRELLIS_TRUST_STORE', {
    message: `JetStream does not let account ${accounts.ctl} make the bucket LATTICETRUST_${lattice}`,
    remedy: 'Give the server JetStream (trellis auth export writes it), and push the account: trellis auth push',
  });
}
