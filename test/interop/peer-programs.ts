import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The programs of others that Trellis is tried with. `peers.sh` builds them. */
export interface Peer {
  readonly name: 'wash' | 'wasmcloud' | 'wadm' | 'providers';
  readonly version: string;
  readonly program: string;
}

const FOLDER =
  process.env['TRELLIS_TEST_PEERS'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(process.env['HOME'] ?? homedir(), '.cache'), 'trellis-peers');

const peer = (name: Peer['name'], version: string, program: string): Peer => ({
  name,
  version,
  program: join(FOLDER, `${name}-${version}`, 'bin', program),
});

export const WASH = peer('wash', '0.43.0', 'wash');
/** The host library 0.27.1 is the one of release 1.9.2. */
export const WASMCLOUD = peer('wasmcloud', '1.9.2', 'wasmcloud_host');
export const WADM = peer('wadm', '0.21.1', 'wadm');

/** Capability providers; their own versions are in `peers/providers/Cargo.toml`. */
const provider = (program: string): Peer => peer('providers', '1.9.2', program);
export const HTTP_SERVER = provider('http_server');
export const BLOBSTORE_FS = provider('blobstore_fs');
export const BLOBSTORE_NATS = provider('blobstore_nats');
export const MESSAGING_NATS = provider('messaging_nats');
/** One of this project, on the real SDK: nobody publishes one. */
export const KEYVALUE = provider('keyvalue');

/** Those of `peers` that are not on this machine. */
export function missing(peers: readonly Peer[]): readonly Peer[] {
  return peers.filter(({ program }) => !existsSync(program));
}
