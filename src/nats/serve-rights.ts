import { askHubs, askOwnRights, covers, type HubRights } from './hub-rights.ts';
import type { LatticeConnection } from './connection.ts';

/** How long servers may take to say what a user may do. */
const ASK_MS = 2_000;

/** What the users of a connection may subscribe to, its own and that of a leaf node behind it, as servers said last. */
export interface ServeRights {
  /** False if some server is known to refuse it. A subject without wildcards. */
  maySubscribe(subject: string): boolean;
  close(): void;
}

/**
 * Asks servers for the rights of a connection, now and whenever it has another login or server. Until they answer, and where they do not
 * tell, everything counts as allowed: whoever tries hears it then.
 */
export function followServeRights(connection: LatticeConnection, { viaLeaf }: { readonly viaLeaf: boolean }): ServeRights {
  let known: readonly HubRights[] = [];
  let round = 0;
  async function ask(): Promise<void> {
    const mine = ++round;
    const [own, hubs] = await Promise.all([askOwnRights(connection, ASK_MS), viaLeaf ? askHubs(connection, ASK_MS) : []]);
    if (mine === round) known = own === undefined ? hubs : [own, ...hubs];
  }
  // It asks again when it is back.
  const look = (): void => void ask().catch(() => undefined);
  look();
  const unlisten = connection.onStatus(({ type }) => {
    if (type === 'moved' || type === 'reconnected') look();
  });
  return {
    maySubscribe: (subject) => known.every(({ subscribe }) => covers(subscribe, subject)),
    close() {
      round++;
      unlisten();
    },
  };
}
