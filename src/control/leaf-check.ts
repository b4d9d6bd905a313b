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
}

const EVERY_MS = 60_000;
const ANSWER_MS = 1_000;
/** So many rights are named in one message. */
const MAX_NAMED = 5;

/**
 * Checks that the users of the leaf nodes have at the hub what this host needs: now, after each reconnect and from time to time. A
 * leaf node says nothing of what its hub refuses, so that a missing right looks like a peer that does not answer. What cannot be
 * found out (the hub is away, or older than 2.10) is no reason not to start: it is said, and looked for again.
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
  const missing = (await Promise.all(checks.map((check) => check.run()))).filter((each) => each !== undefined);
  if (!config.dev && missing.length > 0) {
    throw new TrellisError('TRELLIS_LEAF_RIGHTS', { message: missing.join('; ') });
  }
  const timer = setInterval(() => void Promise.all(checks.map((check) => check.run())), options.everyMs ?? EVERY_MS);
  timer.unref();
  const unlisten = checks.map((check) => check.onReconnect());
  return () => {
    clearInterval(timer);
    for (const end of unlisten) end();
  };
}

/** The checks of one connection; says each outcome once. */
class LeafCheck {
  readonly #options: LeafCheckOptions;
  readonly #partition: Partition;
  #said: string | undefined;

  constructor(options: LeafCheckOptions, partition: Partition) {
    this.#options = options;
    this.#partition = partition;
  }

  onReconnect(): () => void {
    return this.#options[this.#partition].onStatus((event) => {
      if (event.type === 'reconnected') void this.run();
    });
  }

  /** What is missing, as a sentence; `undefined` if nothing is known to be. Never throws. */
  async run(): Promise<string | undefined> {
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
      const missing = findings.filter(({ verdict }) => verdict === 'refused');
      const unknown = findings.filter(({ verdict }) => verdict === 'unknown');
      const text = missing.length > 0 ? missingText(partition, hubs, missing) : undefined;
      if (text !== undefined) this.#say(text, () => log.error({ partition, code: 'TRELLIS_LEAF_RIGHTS' }, text));
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
export function leafNeedsOf({ lattice, components, links, trust, audit }: HostConfig): LeafNeeds {
  const ids = new Set(components.map(({ id }) => id));
  const called = links.filter(({ source, wasmbus }) => ids.has(source) && wasmbus === undefined).map(({ target }) => target);
  return {
    lattice: latticeName(lattice),
    components: [...ids].map(componentId),
    targets: [...new Set(called)].map(componentId),
    usesBucket: trust.store !== 'off',
    sendsEvents: audit.events,
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
