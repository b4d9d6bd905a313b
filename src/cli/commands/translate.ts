import type { Command } from 'commander';
import { artifactOptions, configuredArtifact } from '../../component/artifact.ts';
import { Registries } from '../../component/oci/registries.ts';
import { preflight } from '../../component/preflight.ts';
import { transpileComponent } from '../../component/transpile.ts';
import { asComponent } from '../../component/wrapped-module.ts';
import { TrellisError } from '../../errors.ts';
import { callerConfig } from '../caller-config.ts';
import { tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';

// Nobody waits for an answer, and a machine that builds images may be busy.
const TIMEOUT_MS = 600_000;

interface TranslateOptions {
  readonly config: string;
  readonly cacheDir?: string;
}

/** `trellis translate`: fills a cache with the components of a configuration, so that a host without jco can run them. */
export function register(program: Command): void {
  program
    .command('translate')
    .description(
      'Translate the components of a host configuration, with its limits, into a cache. A host that finds them there needs no translator.',
    )
    .requiredOption('--config <file>', 'configuration of the host')
    .option('--cache-dir <dir>', 'where the translations go; the cacheDir of the configuration if left out')
    .addHelpText(
      'after',
      examples(
        'trellis translate --config host.yaml',
        '# while an image is built:',
        'trellis translate --config /etc/trellis/host.yaml --cache-dir /app/translated',
      ),
    )
    .action(async (options: TranslateOptions, command: Command) => {
      const output = outputOf(command);
      const config = callerConfig({ file: options.config });
      if (config.components.length === 0) {
        throw new TrellisError('TRELLIS_USAGE', {
          message: `${options.config} lists no components`,
          remedy: 'Name the configuration of a host that runs some.',
        });
      }
      const cacheDir = options.cacheDir ?? config.cacheDir;
      const maxBytes = config.limits.maxComponentSizeBytes;
      const translated: { id: string; digest: string; maxMemoryBytes: number; dir: string; cached: boolean }[] = [];
      // Images are kept beside their translations, so that a host needs its registry for neither.
      const registries = Registries.of({ ...config, cacheDir }, (warning) => output.progress(`  ${warning}`));
      for (const settings of config.components) {
        const { id, maxMemoryBytes = config.limits.maxLinearMemoryBytes } = settings;
        output.progress(`  translating ${id}`);
        const { bytes, digest } = await configuredArtifact(settings, artifactOptions(config, registries, Date.now));
        const component = await asComponent(bytes, { maxBytes, cacheDir, timeoutMs: TIMEOUT_MS });
        const { dir, cached } = await transpileComponent(component, preflight(component, { maxBytes }), {
          cacheDir,
          limits: { maxMemoryBytes },
          timeoutMs: TIMEOUT_MS,
        });
        translated.push({ id, digest, maxMemoryBytes, dir, cached });
      }
      output.result(translated, (print) => {
        const rows = translated.map(({ id, digest, cached }) => [id, digest.slice(0, 19), cached ? 'was there' : 'translated']);
        for (const line of tableLines(['component', 'digest', `in ${cacheDir}`], rows)) print(line);
      });
    });
}
