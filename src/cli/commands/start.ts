import type { Command } from 'commander';
import type { ControlClient } from '../../control/control-client.ts';
import { scaleAndWait } from '../../control/scaled.ts';
import { TrellisError } from '../../errors.ts';
import { componentId } from '../../ids.ts';
import { visible } from '../../telemetry/scrub.ts';
import { componentReference } from '../lattice/component-reference.ts';
import { addConnectionFlags, type ConnectionFlags, pairsOf, repeated, wholeNumber } from '../lattice/connection-flags.ts';
import { type FoundHost, findHost, hostName, nobodyThere, shortName } from '../lattice/find-host.ts';
import { openLattice } from '../lattice/open-lattice.ts';
import { registerProviderVerb } from '../lattice/provider-verbs.ts';
import { inventories, named } from '../lattice/running.ts';
import { addScaleFlags, outcomeLine, type ScaleFlags, waitOf } from '../lattice/scale-flags.ts';
import { showWaiting } from '../lattice/waiting.ts';
import { examples, outputOf } from '../program.ts';

interface StartFlags extends ConnectionFlags, ScaleFlags {
  readonly hostId?: string;
  readonly constraint?: readonly string[];
  readonly label?: readonly string[];
  readonly auctionTimeoutMs?: string;
}

/** `trellis start component`: on the host that is named, or on the first that wants it. */
export function register(program: Command): void {
  const start = program
    .command('start')
    .description('start a component on a host of the lattice')
    .addHelpText('after', examples('trellis start component ghcr.io/example/hello:1.0.0 hello'));
  const component = start
    .command('component')
    .description('start a component on a host that is named, or on the first that offers to run it')
    .argument('<component-ref>', 'image, such as ghcr.io/example/hello:1.0.0, or a file on the host')
    .argument('<component-id>', 'id that it gets on the lattice')
    .option('--host-id <host>', 'id of the host, the beginning of it, or a part of its friendly name')
    .addOption(
      repeated('-c, --constraint <label=value>', 'label that the host must have (repeat for more); with --host-id of no effect'),
    );
  addScaleFlags(component, '1')
    .addOption(repeated('--label <label=value>', 'as --constraint').hideHelp())
    .option('--auction-timeout-ms <number>', 'how long hosts may take to offer; --timeout-ms if left out');
  addConnectionFlags(component)
    .addHelpText(
      'after',
      examples(
        'trellis start component ghcr.io/example/hello:1.0.0 hello',
        'trellis start component ./build/hello.wasm hello --max-instances 10 --config hello-settings',
        'trellis start component ghcr.io/example/hello:1.0.0 hello --constraint zone=eu',
      ),
    )
    .action(async (reference: string, id: string, flags: StartFlags, command: Command) => {
      const output = outputOf(command);
      const scale = {
        componentRef: componentReference(reference),
        componentId: componentId(id),
        maxInstances: wholeNumber(flags.maxInstances, '--max-instances', 1, 4_294_967_295),
        annotations: pairsOf(flags.annotations ?? [], '--annotations'),
        ...(flags.config === undefined ? {} : { config: flags.config }),
        allowUpdate: flags.allowUpdate === true,
      };
      const constraints = pairsOf([...(flags.constraint ?? []), ...(flags.label ?? [])], '--constraint');
      await using lattice = await openLattice(flags);
      const { client } = lattice;
      const host =
        flags.hostId === undefined
          ? await showWaiting(output, 'asking the hosts who wants it', () =>
              auctioned(client, { ...scale, constraints }, flags.auctionTimeoutMs),
            )
          : await findHost(client, flags.hostId);
      const waitMs = waitOf(flags);
      const { message, done } = await showWaiting(output, `starting ${id} on ${shortName(host)}`, () =>
        scaleAndWait(client, host.id, scale, waitMs),
      );
      const { componentRef, maxInstances } = scale;
      const result = {
        component_id: id,
        component_ref: componentRef,
        host_id: host.id,
        max_instances: maxInstances,
        done,
        message,
      };
      output.result(result, (print) => {
        print(outcomeLine(done, `${id} runs on ${hostName(host)}`, `${hostName(host)} was told to start ${id}`));
        if (message !== '') print(`The host says: ${visible(message)}`);
      });
    });
  registerProviderVerb(start, 'start');
}

/** The first host that offers to run it. @throws TRELLIS_NO_OFFER, saying why if that can be found out */
async function auctioned(
  client: ControlClient,
  auction: Parameters<ControlClient['auctionComponent']>[0],
  timeoutMs: string | undefined,
): Promise<FoundHost> {
  const within = timeoutMs === undefined ? client.timeoutMs : wholeNumber(timeoutMs, '--auction-timeout-ms', 1, 3_600_000);
  const [offer] = await client.within(within).auctionComponent(auction, 1);
  if (offer !== undefined) return { id: offer.host_id, friendly_name: '' };
  const { found, notes } = await inventories(client);
  if (found.length === 0 && notes.length === 0) throw nobodyThere(client.lattice);
  const { componentId: id, constraints } = auction;
  const wanted = Object.entries(constraints);
  const running = found.filter(({ components }) => components.some((component) => component.id === id));
  const labelled = found.filter(({ labels }) => wanted.every(([key, value]) => labels[key] === value));
  const why =
    found.length === 0
      ? 'no host says what it runs'
      : labelled.length === 0
        ? `none of ${found.length} hosts has the labels ${wanted.map(([key, value]) => `${key}=${value}`).join(', ')}`
        : running.length > 0
          ? `${running.map((host) => hostName(named(host))).join(', ')} ${running.length === 1 ? 'runs' : 'run'} it already`
          : `${found.length} hosts are there and none of them wants it`;
  throw new TrellisError('TRELLIS_NO_OFFER', {
    message: `no host offers to run ${id}: ${why}`,
    ...(running.length > 0 ? { remedy: `Change it there with trellis scale component or trellis update component.` } : {}),
  });
}
