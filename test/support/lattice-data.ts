import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { type LatticeData, type LatticeDataOptions, openLatticeData } from '../../src/control/lattice-data.ts';
import { latticeName } from '../../src/ids.ts';
import type { LatticeLink } from '../../src/lattice/links.ts';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { Alarms } from '../../src/telemetry/alarms.ts';
import { recordedLog } from './recorded-log.ts';

/** What one host knows of a lattice's data, over a connection of its own. */
export interface DataHost extends AsyncDisposable {
  readonly ctl: LatticeConnection;
  readonly data: LatticeData;
  readonly alarms: Alarms;
  readonly logged: Record<string, unknown>[];
  /** The codes of the alarms that stand. */
  standing(): string[];
  /** JetStream as an administrator sees it, on the same connection. */
  streams(): Promise<JetStreamManager['streams']>;
}

/** Opens a control connection; without credentials unless a file of some is given. */
export function openCtl(url: string, lattice = 'default', credsFile?: string): Promise<LatticeConnection> {
  const login = credsFile === undefined ? {} : { credsFile };
  const log = silentLogger();
  return connectPartition({ partition: 'ctl', lattice: latticeName(lattice), servers: [url], name: 'test', log, ...login });
}

/** Follows the data of a lattice as a host does. */
export async function startDataHost(url: string, lattice = 'default', more: Partial<LatticeDataOptions> = {}): Promise<DataHost> {
  const ctl = more.ctl ?? (await openCtl(url, lattice));
  const { log, logged } = recordedLog();
  const alarms = new Alarms(log);
  const data = await openLatticeData({ lattice: latticeName(lattice), log, alarms, checkEveryMs: 500, ...more, ctl });
  return {
    ctl,
    data,
    alarms,
    logged,
    standing: () => alarms.list().map(({ code }) => code),
    streams: async () => (await ctl.withClient((client) => jetstreamManager(client))).streams,
    async [Symbol.asyncDispose]() {
      await data.close();
      await ctl.close();
    },
  };
}

/** A link of the default name for `wasi:keyvalue`. */
export function linkOf(source: string, target: string, more: Partial<LatticeLink> = {}): LatticeLink {
  return {
    source_id: source,
    target,
    name: 'default',
    wit_namespace: 'wasi',
    wit_package: 'keyvalue',
    interfaces: ['store'],
    source_config: [],
    target_config: [],
    ...more,
  };
}
