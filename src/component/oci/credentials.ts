import { readSecretFile } from '../../config/secret-files.ts';
import { TrellisError } from '../../errors.ts';
import { quotePath } from '../../ids.ts';

/** What a host shows to a registry. */
export type RegistryCredential =
  | { readonly kind: 'anonymous' }
  /** User and password: to the registry, or to where it has tokens given. */
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** A token for the registry itself. Where it does not count, the host goes on anonymously, as 1.x does. */
  | { readonly kind: 'bearer'; readonly token: string }
  /** What `docker login` keeps in place of a password: good for tokens alone. */
  | { readonly kind: 'identity'; readonly token: string };

/** No credentials. */
export const ANONYMOUS: RegistryCredential = { kind: 'anonymous' };

/** Credentials whose password lies in a file, or came with the environment. */
export interface NamedCredential {
  readonly registry: string;
  readonly username: string;
  readonly passwordFile?: string | undefined;
  readonly password?: string | undefined;
}

/** Reads the password that a setting names. @throws TRELLIS_ARTIFACT_CREDENTIALS */
export function namedCredential({ registry, username, passwordFile, password }: NamedCredential): RegistryCredential {
  if (passwordFile === undefined) return { kind: 'basic', username, password: password ?? '' };
  const file = readSecretFile(passwordFile);
  const text = file.ok ? file.text.replace(/\r?\n$/, '') : undefined;
  if (text === undefined || text === '' || /[\r\n\0]/.test(text)) {
    throw new TrellisError('TRELLIS_ARTIFACT_CREDENTIALS', {
      message: `the password file ${quotePath(passwordFile)} of the registry ${registry} ${file.ok ? 'does not hold one line' : file.reason}`,
      details: { registry, passwordFile },
    });
  }
  return { kind: 'basic', username, password: text };
}
