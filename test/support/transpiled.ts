import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { TranspiledComponent } from '../../src/component/transpile.ts';

/** The part of the WebAssembly API the tests use; TypeScript has it among the types of browsers only. */
interface WebAssemblyApi {
  compile(bytes: Uint8Array): Promise<object>;
  instantiate(bytes: Uint8Array): Promise<{ instance: { exports: Record<string, unknown> } }>;
  validate(bytes: Uint8Array): boolean;
}

/** The engine. */
export const webAssembly = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;

/** An exported function as generated code offers it. */
export type GuestFunction = (...args: unknown[]) => unknown;

/** Loads a translated component into this process, where tests call it directly; a host never does that. */
export async function loadTranspiled(
  transpiled: TranspiledComponent,
): Promise<(imports: Record<string, object>) => Promise<Record<string, Record<string, GuestFunction>>>> {
  const modules = new Map<string, object>();
  for (const name of transpiled.coreModules)
    modules.set(name, await webAssembly.compile(await readFile(join(transpiled.dir, name))));
  const glue = (await import(pathToFileURL(join(transpiled.dir, transpiled.entry)).href)) as {
    instantiate(getModule: (name: string) => unknown, imports: object): Promise<Record<string, Record<string, GuestFunction>>>;
  };
  return (imports) => glue.instantiate((name) => modules.get(name), imports);
}
