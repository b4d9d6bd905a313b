import type { Command } from 'commander';
import { scaleAndWait } from '../../control/scaled.ts';
import { componentId } from '../../ids.ts';
import { visible } from '../../telemetry/scrub.ts';
import { addConnectionFlags, type ConnectionFlags, wholeNumber } from '../lattice/connection-flags.ts';
import { findHost, hostName, shortName } from '../lattice/find-host.ts';
import { openLattice } from '../lattice/open-lattice.ts';
import { registerProviderVerb } from '../lattice/provider-verbs.ts';
import { findRunning, named } from '../lattice/running.ts';
import { addWaitFlags, outcomeLine, type WaitFlags, waitOf } from '../lattice/scale-flags.ts';
import { stopHosts } from '../lattice/stop-hosts.ts';
import { showWaiting } from '../lattice/waiting.ts';
import { examples, outputOf } from '../program.ts';

interface StopComponentFlags extends ConnectionFlags, WaitFlags {
  readonly hostId?: string;
}

interface StopHostFlags extends ConnectionFlags, WaitFlags {
  readonly hostTimeout?: string;
}

/** `trellis stop`: a component, or a host. */
export function register(program: Command): void {
  const stop = program
    .command('stop')
    .description('stop a component or a host')
    .addHelpText('after', examples('trellis stop component hello', 'trellis stop host brave-otter'));
  addConnectionFlags(
    addWaitFlags(
      stop
        .command('component')
        .description('stop a component on a host; calls that it runs come to their end')
        .argument('<component-id>', 'id of the component')
        .option('--host-id <host>', 'which host, if several run it'),
    ),
  )
    .addHelpText('after', examples('trellis stop component hello', 'trellis stop component hello --host-id brave-otter'))
    .action(async (id: string, flags: StopComponentFlags, command: Command) => {
      const output = outputOf(command);
      const waitMs = waitOf(flags);
      await using lattice = await openLattice(flags);
      const { client } = lattice;
      const running = await findRunning(client, componentId(id), flags.hostId);
      const host = named(running.host);
      const componentRef = running.component.image_ref;
      const request = { componentId: id, componentRef, maxInstances: 0, annotations: running.component.annotations };
      const { message, done } = await showWaiting(output, `stopping ${id} on ${shortName(host)}`, () =>
        scaleAndWait(client, host.id, request, waitMs),
      );
      output.result({ component_id: id, component_ref: componentRef, host_id: host.id, done, message }, (print) => {
        print(outcomeLine(done, `${id} is stopped on ${hostName(host)}`, `${hostName(host)} was told to stop ${id}`));
        if (message !== '') print(`The host says: ${visible(message)}`);
      });
    });
  addConnectionFlags(
    addWaitFlags(
      stop
        .command('host')
        .description('stop a host; it takes no more calls and lets those it runs come to their end')
        .argument('<host-id>', 'id of the host, the beginning of it, or a part of its friendly name')
        .option('--host-timeout <ms>', 'how long the host may take; its own time if left out'),
    ),
  )
    .addHelpText('after', examples('trellis stop host brave-otter', 'trellis stop host NC7X --host-timeout 5000'))
    .action(async (argument: string, flags: StopHostFlags, command: Command) => {
      const output = outputOf(command);
      const waitMs = waitOf(flags);
      const timeoutMs =
        flags.hostTimeout === undefined ? undefined : wholeNumber(flags.hostTimeout, '--host-timeout', 1, 86_400_000);
      await using lattice = await openLattice(flags);
      const host = await findHost(lattice.client, argument);
      const [stopped] = await showWaiting(output, `stopping ${shortName(host)}`, () =>
        stopHosts(lattice.client, [host], { timeoutMs, waitMs }),
      );
      output.result({ host_id: host.id, done: stopped!.done, message: stopped!.message }, (print) =>
        print(outcomeLine(stopped!.done, `${hostName(host)} has stopped`, `${hostName(host)} was told to stop`)),
      );
    });
  registerProviderVerb(stop, 'stop');
}
