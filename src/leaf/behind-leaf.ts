import { isMap, parseDocument } from 'yaml';
import type { HostConfigInput } from '../config/schema.ts';
import { TrellisError } from '../errors.ts';
import { addressText, type SidecarSpec } from './sidecar-spec.ts';

/** How a host logs in at its sidecar, and whose inboxes it may use at the hub. */
export interface BehindLeaf {
  /** User key (`U…`) of each leaf at the hub. */
  readonly users: { readonly ctl: string; readonly rpc: string };
  /** Seed file of the local ctl user, as the host finds it. */
  readonly ctlSeedFile?: string | undefined;
  /** In the operator form: credentials of the host itself, as the host finds them. */
  readonly credsFiles?: { readonly ctl: string; readonly rpc: string } | undefined;
}

type ConnectionSettings = Pick<HostConfigInput, 'lattice' | 'ctl' | 'rpc' | 'jsDomain'>;

/**
 * The settings of a host behind the sidecar: addresses, logins, and inboxes below the keys of the leaf's own users. Who logs in
 * with a JWT has inboxes below its own key.
 */
export function settingsBehindLeaf(spec: SidecarSpec, behind: BehindLeaf): ConnectionSettings {
  const { lattice, ctl, rpc } = spec;
  const { users, ctlSeedFile, credsFiles } = behind;
  const inbox = (kind: 'CTL' | 'RPC', user: string): string => `_INBOX_${kind}.${lattice}.${user}`;
  return {
    lattice,
    ctl: {
      servers: [`nats://${addressText(ctl.listen)}`],
      ...(ctlSeedFile === undefined ? {} : { seedFile: ctlSeedFile }),
      ...(credsFiles === undefined ? {} : { credsFile: credsFiles.ctl }),
      ...(credsFiles === undefined ? { inboxPrefix: inbox('CTL', users.ctl) } : {}),
      viaLeaf: true,
    },
    rpc: {
      servers: [`nats://${addressText(rpc.listen)}`],
      ...(credsFiles === undefined ? {} : { credsFile: credsFiles.rpc }),
      ...(credsFiles === undefined ? { inboxPrefix: inbox('RPC', users.rpc) } : {}),
      viaLeaf: true,
    },
    // The other forms map the default API to the domain; a JWT account has no mappings of the sidecar's own.
    ...(spec.form === 'operator' ? { jsDomain: spec.domain } : {}),
  };
}

/**
 * The configuration of the host: a base (YAML or JSON; empty for none) with these settings in place of its own of the same names.
 * Its comments stay.
 *
 * @throws TRELLIS_LEAF_INPUT for a base that is no mapping
 */
export function hostConfigText(spec: SidecarSpec, behind: BehindLeaf, base = ''): string {
  const head = [
    ` The connections of a host behind the leaf node "${spec.name}". Written by \`trellis leaf config\`.`,
    ' The sidecar has the credentials and the TLS of the hub.',
    ...(behind.credsFiles === undefined
      ? [
          ' Requests are answered below the keys of its users there, so a new user key (not a new JWT for the same key) needs a new',
          ' inboxPrefix here.',
        ]
      : []),
    ...(base === '' ? [' Add trust, components and links: docs/config.md has every setting.'] : []),
  ].join('\n');
  const document = parseDocument(base, { uniqueKeys: true });
  if (document.errors.length > 0 || !(document.contents === null || isMap(document.contents))) {
    throw new TrellisError('TRELLIS_LEAF_INPUT', {
      message: 'the configuration to add to is no YAML or JSON with settings in it',
    });
  }
  for (const [name, settings] of Object.entries(settingsBehindLeaf(spec, behind)))
    document.set(name, document.createNode(settings));
  document.commentBefore = document.commentBefore ? `${head}\n\n${document.commentBefore}` : head;
  return document.toString({ lineWidth: 0 });
}
