import type { ControlClient } from '../../control/control-client.ts';
import { TrellisError } from '../../errors.ts';
import { quote } from '../../ids.ts';
import { type HostReply, isHostKey } from '../../lattice/control-replies.ts';
import { visible } from '../../telemetry/scrub.ts';

/** A host that an argument means. */
export type FoundHost = Pick<HostReply, 'id' | 'friendly_name'>;

/**
 * The one host that an argument means: its id, the beginning of its id, or a part of its friendly name, in any case. A whole id is
 * taken as it is.
 * @throws TRELLIS_HOST_UNKNOWN, TRELLIS_HOST_AMBIGUOUS, and what `ControlClient` throws
 */
export async function findHost(client: ControlClient, argument: string): Promise<FoundHost> {
  if (isHostKey(argument)) return { id: argument, friendly_name: '' };
  return chooseHost(client, await client.ping(), argument);
}

/** The same among hosts that are known. */
export function chooseHost<Host extends FoundHost>(
  { lattice }: Pick<ControlClient, 'lattice'>,
  hosts: readonly Host[],
  argument: string,
): Host {
  if (hosts.length === 0) throw nobodyThere(lattice);
  const wanted = argument.toLowerCase();
  // A whole name is meant, although it may be part of another one.
  const exact = hosts.filter(({ id, friendly_name: name }) => id === argument || name.toLowerCase() === wanted);
  const found =
    exact.length > 0 || argument === ''
      ? exact
      : hosts.filter(
          ({ id, friendly_name: name }) => id.startsWith(argument.toUpperCase()) || name.toLowerCase().includes(wanted),
        );
  if (found.length === 1) return found[0]!;
  const named = (all: readonly Host[]): string => all.slice(0, 20).map(hostName).join(', ');
  if (found.length > 1)
    throw new TrellisError('TRELLIS_HOST_AMBIGUOUS', {
      message: `${quote(argument)} fits ${found.length} hosts: ${named(found)}`,
    });
  throw new TrellisError('TRELLIS_HOST_UNKNOWN', { message: `no host fits ${quote(argument)}; there are: ${named(hosts)}` });
}

/** The error for a lattice without hosts, or with another name than the one that was meant. */
export function nobodyThere(lattice: string): TrellisError {
  return new TrellisError('TRELLIS_HOST_UNKNOWN', {
    message: `no host of lattice ${lattice} answers`,
    remedy: 'Start one with trellis up or node host.js, or check lattice and servers (--lattice, --context, --ctl-servers).',
  });
}

/** A host as people know it: its name, which is the host's own word, and its id. */
export function hostName({ id, friendly_name: name }: FoundHost): string {
  return name === '' ? id : `${visible(name)} (${id})`;
}

/** The same in few characters, for a line of progress. */
export function shortName({ id, friendly_name: name }: FoundHost): string {
  return name === '' ? `${id.slice(0, 8)}…` : visible(name);
}
