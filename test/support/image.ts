import { execFile } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findNatsServer } from '../../src/nats/server.ts';
import type { StackImage } from './compose-stack.ts';
import { type ImageSettings, readDockerfile } from './dockerfile.ts';

/** The root of this repository. */
export const repository: string = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** The files of our image as its Dockerfile makes them, in a folder of this machine. */
export interface BuiltImage extends Disposable {
  readonly settings: ImageSettings;
  /** Stands for `/` of the image, without the files of the base image. */
  readonly dir: string;
  readonly image: StackImage;
}

/** Runs the step of the Dockerfile that fills the image. The source tree must be set up; takes some seconds. */
export async function buildImage(configs: readonly string[]): Promise<BuiltImage> {
  const settings = readDockerfile(join(repository, 'Dockerfile'));
  const parent = mkdtempSync(join(tmpdir(), 'trellis-image-'));
  const dir = join(parent, 'image');
  chmodSync(parent, 0o711);
  await promisify(execFile)(process.execPath, [join(repository, 'setup/run.mjs'), 'image', dir, ...configs], {
    cwd: repository,
    timeout: 120_000,
  });
  const shown = (path: string): boolean => existsSync(join(dir, path));
  return {
    settings,
    dir,
    image: {
      mounts: ['/app', '/usr/local/bin/node', '/usr/local/bin/trellis']
        .filter(shown)
        .map((target) => ({ source: join(dir, target), target, readOnly: true })),
      env: settings.env,
      entrypoint: settings.entrypoint,
      command: settings.command,
      user: settings.user,
      workingDir: settings.workingDir,
      healthcheck: settings.healthcheck,
      folders: settings.folders,
    },
    [Symbol.dispose]: () => rmSync(parent, { recursive: true, force: true }),
  };
}

/** The file at another place: a second name for it, or a copy where that cannot be. */
function sameFile(source: string, place: string): string {
  if (existsSync(place)) return place;
  try {
    linkSync(realpathSync(source), place);
  } catch {
    copyFileSync(source, place);
  }
  return place;
}

/** The image of nats-server, with the server of this machine, and BusyBox' wget as far as a health check needs it. */
export function natsImage(dir: string): StackImage {
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  const wget = join(dir, 'wget');
  const get = `require("node:http").get(process.argv.at(-1), ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1)).on("error", () => process.exit(1))`;
  writeFileSync(wget, `#!/bin/sh\nexec node -e '${get}' -- "$@"\n`, { mode: 0o755 });
  // The checkout may lie where other users cannot look, and services run as such.
  const programs = {
    '/usr/local/bin/nats-server': sameFile(findNatsServer().path, join(dir, 'nats-server')),
    '/usr/local/bin/wget': wget,
    '/usr/local/bin/node': sameFile(process.execPath, join(dir, 'node')),
  };
  return {
    mounts: Object.entries(programs).map(([target, source]) => ({ source, target, readOnly: true })),
    env: {},
    entrypoint: ['nats-server'],
    command: [],
    user: '0:0',
    workingDir: '/',
    healthcheck: undefined,
    folders: [],
  };
}
