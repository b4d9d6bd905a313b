import { z } from 'zod';
import { count, keyText, path, setting } from './values.ts';

const tlsSchema = z.strictObject({
  caFile: setting(
    path().exactOptional(),
    'Certificate authorities (PEM) that may sign the server certificate; the system ones if left out.',
  ),
  certFile: setting(path().exactOptional(), 'Client certificate (PEM), for servers that verify clients.'),
  keyFile: setting(path().exactOptional(), 'Private key (PEM) of the client certificate; readable by this user only.'),
  serverName: setting(
    z.string().min(1).exactOptional(),
    'Name the server certificate must carry, if it differs from the host in the URL.',
  ),
  handshakeFirst: setting(
    z.boolean().default(false),
    'Begin with TLS before the server says anything; the server must have `handshake_first` on.',
  ),
});

/** One of the two NATS connections. */
export function partition(name: 'ctl' | 'rpc', purpose: string) {
  const upper = name.toUpperCase();
  return z.strictObject({
    servers: setting(
      z.array(z.string().min(1)).min(1).default(['nats://127.0.0.1:4222']),
      `NATS servers of the ${purpose} connection, as \`nats://host:port\` or \`tls://host:port\`. No user, password or token in them.`,
    ),
    credsFile: setting(
      path().exactOptional(),
      `Credentials file (user JWT and seed) of the ${purpose} connection; the connection moves to what replaces it.`,
      { env: [`WASMCLOUD_${upper}_CREDS`, `WASMCLOUD_${upper}_CREDSFILE`, 'WASMCLOUD_NATS_CREDS'], flags: [`--${name}-creds`] },
    ),
    jwtFile: setting(path().exactOptional(), 'File with the user JWT alone; needs `seedFile`, excludes `credsFile`.', {
      env: [`WASMCLOUD_${upper}_JWT_FILE`, 'WASMCLOUD_NATS_JWT_FILE'],
    }),
    seedFile: setting(path().exactOptional(), 'File with the user seed alone; with `jwtFile`, or by itself for nkey logins.', {
      env: [`WASMCLOUD_${upper}_SEED_FILE`, 'WASMCLOUD_NATS_SEED_FILE'],
    }),
    jwt: setting(
      z
        .string()
        .max(64 * 1024)
        .exactOptional(),
      'The user JWT itself, with `seed`. The environment only; prefer `credsFile`, which can be replaced while the host runs.',
      { env: [`WASMCLOUD_${upper}_JWT`, 'WASMCLOUD_NATS_JWT'], secret: true },
    ),
    seed: setting(
      keyText().exactOptional(),
      'The user seed itself. The environment only, and refused outside development (START-11); prefer `credsFile`.',
      { env: [`WASMCLOUD_${upper}_SEED`, 'WASMCLOUD_NATS_SEED'], secret: true },
    ),
    tls: setting(tlsSchema.exactOptional(), 'TLS of this connection. Its presence makes TLS mandatory.'),
    inboxPrefix: setting(
      z
        .string()
        .regex(/^_INBOX[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)+$/, {
          error: 'must look like _INBOX_X.lattice.unguessable, no wildcard',
        })
        .exactOptional(),
      'Reply subject prefix, when the server grants a fixed one; made unguessable if left out.',
    ),
    name: setting(
      z
        .string()
        .regex(/^[ -~]{1,128}$/, { error: 'must be 1 to 128 printable characters' })
        .exactOptional(),
      'Name of the connection in the monitoring of the server; `trellis`, the beginning of the host id and the partition if left out.',
    ),
    viaLeaf: setting(
      z.boolean().default(false),
      'The server is a leaf node, such as a sidecar. What its user at the hub may not do fails without a word there, so the host asks the hub at its start, and from time to time, whether all that it needs is granted.',
    ),
    connectTimeoutMs: setting(count(100, 600_000).default(5_000), 'How long one connection attempt may take.'),
    pingIntervalMs: setting(
      count(1_000, 600_000).default(4_000),
      'How often an idle connection is checked. A dead one is noticed after this times one more than `maxPingsOut`.',
    ),
    maxPingsOut: setting(
      count(1, 100).default(2),
      'Checks that may stay unanswered before the connection is given up and made anew.',
    ),
    reconnectWaitMs: setting(
      count(1, 600_000).default(50),
      'Least time between two attempts to come back. The first 20 attempts come at this pace.',
    ),
    reconnectJitterMs: setting(
      count(0, 600_000).default(150),
      'Random time added to each of those, so that hosts do not come back in step.',
    ),
    reconnectMaxWaitMs: setting(
      count(1, 600_000).default(1_500),
      'Most time between two attempts, once there were 20, or a login was refused; at random from a third of it.',
    ),
    retireTimeoutMs: setting(
      count(0, 3_600_000).default(60_000),
      'How long calls in flight may go on over the old login when the connection has moved to new credentials or another server. What takes longer ends with TRELLIS_INVOKE_MOVED.',
    ),
  });
}
