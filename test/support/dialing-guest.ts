import { readFileSync } from 'node:fs';
import type { ComponentSpec } from '../../src/component/component.ts';
import { preflight } from '../../src/component/preflight.ts';
import { compileFunction } from '../../src/wit/codec.ts';
import { dialerComponent } from './components.ts';
import { runComponent, type TestComponent } from './running-component.ts';

const STEPS = ['look-up', 'create', 'connect', 'write', 'read', 'bind', 'listen', 'udp'];
const ERROR_CODES = [
  'unknown',
  'access-denied',
  'not-supported',
  'invalid-argument',
  'out-of-memory',
  'timeout',
  'concurrency-conflict',
  'not-in-progress',
  'would-block',
  'invalid-state',
  'new-socket-limit',
  'address-not-bindable',
  'address-in-use',
  'remote-unreachable',
  'connection-refused',
  'connection-reset',
  'connection-aborted',
  'datagram-too-large',
  'name-unresolvable',
  'temporary-resolver-failure',
  'permanent-resolver-failure',
];

interface Failure {
  readonly at: string;
  readonly code: number;
}
type Result = { readonly tag: 'ok'; readonly val: unknown } | { readonly tag: 'err'; readonly val: Failure };

/** A guest that connects by TCP. Failures come as text: `connect access-denied`, or how the call ended. */
export interface DialingGuest extends AsyncDisposable {
  readonly test: TestComponent;
  /** IPv4 addresses of a name. */
  lookUp(name: string): Promise<string[] | string>;
  /** Sends `message` so many times and gives back how many bytes came, and the first ones. */
  exchange(
    address: string,
    port: number,
    message: string,
    options?: { times?: number; timeoutMs?: number },
  ): Promise<{ bytes: number; start: string } | string>;
  /** What it is told when it wants to be a server. */
  serve(): Promise<string[]>;
}

const failureText = ({ at, code }: Failure): string => {
  if (!STEPS.includes(at)) throw new Error(`the guest failed at ${at}`);
  return `${at} ${ERROR_CODES[code] ?? code}`;
};

/** Starts the dialer component with these network grants. */
export async function dialingGuest(network: readonly string[], spec: Partial<ComponentSpec> = {}): Promise<DialingGuest> {
  const sample = dialerComponent();
  const { types } = preflight(readFileSync(sample.file), { maxBytes: 1024 * 1024 });
  const test = await runComponent(sample, { grants: { network }, ...spec });
  const call = async (name: string, args: unknown[], timeoutMs = 60_000): Promise<unknown> => {
    const codec = compileFunction(types.exports[0]!.functions.find((fn) => fn.name === name)!);
    const params = codec.encodeParams(args);
    if (!params.ok) throw new Error(params.reason);
    const { root, failure, detail } = await test.call(`connections.${name}`, params.bytes, { timeoutMs });
    if (failure !== undefined) return `${failure}: ${detail}`;
    const decoded = codec.decodeResult(root);
    if (!decoded.ok) throw new Error(decoded.reason);
    return decoded.values[0];
  };
  const unwrap = (result: unknown): unknown => {
    if (typeof result === 'string') return result;
    const { tag, val } = result as Result;
    return tag === 'ok' ? val : failureText(val);
  };
  return {
    test,
    lookUp: async (name) => {
      const got = unwrap(await call('look-up', [name]));
      return typeof got === 'string' ? got : (got as number[][]).map((octets) => octets.join('.'));
    },
    exchange: async (address, port, message, { times = 1, timeoutMs } = {}) => {
      const octets = address.split('.').map(Number);
      const got = unwrap(await call('exchange', [octets, port, Buffer.from(message, 'latin1'), times], timeoutMs));
      if (typeof got === 'string') return got;
      const [bytes, start] = got as [bigint, Uint8Array];
      return { bytes: Number(bytes), start: Buffer.from(start).toString('latin1') };
    },
    serve: async () => ((await call('serve', [])) as Failure[]).map(failureText),
    [Symbol.asyncDispose]: () => test.component.stop(),
  };
}
