import type { Command } from 'commander';
import { registerLeafConfig } from '../leaf/config.ts';

/** `trellis leaf`: the nats-server beside a host. */
export function register(program: Command): void {
  const leaf = program.command('leaf').description('The leaf node (a local nats-server) beside a host.');
  registerLeafConfig(leaf);
}
