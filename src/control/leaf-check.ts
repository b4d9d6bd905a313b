import { setTimeout as sleep } from 'node:timers/promises';
import { TrellisError } from '../errors.ts';
import type { HostConfig } from '../config/schema.ts';
import { componentId, latticeName } from '../ids.ts';
import type { LatticeConnection } from '../nats/connection.ts';
import type { HubRights } from '../nats/hub-rights.ts';
import { type LeafNeeds, probeThroughLeaf } from '../nats/leaf-probe.ts';
import type { Partition } from '../nats/partition.ts';
import { describeFinding, type ProbeFinding } from '../nats/probe-finding.ts';
import type { Logger } from '../telemetry/log.ts';

/** What a check of a host's leaf nodes takes. */
export interface LeafCheckOptions {
  readonly ctl: LatticeConnection;
  readonly rpc: LatticeConnection;
  /** Says which connections are made to a leaf node, and what the host does on them. */
  readonly config: HostConfig;
  readonly log: Logger;
  /** Between two checks, milliseconds; 60,000 by default. What happens beyond a leaf node is no event here. */
  readonly everyMs?: number;
  /** For an answer of the hub, milliseconds; 1,000 by default. */
  readonly timeoutMs?: number;
  /** Longest wait for a leaf node that has not reached its hub yet, at the start, milliseconds; 5,000 by default. */
  readonly patienceMs?: number;
}

const EVERY_MS = 60_000;
/** Between two checks while nothing is known. */
const SOON_MS = 5_000;
const ANSWER_MS = 1_000;
/** A sidecar accepts clients before it has reached its hub, and both are started together. */
const PATIENCE_MS = 5_000;
const RETRY_MS = 250;
/** So many rights are named in one message. */
const MAX_NAMED = 5;

/**
 * Checks that the users of the leaf nodes have at the hub what this host needs: now, after each reconnect and from time to time. A
 * leaf node says nothing of what its hub refuses, so that a missing right looks like a peer that does not answer. What cannot be
 * found out (the hub is away, or older than 2.10) is no reason not to start: it is waited for a little, said, and looked for again.
 *
 * Without `viaLeaf` in the configuration nothing is done.
 *
 * @returns ends the checks
 * @throws TRELLIS_LEAF_RIGHTS naming what is missing, from the first check and not on a development machine
 */
export async function startLeafCheck(options: LeafCheckOptions): Promise<() => void> {
  const { config } = options;
  const partitions = (['ctl', 'rpc'] as const).filter((partition) => config[partition].viaLeaf);
  const checks = partitions.map((partition) => new LeafCheck(options, partition));
  const missing = (await Promise.all(checks.map((check) => check.first()))).filter((each) => each !== undefined);
  if (!config.dev && missing.length > 0) {
    throw new TrellisError('TRELLIS_LEAF_RIGHTS', { message: missing.join('; ') });
  }
  const end = checks.map((check) => check.goOn());
  return () => {
    for (const each of end) each();
  };
}

/** The checks of one connection; says each outcome once. */
class LeafCheck {
  readonly #options: LeafCheckOptions;
  readonly #partition: Partition;
  #said: string | undefined;
  #isKnown = false;

  constructor(options: LeafCheckOptions, partition: Partition) {
    this.#options = options;
    this.#partition = partition;
  }

  /** Checks again after each reconnect and from time to time, until the returned function is called. */
  goOn(): () => void {
    const { everyMs = EVERY_MS } = this.#options;
    let ended = false;
    let timer: NodeJS.Timeout | undefined;
    const next = (): void => {
      if (ended) return;
      timer = setTimeout(() => void this.#run().then(next), this.#isKnown ? everyMs : Math.min(everyMs, SOON_MS)).unref();
    };
    next();
    const unlisten = this.#options[this.#partition].onStatus((event) => {
      if (event.type === 'reconnected' || event.type === 'moved') void this.#run();
    });
    return () => {
      ended = true;
      clearTimeout(timer);
      unlisten();
    };
  }

  /** The first check. Tries until a hub answers, within patience. What is missing, as {@link #run}. */
  async first(): Promise<string | undefined> {
    const { patienceMs = PATIENCE_MS } = this.#options;
    const endMs = performance.now() + patienceMs;
    for (;;) {
      const isLast = performance.now() + RETRY_MS > endMs;
      const missing = await this.#run(!isLast);
      if (this.#isKnown || isLast) return missing;
      await sleep(RETRY_MS);
    }
  }

  /** What is missing, as a sentence; `undefined` if nothing is known to be. Never throws. `quietly`: says nothing of the unknown. */
  async #run(quietly = false): Promise<string | undefined> {
    const { log, timeoutMs = ANSWER_MS } = this.#options;
    const partition = this.#partition;
    try {
      const connection = this.#options[partition];
      const { hubs, findings } = await probeThroughLeaf({
        ...leafNeedsOf(this.#options.config),
        partition,
        connection,
        timeoutMs,
      });
      // An older hub tells no permissions; its echo shows that it has been reached.
      this.#isKnown = hubs.length > 0 || findings.some(({ verdict }) => verdict === 'allowed');
      const missing = findings.filter(({ verdict }) => verdict === 'refused');
      const unknown = findings.filter(({ verdict }) => verdict === 'unknown');
      const text = missing.length > 0 ? missingText(partition, hubs, missing) : undefined;
      if (text !== undefined) this.#say(text, () => log.error({ partition, code: 'TRELLIS_LEAF_RIGHTS' }, text));
      else if (unknown.length > 0 && quietly && !this.#isKnown) return undefined;
      else if (unknown.length > 0) {
        const tell =
          'no hub says what the user of the leaf node may do: it is away, older than 2.10, or does not let that user ask';
        this.#say(tell, () => log.warn({ partition, unknown: unknown.map(describeFinding) }, tell));
      } else {
        const at = hubs.map(({ server }) => server);
        this.#say('', () => log.info({ partition, hubs: at }, 'the hub grants the leaf node what this host needs'));
      }
      return text;
    } catch {
      // The connection is gone; its return is the next occasion.
      return undefined;
    }
  }

  #say(what: string, say: () => void): void {
    if (this.#said === what) return;
    this.#said = what;
    say();
  }
}

/** What a host of this configuration does on its connections. */
export function leafNeedsOf({ lattice, components, links, trust, audit, hostSeedFile }: HostConfig): LeafNeeds {
  const ids = new Set(components.map(({ id }) => id));
  const called = links.filter(({ source, wasmbus }) => ids.has(source) && wasmbus === undefined).map(({ target }) => target);
  return {
    lattice: latticeName(lattice),
    components: [...ids].map(componentId),
    targets: [...new Set(called)].map(componentId),
    usesBucket: trust.store !== 'off',
    sendsEvents: audit.events,
    asksForTwins: hostSeedFile !== undefined,
  };
}

function missingText(partition: Partition, hubs: readonly HubRights[], missing: readonly ProbeFinding[]): string {
  const who = hubs.map(({ user, server }) => `${user} at ${server}`).join(', ');
  const named = missing.slice(0, MAX_NAMED).map(({ action, subject, about }) => {
    // The last token of a subject that was made up for this stands for any.
    const pattern = subject.replace(/probe[0-9a-f]{24}/, '*');
    return `${action} ${pattern} (${about})`;
  });
  const more = missing.length > MAX_NAMED ? ` and ${missing.length - MAX_NAMED} more` : '';
  return `the ${partition} user of the leaf node (${who}) may not ${named.join(', ')}${more}`;
}
