import type { RenewedUser } from '../../auth/renew.ts';
import { tableLines } from '../output.ts';

/** New credentials as a table, and what to do with them. */
export function renewedLines(renewed: readonly RenewedUser[]): string[] {
  if (renewed.length === 0) return ['Nobody needs new credentials.'];
  const rows = renewed.map(({ account, user, publicKey, expiresMs, credsFile }) => [
    account,
    user,
    publicKey,
    expiresMs === undefined ? 'never' : `${new Date(expiresMs).toISOString().slice(0, 16)}Z`,
    credsFile,
  ]);
  const former = renewed.flatMap(({ formerKey }) => (formerKey === undefined ? [] : [formerKey]));
  return [
    ...tableLines(['ACCOUNT', 'USER', 'PUBLIC KEY', 'ENDS', 'CREDENTIALS'], rows),
    '',
    'Bring each file to where it is used, in place of the one before: hosts read it without a restart.',
    ...(former.length === 0
      ? []
      : ['Then end the former keys, which still count:', ...former.map((key) => `  trellis auth revoke ${key} --tenant TENANT`)]),
  ];
}
