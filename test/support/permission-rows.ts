import type { Attempts } from './permitted-users.ts';

/** What is expected of a kind of user, written by hand and not taken from its template. Lattice `lab`; ids `echo` and `prov`. */
export interface PermissionRow {
  readonly account: 'ctl' | 'rpc' | 'one' | 'system';
  /** Values besides `lattice: lab`. */
  readonly values?: Readonly<Record<string, string | readonly string[]>>;
  /** Without a lattice. */
  readonly bare?: true;
  readonly may: Attempts;
  readonly mayNot: Attempts;
  /** By extension: its values, and what it adds. */
  readonly extensions: Readonly<Record<string, { readonly values?: Readonly<Record<string, string>>; readonly may: Attempts }>>;
}

const BUCKET_READ = ['INFO.KV_', 'MSG.GET.KV_'].map((verb) => `$JS.API.STREAM.${verb}`);
const reads = (bucket: string): string[] => [
  ...BUCKET_READ.map((verb) => verb + bucket),
  `$JS.API.DIRECT.GET.KV_${bucket}.$KV.${bucket}.k`,
];
const watches = (bucket: string): string[] =>
  [
    `$JS.API.CONSUMER.CREATE.KV_${bucket}.name.$KV.${bucket}.>`,
    `$JS.API.CONSUMER.INFO.KV_${bucket}.name`,
    `$JS.API.CONSUMER.DELETE.KV_${bucket}.name`,
    `$JS.FC.KV_${bucket}.name.x`,
  ].map((subject) => subject.replace('.>', '.k'));
const makes = (bucket: string): string => `$JS.API.STREAM.CREATE.KV_${bucket}`;
const BUCKETS = ['LATTICEDATA_lab', 'CONFIGDATA_lab', 'LATTICETRUST_lab'];
const MAKE_BUCKETS = { may: { publish: BUCKETS.map(makes) } };
const DOMAIN = {
  values: { domain: 'hub' },
  may: { publish: ['$JS.hub.API.INFO', '$JS.hub.API.STREAM.INFO.KV_LATTICETRUST_lab'] },
};
const POLICY = { may: { publish: ['wasmcloud.policy'], subscribe: ['wasmcloud.policy.changes'] } };
const SECRETS = { may: { publish: ['wasmcloud.secrets.v1alpha1.vault.server_xkey', 'wasmcloud.secrets.v1alpha1.vault.get'] } };
const CONFIG_SERVICE = { may: { publish: ['wasmbus.cfg.lab.req'] } };
const RUST_PEERS = { may: { publish: ['_INBOX.somebody.x'] } };
const RUST_CALLERS = {
  may: { publish: ['_INBOX.somebody.x', 'wasmbus.rpc.lab.prov.linkdefs.put', 'wasmbus.rpc.lab.prov.linkdefs.del'] },
};
/** What wadm asks of hosts. */
const SCHEDULING = [
  'host.get.NHOST',
  'component.scale.NHOST',
  'provider.start.NHOST',
  'provider.stop.NHOST',
  'link.get',
  'link.put',
  'link.del',
  'config.get.x',
  'config.put.x',
  'config.del.x',
  'claims.get',
].map((command) => `wasmbus.ctl.v1.lab.${command}`);
const SHARING = { may: { publish: ['_R_.somebody.x'] } };
const WASMBUS = {
  may: { publish: ['wasmbus.rpc.lab.MKEY'], subscribe: ['wasmbus.rpc.lab.MKEY', 'wasmbus.rpc.lab.*.linkdefs.put'] },
};
const PROVIDERS = { may: { publish: ['wasmbus.rpc.lab.prov.health', 'wasmbus.rpc.lab.prov.default.shutdown'] } };

const HOST_CTL: Attempts = {
  publish: [
    'wasmbus.ctl.v1.lab.trust.pass',
    'wasmbus.ctl.v1.lab.trust.pass.key',
    'wasmbus.ctl.v1.lab.component.describe.echo',
    'wasmbus.ctl.v1.lab.data.changed',
    'wasmbus.ctl.v1.lab.host.instance.NHOST',
    'wasmbus.evt.lab.audit_refused',
    '$JS.API.INFO',
    ...BUCKETS.flatMap(reads),
    ...BUCKETS.map((bucket) => `$KV.${bucket}.key`),
  ],
  subscribe: [
    'wasmbus.ctl.v1.lab.host.ping',
    'wasmbus.ctl.v1.lab.>',
    '_INBOX_CTL.lab.{own}.x.*',
    '$KV.LATTICETRUST_lab.revoked.*',
  ],
};
/** Commands are for persons; a host answers them. */
const COMMANDS = [
  'host.stop.NHOST',
  'component.scale.NHOST',
  'provider.stop.NHOST',
  'link.put',
  'config.put.x',
  'registry.put',
].map((command) => `wasmbus.ctl.v1.lab.${command}`);
const CALLS = ['lab.echo.wrpc.0.0.1.f', 'wasmbus.rpc.lab.prov.health', '_INBOX_RPC.lab.UKEY.x'];
const CONTROL: Attempts = {
  publish: [
    ...COMMANDS,
    'wasmbus.ctl.v1.lab.trust.pass',
    'wasmbus.ctl.v1.lab.component.describe.echo',
    'wasmbus.evt.lab.audit_refused',
    'wasmbus.cfg.lab.req',
    'wadm.api.lab.model.list',
    'wasmcloud.policy',
    'wasmcloud.secrets.v1alpha1.vault.get',
    '_INBOX_CTL.lab.UKEY.x',
    '$JS.API.INFO',
    ...BUCKETS.flatMap(reads),
    ...BUCKETS.map((bucket) => `$KV.${bucket}.key`),
    ...BUCKETS.map(makes),
  ],
  subscribe: [
    'wasmbus.ctl.v1.lab.>',
    'wasmbus.ctl.>',
    'wasmbus.evt.lab.>',
    'wadm.>',
    '$KV.LATTICEDATA_lab.>',
    '_INBOX_CTL.lab.{own}.>',
  ],
};
const HOST_RPC: Attempts = {
  publish: ['lab.echo.wrpc.0.0.1.f', 'lab.echo.wrpc.0.0.1.a:b/c@1.0.0.f', '_INBOX_RPC.lab.UOTHER.x.results'],
  subscribe: ['lab.echo.wrpc.0.0.1.f', 'lab.*.wrpc.>', '_INBOX_RPC.lab.{own}.x.*'],
};
const WATCH = { may: { publish: [...watches('LATTICEDATA_lab'), ...watches('CONFIGDATA_lab')] } };
const WRITE_DATA = { may: { publish: ['$KV.LATTICEDATA_lab.key', '$KV.CONFIGDATA_lab.key'] } };
const NO_WATCH = [...watches('LATTICEDATA_lab'), ...watches('LATTICETRUST_lab')];

/** What no kind of user may do, whatever is switched on, but for the exceptions that {@link exceptions} names. */
export const FORBIDDEN: Attempts = {
  publish: [
    'wasmbus.ctl.v1.other.host.stop.X',
    'wasmbus.ctl.v1.other.trust.pass',
    'wasmbus.evt.other.x',
    'other.echo.wrpc.0.0.1.f',
    'wasmbus.rpc.other.MKEY',
    '_INBOX_CTL.other.UKEY.x',
    '_INBOX_RPC.other.UKEY.x',
    'unrelated',
    '$KV.LATTICEDATA_other.key',
    '$JS.API.STREAM.INFO.KV_LATTICEDATA_other',
    '$JS.API.STREAM.LIST',
    '$JS.API.STREAM.CREATE.ANYTHING',
    ...['UPDATE', 'DELETE', 'PURGE', 'MSG.DELETE', 'SNAPSHOT', 'RESTORE'].map(
      (verb) => `$JS.API.STREAM.${verb}.KV_LATTICEDATA_lab`,
    ),
    '$JS.API.STREAM.UPDATE.KV_LATTICETRUST_lab',
    '$JS.API.STREAM.DELETE.KV_LATTICETRUST_lab',
    '$JS.API.CONSUMER.CREATE.KV_LATTICEDATA_other',
    '$SYS.REQ.SERVER.PING',
    '$SYS.REQ.ACCOUNT.PING.CONNZ',
    '$SYS.REQ.ACCOUNT.AAAA.CLAIMS.UPDATE',
  ],
  subscribe: [
    '>',
    '*',
    '*.>',
    '_INBOX.*.>',
    '_INBOX_CTL.>',
    '_INBOX_CTL.lab.>',
    '_INBOX_CTL.lab.*.>',
    '_INBOX_CTL.lab.{other}.>',
    '_INBOX_RPC.>',
    '_INBOX_RPC.lab.>',
    '_INBOX_RPC.lab.{other}.>',
    '_R_.>',
    '*.*.wrpc.>',
    'other.*.wrpc.>',
    'wasmbus.>',
    'wasmbus.ctl.>',
    'wasmbus.ctl.v1.*.>',
    'wasmbus.ctl.v1.other.>',
    'wasmbus.rpc.>',
    '$KV.>',
    '$KV.LATTICEDATA_other.>',
    '$JS.>',
    '$JS.API.>',
    '$JS.EVENT.>',
    '$SYS.>',
    '$SYS.ACCOUNT.>',
  ],
};

/** One row a template, and in it one entry an extension. */
export const ROWS: Readonly<Record<string, PermissionRow>> = {
  'host-ctl': {
    account: 'ctl',
    may: { publish: [...HOST_CTL.publish!, '$SYS.REQ.USER.INFO'], subscribe: HOST_CTL.subscribe! },
    mayNot: {
      publish: [...COMMANDS, ...CALLS, ...BUCKETS.map(makes), ...NO_WATCH, '_INBOX.x.y'],
      subscribe: ['lab.*.wrpc.>', 'wasmbus.evt.lab.>', '_INBOX.x.>'],
    },
    extensions: {
      'make-buckets': MAKE_BUCKETS,
      watch: WATCH,
      'wasmcloud-host': {
        may: {
          publish: [...WATCH.may.publish, makes('LATTICEDATA_lab'), makes('CONFIGDATA_lab')],
          subscribe: ['_INBOX.abc.*', '_INBOX.*.>'],
        },
      },
      policy: POLICY,
      secrets: SECRETS,
      'config-service': CONFIG_SERVICE,
      'jetstream-domain': DOMAIN,
    },
  },
  'host-ctl-leaf': {
    account: 'ctl',
    may: { publish: [...HOST_CTL.publish!, '_INBOX_CTL.lab.UOTHER.x'], subscribe: HOST_CTL.subscribe! },
    mayNot: {
      publish: [...COMMANDS, ...CALLS, ...BUCKETS.map(makes), ...NO_WATCH, '_INBOX.x.y'],
      subscribe: ['lab.*.wrpc.>', '_INBOX.x.>'],
    },
    extensions: {
      'make-buckets': MAKE_BUCKETS,
      watch: WATCH,
      policy: POLICY,
      secrets: SECRETS,
      'config-service': CONFIG_SERVICE,
      'rust-peers': RUST_PEERS,
      'jetstream-domain': DOMAIN,
    },
  },
  'host-rpc': {
    account: 'rpc',
    may: { ...HOST_RPC, publish: [...HOST_RPC.publish!, '$SYS.REQ.USER.INFO'] },
    mayNot: {
      publish: [...CONTROL.publish!, '_INBOX.x.y', '_R_.x.y', 'lab.echo.other', 'wasmbus.rpc.lab.prov.health'],
      subscribe: [...CONTROL.subscribe!, '_INBOX.x.>', 'lab.>', 'wasmbus.rpc.lab.>'],
    },
    extensions: {
      'wasmcloud-host': {
        may: {
          publish: ['_INBOX.somebody.x', 'wasmbus.rpc.lab.prov.linkdefs.put', 'wasmbus.rpc.lab.prov.health'],
          subscribe: ['_INBOX.abc.*', '_INBOX.*.>', 'wasmbus.rpc.lab.prov.health'],
        },
      },
      'rust-peers': RUST_CALLERS,
      wasmbus: WASMBUS,
      'wasmbus-payloads': {
        may: { publish: ['$JS.API.STREAM.INFO.OBJ_lab', '$O.lab.M.x', '$O.lab.C.x', '$JS.API.STREAM.PURGE.OBJ_lab'] },
      },
      providers: PROVIDERS,
      'provider-processes': { may: { subscribe: ['wasmbus.rpc.lab.prov.health'] } },
    },
  },
  'host-rpc-leaf': {
    account: 'rpc',
    may: HOST_RPC,
    mayNot: {
      publish: [...CONTROL.publish!, '_INBOX.x.y', '_R_.x.y'],
      subscribe: [...CONTROL.subscribe!, '_INBOX.x.>', 'lab.>'],
    },
    extensions: {
      'rust-peers': RUST_CALLERS,
      sharing: SHARING,
      wasmbus: WASMBUS,
      providers: PROVIDERS,
      'provider-processes': { may: { subscribe: ['wasmbus.rpc.lab.prov.health'] } },
    },
  },
  'one-account-ctl': {
    account: 'one',
    may: { publish: [...HOST_CTL.publish!, '_INBOX_CTL.lab.UOTHER.x'], subscribe: HOST_CTL.subscribe! },
    mayNot: { publish: [...COMMANDS, ...CALLS, ...BUCKETS.map(makes), ...NO_WATCH], subscribe: ['lab.*.wrpc.>', '_INBOX.x.>'] },
    extensions: {
      'make-buckets': MAKE_BUCKETS,
      watch: WATCH,
      policy: POLICY,
      secrets: SECRETS,
      'config-service': CONFIG_SERVICE,
      'rust-peers': RUST_PEERS,
      'jetstream-domain': DOMAIN,
    },
  },
  'one-account-rpc': {
    account: 'one',
    may: HOST_RPC,
    mayNot: {
      publish: [...CONTROL.publish!, ...NO_WATCH, '_INBOX.x.y', '_R_.x.y'],
      subscribe: [...CONTROL.subscribe!, '_INBOX.x.>'],
    },
    extensions: { 'rust-peers': RUST_CALLERS, sharing: SHARING, wasmbus: WASMBUS, providers: PROVIDERS },
  },
  provider: {
    account: 'rpc',
    values: { provider: 'prov', targets: ['echo'] },
    may: {
      publish: ['lab.echo.wrpc.0.0.1.f', '_INBOX_RPC.lab.UOTHER.x.results'],
      subscribe: [
        'wasmbus.rpc.lab.prov.health',
        'wasmbus.rpc.lab.prov.linkdefs.put',
        'lab.prov.wrpc.>',
        '_INBOX_RPC.lab.{own}.x.*',
      ],
    },
    mayNot: {
      publish: [
        ...CONTROL.publish!,
        'lab.hello.wrpc.0.0.1.f',
        'lab.prov.wrpc.0.0.1.f',
        'wasmbus.rpc.lab.prov.default.shutdown',
        'wasmbus.rpc.lab.rival.default.shutdown',
      ],
      subscribe: [
        ...CONTROL.subscribe!,
        'wasmbus.rpc.lab.rival.>',
        'wasmbus.rpc.lab.*.health',
        'lab.echo.wrpc.>',
        'lab.*.wrpc.>',
      ],
    },
    extensions: {
      'sealed-links': { values: { xkey: 'XKEY' }, may: { subscribe: ['wasmbus.rpc.lab.XKEY.linkdefs.put'] } },
      'rust-peers': RUST_PEERS,
    },
  },
  'caller-ctl': {
    account: 'ctl',
    may: {
      publish: [
        'wasmbus.ctl.v1.lab.trust.pass',
        'wasmbus.ctl.v1.lab.trust.delegate',
        'wasmbus.ctl.v1.lab.trust.explain.ID',
        'wasmbus.ctl.v1.lab.component.describe.echo',
        ...reads('LATTICETRUST_lab'),
      ],
      subscribe: ['wasmbus.ctl.v1.lab.trust.pass.key', '$KV.LATTICETRUST_lab.issuers.*', '_INBOX_CTL.lab.{own}.x.*'],
    },
    mayNot: {
      publish: [
        ...COMMANDS,
        ...CALLS,
        ...BUCKETS.map(makes),
        ...BUCKETS.map((bucket) => `$KV.${bucket}.key`),
        ...reads('LATTICEDATA_lab'),
        'wasmbus.ctl.v1.lab.trust.pass.key',
        'wasmbus.ctl.v1.lab.trust.renew',
        'wasmbus.evt.lab.audit_refused',
        '_INBOX_CTL.lab.UOTHER.x',
      ],
      subscribe: [
        'wasmbus.ctl.v1.lab.>',
        'wasmbus.ctl.v1.lab.trust.delegate',
        'wasmbus.evt.lab.>',
        '$KV.CONFIGDATA_lab.>',
        'lab.*.wrpc.>',
      ],
    },
    extensions: { 'jetstream-domain': DOMAIN },
  },
  'caller-rpc': {
    account: 'rpc',
    values: { targets: 'echo' },
    may: { publish: ['lab.echo.wrpc.0.0.1.f', '_INBOX_RPC.lab.UOTHER.x.params'], subscribe: ['_INBOX_RPC.lab.{own}.x.*'] },
    mayNot: {
      publish: [...CONTROL.publish!, 'lab.hello.wrpc.0.0.1.f', 'wasmbus.rpc.lab.MKEY', '_INBOX.x.y'],
      subscribe: [...CONTROL.subscribe!, 'lab.echo.wrpc.>', 'lab.*.wrpc.>', 'wasmbus.rpc.lab.>', '_INBOX.x.>'],
    },
    extensions: {
      spy: { may: { subscribe: ['lab.echo.wrpc.>', 'lab.*.wrpc.>'] } },
      'default-inbox': { may: { subscribe: ['_INBOX.abc.*', '_INBOX.*.>'] } },
      'rust-peers': RUST_PEERS,
      wasmbus: { may: { publish: ['wasmbus.rpc.lab.MKEY'] } },
    },
  },
  'operator-ctl': {
    account: 'ctl',
    may: {
      publish: [...COMMANDS, ...BUCKETS.flatMap(reads), ...BUCKETS.flatMap(watches), '$KV.LATTICETRUST_lab.key'],
      subscribe: ['wasmbus.evt.lab.>', '$KV.LATTICETRUST_lab.>', '_INBOX_CTL.lab.{own}.x.*'],
    },
    mayNot: {
      publish: [
        ...CALLS,
        ...BUCKETS.map(makes),
        ...WRITE_DATA.may.publish,
        'wasmbus.evt.lab.host_started',
        '_INBOX_CTL.lab.UOTHER.x',
        '_INBOX.x.y',
      ],
      // It gives commands and does not answer them in a host's place.
      subscribe: ['wasmbus.ctl.v1.lab.host.ping', 'wasmbus.ctl.v1.lab.>', 'lab.*.wrpc.>', '_INBOX.x.>'],
    },
    extensions: {
      'write-data': WRITE_DATA,
      'make-buckets': MAKE_BUCKETS,
      wadm: { may: { publish: ['wadm.api.lab.model.put'], subscribe: ['wadm.evt.lab.>', 'wadm.status.lab.app'] } },
      'default-inbox': { may: { subscribe: ['_INBOX.abc.*', '_INBOX.*.>'] } },
      'jetstream-domain': DOMAIN,
    },
  },
  'issuer-ctl': {
    account: 'ctl',
    may: {
      publish: [
        'wasmbus.evt.lab.audit_control',
        'wasmbus.ctl.v1.lab.trust.pass',
        ...reads('LATTICETRUST_lab'),
        '$KV.LATTICETRUST_lab.issuers.2',
      ],
      subscribe: [
        'wasmbus.ctl.v1.lab.trust.delegate',
        'wasmbus.ctl.v1.lab.trust.explain.*',
        '$KV.LATTICETRUST_lab.issuers.*',
        '_INBOX_CTL.lab.{own}.x.*',
      ],
    },
    mayNot: {
      publish: [...COMMANDS, ...CALLS, ...BUCKETS.map(makes), '$KV.LATTICEDATA_lab.key', '_INBOX_CTL.lab.UOTHER.x'],
      subscribe: ['wasmbus.ctl.v1.lab.>', 'wasmbus.evt.lab.>', 'lab.*.wrpc.>'],
    },
    extensions: { 'jetstream-domain': DOMAIN },
  },
  provisioning: {
    account: 'ctl',
    may: {
      publish: [...BUCKETS.map(makes), ...BUCKETS.map((bucket) => `$JS.API.STREAM.INFO.KV_${bucket}`)],
      subscribe: ['_INBOX_CTL.lab.{own}.x.*'],
    },
    mayNot: {
      publish: [
        ...COMMANDS,
        ...CALLS,
        ...BUCKETS.map((bucket) => `$KV.${bucket}.key`),
        ...BUCKETS.map((bucket) => `$JS.API.STREAM.MSG.GET.KV_${bucket}`),
        ...NO_WATCH,
      ],
      subscribe: ['wasmbus.ctl.v1.lab.>', '$KV.LATTICETRUST_lab.>', 'lab.*.wrpc.>'],
    },
    extensions: { 'jetstream-domain': DOMAIN },
  },
  resolver: {
    account: 'system',
    bare: true,
    may: {
      publish: [
        '$SYS.REQ.CLAIMS.UPDATE',
        '$SYS.REQ.CLAIMS.LIST',
        '$SYS.REQ.ACCOUNT.AKEY.CLAIMS.LOOKUP',
        '$SYS.REQ.ACCOUNT.AKEY.INFO',
        '$SYS.REQ.SERVER.PING.VARZ',
        '$SYS.REQ.USER.INFO',
      ],
      subscribe: ['_INBOX_SYS.{own}.x.*'],
    },
    mayNot: {
      publish: [
        ...CONTROL.publish!,
        ...CALLS,
        '$SYS.REQ.CLAIMS.DELETE',
        '$SYS.REQ.SERVER.PING.CONNZ',
        '$SYS.REQ.SERVER.NID.RELOAD',
      ],
      subscribe: ['$SYS.ACCOUNT.*.CONNECT', '$SYS.SERVER.>', '$SYS.REQ.CLAIMS.LIST', '_INBOX_SYS.>', '_INBOX_SYS.{other}.>'],
    },
    extensions: {
      prune: { may: { publish: ['$SYS.REQ.CLAIMS.DELETE'] } },
      connections: { may: { publish: ['$SYS.REQ.SERVER.PING.CONNZ'] } },
    },
  },
  wadm: {
    account: 'ctl',
    may: {
      publish: [...SCHEDULING, 'wadm.evt.lab.x', 'wadm.cmd.lab', 'wadm.status.lab.app', '$KV.wadm_state.key'],
      subscribe: ['wadm.api.>', 'wasmbus.evt.*.>', 'wadm.evt.*.>', '_INBOX.abc.*'],
    },
    mayNot: {
      publish: [
        ...CALLS,
        ...BUCKETS.map(makes),
        ...['host.stop.NHOST', 'label.put.NHOST', 'registry.put', 'component.auction', 'trust.renew'].map(
          (command) => `wasmbus.ctl.v1.lab.${command}`,
        ),
        '$KV.LATTICETRUST_lab.issuers.9',
        '$KV.CONFIGDATA_lab.x',
        '$JS.API.STREAM.CREATE.wadm_events',
      ],
      subscribe: ['wasmbus.ctl.v1.lab.>', 'lab.*.wrpc.>', '_INBOX_CTL.lab.{own}.x.*'],
    },
    extensions: {
      'make-buckets': { may: { publish: ['$JS.API.STREAM.CREATE.wadm_events', '$JS.API.STREAM.CREATE.KV_wadm_state'] } },
    },
  },
};

/** What of {@link FORBIDDEN} a kind may after all, each with a reason. */
export const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  // wadm only has the default inbox.
  wadm: ['subscribe _INBOX.*.>'],
  // And so has wash.
  'host-ctl+wasmcloud-host': ['subscribe _INBOX.*.>'],
  'host-rpc+wasmcloud-host': ['subscribe _INBOX.*.>'],
  'operator-ctl+default-inbox': ['subscribe _INBOX.*.>'],
  'caller-rpc+default-inbox': ['subscribe _INBOX.*.>'],
};
