import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * How to start Node for a child that guests' bytes reach, with what the machine has for it: no core files (they would hold
 * guests' memory), no regained privileges, and death with the host even while the child spins and cannot notice that its
 * pipe has closed. Node's own arguments follow `args`.
 */
export function confinedNode(): { readonly command: string; readonly args: readonly string[] } {
  if (process.platform === 'win32') return { command: process.execPath, args: [] };
  const setpriv = findSetpriv();
  const exec = setpriv === undefined ? 'exec "$@"' : `exec ${setpriv} --pdeathsig KILL --no-new-privs "$@"`;
  return { command: '/bin/sh', args: ['-c', `ulimit -c 0; ${exec}`, 'sh', process.execPath] };
}

let setprivPath: string | false | undefined;

function findSetpriv(): string | undefined {
  if (setprivPath === undefined) {
    const folders = process.platform === 'linux' ? ['/usr/bin', '/bin', ...(process.env['PATH'] ?? '').split(delimiter)] : [];
    const found = folders.filter((folder) => /^\/[\w./+-]*$/.test(folder)).map((folder) => join(folder, 'setpriv'));
    // BusyBox has a setpriv without --pdeathsig.
    setprivPath = found.find((path) => existsSync(path) && readFileSync(path).includes('pdeathsig')) ?? false;
  }
  return setprivPath === false ? undefined : setprivPath;
}
