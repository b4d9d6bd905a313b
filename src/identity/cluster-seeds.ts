import { readFile } from 'node:fs/promises';
import type { HostConfig } from '../config/schema.ts';
import { TrellisError } from '../errors.ts';
import { SigningKey } from '../trust/nkey.ts';

/** The cluster keys that a member may mint its own delegation with. */
export interface ClusterSeeds {
  /** Reads them. Those of a file are read anew each time and let go afterwards. @throws TRELLIS_KEY_INVALID */
  read(): Promise<readonly SigningKey[]>;
  /** True for a key that was made for this run, because none was configured. */
  readonly adHoc: boolean;
}

/**
 * The seeds of a configuration. One from the environment is taken out of `config`; what stays in memory is the key inside
 * node:crypto, since the environment cannot be read a second time.
 * @throws TRELLIS_KEY_INVALID
 */
export function clusterSeeds(config: HostConfig): ClusterSeeds {
  const { clusterSeed, clusterSeedFile } = config.trust;
  if (clusterSeed !== undefined) {
    delete config.trust.clusterSeed;
    const keys = [SigningKey.fromSeed(clusterSeed, 'cluster')];
    return { read: () => Promise.resolve(keys), adHoc: false };
  }
  if (clusterSeedFile !== undefined) return { read: () => readSeeds(clusterSeedFile), adHoc: false };
  const keys = [SigningKey.generate('cluster')];
  return { read: () => Promise.resolve(keys), adHoc: true };
}

async function readSeeds(file: string): Promise<SigningKey[]> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new TrellisError('TRELLIS_KEY_INVALID', {
      message: `the cluster seed file ${file} could not be read`,
      remedy: 'Check trust.clusterSeedFile, or make one with: trellis keys gen cluster --out FILE',
      cause,
    });
  });
  try {
    const keys: SigningKey[] = [];
    for (const line of linesOf(bytes)) if (!line.every(isSpace)) keys.push(SigningKey.fromSeed(line, 'cluster'));
    // An empty file is as malformed as an empty seed.
    return keys.length > 0 ? keys : [SigningKey.fromSeed('', 'cluster')];
  } finally {
    bytes.fill(0);
  }
}

const NEWLINE = 0x0a;
const isSpace = (byte: number): boolean => byte <= 0x20;

function* linesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(NEWLINE, start);
    yield bytes.subarray(start, end < 0 ? bytes.length : end);
    start = end < 0 ? bytes.length : end + 1;
  }
}
