import { readFileSync } from 'node:fs';
import { systemClock } from '../../src/clock.ts';
import { startComponent } from '../../src/component/component-host.ts';
import type {
  CallHandle,
  ComponentCall,
  ComponentPorts,
  ComponentSpec,
  RunningComponent,
} from '../../src/component/component.ts';
import { preflight } from '../../src/component/preflight.ts';
import type { CallFailure } from '../../src/component/runner/frames.ts';
import { transpileComponent } from '../../src/component/transpile.ts';
import { asComponent } from '../../src/component/wrapped-module.ts';
import { componentId } from '../../src/ids.ts';
import { CACHE_DIR } from './cache-dir.ts';
import type { SampleComponent } from './components.ts';

const MIB = 1024 * 1024;
/** How a call ended. */
export interface Outcome {
  /** Root result; empty if the call failed. */
  readonly root: Buffer;
  readonly hex: string;
  /** What came on other paths, in order: `0.1=<hex>`, with `!` at the end of a path. */
  readonly paths: readonly string[];
  readonly failure: CallFailure | undefined;
  readonly detail: string;
  readonly ms: number;
  /** `done` and `fail` events; always 1. */
  readonly ends: number;
}

/** A component running for a test. */
export interface TestComponent extends AsyncDisposable {
  readonly component: RunningComponent;
  /** Messages the host logged about it, and lines the guest wrote. */
  readonly logged: string[];
  readonly lines: string[];
  /** Number of an exported function: a part of the interface name, and the wire name. */
  index(instance: string, func: string): number;
  /** Calls `instance` `.` `func` with the encoded parameters. */
  call(name: string, params?: Uint8Array | string, options?: Partial<ComponentCall>): Promise<Outcome>;
  /** The same, with the handle. */
  begin(
    name: string,
    params?: Uint8Array | string,
    options?: Partial<ComponentCall>,
  ): { handle: CallHandle; outcome: Promise<Outcome> };
}

/** Starts a sample component in a runner of its own. */
export async function runComponent(
  sample: SampleComponent,
  spec: Partial<ComponentSpec> = {},
  ports: Partial<ComponentPorts> = {},
): Promise<TestComponent> {
  const bytes = await asComponent(readFileSync(sample.file), { maxBytes: 64 * MIB, cacheDir: CACHE_DIR, timeoutMs: 60_000 });
  const checked = preflight(bytes, { maxBytes: 64 * MIB });
  const maxMemoryBytes = spec.maxMemoryBytes ?? 32 * MIB;
  const transpiled = await transpileComponent(bytes, checked, {
    cacheDir: CACHE_DIR,
    limits: { maxMemoryBytes },
    timeoutMs: 60_000,
  });
  const logged: string[] = [];
  const lines: string[] = [];
  const log = (fields: object, message: string): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  const component = await startComponent(
    {
      id: componentId('test'),
      transpiled,
      types: checked.types,
      policy: 'fresh',
      maxInstances: 8,
      maxQueue: 1_000,
      maxMemoryBytes,
      maxResultBytes: 4 * MIB,
      timeoutMs: 60_000,
      env: {},
      args: [],
      config: {},
      grants: {},
      ...spec,
    },
    {
      log: { debug: log, info: log, warn: log, error: log },
      clock: systemClock,
      invokeImport: (_call, events) => {
        events.fail('TRELLIS_LINK_MISSING: no link');
        return { sendPath: () => {}, cancel: () => {} };
      },
      onGuestLog: (_component, level, line) => void lines.push(`${level} ${line}`),
      ...ports,
    },
  );
  const index = (instance: string, func: string): number => {
    const found = component.exports.find((one) => one.instance.includes(instance) && one.func === func);
    if (found === undefined) throw new Error(`no ${instance} ${func} among ${component.exports.map((one) => one.func).join()}`);
    return found.index;
  };
  const begin: TestComponent['begin'] = (name, params = '', options = {}) => {
    const at = name.indexOf('.');
    const startedMs = performance.now();
    const paths: string[] = [];
    let root = Buffer.alloc(0);
    let ends = 0;
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const end = (failure: CallFailure | undefined, detail: string): void => {
      ends += 1;
      const ms = performance.now() - startedMs;
      // A second end would come in the same turn or the next one.
      setImmediate(() => resolve({ root, hex: root.toString('hex'), paths, failure, detail, ms, ends }));
    };
    const handle = component.call(
      {
        exportIndex: index(name.slice(0, at), name.slice(at + 1)),
        params: typeof params === 'string' ? Buffer.from(params, 'hex') : params,
        complete: true,
        timeoutMs: 60_000,
        depth: 0,
        pending: 'allow',
        ...options,
      },
      {
        result: (bytes) => {
          root = Buffer.from(bytes);
        },
        path: (path, content, eof) => void paths.push(`${path}=${Buffer.from(content).toString('hex')}${eof ? '!' : ''}`),
        done: () => end(undefined, ''),
        fail: end,
      },
    );
    return { handle, outcome: promise };
  };
  return {
    component,
    logged,
    lines,
    index,
    begin,
    call: (name, params, options) => begin(name, params, options).outcome,
    [Symbol.asyncDispose]: () => component.stop(),
  };
}

/** An unsigned LEB128 number. */
export function leb(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest % 128) | (rest > 127 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}

/** A string or byte list with its length. */
export function sized(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([leb(bytes.length), bytes]);
}

/** Resolves after so many milliseconds. */
export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
