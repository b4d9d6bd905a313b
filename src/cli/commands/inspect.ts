import type { Command } from 'commander';
import { loadArtifact } from '../../component/artifact.ts';
import { preflight } from '../../component/preflight.ts';
import { printWorld } from '../../wit/type-text.ts';
import { fieldLines, paint } from '../output.ts';
import { examples, outputOf } from '../program.ts';

// What a host accepts by default; an inspection may look at more than a host would run.
const MAX_BYTES = 1024 * 1024 * 1024;

/** `trellis inspect`: what a component is and what it would need, without running any of it. */
export function register(program: Command): void {
  program
    .command('inspect')
    .description('Print world, types, digest, size, imports and what would have to be granted. Runs nothing.')
    .argument('<file>', 'component file, or a file:// URL')
    .addHelpText(
      'after',
      examples('trellis inspect components/hello/build/hello.wasm', 'trellis inspect hello.wasm --output json'),
    )
    .action(async (file: string, _options: unknown, command: Command) => {
      const artifact = await loadArtifact(file, { maxBytes: MAX_BYTES });
      const found = preflight(artifact.bytes, { maxBytes: MAX_BYTES });
      const { types, digest, bytes, coreModules, functions, builtins, links, grantsNeeded } = found;
      const data = { file: artifact.path, digest, bytes, coreModules, functions, builtins, links, grantsNeeded, types };
      outputOf(command).result(data, (print) => {
        const lines = (values: readonly string[]): string => (values.length === 0 ? 'nothing' : values.join('\n'));
        const fields: [string, string][] = [
          ['file', artifact.path],
          ['digest', digest],
          [
            'size',
            `${bytes.toLocaleString('en-US')} bytes, ${coreModules} core modules, ${functions.toLocaleString('en-US')} functions`,
          ],
          [
            'exports',
            lines(
              types.exports.map(({ name, functions: all }) => `${name === '' ? '(the world)' : name}  ${countOf(all.length)}`),
            ),
          ],
          ['from the runner', lines(builtins)],
          ['needs links', lines(links.map((name) => (name === '' ? '(functions of the world)' : name)))],
          ['needs grants', lines(grantsNeeded)],
        ];
        for (const line of fieldLines(fields)) print(line);
        print('');
        print(paint('gray', '// the world, as the binary says it'));
        print(printWorld(types).trimEnd());
      });
    });
}

const countOf = (n: number): string => `${n} function${n === 1 ? '' : 's'}`;
