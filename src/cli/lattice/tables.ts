import type { HostReply, InventoryReply } from '../../lattice/control-replies.ts';
import type { LatticeLink } from '../../lattice/links.ts';
import { visible } from '../../telemetry/scrub.ts';
import { paint, tableLines } from '../output.ts';

/** As many instances as there are calls. */
const UNBOUNDED = 4_294_967_295;

/** Longest text in a column: one host that says more about itself must not make the table unreadable. The JSON has all of it. */
const MAX_CELL = 160;

const cut = (text: string): string => (text.length > MAX_CELL ? `${text.slice(0, MAX_CELL)}…` : text);

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return tableLines(
    head,
    rows.map((row) => row.map(cut)),
  );
}

/** Hosts as a table. */
export function hostLines(hosts: readonly HostReply[]): string[] {
  return table(
    ['host', 'name', 'up for', 'version', 'labels'],
    hosts.map((host) => [host.id, host.friendly_name, upFor(host), host.version ?? '', labelsText(host.labels)]),
  );
}

/** What hosts run: a heading and tables for each. */
export function inventoryLines(hosts: readonly InventoryReply[]): string[] {
  return hosts.flatMap((host, at) => {
    const heading = `${paint('bold', visible(cut(host.friendly_name)))} (${host.host_id}), up for ${visible(upFor(host))}`;
    const labels = labelsText(host.labels);
    const components = host.components.map(({ id, image_ref, max_instances, annotations, name }) => {
      return [id, name ?? '', image_ref, instancesText(max_instances), textsText(annotations)];
    });
    const providers = host.providers.map(({ id, image_ref = '', annotations, name }) => {
      return [id, name ?? '', image_ref, textsText(annotations)];
    });
    return [
      ...(at === 0 ? [] : ['']),
      heading,
      ...(labels === '' ? [] : [`labels: ${visible(cut(labels))}`]),
      ...(components.length === 0
        ? ['no components']
        : table(['component', 'name', 'image', 'at most', 'annotations'], components)),
      ...(providers.length === 0 ? [] : table(['provider', 'name', 'image', 'annotations'], providers)),
    ];
  });
}

/** Links as a table. */
export function linkLines(links: readonly LatticeLink[]): string[] {
  return table(
    ['source', 'target', 'interfaces', 'name', 'source config', 'target config'],
    links.map((link) => [
      link.source_id,
      link.target,
      `${link.wit_namespace}:${link.wit_package}/${link.interfaces.join(',')}`,
      link.name,
      link.source_config.join(','),
      link.target_config.join(','),
    ]),
  );
}

/** Claims as a table; hosts write some of them under two names. */
export function claimLines(claims: readonly Readonly<Record<string, string>>[]): string[] {
  return table(
    ['subject', 'name', 'issuer', 'revision', 'version', 'call alias', 'tags'],
    claims.map((each) => [
      each['subject'] ?? each['sub'] ?? '',
      each['name'] ?? '',
      each['issuer'] ?? each['iss'] ?? '',
      each['revision'] ?? each['rev'] ?? '',
      each['version'] ?? '',
      each['call_alias'] ?? '',
      each['tags'] ?? '',
    ]),
  );
}

/** A number of instances for people. */
export function instancesText(instances: number): string {
  return instances === UNBOUNDED ? 'no limit' : String(instances);
}

function upFor({ uptime_human: human, uptime_seconds: seconds }: Pick<HostReply, 'uptime_human' | 'uptime_seconds'>): string {
  return human ?? `${seconds}s`;
}

/** Without those that every host gives itself: they are in the JSON. */
function labelsText(labels: Readonly<Record<string, string>>): string {
  return textsText(Object.fromEntries(Object.entries(labels).filter(([key]) => !key.startsWith('hostcore.'))));
}

function textsText(texts: Readonly<Record<string, string>>): string {
  return Object.entries(texts)
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(' ');
}
