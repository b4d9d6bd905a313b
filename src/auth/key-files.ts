import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isExposedMode } from '../config/secret-files.ts';
import { TrellisError } from '../errors.ts';
import { replaceFile } from '../replace-file.ts';
import { type KeyKind, publicKeyKind, SigningKey } from '../trust/nkey.ts';

const MAX_SEED_FILE_BYTES = 1024;

/**
 * The private keys of a store, each in a file found by its public key: `<dir>/A/BC/ABC….nk` holds the seed, mode 0600.
 * Seeds are read when something is to be signed, and leave this file inside a {@link SigningKey} only.
 */
export class KeyFiles {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  /** Where the seed of a public key is, or would be. @throws TRELLIS_KEY_INVALID */
  path(publicKey: string): string {
    kindOf(publicKey);
    return join(this.dir, publicKey.slice(0, 1), publicKey.slice(1, 3), `${publicKey}.nk`);
  }

  /** True if the seed of `publicKey` is here. */
  has(publicKey: string): boolean {
    return existsSync(this.path(publicKey));
  }

  /**
   * The key that belongs to `publicKey`.
   * @throws TRELLIS_AUTH_KEY_MISSING, TRELLIS_AUTH_STORE if others may read the file, TRELLIS_KEY_INVALID
   */
  read(publicKey: string): SigningKey {
    const kind = kindOf(publicKey);
    const file = this.path(publicKey);
    const key = SigningKey.fromSeed(readSeed(file, publicKey), kind);
    if (key.publicKey === publicKey) return key;
    throw new TrellisError('TRELLIS_KEY_INVALID', { message: `${file} holds the seed of another key` });
  }

  /** Keeps `key`; what is there already is left. */
  write(key: SigningKey): void {
    const file = this.path(key.publicKey);
    if (existsSync(file)) return;
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    // Without a line end, as nsc writes seeds.
    replaceFile(file, key.exportSeed().reveal());
  }

  /** Forgets the private half of `publicKey`; nothing happens if it is not here. */
  remove(publicKey: string): void {
    rmSync(this.path(publicKey), { force: true });
  }

  /** Public keys of all seeds here, from the names of their files. */
  list(): string[] {
    let names: string[];
    try {
      names = readdirSync(this.dir, { recursive: true, encoding: 'utf8' });
    } catch {
      return [];
    }
    const keys = names.map((name) => /(?:^|\/)([A-Z2-7]{56})\.nk$/.exec(name)?.[1]).filter((key) => key !== undefined);
    return keys.filter((key) => publicKeyKind(key) !== undefined).sort();
  }
}

function kindOf(publicKey: string): KeyKind {
  const kind = publicKeyKind(publicKey);
  if (kind !== undefined) return kind;
  throw new TrellisError('TRELLIS_KEY_INVALID', { message: 'A public key of the store is mistyped' });
}

function readSeed(file: string, publicKey: string): Buffer {
  try {
    const { mode, uid, size } = statSync(file);
    if (process.platform !== 'win32' && isExposedMode(mode & 0o777, uid)) {
      throw new TrellisError('TRELLIS_AUTH_STORE', {
        message: `Other users of this machine can read the private key ${file}`,
        remedy: `chmod 600 ${file}, and replace the key if somebody may have read it.`,
      });
    }
    if (size > MAX_SEED_FILE_BYTES) throw new TrellisError('TRELLIS_KEY_INVALID', { message: `${file} holds no seed` });
    return readFileSync(file);
  } catch (cause) {
    if (cause instanceof TrellisError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    throw new TrellisError('TRELLIS_AUTH_KEY_MISSING', {
      message:
        code === 'ENOENT'
          ? `The private key of ${publicKey} is not in the store`
          : `The private key ${file} cannot be read (${String(code)})`,
      remedy: code === 'ENOENT' ? `Put its seed back into ${file}, mode 0600.` : 'Run this as the user who owns the store.',
      cause,
    });
  }
}
