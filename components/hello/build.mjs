// Builds build/hello.wasm: removes the types, then lets QuickJS load the module and keeps a snapshot of it. Takes about a second
// and needs only npm packages.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { componentize } from 'componentize-qjs';

const here = import.meta.dirname;
const { component } = await componentize({
  witPath: `${here}/wit`,
  jsSource: stripTypeScriptTypes(readFileSync(`${here}/src/hello.ts`, 'utf8')),
  sync: true,
  // No WASI: the component imports nothing at all. Leave this out for one that wants the time or random numbers.
  stubWasi: true,
});
mkdirSync(`${here}/build`, { recursive: true });
writeFileSync(`${here}/build/hello.wasm.part`, component);
renameSync(`${here}/build/hello.wasm.part`, `${here}/build/hello.wasm`);
