import { readFileSync } from 'node:fs';

/** What the last stage of a Dockerfile says about the containers of its image. */
export interface ImageSettings {
  /** Reference of the base image, as pinned. */
  readonly base: string;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workingDir: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthcheck: readonly string[] | undefined;
  readonly stopSignal: string;
  /** Folders made by `install -d` in the last stage. */
  readonly folders: readonly { readonly path: string; readonly mode: number; readonly uid: number; readonly gid: number }[];
  /** `COPY` and `RUN` of the last stage, as written. */
  readonly steps: readonly string[];
}

/** An instruction with its continuation lines joined, comments removed. */
interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** Reads a Dockerfile: its instructions in order. Heredocs are not understood, and refused. */
function instructionsOf(text: string): Instruction[] {
  const lines = text.split('\n').filter((line) => !/^\s*#/.test(line));
  const joined = lines.join('\n').replace(/\\\n/g, ' ');
  return joined
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => {
      const found = /^([A-Z]+)\s+(.*)$/.exec(line);
      if (found === null || line.includes('<<')) throw new Error(`this reader does not understand the line: ${line}`);
      return { name: found[1]!, text: found[2]!.replace(/\s+/g, ' ') };
    });
}

/** Reads the last stage of a Dockerfile. An instruction this reader does not know is an error. */
export function readDockerfile(file: string): ImageSettings {
  const all = instructionsOf(readFileSync(file, 'utf8'));
  const args = Object.fromEntries(
    all.filter(({ name }) => name === 'ARG').map(({ text }) => [text.split('=', 1)[0]!, text.slice(text.indexOf('=') + 1)]),
  );
  const from = all.findLastIndex(({ name }) => name === 'FROM');
  const stage = all.slice(from + 1);
  const last = (name: string): string | undefined => stage.findLast((each) => each.name === name)?.text;
  const list = (text: string | undefined): string[] => (text === undefined ? [] : (JSON.parse(text) as string[]));
  const known = ['COPY', 'RUN', 'ENV', 'WORKDIR', 'USER', 'STOPSIGNAL', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD', 'LABEL', 'ARG'];
  const strange = stage.find(({ name }) => !known.includes(name));
  if (strange !== undefined) throw new Error(`this reader does not understand ${strange.name}`);
  const healthcheck = last('HEALTHCHECK');
  return {
    base: all[from]!.text.split(' ')[0]!.replace(/\$\{(\w+)\}/g, (_, name: string) => args[name] ?? ''),
    env: Object.fromEntries(
      stage
        .filter(({ name }) => name === 'ENV')
        .flatMap(({ text }) => text.split(' '))
        .map((pair) => [pair.split('=', 1)[0]!, pair.slice(pair.indexOf('=') + 1)]),
    ),
    user: last('USER') ?? 'root',
    workingDir: last('WORKDIR') ?? '/',
    entrypoint: list(last('ENTRYPOINT')),
    command: list(last('CMD')),
    healthcheck: healthcheck === undefined ? undefined : ['CMD', ...list(healthcheck.slice(healthcheck.indexOf('CMD ') + 4))],
    stopSignal: last('STOPSIGNAL') ?? 'SIGTERM',
    folders: stage.flatMap(({ name, text }) => {
      const made = name === 'RUN' ? /^install -d -m (\d+) -o (\d+) -g (\d+) (.+)$/.exec(text) : null;
      if (made === null) return [];
      const [, mode, uid, gid, paths] = made;
      return paths!.split(' ').map((path) => ({ path, mode: Number.parseInt(mode!, 8), uid: Number(uid), gid: Number(gid) }));
    }),
    steps: stage.filter(({ name }) => name === 'COPY' || name === 'RUN').map(({ name, text }) => `${name} ${text}`),
  };
}
