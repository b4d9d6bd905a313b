import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { AuthStore } from '../../auth/store.ts';

/** The flags of every command that works on a store. */
export interface StoreFlags {
  readonly store?: string;
  readonly operator?: string;
}

/** Adds `--store`, and `--operator` where a store is opened, to a command. */
export function withStore(command: Command, opens = true): Command {
  command.option('--store <dir>', 'the store; TRELLIS_AUTH_STORE, or $XDG_DATA_HOME/trellis/auth (~/.local/share/trellis/auth)');
  return opens ? command.option('--operator <name>', 'which operator, if the store has several') : command;
}

/** The store's folder: the flag, the environment, or the default after the XDG base directory rules. */
export function storeDir({ store }: StoreFlags): string {
  const named = store ?? process.env['TRELLIS_AUTH_STORE'];
  if (named) return named;
  return join(process.env['XDG_DATA_HOME'] || join(homedir(), '.local', 'share'), 'trellis', 'auth');
}

/** Opens the store that the flags name. @throws TRELLIS_AUTH_STORE, TRELLIS_AUTH_JWT_INVALID */
export function openStore(flags: StoreFlags): AuthStore {
  return AuthStore.open(storeDir(flags), { operator: flags.operator });
}

/** The ids of a flag such as `a,b`; none for an empty one, `undefined` if it was not given. */
export function idsOf(text: string | undefined): string[] | undefined {
  return text?.trim() === '' ? [] : text?.split(',').map((id) => id.trim());
}
