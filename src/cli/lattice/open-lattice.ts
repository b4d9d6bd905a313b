import type { HostConfig } from '../../config/schema.ts';
import type { ControlClient } from '../../control/control-client.ts';
import type { LatticeName } from '../../ids.ts';
import type { LatticeConnection } from '../../nats/connection.ts';
import type { ConnectionFlags } from './connection-flags.ts';

/** A lattice, as a command of the command line reaches it: over its ctl connection. */
export interface OpenLattice extends AsyncDisposable {
  readonly config: HostConfig;
  readonly lattice: LatticeName;
  readonly ctl: LatticeConnection;
  readonly client: ControlClient;
}

/** Connects. @throws TRELLIS_USAGE, TRELLIS_CONFIG_INVALID, TRELLIS_CONTEXT_*, TRELLIS_NATS_*, TRELLIS_CLI_FILE, TRELLIS_KEY_INVALID */
export async function openLattice(flags: ConnectionFlags): Promise<OpenLattice> {
  // Help and completion load every command, and need neither the schema nor the NATS client.
  const { connectLattice } = await import('./connect-lattice.ts');
  return connectLattice(flags);
}
