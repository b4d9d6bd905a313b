import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { Tree } from '../../config/layers.ts';
import { listSettings } from '../../config/settings.ts';
import { textToValue } from '../../config/text-values.ts';
import { TrellisError } from '../../errors.ts';
import { examples, outputOf } from '../program.ts';
import { visible } from '../../telemetry/scrub.ts';
import { type CommandSigner, ContextStore } from './context-store.ts';
import { contextFields, NOT_THERE } from './context-text.ts';

/** Settings that a context is made of, by the flags that hosts have for them. */
const FLAGS: readonly (readonly [flag: string, setting: string, placeholder: string, about: string])[] = [
  ['lattice', 'lattice', 'name', 'name of the lattice'],
  ['ctl-servers', 'ctl.servers', 'a,b', 'NATS servers of the ctl connection, as nats://host:port or tls://host:port'],
  ['ctl-creds', 'ctl.credsFile', 'file', 'credentials of a user for it'],
  ['ctl-tls-ca-file', 'ctl.tls.caFile', 'file', 'certificate authorities (PEM) of its servers'],
  ['ctl-tls-cert-file', 'ctl.tls.certFile', 'file', 'client certificate (PEM)'],
  ['ctl-tls-key-file', 'ctl.tls.keyFile', 'file', 'private key (PEM) of the client certificate'],
  ['rpc-servers', 'rpc.servers', 'a,b', 'servers of the rpc connection (trellis call, spy); those of ctl if left out'],
  ['rpc-creds', 'rpc.credsFile', 'file', 'credentials of a user for it'],
  ['rpc-tls-ca-file', 'rpc.tls.caFile', 'file', 'certificate authorities (PEM) of its servers; those of ctl if left out'],
  ['trust-cluster-issuers', 'trust.clusterIssuers', 'a,b', 'public cluster keys to believe'],
  ['trust-cluster-seed-file', 'trust.clusterSeedFile', 'file', 'cluster seed to sign calls with'],
  ['trust-delegation-file', 'trust.delegationFile', 'file', 'delegation to sign calls under, instead of a cluster seed'],
  ['host-seed-file', 'hostSeedFile', 'file', 'server seed that the delegation was minted for'],
  ['ctl-topic-prefix', 'control.prefix', 'text', 'first tokens of the control subjects'],
];

/** Registers `ctx new` and `ctx del`. */
export function registerContextChanges(ctx: Command): void {
  const made = ctx
    .command('new')
    .description('keep how to reach a lattice under a name; paths of credentials, never what is in them')
    .argument('<name>', 'name of the context')
    .option('--description <text>', 'what it is for')
    .option('--from <name>', 'begin with a copy of another context, such as one of the nats command')
    .option('--use', 'use it from now on');
  for (const [flag, , placeholder, about] of FLAGS) made.option(`--${flag} <${placeholder}>`, about);
  made
    .option('--sign-seed-file <file>', 'key to sign commands with: an operator seed (SU…) or a cluster seed (SC…)')
    .option('--sign-delegation-file <file>', 'delegation that lets the operator give commands')
    .addOption(new Option('--ctl-credsfile <file>', 'as --ctl-creds').hideHelp())
    .addHelpText(
      'after',
      examples(
        'trellis ctx new lab --lattice lab --ctl-servers tls://nats.example:4222 --ctl-creds ~/lab.creds --use',
        '# a context of the nats command, for another lattice',
        'trellis ctx new lab-eu --from nats:lab --lattice lab-eu',
      ),
    )
    .action((name: string, flags: Record<string, string | true | undefined>, command: Command) => {
      const store = new ContextStore();
      if (store.has(name)) {
        throw new TrellisError('TRELLIS_USAGE', {
          message: `there is a context ${name} already`,
          remedy: `Change it with trellis ctx edit ${name}, or delete it with trellis ctx del ${name}.`,
        });
      }
      const from = typeof flags['from'] === 'string' ? store.get(flags['from']) : undefined;
      const description = typeof flags['description'] === 'string' ? flags['description'] : (from?.description ?? '');
      store.put(name, {
        description,
        settings: settingsFrom(flags, from?.settings ?? {}),
        signer: signerFrom(flags) ?? from?.signer,
      });
      if (flags['use'] === true) store.select(name);
      const file = store.fileOf(name);
      const output = outputOf(command);
      for (const [setting, text] of contextFields(store.get(name)))
        if (text.endsWith(NOT_THERE)) output.progress(`note: ${setting} ${visible(text)}`);
      output.result({ name, file, selected: flags['use'] === true }, (print) =>
        print(`${name} is kept in ${file}${flags['use'] === true ? ' and in use' : `; use it with trellis ctx use ${name}`}.`),
      );
    });
  ctx
    .command('del')
    .aliases(['delete', 'rm'])
    .description('forget a context; its credentials stay where they are')
    .argument('<name>', 'name of the context')
    .addHelpText('after', examples('trellis ctx del lab'))
    .action((name: string, _flags: unknown, command: Command) => {
      new ContextStore().delete(name);
      outputOf(command).result({ deleted: name }, (print) => print(`${name} is forgotten.`));
    });
}

function signerFrom(flags: Record<string, string | true | undefined>): CommandSigner | undefined {
  const [seedFile, delegationFile] = [flags['signSeedFile'], flags['signDelegationFile']];
  if (typeof seedFile !== 'string') return undefined;
  return {
    seedFile: wholePath(seedFile),
    ...(typeof delegationFile === 'string' ? { delegationFile: wholePath(delegationFile) } : {}),
  };
}

function settingsFrom(flags: Record<string, string | true | undefined>, base: Tree): Tree {
  const settings = structuredClone(base);
  const put = (path: readonly string[], value: unknown): void => {
    const last = path.at(-1)!;
    let node = settings;
    for (const key of path.slice(0, -1)) node = node[key] = { ...(node[key] as Tree | undefined) };
    node[last] = value;
  };
  const given = (flag: string): string | undefined => {
    const value = flags[flag.replace(/-(\w)/g, (_dash, letter: string) => letter.toUpperCase())];
    return typeof value === 'string' ? value : undefined;
  };
  for (const [flag, name] of FLAGS) {
    const text = given(flag) ?? (flag === 'ctl-creds' ? given('ctl-credsfile') : undefined);
    const setting = listSettings().find((each) => each.name === name);
    if (text === undefined || setting === undefined) continue;
    put(setting.path, setting.kind === 'path' ? wholePath(text) : textToValue(setting, text));
  }
  // Most lattices have one address for both connections.
  if (given('ctl-servers') !== undefined && given('rpc-servers') === undefined) put(['rpc', 'servers'], at(settings, 'servers'));
  const ca = given('ctl-tls-ca-file');
  if (ca !== undefined && given('rpc-tls-ca-file') === undefined) put(['rpc', 'tls', 'caFile'], wholePath(ca));
  return settings;
}

function at({ ctl }: Tree, key: string): unknown {
  return (ctl as Tree | undefined)?.[key];
}

/** Shells expand `~` only at the beginning of a word. */
function wholePath(text: string): string {
  return resolve(text.replace(/^~(?=\/)/, process.env['HOME'] || homedir()));
}
