// node wrap.mjs <core.wasm> <wit file> <world> <out.wasm>: makes a component of a core module and prints its digest.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { componentEmbed, componentNew } from '@bytecodealliance/jco-transpile/wasm-tools';

const [coreFile, witFile, world, outFile] = process.argv.slice(2);
const embedded = await componentEmbed({
  binary: readFileSync(coreFile),
  witSource: readFileSync(witFile, 'utf8'),
  world,
  features: { tag: 'all' },
});
const component = await componentNew(embedded);
writeFileSync(outFile, component);
const digest = createHash('sha256').update(component).digest('hex');
writeFileSync(`${outFile}.sha256`, `${digest}  ${outFile.split('/').at(-1)}\n`);
console.log(`${outFile}: ${component.length} bytes, sha256:${digest}`);
