import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { connectCaller } from '../../caller.ts';
import type { HostConfig } from '../../config/schema.ts';
import { COMMAND_LINE_ORIGIN } from '../../development.ts';
import { TrellisError } from '../../errors.ts';
import { createLogger } from '../../telemetry/log.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { visible } from '../../telemetry/scrub.ts';
import { readComponent } from '../../wit/component-reader.ts';
import {
  addHttpFlags,
  answerFields,
  answerIn,
  type HttpAnswer,
  type HttpFlags,
  jsonBody,
  requestArguments,
  takesRequest,
  wireOperationName,
} from '../call-http.ts';
import { callTyped } from '../call-typed.ts';
import { callerConfig } from '../caller-config.ts';
import { findOperation } from '../find-operation.ts';
import { addPlaceFlags, type PlaceFlags, settingsOf } from '../lattice/connection-flags.ts';
import { jsonText, type Output } from '../output.ts';
import { examples, outputOf } from '../program.ts';

interface CallFlags extends HttpFlags, PlaceFlags {
  readonly json?: string;
  readonly config?: string;
  readonly timeoutMs: string;
  readonly origin: string;
  readonly link: string;
  readonly wit?: string;
  readonly raw?: true;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/** `trellis call`: one signed invocation, arguments and result as JSON by the component's own types. */
export function register(program: Command): void {
  const call = program
    .command('call')
    .description('call a function of a component, signed; arguments and result are JSON by its WIT types')
    .argument('<component>', 'id of the component')
    .argument('<operation>', 'interface.function; a shorter form will do if it is the only one')
    .option('--json <array>', 'arguments, a JSON array; "@-" for a stream is read from standard input; [] if left out')
    .option('--config <file>', 'configuration with servers and cluster seed; the running development lattice if left out')
    .option('-t, --timeout-ms <number>', 'how long to wait for the answer', '10000')
    .option('--origin <id>', 'component or caller id to call as', COMMAND_LINE_ORIGIN)
    .option('--link <name>', 'link name', 'default')
    .option('--wit <file>', 'take the types from this component file instead of asking the host')
    .option('--raw', 'print a byte list, byte stream or string as it is')
    .option('--log-level <level>', 'least level that is logged', 'error');
  addHttpFlags(call);
  addPlaceFlags(call)
    .option('--rpc-servers <a,b>', 'NATS servers of the rpc connection; --ctl-servers if left out')
    .option('--rpc-creds <file>', 'credentials of a user for the rpc connection')
    .addHelpText(
      'after',
      examples(
        `trellis call hello greeting.greet --json '["Ada"]'`,
        `trellis call echo echo-point --json '[{"x": 3, "y": -4}]'`,
        `trellis call web wasi:http/incoming-handler.handle --http-path '/items?page=2'`,
        `printf 'some bytes' | trellis call echo-streams count-bytes --json '["@-"]'`,
      ),
    )
    .action(async (component: string, operation: string, flags: CallFlags, command: Command) => {
      const output = outputOf(command);
      const args = parseArguments(flags.json ?? '[]');
      const log = createLogger({ level: flags.logLevel });
      const metrics = createMetrics({ eventLoop: false });
      await using caller = await connectCaller({ config: configFor(flags), log, metrics, origin: flags.origin });
      const timeoutMs = Math.max(1, Number(flags.timeoutMs) || 10_000);
      const types =
        flags.wit === undefined ? (await caller.describe(component, timeoutMs)).types : readComponent(readFileSync(flags.wit));
      const found = findOperation(types, wireOperationName(operation));
      const isRequest = takesRequest(found) && flags.json === undefined;
      const result = await callTyped({
        caller,
        target: component,
        operation: found,
        args: isRequest ? requestArguments(flags) : args,
        link: flags.link,
        timeoutMs,
        stdin: process.stdin,
      });
      metrics.close();
      const answer = isRequest ? answerIn(result) : undefined;
      if (answer !== undefined) printAnswer(answer, flags, output);
      else if (flags.raw === true && result.raw !== undefined) process.stdout.write(result.raw);
      else output.result({ result: result.json }, (print) => print(jsonText(result.json)));
    });
}

function printAnswer(answer: HttpAnswer, flags: CallFlags, output: Output): void {
  if (flags.httpResponseExtractJson === true) {
    const value = jsonBody(answer);
    output.result(value, (print) => print(jsonText(value)));
  } else if (flags.raw === true) {
    process.stdout.write(answer.body);
  } else {
    output.result(answerFields(answer), (print) => {
      print(`status ${answer.status}`);
      for (const [name, value] of answer.headers) print(`${visible(name)}: ${visible(value)}`);
      if (answer.body.length > 0) print('');
      for (const line of answer.body.length > 0 ? answer.body.toString('utf8').trimEnd().split('\n') : []) print(visible(line));
    });
  }
}

function parseArguments(text: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value)) return value;
  } catch (cause) {
    throw new TrellisError('TRELLIS_USAGE', {
      message: '--json is not JSON',
      remedy: `Give the arguments as an array, e.g. --json '["Ada"]'.`,
      cause,
    });
  }
  throw new TrellisError('TRELLIS_USAGE', {
    message: '--json is not an array of arguments',
    remedy: `One argument is an array too: --json '["Ada"]'.`,
  });
}

/** A configuration with a key to sign with. */
function configFor(flags: CallFlags): HostConfig {
  const { config: file, configFile, context } = flags;
  const config = callerConfig({ file: file ?? configFile, context, flags: settingsOf(flags) });
  const { clusterSeed, clusterSeedFile, delegationFile, issuerService, verify } = config.trust;
  const hasKey = (clusterSeed ?? clusterSeedFile ?? delegationFile) !== undefined || issuerService;
  if (!hasKey && verify !== 'off') throw new TrellisError('TRELLIS_CALL_KEY');
  return config;
}
