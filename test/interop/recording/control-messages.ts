import type { Json } from '../../support/golden.ts';

/** One message to the control interface, as no client of wasmCloud sends it. */
export interface ControlMessage {
  readonly name: string;
  /** After `wasmbus.ctl.v1.{lattice}.`. */
  readonly subject: string;
  /** A text is sent as it is. */
  readonly body?: Json;
  /** Nobody answers: do not wait for it. */
  readonly silent?: boolean;
}

const SPEAKER = 'file://{components}/speaker-one.wasm';
const LINK = { source_id: 'a', target: 'b', wit_namespace: 'ns', wit_package: 'pkg', interfaces: ['one', 'two'] };

/** What is recorded of the control interface itself, in this order, on a lattice of one host. */
export const CONTROL_MESSAGES: readonly ControlMessage[] = [
  { name: 'ping', subject: 'host.ping' },
  { name: 'ping with a body', subject: 'host.ping', body: { any: 'thing' } },
  { name: 'inventory', subject: 'host.get.{host}' },
  { name: 'unknown verb of a host', subject: 'host.nonsense.{host}' },
  { name: 'unknown verb of a component', subject: 'component.nonsense.{host}' },
  { name: 'unknown verb of a label', subject: 'label.nonsense.{host}' },
  { name: 'unknown verb of a provider', subject: 'provider.nonsense.{host}' },
  { name: 'unknown verb of links', subject: 'link.nonsense' },
  { name: 'unknown verb of configuration', subject: 'config.nonsense.name' },
  { name: 'configuration name of two tokens', subject: 'config.put.a.b', body: { word: 'x' } },
  { name: 'configuration without a name', subject: 'config.put', body: { word: 'x' } },

  { name: 'scale: no JSON', subject: 'component.scale.{host}', body: 'nonsense' },
  { name: 'scale: nothing', subject: 'component.scale.{host}' },
  { name: 'scale: no id', subject: 'component.scale.{host}', body: { component_ref: SPEAKER, count: 1 } },
  {
    name: 'scale: wrong type',
    subject: 'component.scale.{host}',
    body: { component_id: 'x', component_ref: SPEAKER, count: '1' },
  },
  { name: 'scale: negative', subject: 'component.scale.{host}', body: { component_id: 'x', component_ref: SPEAKER, count: -1 } },
  {
    name: 'scale: too large',
    subject: 'component.scale.{host}',
    body: { component_id: 'x', component_ref: SPEAKER, count: 4_294_967_296 },
  },
  {
    name: 'scale: max_instances in place of count',
    subject: 'component.scale.{host}',
    body: { component_id: 'speaker', component_ref: SPEAKER, max_instances: 3 },
  },
  {
    name: 'scale: an id that is no token',
    subject: 'component.scale.{host}',
    body: { component_id: 'a.b', component_ref: SPEAKER, count: 1 },
  },
  {
    name: 'scale: a path without scheme',
    subject: 'component.scale.{host}',
    body: { component_id: 'x', component_ref: '{components}/speaker-one.wasm', count: 1 },
  },
  {
    name: 'scale: a file that is none',
    subject: 'component.scale.{host}',
    body: { component_id: 'x', component_ref: 'file://{components}/nobody.wasm', count: 1 },
  },
  {
    name: 'scale: no component',
    subject: 'component.scale.{host}',
    body: { component_id: 'x', component_ref: 'file://{components}/build.mjs', count: 1 },
  },
  { name: 'scale: no reference', subject: 'component.scale.{host}', body: { component_id: 'x', count: 1 } },
  {
    name: 'scale: not running, to nothing',
    subject: 'component.scale.{host}',
    body: { component_id: 'x', component_ref: SPEAKER, count: 0, annotations: { a: 'b' } },
  },
  {
    name: 'scale: everything',
    subject: 'component.scale.{host}',
    body: {
      component_id: 'speaker',
      component_ref: SPEAKER,
      host_id: '{host}',
      count: 3,
      annotations: { 'team.example/name': 'words' },
      config: [],
      allow_update: false,
      component_limits: { max_memory_limit: '10485760', max_execution_time: '30' },
      unknown: 'field',
    },
  },
  {
    name: 'scale: the same again',
    subject: 'component.scale.{host}',
    body: { component_id: 'speaker', component_ref: SPEAKER, count: 3, annotations: { 'team.example/name': 'words' } },
  },
  { name: 'inventory with limits', subject: 'host.get.{host}' },
  {
    name: 'scale: other annotations alone',
    subject: 'component.scale.{host}',
    body: { component_id: 'speaker', component_ref: SPEAKER, count: 3, annotations: { other: 'one' } },
  },
  {
    name: 'scale: another host named',
    subject: 'component.scale.{host}',
    body: { component_id: 'speaker', component_ref: SPEAKER, count: 4, host_id: 'NSOMEBODYELSE' },
  },
  { name: 'inventory after it', subject: 'host.get.{host}' },

  { name: 'auction: no JSON', subject: 'component.auction', body: 'nonsense', silent: true },
  {
    name: 'auction: wanted',
    subject: 'component.auction',
    body: { component_ref: SPEAKER, component_id: 'new', constraints: {} },
  },
  {
    name: 'auction: label fits',
    subject: 'component.auction',
    body: { component_ref: SPEAKER, component_id: 'new', constraints: { zone: 'here' } },
  },
  {
    name: 'auction: label does not fit',
    subject: 'component.auction',
    body: { component_ref: SPEAKER, component_id: 'new', constraints: { zone: 'there' } },
    silent: true,
  },
  {
    name: 'auction: running already',
    subject: 'component.auction',
    body: { component_ref: SPEAKER, component_id: 'speaker', constraints: {} },
  },
  {
    name: 'provider auction',
    subject: 'provider.auction',
    body: { provider_ref: 'registry.example/provider:1', provider_id: 'provider', constraints: {} },
  },

  { name: 'update: no JSON', subject: 'component.update.{host}', body: 'nonsense' },
  {
    name: 'update: unknown',
    subject: 'component.update.{host}',
    body: { host_id: '{host}', component_id: 'unknown', new_component_ref: SPEAKER },
  },
  {
    name: 'update: the same',
    subject: 'component.update.{host}',
    body: { host_id: '{host}', component_id: 'speaker', new_component_ref: SPEAKER },
  },
  { name: 'update: no host', subject: 'component.update.{host}', body: { component_id: 'speaker', new_component_ref: SPEAKER } },
  {
    name: 'update: a file that is none',
    subject: 'component.update.{host}',
    body: { host_id: '{host}', component_id: 'speaker', new_component_ref: 'file://{components}/nobody.wasm' },
  },

  { name: 'provider start: no JSON', subject: 'provider.start.{host}', body: 'nonsense' },
  {
    name: 'provider start: a file that is none',
    subject: 'provider.start.{host}',
    body: { provider_id: 'provider', provider_ref: 'file://{components}/nobody.par', host_id: '{host}' },
  },
  { name: 'provider stop: not running', subject: 'provider.stop.{host}', body: { provider_id: 'provider', host_id: '{host}' } },
  { name: 'provider stop: no JSON', subject: 'provider.stop.{host}', body: 'nonsense' },

  { name: 'label: no JSON', subject: 'label.put.{host}', body: 'nonsense' },
  { name: 'label: no value', subject: 'label.put.{host}', body: { key: 'x' } },
  { name: 'label: put', subject: 'label.put.{host}', body: { key: 'x', value: '1' } },
  { name: 'label: the same again', subject: 'label.put.{host}', body: { key: 'x', value: '1' } },
  { name: 'label: empty key', subject: 'label.put.{host}', body: { key: '', value: '1' } },
  { name: 'label: hostcore in capitals', subject: 'label.put.{host}', body: { key: 'HOSTCORE.x', value: '1' } },
  { name: 'label: delete', subject: 'label.del.{host}', body: { key: 'x' } },
  { name: 'label: delete with a value', subject: 'label.del.{host}', body: { key: 'zone', value: 'other' } },
  { name: 'label: delete what is none', subject: 'label.del.{host}', body: { key: 'x' } },
  { name: 'label: delete, no JSON', subject: 'label.del.{host}', body: 'nonsense' },

  { name: 'config: put', subject: 'config.put.name', body: { a: '1', b: '2' } },
  { name: 'config: put nothing in it', subject: 'config.put.empty', body: {} },
  { name: 'config: put a list', subject: 'config.put.name', body: ['a'] },
  { name: 'config: put a number in it', subject: 'config.put.name', body: { a: 1 } },
  { name: 'config: put no JSON', subject: 'config.put.name', body: 'nonsense' },
  { name: 'config: get', subject: 'config.get.name' },
  { name: 'config: get what is empty', subject: 'config.get.empty' },
  { name: 'config: get what is none', subject: 'config.get.nobody' },
  { name: 'config: a name that is no key', subject: 'config.put.a$b', body: { a: '1' } },
  { name: 'config: get a name that is no key', subject: 'config.get.a$b' },
  { name: 'config: delete', subject: 'config.del.name' },
  { name: 'config: delete again', subject: 'config.del.name' },
  { name: 'config: get what was deleted', subject: 'config.get.name' },

  { name: 'link: no JSON', subject: 'link.put', body: 'nonsense' },
  {
    name: 'link: no target',
    subject: 'link.put',
    body: { source_id: 'a', wit_namespace: 'ns', wit_package: 'pkg', interfaces: [] },
  },
  { name: 'link: put', subject: 'link.put', body: LINK },
  { name: 'link: the same again', subject: 'link.put', body: LINK },
  { name: 'link: fewer interfaces', subject: 'link.put', body: { ...LINK, interfaces: ['one'] } },
  { name: 'link: other interfaces, other target', subject: 'link.put', body: { ...LINK, target: 'c', interfaces: ['two'] } },
  {
    name: 'link: the same interface, other target',
    subject: 'link.put',
    body: { ...LINK, target: 'd', interfaces: ['two', 'three'] },
  },
  { name: 'link: another name', subject: 'link.put', body: { ...LINK, name: 'second', target: 'd' } },
  {
    name: 'link: missing configuration',
    subject: 'link.put',
    body: { ...LINK, name: 'third', source_config: ['nobody', 'empty'], target_config: ['SECRET_nobody'] },
  },
  { name: 'link: with configuration', subject: 'link.put', body: { ...LINK, name: 'third', source_config: ['empty'] } },
  { name: 'link: no interfaces', subject: 'link.put', body: { ...LINK, name: 'fourth', interfaces: [] } },
  { name: 'links', subject: 'link.get' },
  { name: 'links, with a body', subject: 'link.get', body: { any: 'thing' } },
  { name: 'link: delete, no JSON', subject: 'link.del', body: 'nonsense' },
  {
    name: 'link: delete, without a name',
    subject: 'link.del',
    body: { source_id: 'a', wit_namespace: 'ns', wit_package: 'pkg' },
  },
  {
    name: 'link: delete the second of them',
    subject: 'link.del',
    body: { source_id: 'a', wit_namespace: 'ns', wit_package: 'pkg' },
  },
  { name: 'link: delete what is none', subject: 'link.del', body: { source_id: 'a', wit_namespace: 'ns', wit_package: 'pkg' } },
  {
    name: 'link: delete of an unknown source',
    subject: 'link.del',
    body: { source_id: 'unknown', wit_namespace: 'ns', wit_package: 'pkg' },
  },
  { name: 'links that are left', subject: 'link.get' },

  { name: 'claims', subject: 'claims.get' },
  { name: 'registries', subject: 'registry.put', body: { 'registry.example': { username: 'ann', password: 'example' } } },
  { name: 'registries, wrong', subject: 'registry.put', body: 'nonsense' },

  { name: 'stop: another host in the body', subject: 'host.stop.{host}', body: { host_id: 'NSOMEBODYELSE' } },
  { name: 'stop: no JSON', subject: 'host.stop.{host}', body: 'nonsense' },
  { name: 'stop', subject: 'host.stop.{host}', body: { host_id: '{host}', timeout: 5_000 } },
];
