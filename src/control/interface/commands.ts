import type { ControlOperation } from '../../lattice/control-subjects.ts';
import { hostDescription } from '../../lattice/inventory.ts';
import { auctionComponent, scaleComponent, updateComponent } from './components.ts';
import { deleteConfig, getClaims, getConfig, putConfig, putRegistries } from './configs.ts';
import { deleteLabel, getInventory, putLabel, stopHost } from './hosts.ts';
import { deleteLink, getLinks, putLink } from './links.ts';
import type { ControlOptions } from './options.ts';
import { answered, type Outcome, type ReplyTo } from './outcome.ts';
import type { ProviderLinks } from './provider-links.ts';
import { auctionProvider, startProvider, stopProvider } from './providers.ts';

/** What a command gets. */
export interface CommandInput {
  readonly payload: Uint8Array;
  /** Host or configuration that the subject names. */
  readonly argument: string;
  readonly reply: ReplyTo;
  readonly providers: ProviderLinks;
}

/** One operation of the control interface. */
export interface Command {
  /** True if it changes something: then it is recorded. */
  readonly changes: boolean;
  /** True if it waits for a server. */
  readonly waits?: true;
  /** True if every host of a lattice is asked at once: whoever gathers the answers stops at one that it cannot read. */
  readonly isForAll?: true;
  /** Carries it out; `undefined` for silence. */
  run(options: ControlOptions, input: CommandInput): Outcome | undefined | Promise<Outcome | undefined>;
}

/** All of them. */
export const COMMANDS: Readonly<Record<ControlOperation, Command>> = {
  'host.ping': { changes: false, isForAll: true, run: ({ facts }) => answered(hostDescription(facts)) },
  'host.get': { changes: false, run: (options, { reply }) => getInventory(options, reply.line.maxPayloadBytes) },
  'host.stop': { changes: true, run: (options, { payload, argument }) => stopHost(options, payload, argument) },
  'label.put': { changes: true, run: (options, { payload }) => putLabel(options, payload) },
  'label.del': { changes: true, run: (options, { payload }) => deleteLabel(options, payload) },
  'component.auction': { changes: false, isForAll: true, run: (options, { payload }) => auctionComponent(options, payload) },
  'component.scale': { changes: true, run: (options, { payload }) => scaleComponent(options, payload) },
  'component.update': { changes: true, run: (options, { payload }) => updateComponent(options, payload) },
  'provider.auction': { changes: false, isForAll: true, run: (options, { payload }) => auctionProvider(options, payload) },
  'provider.start': { changes: true, run: (options, { payload }) => startProvider(options, payload) },
  'provider.stop': { changes: true, run: (_, { payload }) => stopProvider(payload) },
  'link.get': { changes: false, run: (options, { payload, reply }) => getLinks(options, payload, reply.line.maxPayloadBytes) },
  'link.put': {
    changes: true,
    waits: true,
    run: (options, { payload, providers, reply }) => putLink(options, providers, payload, reply.traceparent),
  },
  'link.del': {
    changes: true,
    waits: true,
    run: (options, { payload, providers, reply }) => deleteLink(options, providers, payload, reply.traceparent),
  },
  'claims.get': { changes: false, run: getClaims },
  'config.get': { changes: false, waits: true, run: (options, { argument }) => getConfig(options, argument) },
  'config.put': { changes: true, waits: true, run: (options, { payload, argument }) => putConfig(options, payload, argument) },
  'config.del': { changes: true, waits: true, run: (options, { argument }) => deleteConfig(options, argument) },
  'registry.put': { changes: true, run: (options, { payload, reply }) => putRegistries(options, payload, reply.reply === '') },
};
