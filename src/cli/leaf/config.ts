import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { TrellisError } from '../../errors.ts';
import { hostConfigText } from '../../leaf/behind-leaf.ts';
import { sidecarFiles } from '../../leaf/sidecar-config.ts';
import { addressText } from '../../leaf/sidecar-spec.ts';
import { replaceFile } from '../../replace-file.ts';
import { fieldLines } from '../output.ts';
import { outputOf } from '../program.ts';
import { readTextFile } from '../text-file.ts';
import { checkWithServer } from './check-with-server.ts';
import { addLeafConfig, type ConfigFlags } from './flags.ts';
import { gatherLeafParts, type LeafParts } from './gather.ts';

/** `trellis leaf config`: the files of a sidecar, and the settings of the host behind it. */
export function registerLeafConfig(leaf: Command): void {
  addLeafConfig(leaf).action((flags: ConfigFlags, command: Command) => {
    const parts = gatherLeafParts(flags, Date.now());
    const files = [
      ...sidecarFiles(parts.there).map(({ name, text }) => ({ file: join(flags.out, name), text })),
      ...(flags.hostConfig === undefined ? [] : [{ file: flags.hostConfig, text: hostConfigOf(flags, parts) }]),
    ];
    if (flags.force !== true) refuseExisting(files.map(({ file }) => file));
    const program = checkWithServer(sidecarFiles(parts.here), flags.nameEnv);
    if (parts.local?.isNew === true) writeSeed(parts.local.file, parts.local.key.exportSeed().reveal());
    for (const { file, text } of files) write(file, text);

    const { there, users, local } = parts;
    const warnings = [...parts.warnings, whoMayListen(flags)];
    const data = {
      form: there.form,
      name: there.name,
      lattice: there.lattice,
      files: files.map(({ file }) => file),
      ctl: { listen: addressText(there.ctl.listen), hubUser: users.ctl.publicKey, expiresMs: users.ctl.expiresMs },
      rpc: { listen: addressText(there.rpc.listen), hubUser: users.rpc.publicKey, expiresMs: users.rpc.expiresMs },
      ...(local === undefined ? {} : { localCtlUser: local.key.publicKey, ctlSeedFile: local.file, ctlSeedIsNew: local.isNew }),
      checkedWith: program === undefined ? null : program.version,
      warnings,
    };
    outputOf(command).result(data, (print) => {
      const seed = local === undefined ? [] : [['ctl seed', `${local.file}${local.isNew ? ' (new, mode 0600)' : ''}`] as const];
      for (const line of fieldLines([
        ['sidecar', there.name],
        ['files', files.map(({ file }) => file).join('\n')],
        ['ctl', `${data.ctl.listen}, at the hub ${data.ctl.hubUser}`],
        ['rpc', `${data.rpc.listen}, at the hub ${data.rpc.hubUser}`],
        ...seed,
        ['checked', program === undefined ? 'no: there is no nats-server here' : `with nats-server ${program.version}`],
      ]))
        print(line);
      print('');
      for (const warning of warnings) print(`! ${warning}`);
    });
  });
}

/** Who gets in on loopback: nobody should have to find that out later. */
function whoMayListen({ form }: ConfigFlags): string {
  return form === 'operator'
    ? 'The sidecar listens on loopback: every process of this network namespace (machine, container, pod) that has a JWT of these accounts can use it.'
    : 'Loopback without a login: every process of this network namespace (machine, container, pod) can invoke through the sidecar. Control needs the ctl seed. Share the namespace with nothing that you do not trust.';
}

function hostConfigOf(flags: ConfigFlags, { there, users, local }: LeafParts): string {
  const { hostFilesIn } = flags;
  const path = (file: string): string =>
    hostFilesIn === undefined ? resolve(file) : `${hostFilesIn.replace(/\/+$/, '')}/${basename(file)}`;
  const own = { ctl: path(flags.ctlCreds), rpc: path(flags.rpcCreds) };
  const behind = {
    users: { ctl: users.ctl.publicKey, rpc: users.rpc.publicKey },
    ...(local === undefined ? { credsFiles: own } : { ctlSeedFile: path(local.file) }),
  };
  return hostConfigText(there, behind, flags.hostBase === undefined ? '' : readTextFile(flags.hostBase));
}

function refuseExisting(files: readonly string[]): void {
  const found = files.find((file) => existsSync(file));
  if (found === undefined) return;
  throw new TrellisError('TRELLIS_CLI_FILE', {
    message: `${found} exists already and is not overwritten`,
    remedy: 'Choose another folder, or add --force to replace it.',
  });
}

function writeSeed(file: string, seed: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    // 'wx': an existing key is never replaced, and nobody can have opened the file before.
    writeFileSync(file, `${seed}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    throw unwritable(file, error);
  }
}

function write(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    replaceFile(file, text);
  } catch (error) {
    throw unwritable(file, error);
  }
}

function unwritable(file: string, error: unknown): TrellisError {
  return new TrellisError('TRELLIS_CLI_FILE', {
    message: `${file} cannot be written (${String((error as NodeJS.ErrnoException).code)})`,
    remedy: 'Choose a folder you can write to.',
  });
}
