import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A component file of `components/`. */
export interface SampleComponent {
  /** Absolute path of the binary. */
  readonly file: string;
  /** `sha256:` and 64 hex digits, as the component cache writes it. */
  readonly digest: string;
}

const pathOf = (path: string): string => fileURLToPath(new URL(`../../components/${path}`, import.meta.url));

const describe = (file: string): SampleComponent => ({
  file,
  digest: `sha256:${createHash('sha256').update(readFileSync(file)).digest('hex')}`,
});

/** A component whose binary is committed; checked against the digest committed beside it. */
const committed = (path: string): SampleComponent => {
  const component = describe(pathOf(path));
  const expected = readFileSync(`${component.file}.sha256`, 'utf8').slice(0, 64);
  if (component.digest !== `sha256:${expected}`)
    throw new Error(`${path} is not the binary its .sha256 file names: run its build.sh`);
  return component;
};

/** A component that set-up builds; built now if it is not there yet (a few seconds). */
const built = (name: string): SampleComponent => {
  const file = pathOf(`${name}/build/${name}.wasm`);
  if (!existsSync(file)) execFileSync(process.execPath, [pathOf(`${name}/build.mjs`)], { stdio: 'pipe' });
  return describe(file);
};

/** Every synchronous WIT type, resources and a world-level function; no asynchronous function. */
export const echoComponent = (): SampleComponent => committed('echo/echo.wasm');

/** Streams and futures: `trellis-samples:echo/streams@0.1.0`. */
export const echoStreamsComponent = (): SampleComponent => committed('echo/echo-streams.wasm');

/** `trellis-samples:hello/greeting@0.1.0`, QuickJS. */
export const helloComponent = (): SampleComponent => built('hello');

/** `trellis-samples:chain/greeter@0.1.0`, QuickJS; imports `trellis-samples:hello/greeting@0.1.0`. */
export const greeterChainComponent = (): SampleComponent => built('greeter-chain');

/** `trellis-samples:switchboard/board@0.1.0`, QuickJS; settings, log lines, and calls through links it chooses. */
export const switchboardComponent = (): SampleComponent => built('switchboard');

/** The misbehaving guests; `components/hostile/README.md` says what each does and what a host should do. */
export type HostileName =
  | 'hostile'
  | 'hostile-start'
  | 'hostile-calls'
  | 'hostile-probes'
  | 'hostile-network'
  | 'hostile-names'
  | 'hostile-refused-names';

/** A guest of `components/hostile`. */
export const hostileComponent = (name: HostileName): SampleComponent => committed(`hostile/${name}.wasm`);

/** Passes calls on to echo and echo-streams, as a chain of two components: `trellis-samples:relay/relayed@0.1.0`. */
export const relayComponent = (): SampleComponent => committed('../test/fixtures/components/relay/relay.wasm');

/** Sends requests by `wasi:http`: `trellis-samples:fetcher/requests@0.1.0`. */
export const fetcherComponent = (): SampleComponent => committed('../test/fixtures/components/fetcher/fetcher.wasm');

/** Connects by `wasi:sockets`: `trellis-samples:fetcher/connections@0.1.0`. */
export const dialerComponent = (): SampleComponent => committed('../test/fixtures/components/fetcher/dialer.wasm');

/** Bytes to bytes, as actors of wasmCloud 0.82 are: `wasmcloud:testoperation/test-operation@0.1.0`; imports `key-value` beside it. */
export const legacyComponent = (): SampleComponent => committed('../test/fixtures/components/legacy/legacy.wasm');

/** A core module, with WASI's preview1 under a C library: `trellis-tests:teller/tell@0.1.0`, and `other`, which asks echo. */
export const tellerModule = (): SampleComponent => committed('../test/fixtures/components/teller/teller.wasm');
