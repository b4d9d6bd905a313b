import { TrellisError } from '../errors.ts';
import type { ControlReply } from '../lattice/control-replies.ts';
import { TO_FIX_IT } from '../lattice/events.ts';
import { type ExpectedScale, judgeScaleEvent, SCALE_EVENTS, type ScaleOutcome } from '../lattice/scaled-event.ts';
import type { ControlClient, ScaleCommand } from './control-client.ts';
import { watchEvents } from './event-watch.ts';

/** How a command to a component ended. */
export interface Scaled {
  /** What the host said at once; may be empty. */
  readonly message: string;
  /** False if nobody waited for it. */
  readonly done: boolean;
}

/** What to wait for after a reply; `undefined` if there is nothing to wait for. */
type Expectation = (reply: ControlReply<never>) => ExpectedScale | undefined;

/**
 * Scales a component and waits until its host says that it is done.
 * @param waitMs How long; 0 does not wait.
 * @throws TRELLIS_CONTROL_REFUSED, TRELLIS_SCALE_FAILED, TRELLIS_CONTROL_TIMEOUT, and what `ControlClient` throws
 */
export function scaleAndWait(client: ControlClient, host: string, command: ScaleCommand, waitMs: number): Promise<Scaled> {
  const { componentId, componentRef, maxInstances, allowUpdate = false } = command;
  return giveAndWait(
    client,
    waitMs,
    () => client.scale(host, command),
    (reply) => {
      const expected = { host, componentId, maxInstances, askedRef: componentRef };
      // Hosts say something only where another image runs: it then stays, unless it may be replaced. A start of 1.x names the image
      // that was asked for; where another one stays it names that one, so the image counts only where it decides.
      const replaces = reply.message !== '' && allowUpdate && maxInstances > 0;
      return replaces ? { ...expected, imageRef: componentRef } : expected;
    },
  );
}

/** Replaces the image of a component and waits until the new one runs. @throws as {@link scaleAndWait} */
export function updateAndWait(
  client: ControlClient,
  host: string,
  command: Parameters<ControlClient['update']>[1],
  waitMs: number,
): Promise<Scaled> {
  const { componentId, newComponentRef: imageRef } = command;
  return giveAndWait(
    client,
    waitMs,
    () => client.update(host, command),
    (reply) =>
      // It runs already: no event will come.
      /\balready updated\b/.test(reply.message) ? undefined : { host, componentId, imageRef, askedRef: imageRef },
  );
}

async function giveAndWait(
  client: ControlClient,
  waitMs: number,
  give: () => Promise<ControlReply<never>>,
  expectation: Expectation,
): Promise<Scaled> {
  if (waitMs <= 0) {
    const reply = await accepted(give());
    return { message: reply.message, done: expectation(reply) === undefined };
  }
  const { promise: outcome, resolve } = Promise.withResolvers<ScaleOutcome>();
  // What comes before the reply has been read is looked at after it.
  const early: Parameters<typeof judgeScaleEvent>[0][] = [];
  let expected: ExpectedScale | undefined;
  const look = (event: (typeof early)[number]): void => {
    if (expected === undefined) {
      early.push(event);
      return;
    }
    const found = judgeScaleEvent(event, expected);
    if (found !== undefined) resolve(found);
  };
  const watch = await watchEvents({ ctl: client.ctl, lattice: client.lattice, names: SCALE_EVENTS, onEvent: look });
  let missed = false;
  const endStatus = client.ctl.onStatus(({ type }) => {
    missed ||= type === 'disconnected';
  });
  try {
    const reply = await accepted(give());
    expected = expectation(reply);
    if (expected === undefined) return { message: reply.message, done: true };
    for (const event of early) look(event);
    await settled(outcome, expected, waitMs, watch.ended, () => missed);
    return { message: reply.message, done: true };
  } finally {
    endStatus();
    watch.close();
  }
}

function scaleFailed(componentId: string, why: string): TrellisError {
  // Hosts of Trellis say what helps; what people run into first with those of wasmCloud has the same remedy.
  const at = why.lastIndexOf(TO_FIX_IT);
  const [reason, said] = at < 0 ? [why, undefined] : [why.slice(0, at), why.slice(at + TO_FIX_IT.length)];
  const remedy = /file loading is disabled/i.test(reason)
    ? 'Name an image of a registry, or let the host load files: artifacts.allowFiles, WASMCLOUD_ALLOW_FILE_LOAD=true.'
    : said?.slice(0, 1_000);
  return new TrellisError('TRELLIS_SCALE_FAILED', {
    message: `${componentId}: ${reason.slice(0, 2_000)}`,
    ...(remedy === undefined ? {} : { remedy }),
  });
}

async function accepted(asked: Promise<ControlReply<never>>): Promise<ControlReply<never>> {
  const reply = await asked;
  if (reply.success) return reply;
  throw refusedBy(reply);
}

/** The error for a command that a host did not take. */
export function refusedBy(reply: ControlReply<unknown>): TrellisError {
  return new TrellisError('TRELLIS_CONTROL_REFUSED', {
    message:
      reply.message === ''
        ? 'the host refused, and gives no reason'
        : `the host answers: ${reply.message.slice(0, 1_000).trim()}`,
  });
}

async function settled(
  outcome: Promise<ScaleOutcome>,
  { componentId, host, maxInstances }: ExpectedScale,
  waitMs: number,
  lost: Promise<void>,
  missed: () => boolean,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<'expired'>((resolve) => {
    timer = setTimeout(resolve, waitMs, 'expired');
  });
  try {
    const found = await Promise.race([outcome, expired, lost.then(() => 'expired' as const)]);
    if (found === 'done') return;
    if (found === 'expired') {
      const gap = missed() ? '; the connection was interrupted meanwhile, and the event may have been missed' : '';
      const updates = maxInstances === undefined ? 'A host of wasmCloud 1.x does not tell of an update that fails. ' : '';
      throw new TrellisError('TRELLIS_CONTROL_TIMEOUT', {
        message: `host ${host} took the command, and said nothing of ${componentId} within ${waitMs} ms${gap}`,
        remedy: `${updates}trellis get inventory ${host} shows what runs, the log of the host says why; --wait-timeout-ms waits longer.`,
      });
    }
    throw scaleFailed(componentId, found.failed);
  } finally {
    clearTimeout(timer);
  }
}
