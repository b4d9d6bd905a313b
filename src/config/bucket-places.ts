import type { HostConfig } from './schema.ts';

/** Where a bucket is, as seen from the ctl connection. */
interface Place {
  readonly domain: string | undefined;
  readonly viaLeaf: boolean;
}

/** Where the links and configurations of the lattice are. */
export function latticeDataPlace({ jsDomain, ctl }: HostConfig): Place {
  return { domain: jsDomain, viaLeaf: ctl.viaLeaf };
}

/** Where the trust bucket is. */
export function trustBucketPlace({ jsDomain, trust, ctl }: HostConfig): Place {
  return { domain: trust.storeDomain ?? jsDomain, viaLeaf: ctl.viaLeaf };
}
