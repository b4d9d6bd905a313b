import { TrellisError } from '../errors.ts';
import type { LatticeName } from '../ids.ts';
import {
  type AuctionReply,
  type ControlReply,
  type HostReply,
  type InventoryReply,
  listOf,
  readAuction,
  readHost,
  readInventory,
  readReply,
  readTexts,
} from '../lattice/control-replies.ts';
import { forHostAlone } from '../lattice/control-subjects.ts';
import { isTrellis } from '../lattice/inventory.ts';
import type { LinkQuery } from '../lattice/link-query.ts';
import { type LatticeLink, type LinkKey, readLink } from '../lattice/links.ts';
import type { LatticeConnection } from '../nats/connection.ts';
import { newTokenId } from '../trust/signer.ts';
import type { BusHeaders } from '../wrpc/bus.ts';
import { gatherLinks } from './gather-links.ts';
import { gatherReplies } from './gather-replies.ts';
import type { SignControl } from './sign-control.ts';

/** What a {@link ControlClient} needs of the ctl connection. */
export type ControlConnection = Pick<
  LatticeConnection,
  'publish' | 'subscribe' | 'request' | 'flush' | 'inboxPrefix' | 'onStatus'
>;

/** What {@link ControlClient} takes. */
export interface ControlClientOptions {
  readonly ctl: ControlConnection;
  readonly lattice: LatticeName;
  /** First tokens of the control subjects. Default `wasmbus.ctl`. */
  readonly prefix?: string;
  /** How long one host may take to answer, and how long answers of all hosts are gathered, milliseconds. Default 2 000. */
  readonly timeoutMs?: number;
  /** For hosts that refuse unsigned control messages; without it nothing is signed. */
  readonly sign?: SignControl;
}

/** What `component.scale` is asked for. */
export interface ScaleCommand {
  readonly componentId: string;
  readonly componentRef: string;
  /** Instances at most; 0 stops it, 4294967295 is without a limit. */
  readonly maxInstances: number;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Names of configurations, in order. Left out, what runs keeps those it has on a Trellis host, and loses them on one of 1.x. */
  readonly config?: readonly string[];
  /** Replace the image if another one runs under the id. */
  readonly allowUpdate?: boolean;
}

/** An auction of a component. */
export interface ComponentAuction {
  readonly componentRef: string;
  readonly componentId: string;
  /** Labels that the host must have, with exactly these values. */
  readonly constraints: Readonly<Record<string, string>>;
}

/**
 * Asks the hosts of one lattice over a ctl connection, as `wash` does. What hosts answer is returned, never thrown, whatever it is: an
 * answer that cannot be read is a reply with `success: false`.
 *
 * What does throw is that nothing could be asked, or that nobody answered: TRELLIS_CONTROL_NO_HOST, TRELLIS_CONTROL_TIMEOUT,
 * TRELLIS_NATS_PERMISSION, TRELLIS_NATS_DISCONNECTED, TRELLIS_NATS_CLOSED, TRELLIS_NATS_PAYLOAD_TOO_LARGE.
 */
export class ControlClient {
  readonly ctl: ControlConnection;
  readonly lattice: LatticeName;
  readonly timeoutMs: number;
  readonly #options: ControlClientOptions;
  readonly #prefix: string;
  readonly #sign: SignControl | undefined;
  /** The host that signed commands to any one host go to. */
  #chosen: Promise<string | undefined> | undefined;

  constructor(options: ControlClientOptions) {
    const { ctl, lattice, prefix = 'wasmbus.ctl', timeoutMs = 2_000, sign } = options;
    this.#options = options;
    this.ctl = ctl;
    this.lattice = lattice;
    this.timeoutMs = timeoutMs;
    this.#prefix = prefix;
    this.#sign = sign;
  }

  /** The same client with another {@link ControlClientOptions.timeoutMs}. */
  within(timeoutMs: number): ControlClient {
    return new ControlClient({ ...this.#options, timeoutMs });
  }

  /**
   * The hosts that answer, by friendly name. Waits until nobody has said anything new for half of the time, or for all of it.
   */
  async ping(): Promise<HostReply[]> {
    const hosts = await this.#gather('host.ping', undefined, readHost);
    const byId = new Map(hosts.map((host) => [host.id, host]));
    return [...byId.values()].toSorted((a, b) => compare(a.friendly_name, b.friendly_name) || compare(a.id, b.id));
  }

  /** What runs on a host. */
  inventory(host: string): Promise<ControlReply<InventoryReply>> {
    return this.#ask(`host.get.${host}`, undefined, readInventory);
  }

  /** Stops a host. @param shutdownTimeoutMs How long it may take; its own default if left out. */
  stopHost(host: string, shutdownTimeoutMs?: number): Promise<ControlReply<never>> {
    const timeout = shutdownTimeoutMs === undefined ? {} : { timeout: shutdownTimeoutMs };
    return this.#tell(`host.stop.${host}`, { host_id: host, ...timeout });
  }

  putLabel(host: string, key: string, value: string): Promise<ControlReply<never>> {
    return this.#tell(`label.put.${host}`, { key, value });
  }

  deleteLabel(host: string, key: string): Promise<ControlReply<never>> {
    return this.#tell(`label.del.${host}`, { key });
  }

  /**
   * The hosts that would run a component, in the order in which they answered.
   * @param enough Offers to wait for; all that come in time if left out.
   */
  auctionComponent(auction: ComponentAuction, enough = Number.POSITIVE_INFINITY): Promise<AuctionReply[]> {
    const { componentRef, componentId, constraints } = auction;
    const body = { component_ref: componentRef, component_id: componentId, constraints };
    return this.#gather('component.auction', body, readAuction, enough);
  }

  /** Starts, scales or stops a component. The reply comes before the work is done: see `src/control/scaled.ts`. */
  scale(host: string, command: ScaleCommand): Promise<ControlReply<never>> {
    const { componentId, componentRef, maxInstances, annotations = {}, config, allowUpdate = false } = command;
    return this.#tell(`component.scale.${host}`, {
      component_id: componentId,
      component_ref: componentRef,
      // The wire's name for it. Beside another one hosts would read 0, which stops the component.
      count: maxInstances,
      annotations,
      host_id: host,
      ...(config === undefined ? {} : { config }),
      allow_update: allowUpdate,
    });
  }

  /** Puts another image in the place of the one that runs. The reply comes before that is done. */
  update(
    host: string,
    command: {
      readonly componentId: string;
      readonly newComponentRef: string;
      readonly annotations?: Readonly<Record<string, string>>;
    },
  ): Promise<ControlReply<never>> {
    const { componentId, newComponentRef, annotations } = command;
    const body = { host_id: host, component_id: componentId, new_component_ref: newComponentRef };
    return this.#tell(`component.update.${host}`, annotations === undefined ? body : { ...body, annotations });
  }

  /** All links of the lattice, as its hosts know them. */
  links(): Promise<ControlReply<readonly LatticeLink[]>> {
    return gatherLinks({
      ask: (query, host) => this.#ask(host === undefined ? 'link.get' : forHostAlone(host, 'link.get'), query, listOf(readLink)),
      findHost: () => this.#findTrellisHost(),
    });
  }

  /** The links of a Trellis host's configuration file. */
  fileLinks(host: string): Promise<ControlReply<readonly LatticeLink[]>> {
    const verb = forHostAlone(host, 'link.get');
    const ask = (query: LinkQuery) => this.#ask(verb, { ...query, of: 'file' } satisfies LinkQuery, listOf(readLink));
    return gatherLinks({ ask, findHost: () => Promise.resolve(undefined) });
  }

  putLink(link: LatticeLink): Promise<ControlReply<never>> {
    return this.#tellOne('link.put', link);
  }

  deleteLink({ source_id, name, wit_namespace, wit_package }: LinkKey): Promise<ControlReply<never>> {
    return this.#tellOne('link.del', { source_id, name, wit_namespace, wit_package });
  }

  /** Claims of components and providers, as one host knows them. */
  claims(): Promise<ControlReply<readonly Readonly<Record<string, string>>[]>> {
    return this.#ask('claims.get', undefined, listOf(readTexts));
  }

  putConfig(name: string, values: Readonly<Record<string, string>>): Promise<ControlReply<never>> {
    return this.#tellOne(`config.put.${name}`, values);
  }

  /** A configuration; a successful reply without a response if there is none by that name. */
  getConfig(name: string): Promise<ControlReply<Readonly<Record<string, string>>>> {
    return this.#ask(`config.get.${name}`, undefined, readTexts);
  }

  deleteConfig(name: string): Promise<ControlReply<never>> {
    return this.#tellOne(`config.del.${name}`, undefined);
  }

  /**
   * Tells whichever host takes it. What is signed goes to one host alone, the same each time: hosts that want it signed take it in no
   * other way. Where no host is of that kind it goes to any, as it would without a signature.
   */
  async #tellOne(verb: string, body: object | undefined): Promise<ControlReply<never>> {
    if (this.#sign === undefined) return await this.#tell(verb, body);
    this.#chosen ??= this.#findTrellisHost();
    try {
      const host = await this.#chosen;
      if (host !== undefined) return await this.#tell(forHostAlone(host, verb), body);
    } catch (error) {
      // It may have gone; the next command goes to another one.
      this.#chosen = undefined;
      throw error;
    }
    this.#chosen = undefined;
    return await this.#tell(verb, body);
  }

  /** The first one that answers. */
  async #findTrellisHost(): Promise<string | undefined> {
    const [host] = await this.#gather('host.ping', undefined, readOnlyHost, 1);
    return host;
  }

  /** For answers of which only success and message matter. Signed, if there is somebody to sign. */
  async #tell(verb: string, body: object | undefined): Promise<ControlReply<never>> {
    const { subject, payload } = this.#message(verb, body);
    const reply = this.#inbox();
    const entries = await this.#sign?.({ subject, reply, payload });
    // What is signed is signed for one reply subject; else the connection has a cheaper one.
    const signed = entries === undefined ? {} : { reply, headers: { entries } };
    return await this.#request<never>(subject, payload, () => undefined, signed);
  }

  #ask<T>(verb: string, body: object | undefined, read: (value: unknown) => T | undefined): Promise<ControlReply<T>> {
    const { subject, payload } = this.#message(verb, body);
    return this.#request(subject, payload, read);
  }

  async #request<T>(
    subject: string,
    payload: Uint8Array,
    read: (value: unknown) => T | undefined,
    signed: { readonly reply?: string; readonly headers?: BusHeaders } = {},
  ): Promise<ControlReply<T>> {
    const { timeoutMs } = this;
    try {
      const answer = await this.ctl.request(subject, payload, { timeoutMs, ...signed });
      return readReply(answer.payload, read) ?? { success: false, message: 'the answer could not be read' };
    } catch (error) {
      throw this.#explained(error, subject);
    }
  }

  async #gather<T>(
    verb: string,
    body: object | undefined,
    read: (value: unknown) => T | undefined,
    enough?: number,
  ): Promise<T[]> {
    const { subject, payload } = this.#message(verb, body);
    const found: T[] = [];
    await gatherReplies({
      ctl: this.ctl,
      subject,
      payload,
      inbox: this.#inbox(),
      timeoutMs: this.timeoutMs,
      quietMs: this.timeoutMs / 2,
      onReply: (answer) => {
        const value = readReply(answer, read);
        if (value?.success === true && value.response !== undefined) found.push(value.response);
        return found.length >= (enough ?? Number.POSITIVE_INFINITY);
      },
    });
    return found;
  }

  #message(verb: string, body: object | undefined): { readonly subject: string; readonly payload: Buffer } {
    const subject = `${this.#prefix}.v1.${this.lattice}.${verb}`;
    return { subject, payload: body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body)) };
  }

  #inbox(): string {
    return `${this.ctl.inboxPrefix}.${newTokenId()}`;
  }

  /** That nobody answers means something else here than on any subject. */
  #explained(error: unknown, subject: string): unknown {
    if (!(error instanceof TrellisError)) return error;
    const details = { subject, lattice: this.lattice };
    if (error.code === 'TRELLIS_NATS_NO_RESPONDERS')
      return new TrellisError('TRELLIS_CONTROL_NO_HOST', {
        message: `no host of lattice ${this.lattice} answers to ${subject}`,
        details,
      });
    if (error.code === 'TRELLIS_NATS_TIMEOUT')
      return new TrellisError('TRELLIS_CONTROL_TIMEOUT', {
        message: `no answer to ${subject} within ${this.timeoutMs} ms`,
        details,
      });
    return error;
  }
}

/** The id of a host that takes commands for it alone. */
function readOnlyHost(value: unknown): string | undefined {
  const host = readHost(value);
  return host?.version !== undefined && isTrellis(host.version) ? host.id : undefined;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
