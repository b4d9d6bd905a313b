import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/**
 * The floors of src: an import points down, never up, and never sideways to a sibling on the same floor. `wit` is its own
 * floor; `component/runner` is another process' program and knows only what is named here.
 */
const FLOORS: readonly (readonly string[])[] = [
  ['cli', 'index'],
  ['daemon', 'demo', 'bench'],
  ['development'],
  ['host', 'caller', 'development-security'],
  ['workloads'],
  ['member', 'state-dir'],
  ['invocation', 'control', 'identity', 'startup', 'auth'],
  ['trust', 'nats', 'wrpc', 'wasmbus', 'component', 'lattice', 'leaf'],
  ['config', 'telemetry'],
  ['wit'],
  ['ids', 'replace-file'],
  ['errors', 'clock', 'within', 'lanes', 'json-object'],
];
const RUNNER = 'component/runner';
// What both ends of the pipe between host and runner must agree on; data and types, no guest code.
const PIPE = new Set(['frames.ts', 'frame-reader.ts', 'functions.ts', 'start.ts'].map((file) => `${RUNNER}/${file}`));
const RUNNER_MAY_IMPORT = new Set([RUNNER, 'wit', 'errors', 'ids', 'clock']);
// The bus is the interface between wRPC and whatever carries it: wRPC states what it needs, src/nats provides it.
// Who signed a component is told by the same code that reads every other key.
const BETWEEN_SIBLINGS = new Set(['nats → wrpc/bus.ts', 'component → trust/nkey.ts']);
const NATS_CLIENT = new Set(['nats', 'nkeys.js']);

const SRC = fileURLToPath(new URL('../../src', import.meta.url));

interface Import {
  readonly file: string;
  readonly from: string;
  /** A path below src, or a package name. */
  readonly target: string;
}

function importsOf(file: string): Import[] {
  // String literals after from, import and import(; comments are removed first, roughly but for this purpose enough.
  const code = readFileSync(join(SRC, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const found = code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g);
  return [...found].map(([, specifier]) => ({
    file,
    from: unitOf(file),
    target: specifier!.startsWith('.') ? relative(SRC, join(SRC, dirname(file), specifier!)) : specifier!,
  }));
}

function unitOf(path: string): string {
  if (path.startsWith(`${RUNNER}/`)) return RUNNER;
  return path.split('/')[0]!.replace(/\.ts$/, '');
}

const floorOf = (unit: string): number => FLOORS.findIndex((units) => units.includes(unit === RUNNER ? 'component' : unit));
const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const imports = files.flatMap(importsOf);
const isLocal = ({ target }: Import): boolean => target.endsWith('.ts');
const show = ({ file, target }: Import): string => `${file} imports ${target}`;

describe('floors', () => {
  it('knows the floor of every file', () => {
    expect(files.filter((file) => floorOf(unitOf(file)) === -1)).toEqual([]);
  });

  it('are those of the documentation, with the folders that there are', () => {
    const page = readFileSync(join(SRC, '..', 'docs', 'architecture.md'), 'utf8');
    const block = /^## Floors\n[\s\S]*?```text\n([\s\S]*?)```/m.exec(page)?.[1] ?? '';
    const written = block
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/).map(unitOf).sort());
    expect(written).toEqual(FLOORS.map((units) => [...units].sort()));
    const known = new Set(files.map(unitOf));
    expect(FLOORS.flat().filter((unit) => !known.has(unit))).toEqual([]);
  });

  it('has no import that points up or sideways', () => {
    const wrong = imports.filter((entry) => {
      const to = unitOf(entry.target);
      if (
        !isLocal(entry) ||
        to === entry.from ||
        PIPE.has(entry.target) ||
        BETWEEN_SIBLINGS.has(`${entry.from} → ${entry.target}`)
      )
        return false;
      return floorOf(to) <= floorOf(entry.from);
    });
    expect(wrong.map(show)).toEqual([]);
  });

  it('keeps the runner apart: no keys, no network, no code of the host', () => {
    const wrong = imports.filter(({ from, target }) => {
      if (from !== RUNNER) return false;
      return target.endsWith('.ts') ? !RUNNER_MAY_IMPORT.has(unitOf(target)) : !target.startsWith('node:');
    });
    expect(wrong.map(show)).toEqual([]);
  });

  it('keeps the runner out of the host, which loads only what describes the pipe', () => {
    const wrong = imports.filter(({ from, target }) => from !== RUNNER && unitOf(target) === RUNNER && !PIPE.has(target));
    expect(wrong.map(show)).toEqual([]);
  });

  it('lets only src/nats import the NATS client', () => {
    const wrong = imports.filter(
      ({ from, target }) => from !== 'nats' && (NATS_CLIENT.has(target) || target.startsWith('@nats-io/')),
    );
    expect(wrong.map(show)).toEqual([]);
  });
});
