import { readFileSync } from 'node:fs';

/** What runs here: this package, Node and the libraries whose behaviour shows on the lattice. */
export interface Versions {
  readonly trellis: string;
  readonly node: string;
  readonly jco: string;
  readonly nats: string;
}

/** The version in the nearest `package.json` at `path`, here or in a folder above: a dependency may lie beside this package. */
function versionIn(path: string): string {
  for (let folder = new URL('../../', import.meta.url); ; folder = new URL('../', folder)) {
    try {
      const { version } = JSON.parse(readFileSync(new URL(path, folder), 'utf8')) as { version?: string };
      return version ?? 'unknown';
    } catch {
      if (folder.pathname === '/' || folder.pathname === new URL('../', folder).pathname) return 'unknown';
    }
  }
}

/** Reads the versions; a library that cannot be found is `unknown`, as jco is in an image. */
export function readVersions(): Versions {
  return {
    trellis: versionIn('package.json'),
    node: process.versions.node,
    jco: versionIn('node_modules/@bytecodealliance/jco-transpile/package.json'),
    nats: versionIn('node_modules/nats/package.json'),
  };
}
