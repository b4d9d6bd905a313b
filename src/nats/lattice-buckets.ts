import { DiscardPolicy, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import type { LatticeName } from '../ids.ts';
import type { BucketKind } from './kv-bucket.ts';

/**
 * The settings with which hosts of wasmCloud 1.x make these buckets, to the letter: the server takes the second of two hosts that
 * start together for the same wish, and with other settings the slower one would not start.
 */
const SETTINGS_OF_PEERS: BucketKind['settings'] = {
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.New,
  max_msgs_per_subject: 1,
  num_replicas: 1,
  allow_direct: true,
  allow_rollup_hdrs: true,
  deny_delete: true,
  deny_purge: false,
};

/** `LATTICEDATA_{lattice}` holds links and claims, `CONFIGDATA_{lattice}` named configurations. */
export function latticeBucket(content: 'LATTICEDATA' | 'CONFIGDATA', lattice: LatticeName): BucketKind {
  const name = `${content}_${lattice}`;
  return {
    name,
    encoding: 'utf8',
    settings: SETTINGS_OF_PEERS,
    code: 'TRELLIS_LATTICE_DATA',
    label: `the bucket ${name}`,
    newsSubject: `wasmbus.ctl.v1.${lattice}.data.changed`,
  };
}
