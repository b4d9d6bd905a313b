/** The functions of `setup/*.mjs` that tests call: plain JavaScript for Node 18, so their types are stated here. */

interface ProgramResult {
  readonly code: number | undefined;
  readonly stdout: string;
  readonly output: string;
  readonly failure: string | undefined;
}

interface Source {
  readonly name: string;
  get(folder: string): Promise<{ program: Buffer | { file: string }; from: string }>;
}

interface SetupModules {
  'build.mjs': { componentNames(): string[]; host: { inPlace(): boolean; run(node: string): Promise<void> } };
  'dependencies.mjs': {
    missingPackage(
      lock: string | undefined,
      record: string | undefined,
      here?: { os: string; cpu: string; libc?: string },
    ): string | undefined;
    lacksOnlyForeignPackages(output: string): boolean;
  };
  'nats-server.mjs': {
    MINIMUM_NATS_SERVER_VERSION: string;
    natsServer: {
      find(tried: string[], env: NodeJS.ProcessEnv): Promise<{ path: string; version: string; from: string } | undefined>;
    };
  };
  'nats-server-sources.mjs': {
    fetchServer(o: {
      working: (text: string) => void;
      tried: string[];
      sources: Source[];
    }): Promise<{ program: Buffer; from: string } | undefined>;
    mustMatch(data: Uint8Array, algorithm: string, encoding: string, expected: string, what: string): void;
  };
  'npm.mjs': {
    explainNpm(result: Partial<ProgramResult>, trouble: string | undefined): { why: string; remedy: string };
  };
  'own-node.mjs': {
    MINIMUM_NODE_VERSION: string;
    compareVersions(left: string, right: string): number;
    ownNodePath(platform?: string): string | undefined;
  };
  'progress.mjs': {
    createProgress(o: { quiet: boolean; out: { isTTY?: boolean; write(text: string): void } }): {
      step<T>(
        name: string,
        work: (working: (text: string) => void) => Promise<{ text: string; value?: T }>,
      ): Promise<T | undefined>;
      say(text: string): void;
    };
  };
  'run-program.mjs': {
    runProgram(file: string, args: string[], options?: { timeoutMs?: number; env?: NodeJS.ProcessEnv }): Promise<ProgramResult>;
  };
  'setup-error.mjs': {
    SetupError: new (message: string, more?: { tried?: string[]; remedy?: string; output?: string }) => Error;
    describe(error: unknown): string;
  };
  'tar.mjs': { fileInTarball(archive: Uint8Array, suffix: string, maxBytes?: number): Buffer | undefined };
  'tree.mjs': {
    ROOT: string;
    alone<T>(onWait: (pid: number) => void, work: () => Promise<T>): Promise<T>;
    digestOf(folder: string, files: string[], salt?: string): string;
    filesBelow(folder: string, skip?: (name: string) => boolean): string[];
  };
}

/** Loads one file of `setup/`. */
export function importSetup<Name extends keyof SetupModules>(name: Name): Promise<SetupModules[Name]> {
  return import(new URL(`../../setup/${name}`, import.meta.url).href) as Promise<SetupModules[Name]>;
}
