import { Command, CommanderError, Option } from 'commander';
import type { FlagValue, LoadOptions } from '../config/load.ts';
import { redactText } from '../config/problems.ts';
import { settingGroups } from '../config/settings.ts';
import type { Setting } from '../config/settings.ts';
import { TrellisError } from '../errors.ts';

/** What the command line of the daemon asks for. */
export interface DaemonFlags {
  readonly load: Omit<LoadOptions, 'env'>;
  readonly checkOnly: boolean;
  readonly version: boolean;
  readonly output: 'text' | 'json';
}

/** Flags that would put a secret into the process list, where every user of the machine reads it. */
const SECRET_FLAGS: Readonly<Record<string, string>> = {
  '--artifacts-password': '--artifacts-password-file',
  '--cluster-seed': '--trust-cluster-seed-file',
  '--trust-cluster-seed': '--trust-cluster-seed-file',
  '--host-seed': '--host-seed-file',
  '--oci-password': '--artifacts-password-file',
  '--nats-seed': '--rpc-creds',
  '--nats-jwt': '--rpc-creds',
  '--ctl-seed': '--ctl-seed-file',
  '--ctl-jwt': '--ctl-jwt-file',
  '--rpc-seed': '--rpc-seed-file',
  '--rpc-jwt': '--rpc-jwt-file',
  ...Object.fromEntries(
    ['nats', 'ctl', 'rpc'].flatMap((name) =>
      ['user', 'password', 'pass', 'token'].map((word) => [`--${name}-${word}`, `--${name === 'ctl' ? 'ctl' : 'rpc'}-creds`]),
    ),
  ),
};

const EXAMPLES = `
Examples:
  $ node host.js --config config/host.yaml
      run what the file says
  $ node host.js --check-config --config config/host.yaml
      say everything that is wrong with it, and start nothing
  $ node host.js --dev --component hello=components/hello/build/hello.wasm
      one component on the NATS server of this computer

Settings: flags win over the environment (TRELLIS_<SETTING>, WASMCLOUD_* as in wasmCloud 1.x), that over the file, that over
the defaults. All of them, with their units: docs/config.md. A seed is never a flag: other users can read those.

Signals: TERM and INT drain, a second one stops at once, USR2 drains with all patience (lameDuckMs),
HUP reads the configuration again. docs/lifecycle.md
Exit codes: 0 stopped as asked, 1 unexpected, 2 usage, 5 NATS not reachable, 69 lattice lost for good, 78 configuration,
130 and 143 on a second signal.
`;

/**
 * Reads the daemon's command line.
 * @param argv - Arguments after the program's name.
 * @throws TRELLIS_USAGE; `CommanderError` with exit code 0 after `--help` was printed
 */
export function readFlags(argv: readonly string[]): DaemonFlags {
  for (const arg of argv) {
    const instead = SECRET_FLAGS[arg.split('=')[0]!];
    if (instead === undefined) continue;
    throw new TrellisError('TRELLIS_USAGE', {
      message: `${arg.split('=')[0]!} would show a secret to every user of this computer`,
      remedy: `Put it into a file (mode 0600) and use ${instead} <file>.`,
    });
  }
  const values: FlagValue[] = [];
  const labels: [string, string][] = [];
  const components: { id: string; file?: string; image?: string }[] = [];
  const program = new Command('host.js')
    .description('Trellis host: joins a lattice and runs components; executes nothing that is not verified.')
    .option('-c, --config <file>', 'YAML or JSON file with settings')
    .option('--check-config', 'list every problem of the configuration, then exit (0 or 78)')
    .addOption(
      new Option('-o, --output <format>', 'form of --check-config, --version and errors')
        .choices(['text', 'json'])
        .default('text'),
    )
    .option('-V, --version', 'print versions and exit')
    .option('-l, --label <key=value>', 'add a label (repeat for more)', (text) => void labels.push(pair(text, '--label')))
    .option('--component <id=file>', 'run a component, of a file or an oci:// reference (repeat for more)', (text) => {
      const [id, place] = pair(text, '--component');
      components.push(place.startsWith('oci://') ? { id, image: place } : { id, file: place });
    })
    .helpOption('-h, --help', 'print this')
    .addHelpText('after', EXAMPLES)
    .allowExcessArguments(false)
    .showSuggestionAfterError(true)
    .configureOutput({ outputError: () => {} })
    .exitOverride();
  for (const { name, settings } of settingGroups()) {
    program.optionsGroup(name === '' ? 'Settings:' : `Settings of ${name}:`);
    for (const setting of settings) addFlags(program, setting, values);
  }
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode !== 0) {
      // What somebody typed may hold a secret; it is shown as a setting's value would be.
      throw new TrellisError('TRELLIS_USAGE', {
        message: redactText(error.message.replace(/^error: /, '')),
        remedy: 'Run node host.js --help.',
      });
    }
    throw error;
  }
  const options = program.opts<{ config?: string; checkConfig?: boolean; output: 'text' | 'json'; version?: boolean }>();
  return {
    load: {
      flags: values,
      extra: [
        ...labels.map(([key, value]) => ({ path: ['labels', key], value, flag: '--label' })),
        ...(components.length === 0 ? [] : [{ path: ['components'], value: components, flag: '--component' }]),
      ],
      ...(options.config === undefined ? {} : { file: options.config }),
    },
    checkOnly: options.checkConfig === true,
    version: options.version === true,
    output: options.output,
  };
}

function addFlags(program: Command, setting: Setting, values: FlagValue[]): void {
  for (const [i, flag] of setting.flags.filter((candidate) => candidate.startsWith('--')).entries()) {
    const short = i === 0 ? setting.flags.find((candidate) => /^-\w$/.test(candidate)) : undefined;
    const shape = setting.kind === 'boolean' ? ' [true|false]' : ` <${placeholder(setting)}>`;
    const about = setting.description.replaceAll('`', '');
    const standard = setting.defaultText === undefined ? '' : ` (default: ${setting.defaultText})`;
    const option = new Option(`${short === undefined ? '' : `${short}, `}${flag}${shape}`, `${about}${standard}`);
    option.argParser((text: string) => void values.push({ flag, setting, text }));
    // Commander calls no parser for a flag without its optional value.
    if (setting.kind === 'boolean') option.preset('true');
    program.addOption(i === 0 ? option : option.hideHelp());
  }
}

function placeholder(setting: Setting): string {
  switch (setting.kind) {
    case 'choice':
      return setting.choices.join('|');
    case 'integer':
      return 'n';
    case 'path':
      return 'file';
    case 'list':
      return 'a,b';
    case 'map':
      return 'k=v,k=v';
    default:
      return 'text';
  }
}

function pair(text: string, flag: string): [string, string] {
  const at = text.indexOf('=');
  if (at >= 1 && at < text.length - 1) return [text.slice(0, at), text.slice(at + 1)];
  throw new TrellisError('TRELLIS_USAGE', { message: `${flag} needs name=value`, remedy: `Write ${flag} name=value.` });
}
