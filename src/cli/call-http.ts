import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { TrellisError } from '../errors.ts';
import type { Json } from '../wit/json.ts';
import { HTTP_INCOMING } from '../wit/wire/http.ts';
import type { Operation } from './find-operation.ts';
import { repeated } from './lattice/connection-flags.ts';
import type { TypedResult } from './call-typed.ts';

/** Flags of `trellis call` that describe a request to a component which serves HTTP. */
export interface HttpFlags {
  readonly httpMethod: string;
  readonly httpPath: string;
  readonly httpScheme: string;
  readonly httpHost: string;
  readonly httpPort: string;
  readonly httpHeader?: readonly string[];
  readonly httpContentType?: string;
  readonly httpBody?: string;
  readonly httpBodyPath?: string;
  readonly httpResponseExtractJson?: true;
}

const METHODS = ['get', 'head', 'post', 'put', 'delete', 'connect', 'options', 'trace', 'patch'];

/** Adds them, in a group of their own. */
export function addHttpFlags(command: Command): Command {
  return command
    .optionsGroup('A request to wasi:http/incoming-handler.handle:')
    .option('--http-method <method>', 'GET, POST, …', 'GET')
    .option('--http-path <path>', 'path, with the query', '/')
    .option('--http-scheme <scheme>', 'http or https', 'http')
    .option('--http-host <host>', 'host that the request names', 'localhost')
    .option('--http-port <port>', 'port that it names', '8080')
    .addOption(repeated('--http-header <name=value>', 'header (repeat for more)'))
    .option('--http-content-type <type>', 'header content-type')
    .option('--http-body <text>', 'body')
    .addOption(new Option('--http-body-path <file>', 'file that holds the body').conflicts('httpBody'))
    .option('--http-response-extract-json', 'print nothing but the body, which is JSON');
}

/** The name of an operation as the lattice has it: handlers of HTTP are served in their form on the wire. */
export function wireOperationName(name: string): string {
  return name.replace(/^wasi:(http\/incoming-handler)(?:@0\.2\.\d+)?\.handle$/, 'wrpc:$1.handle');
}

/** True for the function that takes a request. */
export function takesRequest({ instance }: Operation): boolean {
  return instance === HTTP_INCOMING.name;
}

/** The arguments that the flags describe. @throws TRELLIS_USAGE, TRELLIS_CLI_FILE */
export function requestArguments(flags: HttpFlags): readonly Json[] {
  const method = flags.httpMethod.toLowerCase();
  const scheme = flags.httpScheme.toUpperCase();
  const authority = `${flags.httpHost}${flags.httpPort === '' ? '' : `:${flags.httpPort}`}`;
  const body = flags.httpBodyPath === undefined ? Buffer.from(flags.httpBody ?? '') : bodyIn(flags.httpBodyPath);
  const type = flags.httpContentType === undefined ? [] : [['content-type', flags.httpContentType] as const];
  const headers = [['host', authority] as const, ...type, ...(flags.httpHeader ?? []).map(headerOf)];
  return [
    {
      body: { ready: { hex: body.toString('hex') } },
      trailers: { ready: null },
      method: METHODS.includes(method) ? { case: method } : { case: 'other', payload: flags.httpMethod },
      'path-with-query': { some: flags.httpPath },
      scheme: { some: scheme === 'HTTP' || scheme === 'HTTPS' ? { case: scheme } : { case: 'other', payload: flags.httpScheme } },
      authority: { some: authority },
      headers: headers.map(([name, value]) => [name, [{ utf8: value }]]),
    },
  ];
}

/** What came back. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

/** The answer in a result, or `undefined` if the component answered with an error code. */
export function answerIn({ json }: TypedResult): HttpAnswer | undefined {
  const { ok } = json as {
    ok?: { status: number; headers: [string, { hex: string }[]][]; body: { ready: { hex: string } } };
  };
  if (ok === undefined) return undefined;
  const text = ({ hex }: { hex: string }): string => Buffer.from(hex, 'hex').toString('utf8');
  const headers = ok.headers.flatMap(([name, values]) => values.map((value) => [name, text(value)] as const));
  return { status: ok.status, headers, body: Buffer.from(ok.body.ready.hex, 'hex') };
}

/** The body as what `--http-response-extract-json` prints. @throws TRELLIS_WIT_VALUE if it is no JSON */
export function jsonBody({ status, body }: HttpAnswer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (cause) {
    throw new TrellisError('TRELLIS_WIT_VALUE', {
      message: `the body of the answer (status ${status}, ${body.length} bytes) is not JSON`,
      remedy: 'Leave out --http-response-extract-json to see it.',
      cause,
    });
  }
}

/** An answer for programs: a body that is no text as base64. */
export function answerFields({ status, headers, body }: HttpAnswer): object {
  const text = body.toString('utf8');
  return { status, headers, ...(Buffer.from(text).equals(body) ? { body: text } : { bodyBase64: body.toString('base64') }) };
}

function headerOf(text: string): readonly [string, string] {
  const at = text.search(/[=:]/);
  if (at > 0) return [text.slice(0, at).trim(), text.slice(at + 1).trim()];
  throw new TrellisError('TRELLIS_USAGE', {
    message: '--http-header must look like name=value',
    remedy: 'Write accept=text/plain.',
  });
}

function bodyIn(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new TrellisError('TRELLIS_CLI_FILE', { message: `${file} cannot be read`, cause });
  }
}
