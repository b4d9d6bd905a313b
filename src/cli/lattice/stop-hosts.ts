import type { ControlClient } from '../../control/control-client.ts';
import { watchEvents } from '../../control/event-watch.ts';
import { refusedBy } from '../../control/scaled.ts';
import { TrellisError } from '../../errors.ts';
import { type FoundHost, hostName } from './find-host.ts';

/** How a host was stopped. */
export interface StoppedHost {
  readonly host: FoundHost;
  /** False if nobody waited for its end. */
  readonly done: boolean;
  readonly message: string;
}

/** What {@link stopHosts} takes. */
export interface StopOptions {
  /** How long a host may take, for the host; its own default if `undefined`. */
  readonly timeoutMs: number | undefined;
  /** How long to wait for the last word of all of them; 0 not at all. */
  readonly waitMs: number;
}

/**
 * Stops hosts, all at once, and waits until each has said that it is gone.
 * @throws TRELLIS_CONTROL_REFUSED, TRELLIS_CONTROL_TIMEOUT naming those that did not say so, TRELLIS_CONTROL_NO_HOST
 */
export async function stopHosts(
  client: ControlClient,
  hosts: readonly FoundHost[],
  { timeoutMs, waitMs }: StopOptions,
): Promise<StoppedHost[]> {
  const waiting = new Set(hosts.map(({ id }) => id));
  const { promise: allGone, resolve } = Promise.withResolvers<void>();
  const watch =
    waitMs <= 0
      ? undefined
      : await watchEvents({
          ctl: client.ctl,
          lattice: client.lattice,
          names: ['host_stopped'],
          onEvent: ({ source }) => {
            if (waiting.delete(source) && waiting.size === 0) resolve();
          },
        });
  try {
    const replies = await Promise.all(
      hosts.map(async (host) => {
        const reply = await client.stopHost(host.id, timeoutMs);
        if (!reply.success) throw refusedBy(reply);
        return { host, done: watch !== undefined, message: reply.message };
      }),
    );
    if (watch !== undefined) await Promise.race([allGone, watch.ended, expired(waitMs, () => unstopped(hosts, waiting, waitMs))]);
    return replies;
  } finally {
    watch?.close();
  }
}

function unstopped(hosts: readonly FoundHost[], waiting: ReadonlySet<string>, waitMs: number): TrellisError {
  const names = hosts.filter(({ id }) => waiting.has(id)).map(hostName);
  return new TrellisError('TRELLIS_CONTROL_TIMEOUT', {
    message: `not stopped after ${waitMs} ms: ${names.join(', ')}`,
    remedy: 'They were told to; trellis get hosts shows which of them still answer. Give them longer with --wait-timeout-ms.',
  });
}

async function expired(afterMs: number, error: () => TrellisError): Promise<never> {
  await new Promise((resolve) => {
    // The race may be won by the others, and the process then has nothing to wait for.
    setTimeout(resolve, afterMs).unref();
  });
  throw error();
}
