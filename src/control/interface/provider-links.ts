import type { LatticeName } from '../../ids.ts';
import { isSecretName, mergedValues } from '../../lattice/config-values.ts';
import type { LatticeLink } from '../../lattice/links.ts';
import type { LatticeConnection } from '../../nats/connection.ts';
import type { Logger } from '../../telemetry/log.ts';

/** What telling providers takes of the calling connection. */
export type ProviderBus = Pick<LatticeConnection, 'publish' | 'watchRefusals' | 'onStatus'>;

type ReadConfig = (name: string) => Promise<Readonly<Record<string, string>> | undefined>;

/** How long the server may take to refuse what was published. */
const REFUSAL_MS = 5_000;

/**
 * Tells providers of links as hosts before 1.1 did, on subjects by their ids: the builtin providers of wasmCloud hosts hear of links in
 * no other way. Once, by the host that took the request. A user that may not is not asked again until the connection has a new login.
 */
export class ProviderLinks {
  readonly #rpc: ProviderBus;
  readonly #lattice: LatticeName;
  readonly #log: Logger;
  #isRefused = false;
  readonly #unlisten: () => void;

  constructor(rpc: ProviderBus, lattice: LatticeName, log: Logger) {
    this.#rpc = rpc;
    this.#lattice = lattice;
    this.#log = log;
    this.#unlisten = rpc.onStatus(({ type }) => {
      if (type === 'moved' || type === 'reconnected') this.#isRefused = false;
    });
  }

  /** Tells of a new link, with the values of its configurations. One that refers to secrets is left out: they cannot go this way. */
  async put(link: LatticeLink, read: ReadConfig, traceparent: string | undefined): Promise<void> {
    const { source_config, target_config } = link;
    if (this.#isRefused || [...source_config, ...target_config].some(isSecretName)) return;
    const [source, target] = await Promise.all([merged(source_config, read), merged(target_config, read)]);
    this.#tell('put', link, source, target, traceparent);
  }

  /** Tells of a link that is gone. */
  delete(link: LatticeLink, traceparent: string | undefined): void {
    if (!this.#isRefused) this.#tell('del', link, {}, {}, traceparent);
  }

  /** Ends it. */
  close(): void {
    this.#unlisten();
  }

  #tell(verb: 'put' | 'del', link: LatticeLink, source: object, target: object, traceparent: string | undefined): void {
    const { source_id, target: targetId, name, wit_namespace, wit_package, interfaces } = link;
    const told = { source_id, target: targetId, name, wit_namespace, wit_package, interfaces };
    const secrets = { source_secrets: null, target_secrets: null };
    const body = Buffer.from(JSON.stringify({ ...told, source_config: source, target_config: target, ...secrets }));
    const subjects = new Set([source_id, targetId].map((id) => `wasmbus.rpc.${this.#lattice}.${id}.linkdefs.${verb}`));
    const unwatch = this.#rpc.watchRefusals(subjects, (_, subject) => this.#refused(subject));
    setTimeout(unwatch, REFUSAL_MS).unref();
    const headers = traceparent === undefined ? {} : { headers: { entries: [['traceparent', traceparent]] as const } };
    try {
      for (const subject of subjects) this.#rpc.publish(subject, body, headers);
    } catch (err) {
      this.#log.warn({ err, link: `${source_id} ${name}` }, 'providers of other hosts could not be told of a link');
    }
  }

  #refused(subject: string): void {
    if (this.#isRefused) return;
    this.#isRefused = true;
    this.#log.info(
      { subject },
      'this user may not tell providers of links; where wasmCloud hosts share the lattice, its kind needs the extension rust-peers',
    );
  }
}

async function merged(names: readonly string[], read: ReadConfig): Promise<object> {
  const parts = await Promise.all(names.map(read));
  return mergedValues(parts.map((values) => values ?? {}));
}
