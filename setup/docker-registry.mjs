// Finds a registry for tests to pull from, or fetches Debian's into .trellis/bin: no root needed, nothing outside this folder touched.
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isFile, placesOf } from './nats-server.mjs';
import { debianProgram } from './nats-server-sources.mjs';
import { runProgram } from './run-program.mjs';
import { ROOT, STATE, workFolder, writeWhole } from './tree.mjs';

const NAME = 'docker-registry';
const FETCHED = join(STATE, 'bin', NAME);

export const dockerRegistry = {
  /** `{ path, version, from }` of a registry that is already here, else undefined. */
  async find(env = process.env) {
    const places = env.DOCKER_REGISTRY ? [env.DOCKER_REGISTRY] : [...placesOf(NAME, env), FETCHED].filter(isFile);
    for (const path of places) {
      const result = await runProgram(path, ['--version'], { timeoutMs: 10_000, cwd: ROOT });
      const version = /(\d+\.\d+\.\d+\S*)/.exec(result.stdout)?.[1];
      if (result.code === 0 && version !== undefined) return { path, version, from: path === FETCHED ? '.trellis/bin' : path };
    }
    return undefined;
  },

  /** Fetches Debian's. Returns `{ path, version, from }`, or `{ missing }`, a sentence that says why not. */
  async fetch(working) {
    working('trying the Debian package');
    const folder = workFolder(NAME);
    try {
      const { program } = await debianProgram(folder, { name: NAME, path: 'usr/bin/docker-registry' });
      mkdirSync(join(STATE, 'bin'), { recursive: true });
      writeWhole(FETCHED, readFileSync(program.file), 0o755);
      return (await this.find({})) ?? { missing: 'what was fetched does not run here' };
    } catch (error) {
      return { missing: error.message };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
