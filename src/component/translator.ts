import { registerHooks } from 'node:module';

/** The tools inside jco-transpile, for the translating process. */

/** What makes JavaScript of components. */
export interface Bindgen {
  generate(
    component: Uint8Array,
    options: Record<string, unknown>,
  ): { files: [string, Uint8Array][]; imports: string[]; exports: [string, string][] };
}

/** What makes components of core modules; rejects with a chain of causes, a line each. */
export interface WasmTools {
  componentNew(module: Uint8Array, adapters: readonly (readonly [name: string, adapter: Uint8Array])[]): Promise<Uint8Array>;
}

/**
 * jco's tools are components themselves that import WASI through a shim; the shim starts a thread and opens the file
 * system to them. They need none of that, so they get functions that refuse.
 */
function hideShims(): void {
  const shim = '@bytecodealliance/preview2-shim/';
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier.startsWith(shim)
        ? { url: `trellis-shim:${specifier.slice(shim.length)}`, format: 'module', shortCircuit: true }
        : next(specifier, context),
    load: (url, context, next) =>
      url.startsWith('trellis-shim:')
        ? { format: 'module', source: SHIMS[url.slice('trellis-shim:'.length)] ?? '', shortCircuit: true }
        : next(url, context),
  });
}

/** Loads the generator from its URL. */
export async function loadBindgen(url: string): Promise<Bindgen> {
  hideShims();
  const bindgen = (await import(url)) as Bindgen & { readonly $init: Promise<void> };
  await bindgen.$init;
  return bindgen;
}

/** Loads wasm-tools from their URL. */
export async function loadWasmTools(url: string): Promise<WasmTools> {
  hideShims();
  return (await import(url)) as WasmTools;
}

const REFUSE = 'const no = () => { throw new Error("not available to the generator"); };';
const SHIMS: Readonly<Record<string, string>> = {
  cli: `${REFUSE} class T {} class O {}
    export const environment = { getEnvironment: () => [], getArguments: () => [], initialCwd: () => undefined };
    export const exit = { exit: no };
    export const stdin = { getStdin: no }, stdout = { getStdout: no }, stderr = { getStderr: no };
    export const terminalInput = { TerminalInput: T }, terminalOutput = { TerminalOutput: O };
    export const terminalStdin = { getTerminalStdin: () => undefined };
    export const terminalStdout = { getTerminalStdout: () => undefined };
    export const terminalStderr = { getTerminalStderr: () => undefined };`,
  clocks: `export const wallClock = { now: () => ({ seconds: 0n, nanoseconds: 0 }), resolution: () => ({ seconds: 1n, nanoseconds: 0 }) };
    export const monotonicClock = { now: () => 0n, resolution: () => 1n };`,
  filesystem: `${REFUSE} class D {} class S {}
    export const preopens = { getDirectories: () => [] };
    export const types = { Descriptor: D, DirectoryEntryStream: S, filesystemErrorCode: () => undefined };`,
  io: `class E {} class I {} class O {} class P {}
    export const error = { Error: E }, streams = { InputStream: I, OutputStream: O }, poll = { Pollable: P };`,
  random: `export const random = {
      getRandomBytes: (length) => crypto.getRandomValues(new Uint8Array(Number(length))),
      getRandomU64: () => crypto.getRandomValues(new BigUint64Array(1))[0] };
    export const insecure = random, insecureSeed = { insecureSeed: () => [0n, 0n] };`,
};
