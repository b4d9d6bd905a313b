import { type Command, Option } from 'commander';
import { refusedBy } from '../../control/scaled.ts';
import { componentId, linkName, quote } from '../../ids.ts';
import { hasSameKey, type LatticeLink, type LinkKey } from '../../lattice/links.ts';
import { addConnectionFlags, type ConnectionFlags, repeated } from '../lattice/connection-flags.ts';
import { openLattice } from '../lattice/open-lattice.ts';
import { confirm } from '../lattice/waiting.ts';
import { linkLines } from '../lattice/tables.ts';
import { examples, outputOf } from '../program.ts';
import { TrellisError } from '../../errors.ts';
import { LINKS_ABOUT, showLinks } from './get.ts';

interface PutFlags extends ConnectionFlags {
  readonly interface: readonly string[];
  readonly sourceConfig?: readonly string[];
  readonly targetConfig?: readonly string[];
  readonly linkName: string;
}

interface DeleteFlags extends ConnectionFlags {
  readonly linkName: string;
  readonly all?: true;
  readonly yes?: true;
  readonly force?: true;
}

/** `trellis link`: which import of a component leads to which target. */
export function register(program: Command): void {
  const link = program
    .command('link')
    .description('say which import of a component leads to which target')
    .addHelpText(
      'after',
      examples(
        'trellis link put hello cache wasi keyvalue --interface store',
        'trellis link query',
        'trellis link del hello wasi keyvalue',
      ),
    );
  addConnectionFlags(link.command('query').alias('get').description(LINKS_ABOUT))
    .addHelpText('after', examples('trellis link query', 'trellis link query --output json'))
    .action(showLinks);
  registerPut(link);
  registerDelete(link);
}

function registerPut(link: Command): void {
  const put = link
    .command('put')
    .description('make a link, or change its interfaces and configurations')
    .argument('<source-id>', 'component or provider that imports')
    .argument('<target>', 'component or provider that serves')
    .argument('<wit-namespace>', 'such as wasi in wasi:keyvalue/store')
    .argument('<wit-package>', 'such as keyvalue in wasi:keyvalue/store')
    .addOption(repeated('--interface <name>', 'such as store in wasi:keyvalue/store (repeat for more)').makeOptionMandatory())
    .addOption(repeated('--source-config <name>', 'named configuration that the source gets with it (repeat for more)'))
    .addOption(repeated('--target-config <name>', 'named configuration that the target gets with it (repeat for more)'))
    .option('-l, --link-name <name>', 'name, where a source has several of a kind', 'default');
  addConnectionFlags(put)
    .addHelpText(
      'after',
      examples(
        'trellis link put greeter hello trellis-samples hello --interface greeting',
        'trellis link put hello cache wasi keyvalue --interface store --interface atomics --target-config cache-settings',
      ),
    )
    .action(async (source: string, target: string, namespace: string, name: string, flags: PutFlags, command: Command) => {
      const wanted: LatticeLink = {
        source_id: componentId(source),
        target: componentId(target),
        name: linkName(flags.linkName),
        wit_namespace: nameOf(namespace, 'namespace', /^[a-z][a-z0-9-]*$/),
        wit_package: nameOf(name, 'package', /^[a-z][a-z0-9-]*(?:@[0-9A-Za-z.+-]+)?$/),
        interfaces: interfacesOf(flags.interface),
        source_config: flags.sourceConfig ?? [],
        target_config: flags.targetConfig ?? [],
      };
      await using lattice = await openLattice(flags);
      const reply = await lattice.client.putLink(wanted);
      if (!reply.success) throw refusedBy(reply);
      outputOf(command).result({ link: wanted, message: reply.message }, (print) =>
        print(`${source} reaches ${target} for ${namespace}:${name}/${wanted.interfaces.join(',')}, link name ${wanted.name}.`),
      );
    });
}

/** A part of an interface's name; hosts take any text, and a link by another one is never found. */
function nameOf(given: string, what: string, form: RegExp): string {
  if (form.test(given)) return given;
  throw new TrellisError('TRELLIS_USAGE', {
    message: `a ${what} cannot be called ${quote(given)}`,
    remedy: 'For wasi:keyvalue/store write: wasi keyvalue --interface store',
  });
}

function interfacesOf(given: readonly string[]): readonly string[] {
  const interfaces = given.flatMap((each) => each.split(',')).map((each) => each.trim());
  if (interfaces.length > 0 && interfaces.every((each) => /^[a-z][a-z0-9-]*(?:@[0-9A-Za-z.+-]+)?$/.test(each))) return interfaces;
  throw new TrellisError('TRELLIS_USAGE', {
    message: '--interface must be the name of an interface alone',
    remedy: 'For wasi:keyvalue/store write: wasi keyvalue --interface store',
  });
}

function registerDelete(link: Command): void {
  const del = link
    .command('del')
    .alias('delete')
    .description('delete a link; one that is not there is no error')
    .argument('[source-id]', 'component or provider that imports')
    .argument('[wit-namespace]', 'such as wasi in wasi:keyvalue/store')
    .argument('[wit-package]', 'such as keyvalue in wasi:keyvalue/store')
    .option('-l, --link-name <name>', 'name of the link', 'default')
    .option('--all', 'delete every link of the lattice, after a question')
    .option('-y, --yes', 'with --all: ask nothing')
    .addOption(new Option('--force', 'as --yes').hideHelp());
  addConnectionFlags(del)
    .addHelpText(
      'after',
      examples('trellis link del hello wasi keyvalue', 'trellis link del hello wasi keyvalue --link-name backup'),
    )
    .action(
      async (
        source: string | undefined,
        namespace: string | undefined,
        name: string | undefined,
        flags: DeleteFlags,
        command: Command,
      ) => {
        const output = outputOf(command);
        const complete = source !== undefined && namespace !== undefined && name !== undefined;
        if (complete === (flags.all === true) || (flags.all === true && source !== undefined)) {
          throw new TrellisError('TRELLIS_USAGE', {
            message: 'name one link, or all of them',
            remedy: 'trellis link del SOURCE NAMESPACE PACKAGE, or trellis link del --all',
          });
        }
        await using lattice = await openLattice(flags);
        const known = await knownLinks(lattice.client);
        const key = (): LinkKey => ({
          source_id: componentId(source),
          name: linkName(flags.linkName),
          wit_namespace: namespace!,
          wit_package: name!,
        });
        const keys = flags.all === true ? distinct(known) : [key()];
        if (flags.all === true && keys.length > 0) {
          for (const line of linkLines(known)) output.progress(line);
          await confirm(
            `Delete these ${known.length} links of lattice ${lattice.lattice}?`,
            flags.yes === true || flags.force === true,
          );
        }
        const deleted: LatticeLink[] = [];
        for (const each of keys) {
          // Several links have one key if their interfaces differ, and a host deletes one of them for each request.
          const all = known.filter((link) => hasSameKey(link, each));
          for (let left = Math.max(1, all.length); left > 0; left--) {
            const reply = await lattice.client.deleteLink(each);
            if (!reply.success) throw refusedBy(reply);
          }
          deleted.push(...all);
        }
        if (!complete || deleted.length > 0) {
          output.result({ deleted }, (print) => {
            if (deleted.length === 0) print(`Lattice ${lattice.lattice} has no links.`);
            else print(`Deleted ${deleted.length === 1 ? 'the link' : `${deleted.length} links`}.`);
          });
          return;
        }
        const similar = known.filter((link) => link.source_id === source);
        output.result({ deleted }, (print) => {
          print('There was no such link.');
          if (similar.length === 0) return;
          print(`Links of ${source}:`);
          for (const line of linkLines(similar)) print(line);
        });
      },
    );
}

type Client = Awaited<ReturnType<typeof openLattice>>['client'];

async function knownLinks(client: Client): Promise<readonly LatticeLink[]> {
  const reply = await client.links();
  if (!reply.success) throw refusedBy(reply);
  return reply.response ?? [];
}

function distinct(links: readonly LatticeLink[]): LinkKey[] {
  return links.filter((link, at) => links.findIndex((other) => hasSameKey(link, other)) === at);
}
