import type { Command } from 'commander';
import { replaceByDaemon } from '../daemon-program.ts';
import { examples } from '../program.ts';

/** `trellis host`: the daemon. `main.ts` hands over before flags are read here; this is for `trellis help host`. */
export function register(program: Command): void {
  program
    .command('host')
    .description('Run the host, as node host.js does. All its flags: trellis host --help')
    .addHelpText(
      'after',
      examples('trellis host --config config/host.yaml', 'trellis host --check-config --config config/host.yaml'),
    )
    .action(() => replaceByDaemon([]));
}
