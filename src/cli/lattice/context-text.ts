import { existsSync } from 'node:fs';
import { isTree, type Tree } from '../../config/layers.ts';
import type { Context, ListedContext } from './context-store.ts';

/** Stands behind the path of a file that is missing. */
export const NOT_THERE = ' (not there)';

/** A row of `trellis ctx list`. */
export function contextRow(listed: ListedContext, selected: boolean): string[] {
  const mark = selected ? '*' : '';
  if ('problem' in listed) return [mark, listed.name, listed.kind, '', '', '', `unusable: ${listed.problem}`];
  const { kind, settings, description } = listed.context;
  return [mark, listed.name, kind, textAt(settings, ['lattice']) ?? '', serversText(settings), loginText(settings), description];
}

/** The fields of `trellis ctx show`; of files only whether they are there. */
export function contextFields(context: Context): [string, string][] {
  const { name, kind, file, description, settings, signer } = context;
  return [
    ['name', name],
    ['of', kind === 'nats' ? 'the nats command' : 'Trellis'],
    ['file', file],
    ...(description === '' ? [] : [['about', description] satisfies [string, string]]),
    ...leaves(settings, ''),
    ...(signer === undefined ? [] : leaves({ ...signer }, 'sign')),
  ];
}

function leaves(tree: Tree, prefix: string): [string, string][] {
  return Object.entries(tree).flatMap(([key, value]): [string, string][] => {
    const name = prefix === '' ? key : `${prefix}.${key}`;
    if (isTree(value)) return leaves(value, name);
    const text = Array.isArray(value) ? value.join(', ') : String(value);
    const missing = key.endsWith('File') && text.startsWith('/') && !existsSync(text) ? NOT_THERE : '';
    return [[name, `${text}${missing}`]];
  });
}

function serversText(settings: Tree): string {
  const servers = valueAt(settings, ['ctl', 'servers']);
  return Array.isArray(servers) ? servers.join(',') : '';
}

function loginText(settings: Tree): string {
  const file = textAt(settings, ['ctl', 'credsFile']) ?? textAt(settings, ['ctl', 'seedFile']);
  return file ?? (textAt(settings, ['ctl', 'tls', 'certFile']) === undefined ? 'none' : 'certificate');
}

function textAt(settings: Tree, path: readonly string[]): string | undefined {
  const value = valueAt(settings, path);
  return typeof value === 'string' ? value : undefined;
}

function valueAt(settings: Tree, path: readonly string[]): unknown {
  let node: unknown = settings;
  for (const key of path) node = isTree(node) ? node[key] : undefined;
  return node;
}
