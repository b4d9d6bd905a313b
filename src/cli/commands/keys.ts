import { closeSync, openSync, writeSync } from 'node:fs';
import { Argument } from 'commander';
import type { Command } from 'commander';
import { readSecretFile } from '../../config/secret-files.ts';
import { TrellisError } from '../../errors.ts';
import { SigningKey } from '../../trust/nkey.ts';
import type { KeyKind } from '../../trust/nkey.ts';
import { fieldLines, tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { defaultKeysDir, describeSeedFile, listSeedFiles } from '../seed-files.ts';
import { registerDelegate } from '../trust/delegate.ts';
import { registerIssuers } from '../trust/issuers.ts';
import { registerRevoke } from '../trust/revoke.ts';
import { registerRotate } from '../trust/rotate.ts';

const KINDS = ['cluster', 'server', 'user', 'account', 'operator', 'module', 'service'] as const satisfies readonly KeyKind[];

/** Settings that take a key of a kind, for the last line of `keys gen`. */
const USES: Readonly<Partial<Record<KeyKind, string>>> = {
  cluster:
    'trust.clusterSeedFile (WASMCLOUD_CLUSTER_SEED_FILE); the public key belongs into trust.clusterIssuers of the other hosts',
  server: 'hostSeedFile (TRELLIS_HOST_SEED_FILE)',
  user: 'rpc.seedFile or ctl.seedFile; or, another one, as the key of an operator who signs commands (trellis keys delegate --commands)',
};

/** `trellis keys`: gen, list and show here, what concerns a lattice in `cli/trust/`. */
export function register(program: Command): void {
  const keys = program.command('keys').description('Make, list, show, delegate, rotate and revoke keys.');
  registerIssuers(keys);
  registerDelegate(keys);
  registerRotate(keys);
  registerRevoke(keys);
  keys
    .command('gen')
    .description('Make a key. The seed goes into a file that only you can read; the public key is printed.')
    .addArgument(new Argument('[kind]', 'what the key is for').choices(KINDS).default('cluster'))
    .option('--out <file>', 'file for the seed; must not exist yet')
    .option('--reveal', 'print the seed as well')
    .addHelpText('after', examples('trellis keys gen cluster --out cluster.seed', 'trellis keys gen server --out host.seed'))
    .action((kind: KeyKind, options: { out?: string; reveal?: true }, command: Command) => {
      if (options.out === undefined && options.reveal !== true) {
        throw new TrellisError('TRELLIS_USAGE', {
          message: 'Nothing would keep the seed of the new key',
          remedy: `Give a file for it: trellis keys gen ${kind} --out ${kind}.seed`,
        });
      }
      const key = SigningKey.generate(kind);
      const seed = key.exportSeed().reveal();
      if (options.out !== undefined) writeSeed(options.out, seed);
      const use = USES[kind];
      const data = {
        kind,
        publicKey: key.publicKey,
        ...(options.out === undefined ? {} : { seedFile: options.out }),
        ...(options.reveal === true ? { seed } : {}),
      };
      outputOf(command).result(data, (print) => {
        const fields: [string, string][] = [
          ['kind', kind],
          ['public key', key.publicKey],
        ];
        if (options.out !== undefined) fields.push(['seed file', `${options.out} (mode 0600)`]);
        if (options.reveal === true) fields.push(['seed', seed]);
        if (use !== undefined) fields.push(['use it as', use]);
        for (const line of fieldLines(fields)) print(line);
      });
    });
  keys
    .command('list')
    .description('List the seed files of a folder: kind, public key and who may read them. Never a seed.')
    .argument('[folder]', 'folder with seed files; $XDG_CONFIG_HOME/trellis/keys (~/.config/trellis/keys) if left out')
    .addHelpText('after', examples('trellis keys list', 'trellis keys list /etc/trellis'))
    .action((folder: string | undefined, _options: unknown, command: Command) => {
      const found = listSeedFiles(folder ?? defaultKeysDir());
      outputOf(command).result({ folder: folder ?? defaultKeysDir(), keys: found }, (print) => {
        const rows = found.map(({ kind, publicKey, file, mode, readableByOthers }) => [
          kind,
          publicKey,
          file,
          mode,
          readableByOthers ? 'OTHERS MAY READ IT: chmod 600' : '',
        ]);
        for (const line of tableLines(['kind', 'public key', 'file', 'mode', ''], rows)) print(line);
      });
    });
  keys
    .command('show')
    .description('Print the kind and the public key of a seed file.')
    .argument('<file>', 'file with a seed')
    .option('--reveal', 'print the seed as well')
    .addHelpText('after', examples('trellis keys show cluster.seed'))
    .action((file: string, options: { reveal?: true }, command: Command) => {
      const read = readSecretFile(file);
      if (!read.ok) throw new TrellisError('TRELLIS_CLI_FILE', { message: `${file} ${read.reason}` });
      const entry = describeSeedFile(file);
      if (entry === undefined) {
        throw new TrellisError('TRELLIS_KEY_INVALID', { message: `${file} holds no seed of a signing key` });
      }
      const { kind, publicKey, readableByOthers } = entry;
      const seed = options.reveal === true ? read.text.trim() : undefined;
      outputOf(command).result({ kind, publicKey, readableByOthers, ...(seed === undefined ? {} : { seed }) }, (print) => {
        const fields: [string, string][] = [
          ['kind', kind],
          ['public key', publicKey],
        ];
        if (seed !== undefined) fields.push(['seed', seed]);
        for (const line of fieldLines(fields)) print(line);
        if (readableByOthers) print(`\nOther users here can read this file: chmod 600 ${file}`);
      });
    });
}

function writeSeed(file: string, seed: string): void {
  try {
    // 'wx': an existing key is never replaced, and nobody can have opened the file before.
    const handle = openSync(file, 'wx', 0o600);
    try {
      writeSync(handle, `${seed}\n`);
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new TrellisError('TRELLIS_CLI_FILE', {
      message:
        code === 'EEXIST' ? `${file} exists already and is not overwritten` : `${file} cannot be written (${String(code)})`,
      remedy:
        code === 'EEXIST'
          ? 'Choose another file, or remove it if no host uses it any more.'
          : 'Choose a folder you can write to.',
    });
  }
}
