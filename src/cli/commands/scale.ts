import type { Command } from 'commander';
import type { ControlClient, ScaleCommand } from '../../control/control-client.ts';
import { scaleAndWait } from '../../control/scaled.ts';
import { componentId } from '../../ids.ts';
import { visible } from '../../telemetry/scrub.ts';
import { componentReference } from '../lattice/component-reference.ts';
import { addConnectionFlags, type ConnectionFlags, pairsOf, wholeNumber } from '../lattice/connection-flags.ts';
import { findHost, hostName, shortName } from '../lattice/find-host.ts';
import { openLattice } from '../lattice/open-lattice.ts';
import { addScaleFlags, outcomeLine, type ScaleFlags, waitOf } from '../lattice/scale-flags.ts';
import { instancesText } from '../lattice/tables.ts';
import { showWaiting } from '../lattice/waiting.ts';
import { examples, outputOf } from '../program.ts';

interface Flags extends Omit<ScaleFlags, 'config'> {
  readonly config?: readonly string[] | boolean;
}

/** `trellis scale component`: how many instances a component may have on a host; 0 stops it. */
export function register(program: Command): void {
  const scale = program
    .command('scale')
    .description('say how many calls a component may run at once on a host')
    .addHelpText('after', examples('trellis scale component brave-otter ghcr.io/example/hello:1.0.0 hello --max-instances 50'));
  const component = scale
    .command('component')
    .description('say how many calls a component may run at once on a host; starts it if it does not run there')
    .argument('<host-id>', 'id of the host, the beginning of it, or a part of its friendly name')
    .argument('<component-ref>', 'image, or a file on the host')
    .argument('<component-id>', 'id of the component');
  addScaleFlags(component, '4294967295', '-c');
  component.option('--no-config', 'take all configurations away from it');
  addConnectionFlags(component)
    .addHelpText(
      'after',
      examples(
        'trellis scale component brave-otter ghcr.io/example/hello:1.0.0 hello --max-instances 50',
        '# other configurations in place of all it had',
        'trellis scale component brave-otter ghcr.io/example/hello:1.0.0 hello --config words --config more-words',
        '# 0 stops it',
        'trellis scale component brave-otter ghcr.io/example/hello:1.0.0 hello --max-instances 0',
      ),
    )
    .action(async (argument: string, reference: string, id: string, flags: ConnectionFlags & Flags, command: Command) => {
      const output = outputOf(command);
      const request = {
        componentRef: componentReference(reference),
        componentId: componentId(id),
        maxInstances: wholeNumber(flags.maxInstances, '--max-instances', 0, 4_294_967_295),
        ...configOf(flags.config),
        allowUpdate: flags.allowUpdate === true,
      };
      await using lattice = await openLattice(flags);
      const { client } = lattice;
      const host = await findHost(client, argument);
      // Hosts put those of a request in the place of those that are there, and schedulers know what is theirs by them.
      const annotations =
        flags.annotations === undefined ? await annotationsOf(client, host.id, id) : pairsOf(flags.annotations, '--annotations');
      const waitMs = waitOf(flags);
      const { message, done } = await showWaiting(output, `scaling ${id} on ${shortName(host)}`, () =>
        scaleAndWait(client, host.id, { ...request, annotations }, waitMs),
      );
      const { componentRef, maxInstances } = request;
      const result = {
        component_id: id,
        component_ref: componentRef,
        host_id: host.id,
        max_instances: maxInstances,
        done,
        message,
      };
      output.result(result, (print) => {
        const limit = maxInstances === 0 ? 'stopped' : `scaled to ${instancesText(maxInstances)}`;
        print(outcomeLine(done, `${id} is ${limit} on ${hostName(host)}`, `${hostName(host)} was told to scale ${id}`));
        if (message !== '') print(`The host says: ${visible(message)}`);
      });
    });
}

/** Those that are named; none where none shall be; and nothing said of them where nobody did. */
function configOf(named: Flags['config']): Pick<ScaleCommand, 'config'> {
  return named === undefined || named === true ? {} : { config: named === false ? [] : named };
}

/** The annotations that a component has on a host. */
async function annotationsOf(client: ControlClient, host: string, id: string): Promise<Readonly<Record<string, string>>> {
  const { response } = await client.inventory(host);
  return response?.components.find((component) => component.id === id)?.annotations ?? {};
}
