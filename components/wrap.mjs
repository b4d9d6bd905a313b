// node wrap.mjs <core.wasm> <wit folder> <world> <out.wasm> [module]: makes a component of a core module, and the digest beside it. With
// `module` it stays one, and says its types in a custom section.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { componentEmbed, componentNew } from '@bytecodealliance/jco-transpile/wasm-tools';
import { _addPreopen } from '@bytecodealliance/preview2-shim/filesystem';

const [coreFile, witFolder, world, outFile, form] = process.argv.slice(2);
_addPreopen('/', '/'); // the tools are wasm themselves, and see no files unless told to
const embedded = await componentEmbed({ binary: readFileSync(coreFile), witPath: resolve(witFolder), world });
const component = form === 'module' ? embedded : await componentNew(embedded);
writeFileSync(outFile, component);
const digest = createHash('sha256').update(component).digest('hex');
writeFileSync(`${outFile}.sha256`, `${digest}  ${basename(outFile)}\n`);
console.log(`${outFile}: ${component.length} bytes, sha256:${digest}`);
