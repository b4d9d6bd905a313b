import type { LatticeName } from '../ids.ts';
import { EnvironmentValue, line, note, ServerBlock, type ServerEntry, writeServerConfig } from './server-language.ts';
import { addressText, nextPort, type LoopbackAddress, type SidecarPartition, type SidecarSpec } from './sidecar-spec.ts';

/** A file for one nats-server process. */
export interface SidecarFile {
  /** `leaf.conf`, or `leaf-ctl.conf` and `leaf-rpc.conf`. */
  readonly name: string;
  readonly text: string;
}

/** What must never pass the rpc leaf, whatever its user at the hub may do. */
const CONTROL_SUBJECTS = (lattice: LatticeName): string[] => [
  'wasmbus.ctl.>',
  'wasmbus.evt.>',
  'wasmbus.cfg.>',
  'wasmcloud.policy.>',
  'wasmcloud.secrets.>',
  'wadm.>',
  `_INBOX_CTL.${lattice}.>`,
];

/** What must never pass the ctl leaf. */
const CALL_SUBJECTS = (lattice: LatticeName): string[] => [`${lattice}.*.wrpc.>`, `_INBOX_RPC.${lattice}.>`];

/** Opens nothing that a login without it does not: nats-server 2.9 wants a user name behind `no_auth_user`. */
const ANONYMOUS = { user: 'rpc-anonymous', password: 'not-a-secret' } as const;

/** Returns the configuration of the sidecar's process or processes. No secret is in them, only paths and public keys. */
export function sidecarFiles(spec: SidecarSpec): SidecarFile[] {
  switch (spec.form) {
    case 'both':
      return [{ name: 'leaf.conf', text: writeServerConfig(bothForm(spec)) }];
    case 'operator':
      return [{ name: 'leaf.conf', text: writeServerConfig(operatorForm(spec)) }];
    case 'pair':
      return [
        { name: 'leaf-ctl.conf', text: writeServerConfig(ctlProcess(spec)) },
        { name: 'leaf-rpc.conf', text: writeServerConfig(rpcProcess(spec)) },
      ];
  }
}

function bothForm(spec: SidecarSpec): ServerBlock {
  return new ServerBlock(
    note(
      `The leaf node beside a host of the lattice "${spec.lattice}": one process, ctl and rpc in accounts of their own.\nWritten by \`trellis leaf config\`.`,
    ),
    ...head(spec, spec.name, spec.ctl.listen, spec.monitor),
    line('accounts', new ServerBlock(ctlAccount(spec), rpcAccount()), 'ctl needs a key, on loopback too.'),
    line('no_auth_user', ANONYMOUS.user, 'Who brings no key can invoke, and never control.'),
    line('leafnodes', new ServerBlock(line('remotes', [ctlRemote(spec, 'CTL'), rpcRemote(spec, 'RPC')]))),
  );
}

function ctlProcess(spec: SidecarSpec): ServerBlock {
  return new ServerBlock(
    note(
      `The leaf node for the control connection of a host of the lattice "${spec.lattice}".\nWritten by \`trellis leaf config\`.`,
    ),
    ...head(spec, `${spec.name}-ctl`, spec.ctl.listen, spec.monitor),
    line('accounts', new ServerBlock(ctlAccount(spec)), 'ctl needs a key, on loopback too.'),
    line('leafnodes', new ServerBlock(line('remotes', [ctlRemote(spec, 'CTL')]))),
  );
}

function rpcProcess(spec: SidecarSpec): ServerBlock {
  const monitor = spec.monitor === undefined ? undefined : nextPort(spec.monitor);
  return new ServerBlock(
    note(`The leaf node for the invocations of a host of the lattice "${spec.lattice}".\nWritten by \`trellis leaf config\`.`),
    ...head(spec, `${spec.name}-rpc`, spec.rpc.listen, monitor),
    line('accounts', new ServerBlock(rpcAccount())),
    line('no_auth_user', ANONYMOUS.user),
    line('leafnodes', new ServerBlock(line('remotes', [rpcRemote(spec, 'RPC')]))),
  );
}

function operatorForm(spec: SidecarSpec): ServerBlock {
  const { jwt, ctl, rpc, system } = spec.operator!;
  const preload = [ctl, rpc, ...(system === undefined ? [] : [system])].map((account) => line(account.publicKey, account.jwt));
  return new ServerBlock(
    note(
      `The leaf node beside a host of the lattice "${spec.lattice}", in operator mode: clients log in with their own JWTs.\nWritten by \`trellis leaf config\`.`,
    ),
    ...head(spec, spec.name, spec.ctl.listen, spec.monitor),
    line('max_control_line', 65_536, 'A user JWT with its permissions in it is longer than the 4 KB that are the default.'),
    line('operator', jwt),
    system === undefined ? undefined : line('system_account', system.publicKey),
    line('resolver', 'MEMORY', 'Account JWTs are copies of those at the hub: write this file again when they change there.'),
    line('resolver_preload', new ServerBlock(...preload)),
    line('leafnodes', new ServerBlock(line('remotes', [ctlRemote(spec, ctl.publicKey), rpcRemote(spec, rpc.publicKey)]))),
  );
}

function head(spec: SidecarSpec, name: string, listen: LoopbackAddress, monitor: LoopbackAddress | undefined): ServerEntry[] {
  const { maxPayloadBytes, nameVariable } = spec;
  const serverName = nameVariable === undefined ? name : new EnvironmentValue(nameVariable);
  return [
    line('server_name', serverName, 'Unique among the leaves of the hub, which drops an older one of the same name.'),
    line('listen', addressText(listen), 'Loopback is the only protection of the local side: never anything else.'),
    ...(monitor === undefined ? [] : [line('http', addressText(monitor), '/healthz and /leafz; no login, so loopback too.')]),
    ...(maxPayloadBytes === undefined ? [] : [line('max_payload', maxPayloadBytes, 'The same as at the hub.')]),
  ];
}

function ctlAccount(spec: SidecarSpec): ServerEntry {
  const { domain, localCtlUser } = spec;
  return line(
    'CTL',
    new ServerBlock(
      line('users', [new ServerBlock(line('nkey', localCtlUser!))]),
      line(
        'mappings',
        new ServerBlock(line('$JS.API.>', `$JS.${domain}.API.>`), line('$KV.>', `$JS.${domain}.API.$KV.>`)),
        'JetStream is at the hub. (default_js_domain would say the same, but is forgotten at a reload.)',
      ),
    ),
  );
}

function rpcAccount(): ServerEntry {
  const { user, password } = ANONYMOUS;
  return line('RPC', new ServerBlock(line('users', [new ServerBlock(line('user', user), line('password', password))])));
}

function ctlRemote(spec: SidecarSpec, account: string): ServerBlock {
  return remote(spec, account, spec.ctl, CALL_SUBJECTS(spec.lattice));
}

function rpcRemote(spec: SidecarSpec, account: string): ServerBlock {
  // JetStream belongs to control; the account of the invocations has none.
  return remote(spec, account, spec.rpc, [...CONTROL_SUBJECTS(spec.lattice), '$JS.>', '$KV.>', '$O.>']);
}

/** The two deny lists are belt and braces: they hold whatever is granted at the hub. */
function remote(spec: SidecarSpec, account: string, partition: SidecarPartition, denied: readonly string[]): ServerBlock {
  const { hubs, caFile, certFile, keyFile } = spec;
  const tls = [
    caFile === undefined ? undefined : line('ca_file', caFile),
    certFile === undefined ? undefined : line('cert_file', certFile),
    keyFile === undefined ? undefined : line('key_file', keyFile),
  ].filter((each) => each !== undefined);
  return new ServerBlock(
    line('urls', hubs),
    line('account', account),
    line('credentials', partition.credsFile, 'Read again at every reconnect.'),
    tls.length === 0 ? undefined : line('tls', new ServerBlock(...tls)),
    line('deny_exports', denied, 'Whatever is granted at the hub, this does not pass.'),
    line('deny_imports', denied),
  );
}
