import { readFile } from 'node:fs/promises';
import type { HostConfig } from '../config/schema.ts';
import { TrellisError } from '../errors.ts';
import { SigningKey } from '../trust/nkey.ts';

/** The key (`N…`) that names a host or a caller and signs for it: of `hostSeedFile`, or made for this run. @throws TRELLIS_KEY_INVALID */
export async function memberKey({ hostSeedFile }: HostConfig): Promise<SigningKey> {
  if (hostSeedFile === undefined) return SigningKey.generate('server');
  const seed = await readFile(hostSeedFile).catch((cause: unknown) => {
    throw new TrellisError('TRELLIS_KEY_INVALID', {
      message: `the host seed file ${hostSeedFile} could not be read`,
      remedy: 'Check hostSeedFile, or make one with: trellis keys gen server --out FILE',
      cause,
    });
  });
  return SigningKey.fromSeed(seed, 'server');
}
