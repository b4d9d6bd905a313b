import { z } from 'zod';
import { hostPort, isPeerKey } from '../../ids.ts';
import { count, keyText, MIB, path, setting, token } from './values.ts';

const LABEL = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
const PACKAGE = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*(?:@[0-9A-Za-z.+-]+)?$/;

const preopenSchema = z.strictObject({
  guest: setting(z.string().regex(/^\//, { error: 'must begin with /' }), 'Path the guest sees.'),
  host: setting(path(), 'Folder on this machine.'),
  writable: setting(z.boolean().default(false), 'Whether the guest may write there.'),
});

const CONTRACT = /^[a-z][a-z0-9-]*:[a-z][a-z0-9-]*$/;
const contractId = () => z.string().regex(CONTRACT, { error: 'must be a contract id, such as wasmcloud:keyvalue' });

/** One component that the host runs. */
export const componentSchema = z.strictObject({
  id: setting(token('a component id', 128), 'Name on the lattice: the target of invocations.'),
  file: setting(
    path().exactOptional(),
    'Component file; relative to the configuration file, or a `file://` URL. Either this or `image`.',
  ),
  image: setting(
    z.string().min(1).max(1_024).exactOptional(),
    'Image in a registry, in place of a file, such as `ghcr.io/acme/hello:1.0@sha256:…`, see docs/artifacts.md.',
  ),
  digest: setting(
    z
      .string()
      .regex(/^sha256:[0-9a-f]{64}$/, { error: 'must look like sha256: and 64 digits of 0-9 and a-f' })
      .exactOptional(),
    'Digest of the component, as `trellis inspect` prints it: of the file, or of what the image holds. One with another is not run.',
  ),
  world: setting(
    z
      .string()
      .regex(/^[a-z][a-z0-9-]*:[a-z][a-z0-9-]*\/[a-z][a-z0-9-]*(?:@[0-9A-Za-z.+-]+)?$/, {
        error: 'must look like ns:pkg/world@1.0.0',
      })
      .exactOptional(),
    "Name of the component's world. Functions of the world itself are then also served under it, as peers made by Rust bindings call them.",
  ),
  policy: setting(
    z.enum(['fresh', 'reuse']).default('fresh'),
    '`fresh` gives every invocation its own instance, `reuse` keeps instances (and their memory) between invocations.',
  ),
  maxInstances: setting(count(1, 10_000).default(32), 'Instances at once.'),
  maxQueue: setting(count(0, 1_000_000).default(1_024), 'Invocations that wait for an instance; more are answered busy.'),
  replay: setting(z.enum(['local', 'cluster']).exactOptional(), '`trust.replay` for this component; that if left out.'),
  timeoutMs: setting(
    count(1, 86_400_000).exactOptional(),
    'Longest run of one invocation; `limits.maxExecutionTimeMs` if left out.',
  ),
  maxMemoryBytes: setting(
    count(65_536, 4 * 1024 * MIB).exactOptional(),
    'Linear memory of one instance; `limits.maxLinearMemoryBytes` if left out.',
  ),
  env: setting(z.record(z.string(), z.string()).default({}), 'Environment variables the guest sees (`wasi:cli/environment`).'),
  args: setting(z.array(z.string()).default([]), 'Arguments the guest sees.'),
  config: setting(z.record(z.string(), z.string()).default({}), 'Values the guest reads through `wasi:config`.'),
  grants: setting(
    z
      .strictObject({
        preopens: setting(z.array(preopenSchema).default([]), 'Folders the guest may open; none by default.'),
        network: setting(
          z
            .array(
              z.string().refine((value) => hostPort(value) !== undefined, {
                error: 'must be host:port, with the whole name (no wildcard) or the address of the host; IPv6 in brackets',
              }),
            )
            .default([]),
          'What the guest may connect to by `wasi:http` and `wasi:sockets` (TCP), as `host:port`: an exact name, or an address. ' +
            'A name is granted whatever it resolves to, except this machine and its own link (grant those by address, or as `localhost`). ' +
            "With a grant, the component's process may open connections: Node's permissions know no addresses, so the list is kept by the runner alone, and not by a second wall behind it.",
        ),
      })
      .prefault({}),
    'What the component may touch beyond its links. Nothing by default.',
  ),
  wasmbus: setting(
    z
      .strictObject({
        key: setting(
          z.string().refine(isPeerKey, { error: 'must be a public key of an actor (M…) or provider (V…)' }),
          'Public key under which wasmCloud 0.82 peers reach the component: `M…` as an actor, `V…` as a provider.',
        ),
        link: setting(token('a link name', 64).exactOptional(), 'Link name of a provider; `default` if left out.'),
        contract: setting(
          contractId().exactOptional(),
          'Contract id of a provider. Only the interfaces of that package are reachable.',
        ),
      })
      .exactOptional(),
    'Makes the component reachable for wasmCloud 0.82 peers, see docs/wasmbus.md.',
  ),
});

/** One link from an import of a component. */
export const linkSchema = z.strictObject({
  source: setting(token('a component id', 128), 'Component that imports.'),
  target: setting(token('a component id', 128), 'Component or provider that answers.'),
  name: setting(
    token('a link name', 64).default('default'),
    'Link name; a source may have several targets for one interface under different names.',
  ),
  namespace: setting(z.string().regex(LABEL, { error: 'must be a WIT namespace' }), 'WIT namespace, such as `wasi`.'),
  package: setting(z.string().regex(PACKAGE, { error: 'must be a WIT package name' }), 'WIT package, such as `keyvalue`.'),
  interfaces: setting(
    z.array(z.string().regex(PACKAGE, { error: 'must be a WIT interface name' })).min(1),
    'WIT interfaces of that package, such as `store`.',
  ),
  shared: setting(
    z
      .strictObject({
        lattice: setting(token('a lattice name', 64), 'Lattice of the component.'),
        component: setting(token('a component id', 128).exactOptional(), 'Its id there; `target` if left out.'),
        issuers: setting(z.array(keyText()).min(1), 'Cluster issuers (`C…`) of that lattice, whose hosts may answer.'),
      })
      .exactOptional(),
    'Says that `target` is an import of this NATS account: a component that another lattice shares (`trellis auth accept`).',
  ),
  wasmbus: setting(
    z
      .strictObject({
        contract: setting(contractId().exactOptional(), 'Contract id of a provider, if it is not `namespace:package`.'),
      })
      .exactOptional(),
    'Says that `target` is the public key (`M…` or `V…`) of a wasmCloud 0.82 peer. Its answers are not signed.',
  ),
});
