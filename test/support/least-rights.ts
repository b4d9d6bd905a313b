import { readFileSync } from 'node:fs';
import type { UserPermissions } from './accounts.ts';

/** The rights of a host's two users, as config/nats-server.conf has them, for another lattice than its `lab` if one is named. */
export function leastRights(lattice = 'lab'): { readonly ctl: UserPermissions; readonly rpc: UserPermissions } {
  const text = readFileSync('config/nats-server.conf', 'utf8')
    .replace(/<(?:ctl|rpc)>/g, '{user}')
    .replaceAll('_lab', `_${lattice}`)
    .replaceAll('.lab.', `.${lattice}.`)
    .replaceAll('"lab.', `"${lattice}.`);
  const lists = [...text.matchAll(/(?:publish|subscribe): \[([^\]]*)\]/g)].map(([, list]) =>
    [...list!.matchAll(/"([^"]+)"/g)].map(([, subject]) => subject!),
  );
  const [ctlPublish, ctlSubscribe, rpcPublish, rpcSubscribe] = lists as [string[], string[], string[], string[]];
  return {
    ctl: { publish: ctlPublish, subscribe: ctlSubscribe },
    rpc: { publish: rpcPublish, subscribe: rpcSubscribe },
  };
}
