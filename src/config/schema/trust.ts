import { z } from 'zod';
import { isSubjectPrefix } from '../../ids.ts';
import { count, functionText, interfaceName, keyText, path, setting, token } from './values.ts';

const wasmbusTrustSchema = z.strictObject({
  maxAgeMs: setting(
    count(1_000, 600_000).default(60_000),
    'How old a call from a wasmCloud 0.82 peer may be. Its tokens carry no expiry.',
  ),
  selfCalls: setting(
    z.boolean().default(false),
    'Let a call name the called component as its own caller, as `wash call` of 0.82 does. Whoever holds a cluster seed can.',
  ),
  seedFile: setting(
    path().exactOptional(),
    'File with a cluster seed (`SC…`), mode 0600, to sign calls to wasmCloud 0.82 peers with. Those peers must list its public key; it speaks for every origin there.',
  ),
});

/** Whose keys count, and how strictly. */
export const trustSchema = z.strictObject({
  clusterSeed: setting(
    keyText().exactOptional(),
    'Seed (`SC…`) of the cluster issuer key that signs the delegation of this host. The environment only; prefer `clusterSeedFile`.',
    { env: ['WASMCLOUD_CLUSTER_SEED'], secret: true },
  ),
  clusterSeedFile: setting(
    path().exactOptional(),
    'File with the cluster seed, mode 0600; several seeds, one a line, while issuers are rotated. Read at the start and for each renewal. Without any seed the host makes an ad hoc key and is a lattice of its own.',
    { env: ['WASMCLOUD_CLUSTER_SEED_FILE'] },
  ),
  clusterIssuers: setting(
    z.array(keyText()).default([]),
    'Public keys (`C…`) whose signatures this host accepts. Several at once make rotation possible. The own key counts when the list is empty.',
    { env: ['WASMCLOUD_CLUSTER_ISSUERS'] },
  ),
  delegationFile: setting(
    path().exactOptional(),
    'File with a delegation that somebody else minted for `hostSeedFile`, instead of a cluster seed. Read again when it changes.',
  ),
  delegationLifetimeMs: setting(
    count(60_000, 86_400_000).default(3_600_000),
    'How long a delegation lives that this host mints for itself with its cluster seed. It is renewed at about half of that.',
  ),
  verify: setting(
    z.enum(['enforce', 'observe', 'off']).default('enforce'),
    '`enforce` refuses what is not properly signed, `observe` runs it and logs the refusal, `off` does not look.',
  ),
  bind: setting(
    z.enum(['strict', 'logical']).default('strict'),
    '`strict` ties a token to the exact subjects it was sent on; `logical` only to target and function (for subject mappings).',
  ),
  skewMs: setting(count(0, 60_000).default(5_000), 'How far the clocks of two hosts may differ.'),
  tokenLifetimeMs: setting(count(1_000, 60_000).default(30_000), 'How long a token that this host signs is valid.'),
  refusalGraceMs: setting(
    count(0, 60_000).default(1_000),
    'How long a refusal that may be forged, or may speak of a copy of the request, waits for the answer to overtake it. It then ends no call that is answered within this time.',
  ),
  replay: setting(
    z.enum(['local', 'cluster']).default('local'),
    'How often a signed call may run: `local` once on each host, `cluster` once in the lattice, for one more round trip and two more signatures a call. Callers must then be Trellis too. Under `verify: enforce` only.',
  ),
  replayMaxEntries: setting(
    count(1_000, 50_000_000).default(1_000_000),
    'Invocation ids remembered against replay; when full, calls are refused as busy. About 100 bytes each.',
  ),
  failedChecksPerSecond: setting(
    count(1, 1_000_000).default(500),
    'Signature checks that may fail in a second before messages without an admission pass are answered busy unchecked. Members of the lattice have a pass.',
  ),
  unlinkedOrigins: setting(
    z.array(token('a component or caller id', 128)).default([]),
    'Signed origins that may call without a link, such as a command line or a gateway.',
  ),
  unsigned: setting(
    z
      .array(
        z.strictObject({
          source: setting(token('a component id', 128), 'The caller, by its exact id.'),
          target: setting(token('a component id', 128), 'The component or provider it calls, by its exact id.'),
          interface: setting(interfaceName(), 'The interface, without a version.'),
        }),
      )
      .max(1_000)
      .default([]),
    'Pairs that may stay unsigned under `enforce` while a lattice migrates, their streams included. Each is a hole: whoever can publish may call as that source, and answer as that target.',
  ),
  foreign: setting(
    z
      .array(
        z.strictObject({
          lattice: setting(token('a lattice name', 64), 'The lattice of the callers.'),
          issuers: setting(z.array(keyText()).min(1), 'Its cluster issuers (`C…`): whose delegations count for its callers.'),
          origins: setting(
            z.array(token('a component id', 128)).min(1),
            'Components and callers of that lattice that may call, by their exact ids.',
          ),
          target: setting(token('a component id', 128), 'The component of this lattice that they may call.'),
          interface: setting(interfaceName(), 'The interface of it, without a version.'),
          functions: setting(z.array(functionText()).default([]), 'Functions of the interface; all if left out.'),
          until: setting(
            z.iso.datetime({ offset: true, error: 'must be a time such as 2027-01-31T00:00:00Z' }).exactOptional(),
            'When it ends; never if left out. The end of an activation does not stop a NATS import that runs, this does.',
          ),
        }),
      )
      .max(1_000)
      .default([]),
    'What callers of other lattices, in other NATS accounts, may call here through an import that this account granted (`trellis auth share`).',
  ),
  store: setting(
    z.enum(['auto', 'required', 'off']).default('auto'),
    'The trust bucket of the lattice (JetStream key-value, on the ctl connection), through which rotated issuers and revocations reach a host at once. `auto` uses it where JetStream answers at the start, and from then on insists on it; `required` insists on it; `off` goes by the configuration alone.',
  ),
  storeDomain: setting(
    token('a JetStream domain', 64).exactOptional(),
    'JetStream domain that holds the trust bucket, where it is not that of `jsDomain`.',
  ),
  maxStaleMs: setting(
    count(10_000, 86_400_000).default(900_000),
    'How long the trust bucket may be out of reach before this host believes nobody any more.',
  ),
  issuerService: setting(
    z.boolean().default(false),
    'Ask `trellis issuer` for the delegation of this host, on the ctl connection, instead of holding a cluster seed. Needs `hostSeedFile` only if the allow-list names hosts.',
  ),
  batch: setting(z.boolean().default(true), 'Let one signature cover all tokens of one turn of the event loop.'),
  wasmbus: setting(wasmbusTrustSchema.prefault({}), 'Peers of wasmCloud 0.82.'),
});

/** Which commands of the lattice count. */
export const controlSchema = z.strictObject({
  mode: setting(
    z.enum(['open', 'signed']).default('open'),
    'Which commands count: `open`: those of everybody whom NATS lets send them; `signed`: only those that an operator has signed (docs/lattice.md), which wash and wadm cannot do. Reads are answered either way.',
  ),
  prefix: setting(
    z
      .string()
      .refine(isSubjectPrefix, { error: 'must be 1 to 8 tokens of A-Z, a-z, 0-9, _ and -, with dots between them' })
      .default('wasmbus.ctl'),
    'First tokens of the subjects of the control interface, the same on all hosts and tools of a lattice. The permissions that `trellis auth` gives are for `wasmbus.ctl`.',
    { env: ['WASMCLOUD_CTL_TOPIC_PREFIX'], flags: ['--ctl-topic-prefix'] },
  ),
  componentAuction: setting(z.boolean().default(true), 'Bid when the lattice looks for a host that runs a component.', {
    env: ['WASMCLOUD_COMPONENT_AUCTION_ENABLED'],
    flags: ['--enable-component-auction'],
  }),
  silentRegistries: setting(
    z.boolean().default(false),
    'Take registry credentials (`registry.put`) also from who names no inbox for the answer, as libraries of 1.x do. Whoever may use JetStream on the control account can then have the server send some.',
  ),
  providerAuction: setting(z.boolean().default(true), 'Hear when the lattice looks for a host that runs a provider.', {
    env: ['WASMCLOUD_PROVIDER_AUCTION_ENABLED'],
    flags: ['--enable-provider-auction'],
  }),
});
