import { readFileSync, statSync } from 'node:fs';

const MAX_SECRET_BYTES = 64 * 1024;

/** What is known of a file that holds a secret. */
export type SecretFile =
  | { readonly ok: true; readonly text: string; readonly mode: number; readonly uid: number }
  | { readonly ok: false; readonly reason: string };

/** Reads a file that holds a secret (at most 64 KiB). Never throws. */
export function readSecretFile(path: string): SecretFile {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) return { ok: false, reason: 'is not a file' };
    if (stat.size > MAX_SECRET_BYTES) return { ok: false, reason: 'is larger than 64 KiB' };
    return { ok: true, text: readFileSync(path, 'utf8'), mode: stat.mode & 0o777, uid: stat.uid };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return { ok: false, reason: code === 'ENOENT' ? 'does not exist' : `cannot be read (${String(code)})` };
  }
}

/**
 * True if others than the owner may read or write a file of this mode. Not counted: a file of root's that its group may read and
 * nobody else (mode 0440), which is how Kubernetes mounts a secret for a pod's own group, and how an access list of systemd's looks.
 */
export function isExposedMode(mode: number, uid: number): boolean {
  const others = mode & 0o077;
  return others !== 0 && !(others === 0o040 && uid === 0);
}

/** The user JWT and the seed of a creds file, each `undefined` if its block is missing. */
export function readCreds(text: string): { readonly jwt: string | undefined; readonly seed: string | undefined } {
  const block = (name: string): string | undefined =>
    new RegExp(`-----BEGIN ${name}-----\\s*([A-Za-z0-9_.=-]+)\\s*-{5,6}END ${name}-{5,6}`).exec(text)?.[1];
  return { jwt: block('NATS USER JWT'), seed: block('USER NKEY SEED') };
}

/** What the checks need of a user JWT. */
export interface UserJwt {
  readonly subject: string;
  readonly expiresMs: number | undefined;
  /** When it begins to count; `undefined` if at once. */
  readonly notBeforeMs: number | undefined;
  /** True if the server asks its holder for no signature. */
  readonly bearer: boolean;
}

/** The last second that a date can hold. */
const MAX_SECONDS = 8_640_000_000_000;

/** What a JWT says, whoever signed it; `undefined` if it is malformed. Never throws. */
export function unverifiedClaims(jwt: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** A time of a JWT, seconds since the epoch, in milliseconds; `undefined` for none, and for what no date can hold. */
export function jwtTimeMs(seconds: unknown): number | undefined {
  return typeof seconds === 'number' && seconds > 0 && seconds < MAX_SECONDS ? seconds * 1_000 : undefined;
}

/** Reads a user JWT; its signature is the server's business. `undefined` if it is malformed. */
export function readUserJwt(jwt: string): UserJwt | undefined {
  const { sub, exp, nbf, nats } = unverifiedClaims(jwt) ?? {};
  if (typeof sub !== 'string') return undefined;
  return {
    subject: sub,
    expiresMs: jwtTimeMs(exp),
    notBeforeMs: jwtTimeMs(nbf),
    bearer: (nats as Record<string, unknown> | null | undefined)?.['bearer_token'] === true,
  };
}
