import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { isCredentialPath } from './credential-paths.ts';
import { isTree } from './layers.ts';
import type { Layers, Tree } from './layers.ts';
import { redactText, type Problem } from './problems.ts';
import { listSettings } from './settings.ts';

const MAX_FILE_BYTES = 1024 * 1024;

/**
 * Lays a YAML (or JSON) file over `layers`, each value marked `file:line`. Relative paths in it are taken from the file's own
 * folder. Returns what is wrong with the file as such; what is wrong with its values is found later.
 */
export function layFile(layers: Layers, file: string): Problem[] {
  const full = resolve(file);
  const refuse = (line: number | undefined, summary: string, fix: string): Problem => ({
    code: 'START-14',
    severity: 'refused',
    summary,
    setting: '--config',
    // A seed that was pasted where a file belongs must not be shown.
    source: redactText(line === undefined ? full : `${full}:${line}`),
    why: 'Settings that cannot be read would silently be defaults.',
    fix,
  });
  let text: string;
  try {
    if (statSync(full).size > MAX_FILE_BYTES)
      return [refuse(undefined, 'The configuration file is larger than 1 MiB.', 'Give a configuration file.')];
    text = readFileSync(full, 'utf8');
  } catch (error) {
    return [
      refuse(undefined, `The configuration file cannot be read (${errorCode(error)}).`, 'Check the path and its permissions.'),
    ];
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  if (document.errors.length > 0) {
    // Only the kind of fault: the parser's own text quotes the file, which may hold a secret somebody put there by mistake.
    return document.errors
      .slice(0, 10)
      .map((error) =>
        refuse(lines.linePos(error.pos[0]).line, `This is not YAML: ${yamlFault(error.code)}.`, 'Correct the line.'),
      );
  }
  let values: unknown;
  try {
    values = document.toJS({ maxAliasCount: 20 });
  } catch {
    return [refuse(undefined, 'The file repeats itself through too many YAML aliases.', 'Write the values out.')];
  }
  if (values === null || values === undefined) return [];
  if (!isTree(values))
    return [refuse(1, 'The file must hold settings (`name: value`), not a list or a single value.', 'See config/host.yaml.')];
  mark(layers, document.contents, '', (offset) => `${full}:${lines.linePos(offset).line}`);
  copy(layers.tree, values);
  absolutePaths(layers.tree, dirname(full));
  return [];
}

const errorCode = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unknown';

function yamlFault(code: string): string {
  return code.toLowerCase().replaceAll('_', ' ');
}

function mark(layers: Layers, node: unknown, name: string, where: (offset: number) => string): void {
  if (isMap(node)) {
    for (const { key, value } of node.items) {
      if (!isScalar(key)) continue;
      const child = name === '' ? String(key.value) : `${name}.${String(key.value)}`;
      layers.mark(child, where(key.range?.[0] ?? 0));
      mark(layers, value, child, where);
    }
  } else if (isSeq(node)) {
    for (const [i, item] of node.items.entries()) {
      const range = (item as { range?: [number, number, number] | null }).range;
      layers.mark(`${name}[${i}]`, where(range?.[0] ?? 0));
      mark(layers, item, `${name}[${i}]`, where);
    }
  }
}

function copy(target: Tree, source: Tree): void {
  for (const [key, value] of Object.entries(source)) {
    if (!isTree(value)) {
      target[key] = value;
      continue;
    }
    const inner = Object.create(null) as Tree;
    target[key] = inner;
    copy(inner, value);
  }
}

/** Makes the paths of a file independent of where the host is started. */
function absolutePaths(tree: Tree, base: string): void {
  for (const setting of listSettings()) {
    if (!setting.holdsPaths) continue;
    const parts = setting.name.split('.').flatMap((part) => (part.endsWith('[]') ? [part.slice(0, -2), '[]'] : [part]));
    rewrite(tree, parts, (path) =>
      path.startsWith('file:') || isCredentialPath(path) || path === '' ? path : resolve(base, path),
    );
  }
}

function rewrite(node: unknown, parts: readonly string[], change: (path: string) => string): void {
  const [head, ...rest] = parts;
  if (head === '[]') {
    if (Array.isArray(node)) for (const item of node) rewrite(item, rest, change);
    return;
  }
  if (!isTree(node) || head === undefined) return;
  const value = node[head];
  if (rest.length > 0) rewrite(value, rest, change);
  else if (typeof value === 'string') node[head] = change(value);
  else if (Array.isArray(value)) node[head] = value.map((item: unknown) => (typeof item === 'string' ? change(item) : item));
}
