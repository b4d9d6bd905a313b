import type { Command } from 'commander';
import { refusedBy } from '../../control/scaled.ts';
import { TrellisError } from '../../errors.ts';
import { quote } from '../../ids.ts';
import { isConfigName } from '../../lattice/config-values.ts';
import { addConnectionFlags, type ConnectionFlags, pairsOf } from '../lattice/connection-flags.ts';
import { openLattice } from '../lattice/open-lattice.ts';
import { fieldLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';

/** `trellis config`: named configurations that components and links refer to. */
export function register(program: Command): void {
  const config = program
    .command('config')
    .description('keep named configurations, which components and links refer to')
    .addHelpText(
      'after',
      examples('trellis config put cache-settings url=redis://cache:6379', 'trellis config get cache-settings'),
    );
  addConnectionFlags(
    config
      .command('put')
      .description('keep a configuration; what it held before is replaced as a whole')
      .argument('<name>', 'name of the configuration')
      .argument('<key=value...>', 'what it holds; everybody who may read the lattice reads it, so no secrets'),
  )
    .addHelpText('after', examples('trellis config put cache-settings url=redis://cache:6379 "greeting=good morning"'))
    .action(async (name: string, values: string[], flags: ConnectionFlags, command: Command) => {
      const [key, held] = [nameOf(name), pairsOf(values, 'a value')];
      await using lattice = await openLattice(flags);
      const reply = await lattice.client.putConfig(key, held);
      if (!reply.success) throw refusedBy(reply);
      const count = Object.keys(held).length;
      outputOf(command).result({ name, message: reply.message }, (print) =>
        print(`${name} holds ${count} ${count === 1 ? 'value' : 'values'}.`),
      );
    });
  addConnectionFlags(config.command('get').description('print a configuration').argument('<name>', 'name of the configuration'))
    .addHelpText('after', examples('trellis config get cache-settings', 'trellis config get cache-settings --output json'))
    .action(async (name: string, flags: ConnectionFlags, command: Command) => {
      const key = nameOf(name);
      await using lattice = await openLattice(flags);
      const reply = await lattice.client.getConfig(key);
      if (!reply.success) throw refusedBy(reply);
      const { response } = reply;
      if (response === undefined) {
        throw new TrellisError('TRELLIS_CONFIG_UNKNOWN', {
          message: `lattice ${lattice.lattice} has no configuration ${quote(name)}`,
        });
      }
      outputOf(command).result(response, (print) => {
        for (const line of fieldLines(Object.entries(response))) print(line);
      });
    });
  addConnectionFlags(
    config
      .command('del')
      .alias('delete')
      .description('delete a configuration; one that is not there is no error')
      .argument('<name>', 'name of the configuration'),
  )
    .addHelpText('after', examples('trellis config del cache-settings'))
    .action(async (name: string, flags: ConnectionFlags, command: Command) => {
      const key = nameOf(name);
      await using lattice = await openLattice(flags);
      const was = await lattice.client.getConfig(key);
      const reply = await lattice.client.deleteConfig(key);
      if (!reply.success) throw refusedBy(reply);
      const deleted = was.response !== undefined;
      outputOf(command).result({ name, deleted, message: reply.message }, (print) =>
        print(deleted ? `${name} is deleted.` : `There was no configuration ${name}.`),
      );
    });
}

function nameOf(name: string): string {
  if (isConfigName(name)) return name;
  throw new TrellisError('TRELLIS_ID_INVALID', {
    message: `a configuration cannot be called ${quote(name)}`,
    remedy: 'Use A-Z, a-z, 0-9, _, -, / and = only.',
  });
}
