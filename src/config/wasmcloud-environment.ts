import type { Layers } from './layers.ts';

/**
 * The environment of a wasmCloud 1.9 host, where it is not simply another name of one setting (those stand in the schema).
 * Source: the flags and variables of `wasmcloud` 1.9.2.
 */

/** Host and port settings of 1.x that become `ctl.servers` and `rpc.servers`, for documents. */
export const SERVER_VARIABLES = [
  ['WASMCLOUD_NATS_HOST', 'Host of both connections, in `ctl.servers` and `rpc.servers`.'],
  ['WASMCLOUD_NATS_PORT', 'Port of both connections.'],
  ['WASMCLOUD_CTL_HOST', 'Host in `ctl.servers`.'],
  ['WASMCLOUD_CTL_PORT', 'Port in `ctl.servers`.'],
  ['WASMCLOUD_CTL_TLS', '`true`: `tls://` in `ctl.servers`.'],
  ['WASMCLOUD_RPC_HOST', 'Host in `rpc.servers`.'],
  ['WASMCLOUD_RPC_PORT', 'Port in `rpc.servers`.'],
  ['WASMCLOUD_RPC_TLS', '`true`: `tls://` in `rpc.servers`.'],
] as const;

/** Lays `ctl.servers` and `rpc.servers` as the 1.x host composes them: own host, port and TLS, else those of `WASMCLOUD_NATS_*`. */
export function layWasmcloudServers(layers: Layers, get: (name: string) => string | undefined): void {
  for (const partition of ['ctl', 'rpc'] as const) {
    const upper = partition.toUpperCase();
    const hostName = get(`WASMCLOUD_${upper}_HOST`) === undefined ? 'WASMCLOUD_NATS_HOST' : `WASMCLOUD_${upper}_HOST`;
    const portName = get(`WASMCLOUD_${upper}_PORT`) === undefined ? 'WASMCLOUD_NATS_PORT' : `WASMCLOUD_${upper}_PORT`;
    const tlsName = `WASMCLOUD_${upper}_TLS`;
    const used = [hostName, portName, tlsName].filter((name) => get(name) !== undefined);
    if (used.length === 0) continue;
    const scheme = get(tlsName)?.toLowerCase() === 'true' ? 'tls' : 'nats';
    const server = `${scheme}://${get(hostName) ?? '127.0.0.1'}:${get(portName) ?? '4222'}`;
    layers.set([partition, 'servers'], [server], `the environment, ${used.join(' and ')}`);
  }
}

/** Lays `heartbeatIntervalMs` from the seconds of 1.x. */
export function layWasmcloudHeartbeat(layers: Layers, get: (name: string) => string | undefined): void {
  const seconds = get('WASMCLOUD_HEARTBEAT_INTERVAL');
  if (seconds === undefined) return;
  // What is no number is left for the schema to refuse with its own words.
  const value = /^\d{1,9}$/.test(seconds) ? Number(seconds) * 1_000 : seconds;
  layers.set(['heartbeatIntervalMs'], value, 'the environment, WASMCLOUD_HEARTBEAT_INTERVAL');
}

interface Refused {
  readonly what: string;
  readonly setting: string;
  readonly fix: string;
}

/** Variables that hold a secret itself for which there is no setting but that of its file. */
export const REFUSED_WASMCLOUD: Readonly<Record<string, Refused>> = {
  WASMCLOUD_HOST_SEED: {
    what: 'host seed',
    setting: 'hostSeedFile',
    fix: 'Write the seed to a file (mode 0600) and set TRELLIS_HOST_SEED_FILE to its path.',
  },
};

/** Variables of 1.x without a counterpart here (yet): said, not refused, so that a host can be moved over as it is. */
export const UNUSED_WASMCLOUD: ReadonlySet<string> = new Set(
  [
    'RPC_TIMEOUT_MS CONFIG_SERVICE PROV_SHUTDOWN_DELAY_MS',
    'MAX_CORE_INSTANCES_PER_COMPONENT POLICY_TOPIC POLICY_CHANGES_TOPIC POLICY_TIMEOUT SECRETS_TOPIC',
    'EXPERIMENTAL_FEATURES TRACE_LEVEL STRUCTURED_LOGGING_ENABLED',
    'OBSERVABILITY_ENABLED TRACES_ENABLED METRICS_ENABLED LOGS_ENABLED OBSERVABILITY_PROTOCOL FLAME_GRAPH',
    'WORKLOAD_IDENTITY_AUTH_SERVICE_AUDIENCE',
  ].flatMap((names) => names.split(' ').map((name) => `WASMCLOUD_${name}`)),
);
