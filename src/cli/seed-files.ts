import { readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { isExposedMode, readSecretFile } from '../config/secret-files.ts';
import { TrellisError } from '../errors.ts';
import { seedKind, SigningKey, type KeyKind } from '../trust/nkey.ts';

/** A seed file, by what may be known of it. */
export interface SeedFile {
  readonly file: string;
  readonly kind: KeyKind;
  readonly publicKey: string;
  /** Permission bits, `0600`. */
  readonly mode: string;
  readonly readableByOthers: boolean;
}

/** The folder of seed files when none is named, after the XDG base directory rules. */
export function defaultKeysDir(): string {
  return join(process.env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'trellis', 'keys');
}

/** What a seed file holds, without the seed; `undefined` for a file that holds no seed of a signing key, or cannot be read. */
export function describeSeedFile(file: string): SeedFile | undefined {
  const read = readSecretFile(file);
  const seed = read.ok ? read.text.trim() : '';
  const kind = seedKind(seed);
  if (!read.ok || kind === undefined || kind === 'curve') return undefined;
  return {
    file,
    kind,
    publicKey: SigningKey.fromSeed(seed, kind).publicKey,
    mode: `0${read.mode.toString(8).padStart(3, '0')}`,
    readableByOthers: process.platform !== 'win32' && isExposedMode(read.mode, read.uid),
  };
}

/** The seed files of a folder, by name; other files are passed over. @throws TRELLIS_CLI_FILE if it is no folder that can be read */
export function listSeedFiles(folder: string): SeedFile[] {
  let names: string[];
  try {
    names = readdirSync(folder).sort();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new TrellisError('TRELLIS_CLI_FILE', {
      message: `${folder} cannot be listed (${String(code)})`,
      remedy: `Name the folder with your seed files, or put them there: trellis keys gen cluster --out ${join(folder, 'cluster.seed')}`,
      cause,
    });
  }
  return names.map((name) => describeSeedFile(join(folder, name))).filter((entry) => entry !== undefined);
}
