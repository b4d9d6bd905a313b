import type { Command } from 'commander';
import { registerContextChanges } from '../lattice/change-contexts.ts';
import { editContext } from '../lattice/edit-context.ts';
import { ContextStore } from '../lattice/context-store.ts';
import { contextFields, contextRow } from '../lattice/context-text.ts';
import { fieldLines, tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';

/** `trellis ctx`: how to reach lattices, kept under names. No secret is ever in one. */
export function register(program: Command): void {
  const ctx = program
    .command('ctx')
    .description('keep under names how to reach lattices, and say which one to use')
    .addHelpText(
      'after',
      examples(
        'trellis ctx new lab --lattice lab --ctl-servers tls://nats.example:4222 --ctl-creds ~/lab.creds --use',
        'trellis ctx list',
        'trellis ctx use lab',
      ),
    );
  ctx
    .command('list')
    .alias('ls')
    .description('list the contexts of Trellis and of the nats command')
    .addHelpText('after', examples('trellis ctx list'))
    .action((_flags: unknown, command: Command) => {
      const store = new ContextStore();
      const selected = store.selected();
      const listed = store.list();
      const data = listed.map((each) => {
        const base = { name: each.name, selected: each.name === selected };
        if ('problem' in each) return { ...base, kind: each.kind, file: each.file, problem: each.problem };
        const { kind, file, description, settings } = each.context;
        return { ...base, kind, file, description, settings };
      });
      outputOf(command).result({ contexts: data }, (print) => {
        if (listed.length === 0) print('No contexts. Make one with trellis ctx new.');
        else {
          const rows = listed.map((each) => contextRow(each, each.name === selected));
          for (const line of tableLines(['', 'name', 'of', 'lattice', 'servers', 'login', 'about'], rows)) print(line);
        }
      });
    });
  ctx
    .command('show')
    .description('print a context; the one in use if none is named')
    .argument('[name]', 'name of the context')
    .addHelpText('after', examples('trellis ctx show', 'trellis ctx show lab --output json'))
    .action((given: string | undefined, _flags: unknown, command: Command) => {
      const store = new ContextStore();
      const name = given ?? store.selected();
      const output = outputOf(command);
      if (name === undefined) {
        output.result({ context: null }, (print) => print('No context is in use. Take one with trellis ctx use NAME.'));
        return;
      }
      const context = store.get(name);
      output.result(context, (print) => {
        for (const line of fieldLines(contextFields(context))) print(line);
      });
    });
  ctx
    .command('use')
    .alias('default')
    .description('use a context from now on, wherever no other settings are given')
    .argument('[name]', 'name of the context; nats:NAME for one of the nats command')
    .option('--none', 'use none')
    .addHelpText('after', examples('trellis ctx use lab', 'trellis ctx use --none'))
    .action((name: string | undefined, flags: { none?: true }, command: Command) => {
      if ((name === undefined) === (flags.none !== true)) command.error('error: name a context, or say --none');
      new ContextStore().select(name);
      outputOf(command).result({ selected: name ?? null }, (print) =>
        print(name === undefined ? 'No context is in use.' : `${name} is in use.`),
      );
    });
  registerContextChanges(ctx);
  ctx
    .command('edit')
    .description('open a context in $VISUAL or $EDITOR; it is kept only if it is right')
    .argument('[name]', 'name of the context; the one in use if none is named')
    .addHelpText('after', examples('EDITOR=nano trellis ctx edit lab'))
    .action(async (given: string | undefined, _flags: unknown, command: Command) => {
      const store = new ContextStore();
      const name = given ?? store.selected();
      if (name === undefined) command.error('error: name a context');
      const changed = await editContext(store, name);
      outputOf(command).result({ name, changed }, (print) => print(changed ? `${name} is changed.` : `${name} stays as it was.`));
    });
}
