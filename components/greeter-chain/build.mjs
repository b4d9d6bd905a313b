// Builds build/greeter-chain.wasm: removes the types, then lets QuickJS load the module and keeps a snapshot of it. Takes about a second
// and needs only npm packages.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { componentize } from 'componentize-qjs';

const here = import.meta.dirname;
const { component } = await componentize({
  witPath: `${here}/wit`,
  jsSource: stripTypeScriptTypes(readFileSync(`${here}/src/greeter-chain.ts`, 'utf8')),
  sync: true,
});
mkdirSync(`${here}/build`, { recursive: true });
writeFileSync(`${here}/build/greeter-chain.wasm.part`, component);
renameSync(`${here}/build/greeter-chain.wasm.part`, `${here}/build/greeter-chain.wasm`);
