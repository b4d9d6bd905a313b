import { randomUUID } from 'node:crypto';
import type { NatsConnection } from 'nats';
import { until } from '../support/raw-peer.ts';
import type { Peer } from './peer-programs.ts';
import { PeerProcess } from './peer-process.ts';

/**
 * Starts a provider as a host of wasmCloud does, with a line of base64 on its standard input, and resolves when it answers. It gets no keys for
 * secrets, as from hosts before 1.1: then it hears of links on its id, where every host that is asked for a link tells them.
 */
export async function startProvider(peer: Peer, id: string, url: string, nc: NatsConnection): Promise<PeerProcess> {
  const hostData = {
    host_id: 'NAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    lattice_rpc_prefix: 'default',
    link_name: 'default',
    lattice_rpc_user_jwt: '',
    lattice_rpc_user_seed: '',
    lattice_rpc_url: url,
    provider_key: id,
    env_values: {},
    instance_id: randomUUID(),
    link_definitions: [],
    cluster_issuers: [],
    config: {},
    secrets: {},
    host_xkey_public_key: '',
    provider_xkey_private_key: '',
    default_rpc_timeout_ms: 20_000,
    structured_logging: false,
    log_level: 'info',
    otel_config: { enable_observability: false, additional_ca_paths: [], trace_level: 'info', protocol: 'Http' },
  };
  const provider = new PeerProcess(peer, [], {}, `${Buffer.from(JSON.stringify(hostData)).toString('base64')}\r\n`);
  const ended = provider.ended.then(({ stderr }) => {
    throw new Error(`the provider ended:\n${stderr}`);
  });
  const healthy = until(
    `${id} answers`,
    () =>
      nc.request(`wasmbus.rpc.default.${id}.health`, '', { timeout: 1_000 }).then(
        () => true,
        () => false,
      ),
    60_000,
  );
  try {
    await Promise.race([healthy, ended]);
    ended.catch(() => {});
    return provider;
  } catch (error) {
    await provider[Symbol.asyncDispose]();
    throw error;
  }
}
