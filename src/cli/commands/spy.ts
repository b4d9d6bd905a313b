import type { Command } from 'commander';
import { TrellisError } from '../../errors.ts';
import { componentId } from '../../ids.ts';
import { visible } from '../../telemetry/scrub.ts';
import type { BusMessage } from '../../wrpc/bus.ts';
import { addConnectionFlags, type ConnectionFlags, wholeNumber } from '../lattice/connection-flags.ts';
import { openLattice } from '../lattice/open-lattice.ts';
import { sayGaps } from '../lattice/say-gaps.ts';
import { concernsAny, payloadLines, type SpiedCall, spiedCall } from '../lattice/spied-call.ts';
import { untilStopped } from '../lattice/stop-signal.ts';
import { jsonText, paint } from '../output.ts';
import { examples, outputOf } from '../program.ts';

interface SpyFlags extends ConnectionFlags {
  readonly showPayload?: true;
  readonly count?: string;
}

const AFTER = `
Shown are subjects, sizes and ids, never what is called with. It takes a user of the rpc connection that may subscribe to the calls of
others: trellis auth user add NAME --kind caller --spies. Answers go to inboxes that nobody else reads, so they are not shown.
`;

/** `trellis spy`: the calls to components, and by them, as they are made. */
export function register(program: Command): void {
  addConnectionFlags(
    program
      .command('spy')
      .description('show the calls to components, and by them, as they are made; sizes and ids, not what is in them')
      .argument('[component-id...]', 'only calls to these, or by these')
      .option('--show-payload', 'the parameters too, as bytes: whoever sees the output sees what is called with')
      .option('--count <number>', 'end after so many'),
  )
    .option('--rpc-servers <a,b>', 'NATS servers of the rpc connection; --ctl-servers if left out')
    .option('--rpc-creds <file>', 'credentials of a user for the rpc connection')
    .addHelpText('after', AFTER + examples('trellis spy', 'trellis spy hello', 'trellis spy hello --output json'))
    .action(async (ids: string[], flags: SpyFlags, command: Command) => {
      const output = outputOf(command);
      let left = flags.count === undefined ? Number.POSITIVE_INFINITY : wholeNumber(flags.count, '--count', 1, 1_000_000_000);
      const components = ids.map(componentId);
      const stop = untilStopped();
      await using lattice = await openLattice(flags);
      const { config } = lattice;
      const { openSpyJudge } = await import('../lattice/spy-judge.ts');
      const { openPartition } = await import('../lattice/connect-lattice.ts');
      const judge = await openSpyJudge(config, lattice.lattice, lattice.ctl);
      await using rpc = await openPartition(config, 'rpc');
      sayGaps(rpc, output);
      const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
      stop.addEventListener('abort', () => resolve(), { once: true });
      const show = (message: BusMessage): void => {
        const { verdict, claims } = judge.judge(message);
        const call = spiedCall(message, claims, verdict, Date.now());
        if (left <= 0 || !concernsAny(call, components)) return;
        left -= 1;
        const payload = flags.showPayload === true ? message.payload : undefined;
        if (output.format === 'json') {
          const bytes = payload === undefined ? {} : { payload: Buffer.from(payload).toString('base64') };
          process.stdout.write(`${jsonText({ ...call, ...bytes })}\n`);
        } else {
          const lines = [callLine(call), ...(payload === undefined ? [] : payloadLines(payload))];
          process.stdout.write(`${lines.join('\n')}\n`);
        }
        if (left <= 0) resolve();
      };
      rpc.onStatus((event) => {
        if (event.type === 'closed') reject(event.error ?? new TrellisError('TRELLIS_NATS_CLOSED'));
        else if (event.type === 'error' && event.error.code === 'TRELLIS_NATS_PERMISSION') reject(mayNotListen(event.error));
      });
      // Calls by a component go to whatever it is linked to, so all are listened to.
      rpc.subscribe(`${lattice.lattice}.*.wrpc.>`, {}, show);
      await rpc.flush();
      if (output.format === 'text') output.progress(`Listening to calls in lattice ${lattice.lattice}; Ctrl-C ends.`);
      if (stop.aborted) resolve();
      await ended.finally(() => judge.close());
    });
}

function mayNotListen(cause: TrellisError): TrellisError {
  return new TrellisError('TRELLIS_NATS_PERMISSION', {
    message: cause.message,
    remedy: 'Use a user that may listen to calls: trellis auth user add NAME --kind caller --spies.',
    cause,
  });
}

function callLine({ time, target, operation, source, link, bytes, paramsBytes, id, verdict }: SpiedCall): string {
  const size = paramsBytes === undefined || paramsBytes === bytes ? `${bytes} bytes` : `${bytes} of ${paramsBytes} bytes`;
  const by = `${source ?? 'an unnamed caller'}${link === 'default' ? '' : ` by link ${link}`}`;
  const state =
    verdict.state === 'verified'
      ? paint('green', 'verified')
      : verdict.state === 'refused'
        ? paint('red', `would be refused: ${verdict.code} ${visible(verdict.detail)}`)
        : verdict.state === 'unsigned'
          ? paint('yellow', 'unsigned')
          : `not decided: ${visible(verdict.detail)}`;
  const named = id === undefined ? '' : ` id ${visible(id)}`;
  return `${paint('gray', time.slice(11, 23))} ${visible(by)} → ${paint('bold', visible(target))} ${visible(operation)}, ${size}${named}, ${state}`;
}
