import { readFileSync } from 'node:fs';

/** What runs here: this package, Node and the libraries whose behaviour shows on the lattice. */
export interface Versions {
  readonly trellis: string;
  readonly node: string;
  readonly jco: string;
  readonly nats: string;
}

const ROOT = new URL('../../', import.meta.url);

function versionIn(path: string): string {
  try {
    const { version } = JSON.parse(readFileSync(new URL(path, ROOT), 'utf8')) as { version?: string };
    return version ?? 'unknown';
  } catch {
    // Installed as a dependency of something else, the libraries lie further up.
    return 'unknown';
  }
}

/** Reads the versions; a library that is not where a clone has it is `unknown`. */
export function readVersions(): Versions {
  return {
    trellis: versionIn('package.json'),
    node: process.versions.node,
    jco: versionIn('node_modules/@bytecodealliance/jco-transpile/package.json'),
    nats: versionIn('node_modules/nats/package.json'),
  };
}
