import type { ControlClient } from '../../control/control-client.ts';
import { TrellisError } from '../../errors.ts';
import type { HostReply } from '../../lattice/control-replies.ts';
import { isTrellis } from '../../lattice/inventory.ts';
import type { LatticeLink } from '../../lattice/links.ts';
import { hostName } from './find-host.ts';

/** A host with links in its configuration file. They count on it alone, also where the lattice says otherwise. */
export interface HostWithLinks {
  readonly host: HostReply;
  readonly links: readonly LatticeLink[];
}

/** The hosts that have such links, by name, and what there is to say about those that do not tell. Never rejects. */
export async function hostsWithLinks(
  client: ControlClient,
): Promise<{ readonly hosts: readonly HostWithLinks[]; readonly notes: readonly string[] }> {
  const notes: string[] = [];
  const unless = async <T>(who: string, work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work;
    } catch (error) {
      notes.push(`${who} what links its configuration has: ${error instanceof TrellisError ? error.message : String(error)}`);
      return undefined;
    }
  };
  const found = (await unless('no host could be asked', client.ping())) ?? [];
  const hosts = await Promise.all(
    found.map(async (host) => {
      if (host.version === undefined || !isTrellis(host.version)) return { host, links: [] };
      const reply = await unless(`${hostName(host)} did not say`, client.fileLinks(host.id));
      return { host, links: reply?.response ?? [] };
    }),
  );
  return { hosts: hosts.filter(({ links }) => links.length > 0), notes };
}
