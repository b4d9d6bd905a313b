import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TrellisError } from '../../errors.ts';
import type { SidecarFile } from '../../leaf/sidecar-config.ts';
import { findNatsServer, type NatsServerProgram } from '../../nats/server.ts';

const CHECK_MS = 10_000;

/**
 * Has a nats-server of this machine read the files (`-t`: it opens nothing). Returns the program that did; `undefined` if there
 * is none, since the sidecar may run elsewhere.
 *
 * @param nameVariable environment variable that the files name
 * @throws TRELLIS_LEAF_INPUT with what the program says
 */
export function checkWithServer(files: readonly SidecarFile[], nameVariable?: string): NatsServerProgram | undefined {
  let program: NatsServerProgram;
  try {
    program = findNatsServer();
  } catch {
    return undefined;
  }
  const env = nameVariable === undefined ? {} : { [nameVariable]: 'check' };
  const dir = mkdtempSync(join(tmpdir(), 'trellis-leaf-'));
  try {
    for (const { name, text } of files) {
      const file = join(dir, name);
      writeFileSync(file, text, { mode: 0o600 });
      const { status, stdout, stderr } = spawnSync(program.path, ['-t', '-c', file], {
        encoding: 'utf8',
        timeout: CHECK_MS,
        env,
      });
      if (status === 0) continue;
      const said = `${stderr}${stdout}`.replaceAll(dir, '').trim().slice(-400);
      throw new TrellisError('TRELLIS_LEAF_INPUT', {
        message: `nats-server ${program.version} does not take ${name}: ${said === '' ? 'it did not answer' : said}`,
        remedy: 'Check that the certificates are where the flags say, and in PEM.',
      });
    }
    return program;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
