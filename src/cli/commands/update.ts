import type { Command } from 'commander';
import { updateAndWait } from '../../control/scaled.ts';
import { componentId } from '../../ids.ts';
import { visible } from '../../telemetry/scrub.ts';
import { componentReference } from '../lattice/component-reference.ts';
import { addConnectionFlags, type ConnectionFlags } from '../lattice/connection-flags.ts';
import { hostName, shortName } from '../lattice/find-host.ts';
import { openLattice } from '../lattice/open-lattice.ts';
import { findRunning, named } from '../lattice/running.ts';
import { addWaitFlags, outcomeLine, type WaitFlags, waitOf } from '../lattice/scale-flags.ts';
import { showWaiting } from '../lattice/waiting.ts';
import { examples, outputOf } from '../program.ts';

interface UpdateFlags extends ConnectionFlags, WaitFlags {
  readonly hostId?: string;
}

/** `trellis update component`: another image in the place of the one that runs. */
export function register(program: Command): void {
  const update = program
    .command('update')
    .description('replace the image of a component that runs')
    .addHelpText('after', examples('trellis update component hello ghcr.io/example/hello:1.0.1'));
  const component = update
    .command('component')
    .description('replace the image of a component that runs; calls go on, its annotations stay')
    .argument('<component-id>', 'id of the component')
    .argument('<new-component-ref>', 'image, or a file on the host')
    .option('--host-id <host>', 'which host, if several run it');
  addConnectionFlags(addWaitFlags(component))
    .addHelpText(
      'after',
      examples(
        'trellis update component hello ghcr.io/example/hello:1.0.1',
        'trellis update component hello ./build/hello.wasm --host-id brave-otter',
      ),
    )
    .action(async (id: string, reference: string, flags: UpdateFlags, command: Command) => {
      const output = outputOf(command);
      const waitMs = waitOf(flags);
      const newComponentRef = componentReference(reference);
      await using lattice = await openLattice(flags);
      const { client } = lattice;
      const running = await findRunning(client, componentId(id), flags.hostId);
      const host = named(running.host);
      // Without annotations in the request hosts would drop those that it has, and schedulers know what is theirs by them.
      const request = { componentId: id, newComponentRef, annotations: running.component.annotations };
      const { message, done } = await showWaiting(output, `updating ${id} on ${shortName(host)}`, () =>
        updateAndWait(client, host.id, request, waitMs),
      );
      const before = running.component.image_ref;
      const result = { component_id: id, component_ref: newComponentRef, before, host_id: host.id, done, message };
      output.result(result, (print) => {
        print(
          outcomeLine(done, `${id} on ${hostName(host)} is ${newComponentRef}`, `${hostName(host)} was told to update ${id}`),
        );
        if (before === newComponentRef || !done) print(`The host says: ${visible(message)}`);
      });
    });
}
