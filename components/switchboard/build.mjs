// Builds build/switchboard.wasm: removes the types, then lets QuickJS load the module and keeps a snapshot of it. Takes about a second
// and needs only npm packages.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { componentize } from 'componentize-qjs';

const here = import.meta.dirname;
const { component } = await componentize({
  witPath: `${here}/wit`,
  jsSource: stripTypeScriptTypes(readFileSync(`${here}/src/switchboard.ts`, 'utf8')),
  sync: true,
});
mkdirSync(`${here}/build`, { recursive: true });
writeFileSync(`${here}/build/switchboard.wasm.part`, component);
renameSync(`${here}/build/switchboard.wasm.part`, `${here}/build/switchboard.wasm`);
