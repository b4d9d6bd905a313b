import type { ControlClient } from '../../control/control-client.ts';
import { TrellisError } from '../../errors.ts';
import { quote } from '../../ids.ts';
import type { HostReply, InventoryReply } from '../../lattice/control-replies.ts';
import type { ComponentDescription } from '../../lattice/inventory.ts';
import { nearest } from '../../config/suggest.ts';
import { findHost, hostName, nobodyThere } from './find-host.ts';

/** The inventories of some hosts, and what there is to say about those that are missing or not whole. */
export interface Inventories {
  readonly found: readonly InventoryReply[];
  readonly notes: readonly string[];
}

/** A component on one of the hosts that run it. */
export interface RunningComponent {
  readonly host: InventoryReply;
  readonly component: ComponentDescription;
}

/** What hosts run: of the one that `argument` means, or of all. @throws TRELLIS_HOST_UNKNOWN, TRELLIS_HOST_AMBIGUOUS */
export async function inventories(client: ControlClient, argument?: string): Promise<Inventories> {
  const hosts = argument === undefined ? await client.ping() : [await findHost(client, argument)];
  const found: InventoryReply[] = [];
  const notes: string[] = [];
  const ask = async (host: Pick<HostReply, 'id' | 'friendly_name'>): Promise<void> => {
    try {
      const { success, message, response } = await client.inventory(host.id);
      if (response !== undefined) found.push(response);
      if (!success || message !== '') notes.push(`${hostName(host)}: ${message}`);
    } catch (error) {
      // One host that stays silent, or has just gone, does not hide the others; nobody else has an excuse.
      const gone = error instanceof TrellisError && /^TRELLIS_CONTROL_(?:TIMEOUT|NO_HOST)$/.test(error.code);
      if (!gone || argument !== undefined) throw error;
      notes.push(`${hostName(host)} does not say what it runs: ${error.message}`);
    }
  };
  await Promise.all(hosts.map(ask));
  const byName = (a: InventoryReply, b: InventoryReply): number =>
    a.friendly_name < b.friendly_name || (a.friendly_name === b.friendly_name && a.host_id < b.host_id) ? -1 : 1;
  return { found: found.toSorted(byName), notes };
}

/**
 * The one host that runs a component, or the one that was named.
 * @throws TRELLIS_COMPONENT_NOT_RUNNING, TRELLIS_HOST_AMBIGUOUS if several run it and none was named, TRELLIS_HOST_UNKNOWN
 */
export async function findRunning(client: ControlClient, id: string, argument?: string): Promise<RunningComponent> {
  const { found, notes } = await inventories(client, argument);
  const running = found.flatMap((host) => {
    const component = host.components.find((each) => each.id === id);
    return component === undefined ? [] : [{ host, component }];
  });
  if (running.length === 1) return running[0]!;
  if (running.length > 1) {
    const hosts = running.map(({ host }) => hostName(named(host))).join(', ');
    throw new TrellisError('TRELLIS_HOST_AMBIGUOUS', {
      message: `${id} runs on ${running.length} hosts: ${hosts}`,
      remedy: 'Say which with --host-id.',
    });
  }
  if (found.length === 0 && notes.length === 0) throw nobodyThere(client.lattice);
  const similar = nearest(
    id,
    found.flatMap(({ components }) => components.map((component) => component.id)),
  );
  const unknown = notes.length === 0 ? '' : ` (${notes.length} of them did not answer)`;
  throw new TrellisError('TRELLIS_COMPONENT_NOT_RUNNING', {
    message:
      argument === undefined
        ? `no host${unknown} runs ${quote(id)}`
        : `${found.map((host) => hostName(named(host))).join('')} does not run ${quote(id)}`,
    ...(similar === undefined ? {} : { remedy: `Did you mean ${similar}? trellis get inventory lists what runs.` }),
  });
}

/** An inventory's host, as other functions name hosts. */
export function named({ host_id: id, friendly_name }: InventoryReply): { id: string; friendly_name: string } {
  return { id, friendly_name };
}
